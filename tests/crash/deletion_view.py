"""All that a store tells of a world: what is half deleted shows there.

`view_of` asks every reading method of the store's ports for every thing of the world.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import msgspec

from antiphon.core.ports import Choice, Slice, Store
from antiphon.domain.deletions import CHAT, PARTICIPANT, SESSION
from antiphon.domain.errors import NotFound
from antiphon.domain.filters import EVERYTHING
from antiphon.domain.ids import Uid
from antiphon.domain.participants import PEER, SCOPE
from antiphon.domain.sessions import MULTI, SINGLE
from antiphon.stores.contract.vectors import heading
from tests.crash.deletion_world import LEASE_SECONDS, MODEL, NODE, Place, World, kept_answers

ALL = Slice(0, 1_000)
MANY = 1_000
ABSENT = "absent"
WORDS = "words: "
"""How the names of the answers begin that hold messages of all chats at once."""

SHRINKING = ("surveyed", "spoke in", "chats", "sessions")
"""How the names of the answers end that become less while a participant's words, and its places, are taken out."""

View = dict[str, Any]
"""What was answered, by what was asked."""


async def view_of(store: Store, world: World) -> View:
    """Everything that can be read of a world."""
    found: View = {}
    async for name, question in _questions(store, world):
        try:
            answer = await question
        except NotFound:
            answer = ABSENT
        found[name] = msgspec.json.decode(msgspec.json.encode(answer, order="sorted"))
    return found


async def _questions(store: Store, world: World) -> AsyncIterator[tuple[str, Awaitable[Any]]]:
    """What is asked, with a name each; not one reading method is left out (a test sees to that)."""
    tenant_id = world.tenant_id
    yield "tenant", store.tenants.find(tenant_id)
    yield "tenant by name", store.tenants.find_by_name(world.name)
    yield "tenant in the list", _own_of(store.tenants.list(ALL), tenant_id)
    yield "keys usable", _usable(store, world)
    yield "keys", store.keys.list(tenant_id)
    for number, key_id in enumerate(world.keys):
        yield f"key {number}", store.keys.find(tenant_id, key_id)
    yield "webhooks", store.webhooks.list(tenant_id)
    yield "import", store.imports.find(tenant_id, world.imported)
    for shape in (MULTI, SINGLE):
        yield f"sessions {shape}", store.sessions.list(tenant_id, shape, ALL)
    for kind in (PEER, SCOPE):
        yield f"participants {kind}", store.participants.list(tenant_id, kind, ALL)
    for webhook_id in world.webhooks:
        yield "webhook", store.webhooks.find(tenant_id, webhook_id)
        yield "deliveries", _first_deliveries(store, tenant_id, webhook_id)
    for name, who in world.people.items():
        yield f"{name} by name", store.participants.find(tenant_id, PEER, name)
        yield f"{name} by id", store.participants.find_by_id(tenant_id, who)
        yield f"{name} titles", store.sessions.titles(tenant_id, who)
        yield f"{name} chats", store.chats.list_of_owner(tenant_id, name, ALL)
        yield f"{name} overviews", store.sessions.overviews(tenant_id, who, ALL, is_archived=None)
        yield f"{name} spoke in", store.chats.list_said(tenant_id, who, None, 100)
        yield f"{name} surveyed", store.deletions.survey(tenant_id, PARTICIPANT, who)
    async for question in _questions_of_lists(store, world):
        yield question
    for place in world.places:
        async for question in _questions_of_place(store, world, place):
            yield question


async def _questions_of_lists(store: Store, world: World) -> AsyncIterator[tuple[str, Awaitable[Any]]]:
    """The filtered lists, the pages, and what is found by words and by meaning."""
    tenant_id, name = world.tenant_id, world.name
    lists, pages = store.lists, store.pages
    yield "filtered tenants", _own_of(lists.tenants(EVERYTHING, ALL), tenant_id)
    yield "page of tenants", _own_of(pages.tenants(None, MANY), tenant_id)
    yield "page of keys", pages.keys(tenant_id, None, MANY)
    yield "page of participants", pages.participants(tenant_id, None, None, None, MANY)
    yield "filtered participants", lists.participants(tenant_id, name, None, EVERYTHING, ALL)
    yield "filtered sessions", lists.sessions(tenant_id, name, None, EVERYTHING, ALL)
    for who, participant_id in {**world.people, "circle": world.scope}.items():
        yield f"{who} filtered sessions", lists.sessions(tenant_id, name, participant_id, EVERYTHING, ALL)
        yield f"{who} member of sessions", lists.sessions_of_member(tenant_id, participant_id, ALL)
        for other, other_id in world.people.items():
            yield f"{who} card of {other}", store.conclusions.find_card(tenant_id, participant_id, other_id)
    for number, choice in enumerate(_choices_of(world)):
        yield f"{number} page of sessions", pages.sessions(tenant_id, choice, None, None, MANY)
        yield f"{number} page of chats", pages.chats(tenant_id, choice, None, MANY)
    yield "conclusions", store.conclusions.list(tenant_id, name, EVERYTHING, ALL)
    near = (tenant_id, name, EVERYTHING, MODEL, heading(0), MANY)
    yield "nearest conclusions", _in_order(store.vectors.nearest_conclusions(*near))
    yield "units surveyed", _in_order(store.conclusions.count_units(tenant_id, None, None))
    for pieces in (["single ann"], ["bens ann"], ["bens answer"]):
        found = store.search.candidates(tenant_id, name, None, EVERYTHING, pieces, MANY)
        yield f"{WORDS}found {pieces}", found
    yield f"{WORDS}newest", lists.newest_messages(tenant_id, name, EVERYTHING, MANY)
    yield f"{WORDS}nearest", _in_order(store.vectors.nearest_messages(*near))


def _choices_of(world: World) -> list[Choice]:
    sessions = {place.session_key for place in world.places}
    people = world.people.values()
    found = [Choice(), *(Choice(owner_id=who) for who in people), *(Choice(member_id=who) for who in people)]
    return found + [Choice(session_key=key) for key in sorted(sessions)]


async def _in_order(found: Awaitable[list[Any]]) -> list[Any]:
    """In an order of ours, where the store promises none, or none of what is equally near."""
    return sorted(await found, key=repr)


async def _own_of(listed: Awaitable[Any], tenant_id: Uid) -> list[Any]:
    """Of a list of tenants, with or without how many there are, the one that is meant."""
    found = await listed
    return [tenant for tenant in (found[0] if isinstance(found, tuple) else found) if tenant.id == tenant_id]


async def _questions_of_place(store: Store, world: World, place: Place) -> AsyncIterator[tuple[str, Awaitable[Any]]]:
    tenant_id, key, session_key = world.tenant_id, place.key, place.session_key
    name = f"{place.label}: "
    yield f"{name}session", store.sessions.find(tenant_id, place.session_id)
    yield f"{name}members", store.sessions.members(tenant_id, session_key, ALL)
    yield f"{name}sandbox", store.sandboxes.find(tenant_id, session_key)
    yield f"{name}sandbox by chat", store.sandboxes.find_of_chat(tenant_id, key)
    yield f"{name}chat", store.chats.find(tenant_id, place.id)
    yield f"{name}chat by key", store.chats.find_by_key(tenant_id, key)
    yield f"{name}chat of single", store.chats.find_of_single(tenant_id, place.session_id)
    yield f"{name}siblings", store.chats.list_of_session(tenant_id, session_key)
    yield f"{name}page", store.messages.page(tenant_id, key, ALL)
    yield f"{name}span", store.messages.span(tenant_id, key, 1, 100, 100, 100_000)
    yield f"{name}page of single", store.messages.page_of_single(tenant_id, place.session_id, ALL)
    yield f"{name}filtered", store.lists.messages(tenant_id, world.name, key, EVERYTHING, ALL)
    yield f"{name}texts", store.vectors.texts(tenant_id, key, 0, MANY)
    yield f"{name}socket", store.connections.find(tenant_id, place.connection)
    yield f"{name}socket dismissed", store.connections.was_dismissed(tenant_id, place.connection)
    yield f"{name}sockets", store.connections.list(tenant_id, key, None, MANY)
    yield f"{name}sockets counted", _socket_count(store, tenant_id, key)
    yield f"{name}places", store.imports.members(tenant_id, session_key, 0, MANY)
    yield f"{name}marks", store.imports.reads(tenant_id, key, 0, MANY)
    yield f"{name}marks", _marks(store, tenant_id, place)
    yield f"{name}latest", store.messages.latest(tenant_id, key, 5)
    yield f"{name}last turn", store.turns.find_last(tenant_id, key)
    yield f"{name}chat surveyed", store.deletions.survey(tenant_id, CHAT, key)
    yield f"{name}session surveyed", store.deletions.survey(tenant_id, SESSION, session_key)
    for who, participant_id in world.people.items():
        yield f"{name}{who} is member", store.sessions.is_member(tenant_id, session_key, participant_id)
        yield f"{name}{who} settings", store.members.find(tenant_id, place.session_id, who)
        yield f"{name}{who} read", _read_mark(store, tenant_id, place, participant_id)
    for number, (message_id, client_id) in enumerate(place.messages):
        yield f"{name}message {number}", store.messages.find(tenant_id, key, message_id)
        if client_id is not None:
            yield f"{name}message {number} by client", store.messages.find_by_client_id(tenant_id, key, client_id)
    for number, turn_id in enumerate(place.turns):
        yield f"{name}turn {number}", store.turns.find(tenant_id, turn_id)
        yield f"{name}events {number}", store.turns.events(tenant_id, turn_id, 0, 100)


async def _usable(store: Store, world: World) -> list[Any]:
    """In an order of ours: the store promises none."""
    return sorted(await store.keys.load(world.tenant_id, world.keys), key=lambda found: found[0].id)


async def _first_deliveries(store: Store, tenant_id: Uid, webhook_id: Uid) -> list[Any]:
    """The one that the world began with: a deletion adds its own."""
    return (await store.webhooks.deliveries(tenant_id, webhook_id, None, 100))[-1:]


async def _read_mark(store: Store, tenant_id: Uid, place: Place, participant_id: Uid) -> int | None:
    return (await store.chats.read_marks(tenant_id, place.session_key, participant_id)).get(place.key)


async def _marks(store: Store, tenant_id: Uid, place: Place) -> list[tuple[Uid, bool]]:
    marks = await store.imports.marks(tenant_id, place.key, [message_id for message_id, _ in place.messages])
    return sorted(marks.items())


async def kept_of(store: Store, world: World) -> dict[str, bool]:
    """Which of the kept answers are given again, by their digests. Who asks for one that is not leaves nothing."""
    found = {}
    for digest in kept_answers(world.places, world.people):
        try:
            answer = await store.idempotency.claim(world.tenant_id, digest, b"asked", NODE, LEASE_SECONDS)
            if answer is None:
                await store.idempotency.release(world.tenant_id, digest, NODE)
        except NotFound:
            answer = None
        found[digest.hex()] = answer is not None
    return found


async def _socket_count(store: Store, tenant_id: Uid, chat_key: Uid) -> int:
    return (await store.connections.counts(tenant_id, [chat_key])).get(chat_key, 0)
