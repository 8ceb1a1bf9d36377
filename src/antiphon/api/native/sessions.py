"""Sessions on our own wire. What deletes one is among the deletions."""

from __future__ import annotations

from typing import Literal

import msgspec

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.native.bodies import check_name, check_title, read_body
from antiphon.api.native.errors import refusals
from antiphon.api.native.queries import (
    PAGE,
    cut_page,
    list_name,
    read_choice,
    read_cursor,
    read_limit,
    read_text,
)
from antiphon.api.native.reach import Reach, owner_for
from antiphon.api.native.versions import IF_MATCH, check_version, versioned
from antiphon.api.native.wire import location_of, show_time
from antiphon.api.routing import Query, Route
from antiphon.core.instance import Instance
from antiphon.domain import chats, sessions
from antiphon.domain.errors import AccessDenied, SessionIdTaken, SessionNotFound
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import new_public_id
from antiphon.domain.keys import SESSION, Principal
from antiphon.domain.sessions import MULTI, SINGLE, SessionCard

_SHAPES = (MULTI, SINGLE)
_FILTER = (
    Query("shape", {"enum": [*_SHAPES]}, "Only those of this shape."),
    Query("participant", {"type": "string"}, "Only those that the participant of this name owns."),
)


class NewSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session that is to be made, with its first chat: `multi` may get more of them, `single` has that one alone.

    With an `id` it is safe to repeat. `participant` is the name of the owner.
    """

    id: str | None = None
    shape: Literal["multi", "single"] = "multi"
    participant: str | None = None
    title: str | None = None


class SessionChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a session is to be called."""

    title: str


class Session(msgspec.Struct, frozen=True):
    """A session: `participant` is the name of its owner, `chats` is how many chats it has."""

    id: str
    shape: str
    participant: str
    title: str
    chats: int
    created_at: str
    updated_at: str


class SessionList(msgspec.Struct, frozen=True):
    """Some sessions, the newest first, and where the next are."""

    items: list[Session]
    next: str | None


class Sessions:
    """The routes of sessions."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        path, one = f"{prefix}/sessions", f"{prefix}/sessions/{{session_id}}"
        made = {200: Session, 201: Session, **refusals(409, 413)}
        changed, listed = {200: Session, **refusals(412, 413)}, {200: SessionList, **refusals()}
        return [
            Route("POST", path, self.create, "Make a session.", made, body=NewSession, is_body_optional=True),
            Route("GET", path, self.list, "List sessions.", listed, query=(*_FILTER, *PAGE)),
            Route("GET", one, self.get, "Get a session.", {200: Session, **refusals()}),
            Route(
                "PATCH",
                one,
                self.change,
                "Give a session another title.",
                changed,
                body=SessionChange,
                query=(IF_MATCH,),
            ),
        ]

    async def create(self, request: Request) -> Reply:
        """POST /sessions: 201, or 200 with the one of that id, which stays as it is."""
        principal = await self._reach.caller(request)
        if principal.scope == SESSION:
            raise AccessDenied
        body = await read_body(request, NewSession)
        check_name(body.participant, "participant")
        session, is_new = await self._instance.sessions.ensure(principal.tenant_id, _new_of(principal, body))
        request.subject = Subject(session_key=session.key)
        card = await self._instance.sessions.card(principal.tenant_id, session)
        if not is_new:
            await self._check_repeated(principal, body, card)
        location = location_of("sessions", session.id)
        return versioned(201 if is_new else 200, show_session(card), [location])

    async def _check_repeated(self, principal: Principal, body: NewSession, card: SessionCard) -> None:
        """Raise SessionIdTaken for a session that the caller cannot have made with that body."""
        try:
            await self._reach.session(principal, card.session.id)
        except SessionNotFound:
            raise SessionIdTaken from None
        if body.participant not in {None, card.owner_name}:
            raise SessionIdTaken

    async def get(self, request: Request) -> Reply:
        """GET /sessions/{session_id}."""
        principal = await self._reach.caller(request)
        session = await self._reach.session(principal, request.params["session_id"])
        return versioned(200, await view_session(self._instance, principal, session))

    async def change(self, request: Request) -> Reply:
        """PATCH /sessions/{session_id}: its title."""
        principal = await self._reach.caller(request)
        session = await self._reach.session(principal, request.params["session_id"])
        self._reach.check_ownership(principal, session.owner_id)
        title = check_title((await read_body(request, SessionChange)).title)
        shown = await view_session(self._instance, principal, session)
        is_bound = check_version(request, shown)
        renamed = await self._instance.sessions.rename(principal.tenant_id, session, title, if_unchanged=is_bound)
        return versioned(200, await view_session(self._instance, principal, renamed))

    async def list(self, request: Request) -> Reply:
        """GET /sessions: those that the key reaches, the newest first."""
        principal = await self._reach.caller(request)
        shape, owner = read_choice(request, "shape", _SHAPES), read_text(request, "participant")
        limit, of_list = read_limit(request), list_name("sessions", principal.tenant_id, shape, owner)
        before = read_cursor(of_list, request)
        choice = await self._reach.choice(principal, owner)
        if choice is None:
            return json_reply(200, SessionList([], None))
        found = await self._instance.sessions.page(principal.tenant_id, choice, shape, before, limit + 1)
        page, following = cut_page(found, limit, of_list, lambda card: card.session.key)
        return json_reply(200, SessionList([show_session(card) for card in page], following))


def _new_of(principal: Principal, body: NewSession) -> sessions.NewSession:
    """What is to be made. A `single` session and its chat have one id and one title."""
    session_id = body.id if body.id is not None else new_public_id()
    owner, is_implied = owner_for(principal, body.participant)
    default = chats.DEFAULT_TITLE if body.shape == SINGLE else sessions.DEFAULT_TITLE
    title = default if body.title is None else check_title(body.title)
    if body.shape == SINGLE:
        return sessions.NewSession(SINGLE, session_id, owner, title, session_id, title, is_implied)
    return sessions.NewSession(MULTI, session_id, owner, title, new_public_id(), chats.DEFAULT_TITLE, is_implied)


async def view_session(instance: Instance, principal: Principal, session: sessions.Session) -> Session:
    """A session as it is now. Raises SessionNotFound."""
    return show_session(await instance.sessions.card(principal.tenant_id, session))


def show_session(card: SessionCard) -> Session:
    """A session."""
    return Session(
        card.session.id,
        card.session.shape,
        card.owner_name,
        card.session.title,
        card.chat_count,
        show_time(card.session.created_at),
        show_time(card.session.updated_at),
    )
