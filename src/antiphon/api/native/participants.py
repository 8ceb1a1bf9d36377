"""Participants on our own wire: who speaks in a tenant."""

from __future__ import annotations

from typing import Annotated

import msgspec

from antiphon.api.http import Reply, Request, json_reply, raw_json
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
from antiphon.api.native.reach import Reach
from antiphon.api.native.versions import versioned
from antiphon.api.native.wire import show_time
from antiphon.api.routing import Query, Route
from antiphon.core.instance import Instance
from antiphon.domain import participants
from antiphon.domain.errors import ParticipantNotFound
from antiphon.domain.ids import is_canonical_uuid, parse_uuid, text_of
from antiphon.domain.participants import PEER, SCOPE

JsonObject = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]
"""A stored JSON object, shown as it is."""

_KINDS = (PEER, SCOPE)
_FILTER = (
    Query("kind", {"enum": [*_KINDS]}, "Only those of this kind."),
    Query("name", {"type": "string"}, "Only those of this name: at most one of each kind."),
)


class Participant(msgspec.Struct, frozen=True):
    """Someone who speaks, a person or an agent; or a `scope`, which is a set of sessions under a name."""

    id: str
    kind: str
    name: str
    metadata: JsonObject
    created_at: str


class ParticipantList(msgspec.Struct, frozen=True):
    """Some participants in order of making, and where the next are."""

    items: list[Participant]
    next: str | None


class Participants:
    """The routes of participants, for keys that reach a whole tenant."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        path, one = f"{prefix}/participants", f"{prefix}/participants/{{participant}}"
        listed = {200: ParticipantList, **refusals()}
        return [
            Route("GET", path, self.list, "List participants.", listed, query=(*_FILTER, *PAGE)),
            Route("GET", one, self.get, "Get a participant.", {200: Participant, **refusals()}),
        ]

    async def get(self, request: Request) -> Reply:
        """GET /participants/{participant}, by the id that a list shows, or by the name of a peer."""
        principal = await self._reach.steward(request)
        people, named = self._instance.participants, request.params["participant"]
        uid = parse_uuid(named) if is_canonical_uuid(named) else None
        found = await people.find_by_id(principal.tenant_id, uid) if uid else None
        found = found or await people.find_owner(principal.tenant_id, named)
        if found is None:
            raise ParticipantNotFound
        return versioned(200, show_participant(found))

    async def list(self, request: Request) -> Reply:
        """GET /participants, in order of making."""
        principal = await self._reach.steward(request)
        kind, name, limit = read_choice(request, "kind", _KINDS), read_text(request, "name"), read_limit(request)
        of_list = list_name("participants", principal.tenant_id, kind, name)
        after = read_cursor(of_list, request)
        found = await self._instance.participants.page(principal.tenant_id, kind, name, after, limit + 1)
        page, following = cut_page(found, limit, of_list, lambda one: one.id)
        return json_reply(200, ParticipantList([show_participant(one) for one in page], following))


def show_participant(one: participants.Participant) -> Participant:
    """A participant."""
    return Participant(text_of(one.id), one.kind, one.name, raw_json(one.metadata), show_time(one.created_at))
