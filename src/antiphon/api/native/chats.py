"""Chats on our own wire. What deletes one is among the deletions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.native.bodies import check_name, check_title, read_body
from antiphon.api.native.errors import refusals
from antiphon.api.native.queries import (
    PAGE,
    cut_page,
    list_name,
    read_cursor,
    read_limit,
    read_text,
)
from antiphon.api.native.reach import Reach, owner_for
from antiphon.api.native.versions import IF_MATCH, check_version, versioned
from antiphon.api.native.wire import location_of, show_time, show_turn_id
from antiphon.api.routing import Query, Route
from antiphon.core.instance import Instance
from antiphon.domain import chats
from antiphon.domain.errors import AccessDenied, ChatIdTaken, ChatNotFound, Conflict, InvalidInput, SessionIdTaken
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import new_public_id
from antiphon.domain.keys import SESSION, Principal
from antiphon.domain.sessions import SINGLE, NewSession, Session

_FILTER = (
    Query("session", {"type": "string"}, "Only those of the session of this id."),
    Query("participant", {"type": "string"}, "Only those that the participant of this name owns."),
)


class NewChat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chat that is to be made, in a session, or else in a `single` one of its own under the same id.

    With an `id` it is safe to repeat. `participant` is the name of the owner, which of a chat in a session is the
    session's.
    """

    id: str | None = None
    session: str | None = None
    participant: str | None = None
    title: str | None = None


class ChatChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a chat is to be called."""

    title: str


class SessionRef(msgspec.Struct, frozen=True):
    """The session that a chat belongs to."""

    id: str
    shape: str


class Chat(msgspec.Struct, frozen=True):
    """A chat: `participant` is the name of its owner, `active_turn` the turn that runs in it.

    `connections` is how many sockets are open on it, of which no turn need run.
    """

    id: str
    session: SessionRef
    participant: str
    title: str
    message_count: int
    last_message_at: str | None
    created_at: str
    updated_at: str
    active_turn: str | None
    connections: int


class ChatList(msgspec.Struct, frozen=True):
    """Some chats, the newest first, and where the next are."""

    items: list[Chat]
    next: str | None


class Chats:
    """The routes of chats."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        path, one = f"{prefix}/chats", f"{prefix}/chats/{{chat_id}}"
        made = {200: Chat, 201: Chat, **refusals(409, 413)}
        changed, listed = {200: Chat, **refusals(412, 413)}, {200: ChatList, **refusals()}
        return [
            Route("POST", path, self.create, "Make a chat.", made, body=NewChat, is_body_optional=True),
            Route("GET", path, self.list, "List chats.", listed, query=(*_FILTER, *PAGE)),
            Route("GET", one, self.get, "Get a chat.", {200: Chat, **refusals()}),
            Route("PATCH", one, self.change, "Give a chat another title.", changed, body=ChatChange, query=(IF_MATCH,)),
        ]

    async def create(self, request: Request) -> Reply:
        """POST /chats: 201, or 200 with the one of that id, which stays as it is."""
        principal = await self._reach.caller(request)
        body = await read_body(request, NewChat)
        check_name(body.participant, "participant")
        title = chats.DEFAULT_TITLE if body.title is None else check_title(body.title)
        if body.session is None:
            chat, is_new = await self._make_alone(principal, body, title)
        else:
            chat, is_new = await self._make_in(principal, body, body.session, title)
        request.subject = Subject(chat_key=chat.key)
        shown = (await view_chats(self._instance, principal, [chat]))[0]
        return versioned(201 if is_new else 200, shown, [location_of("chats", chat.id)])

    async def _make_alone(self, principal: Principal, body: NewChat, title: str) -> tuple[chats.Chat, bool]:
        """A chat in a `single` session of its own, and whether it was made now. Raises ChatIdTaken."""
        if principal.scope == SESSION:
            raise AccessDenied
        owner, is_implied = owner_for(principal, body.participant)
        chat_id = body.id if body.id is not None else new_public_id()
        new = NewSession(SINGLE, chat_id, owner, title, chat_id, title, is_implied)
        try:
            _, is_new = await self._instance.sessions.ensure(principal.tenant_id, new)
            chat = await self._reach.chat(principal, chat_id)
        except (SessionIdTaken, ChatNotFound):
            raise ChatIdTaken from None
        if chat.session_id != chat_id or body.participant not in {None, chat.owner_name}:
            raise ChatIdTaken
        return chat, is_new

    async def _make_in(
        self, principal: Principal, body: NewChat, session_id: str, title: str
    ) -> tuple[chats.Chat, bool]:
        """A chat in a session, and whether it was made now. Raises SessionNotFound, ChatIdTaken and Conflict."""
        session = await self._reach.session(principal, session_id)
        self._reach.check_ownership(principal, session.owner_id)
        if body.participant is not None and body.participant != await self._owner_of(principal, session):
            raise InvalidInput("a chat in a session belongs to the session's owner", field="participant")
        if session.shape != SINGLE:
            return await self._instance.chats.create(principal.tenant_id, session, body.id, title)
        only = await self._instance.chats.find_of_single(principal.tenant_id, session.id)
        if only is None or body.id != only.id:
            raise Conflict("a single session has the one chat that it was made with")
        return only, False

    async def _owner_of(self, principal: Principal, session: Session) -> str:
        return (await self._instance.sessions.card(principal.tenant_id, session)).owner_name

    async def get(self, request: Request) -> Reply:
        """GET /chats/{chat_id}."""
        principal = await self._reach.caller(request)
        chat = await self._reach.chat(principal, request.params["chat_id"])
        return versioned(200, (await view_chats(self._instance, principal, [chat]))[0])

    async def change(self, request: Request) -> Reply:
        """PATCH /chats/{chat_id}: its title."""
        principal = await self._reach.caller(request)
        chat = await self._reach.chat(principal, request.params["chat_id"])
        self._reach.check_ownership(principal, chat.owner_id)
        title = check_title((await read_body(request, ChatChange)).title)
        is_bound = check_version(request, (await view_chats(self._instance, principal, [chat]))[0])
        renamed = await self._instance.chats.rename(principal.tenant_id, chat, title, if_unchanged=is_bound)
        return versioned(200, (await view_chats(self._instance, principal, [renamed]))[0])

    async def list(self, request: Request) -> Reply:
        """GET /chats: those that the key reaches, the newest first."""
        principal = await self._reach.caller(request)
        session_id, owner = read_text(request, "session"), read_text(request, "participant")
        limit, of_list = read_limit(request), list_name("chats", principal.tenant_id, session_id, owner)
        before = read_cursor(of_list, request)
        session = None if session_id is None else await self._reach.session(principal, session_id)
        choice = await self._reach.choice(principal, owner, session)
        if choice is None:
            return json_reply(200, ChatList([], None))
        found = await self._instance.chats.page(principal.tenant_id, choice, before, limit + 1)
        page, following = cut_page(found, limit, of_list, lambda chat: chat.key)
        return json_reply(200, ChatList(await view_chats(self._instance, principal, page), following))


async def view_chats(instance: Instance, principal: Principal, found: Sequence[chats.Chat]) -> list[Chat]:
    """Chats, each with how many sockets are open on it now."""
    counts = await instance.connections.counts(principal.tenant_id, [chat.key for chat in found])
    return [show_chat(chat, counts.get(chat.key, 0)) for chat in found]


def show_chat(chat: chats.Chat, connections: int) -> Chat:
    """A chat."""
    return Chat(
        chat.id,
        SessionRef(chat.session_id, chat.session_shape),
        chat.owner_name,
        chat.title,
        chat.message_count,
        None if chat.last_message_at is None else show_time(chat.last_message_at),
        show_time(chat.created_at),
        show_time(chat.updated_at),
        None if chat.active_turn is None else show_turn_id(chat.active_turn),
        connections,
    )
