"""A small world with one of everything that hangs on what can be deleted, and all that a store tells of it.

`view_of` asks every reading method of the store's ports for every thing of the world: what is half deleted shows there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import msgspec

from antiphon.core.ports import Slice, Store
from antiphon.domain import sandboxes, times
from antiphon.domain.deletions import CHAT, PARTICIPANT, SESSION, TENANT
from antiphon.domain.errors import NotFound
from antiphon.domain.filters import EVERYTHING
from antiphon.domain.ids import Uid, new_uid7, text_of
from antiphon.domain.messages import ASSISTANT, USER, Draft
from antiphon.domain.participants import PEER, SCOPE
from antiphon.domain.sessions import MULTI, SINGLE
from antiphon.domain.turns import COMPLETED, EventChunk, TurnEnding, TurnStart
from antiphon.domain.webhooks import EVENTS, Webhook
from antiphon.stores.contract.keys import new_key
from antiphon.stores.contract.worlds import NO_LIMIT, add_chat, new_multi, new_single

ALL = Slice(0, 1_000)
NODE = b"\x07" * 16
LEASE_SECONDS = 3_600.0
TARGETS = {
    "chat": [(CHAT, "more")],
    "chats": [(CHAT, "more"), (CHAT, "least")],
    "single": [(SESSION, "single")],
    "session": [(SESSION, "")],
    "participant": [(PARTICIPANT, "ann")],
    "tenant": [(TENANT, "")],
}
"""The targets by what they are called here, as kinds and ids; an id that is of our making stands in the world."""

ABSENT = "absent"

View = dict[str, Any]
"""What was answered, by what was asked."""


class Place(msgspec.Struct):
    """A chat, as it was made. `label` is what it is called here."""

    label: str
    key: Uid
    id: str
    session_key: Uid
    session_id: str
    messages: list[tuple[Uid, str | None]] = []
    turns: list[Uid] = []


class World(msgspec.Struct):
    """A tenant, and how everything in it is called."""

    tenant_id: Uid
    name: str
    places: list[Place]
    people: dict[str, Uid]
    keys: list[Uid]
    webhooks: list[Uid]
    sandboxed: Uid
    """The session that has a directory."""

    def targets(self, name: str) -> list[tuple[str, str]]:
        """Kinds and ids of one of TARGETS."""
        made = {SESSION: self.places[0].session_id, TENANT: text_of(self.tenant_id)}
        return [(kind, target_id or made[kind]) for kind, target_id in TARGETS[name]]

    def doomed(self, name: str) -> list[Place]:
        """The chats that go with one of TARGETS as a whole."""
        named = {"chat": ("more",), "chats": ("more", "least"), "single": ("single",)}
        if name in named:
            return [place for place in self.places if place.label in named[name]]
        if name == "session":
            return [place for place in self.places if place.session_key == self.places[0].session_key]
        return [place for place in self.places if name == "tenant" or place.label != "bens"]


async def make_world(store: Store, name: str) -> World:
    """Ann's session of three chats and single one, and Ben's session, in which both speak and the agent answers."""
    tenant_id = (await store.tenants.create(name, "assistant")).id
    session, first = await new_multi(store, tenant_id, "ann")
    more = [(await add_chat(store, tenant_id, session, chat_id))[0] for chat_id in ("more", "least")]
    single, alone = await new_single(store, tenant_id, "single", "ann")
    other, _ = await new_multi(store, tenant_id, "ben")
    bens, _ = await add_chat(store, tenant_id, other, "bens")
    made = [("first", session, first), ("more", session, more[0]), ("least", session, more[1])]
    made += [("single", single, alone), ("bens", other, bens)]
    places = [Place(label, chat.key, chat.id, owner.key, owner.id) for label, owner, chat in made]
    for place in places:
        await _fill(store, tenant_id, place)
        await store.connections.open(tenant_id, place.key, "ann", NODE, NO_LIMIT, LEASE_SECONDS)
    people = {who: (await store.participants.ensure(tenant_id, PEER, who))[0].id for who in ("ann", "ben", "assistant")}
    for place in places:
        await store.chats.mark_read(tenant_id, place.key, people["ann"])
    keys = [await new_key(store, tenant_id), await new_key(store, tenant_id, participant_id=people["ann"])]
    webhook = Webhook(new_uid7(), tenant_id, "https://example.com/", EVENTS, "whsec_x", times.now())
    await store.webhooks.create(webhook)
    await store.webhooks.enqueue(tenant_id, EVENTS[0], "{}")
    await store.sandboxes.change(tenant_id, session.key, lambda one: sandboxes.placed(one, "here"))
    return World(tenant_id, name, places, people, [key.id for key in keys], [webhook.id], session.key)


async def _fill(store: Store, tenant_id: Uid, place: Place) -> None:
    """Nine messages, a turn that is over and one that is running."""
    drafts = [
        Draft(who, USER, f"{place.label} {who} {number}", client_id=f"c{number}" if who == "ann" else None)
        for number in range(4)
        for who in ("ann", "ben")
    ]
    said = await store.messages.append(tenant_id, place.key, drafts)
    assert await store.search.advance(tenant_id, place.key, 0, len(drafts)) == len(drafts)
    for is_over in (True, False):
        turn_id, start = new_uid7(), TurnStart(place.key, new_uid7(), "assistant")
        await store.turns.claim(tenant_id, turn_id, start, NODE, 1_000, LEASE_SECONDS)
        await store.turns.append_events(tenant_id, turn_id, NODE, EventChunk(0, 2, '[{"n":0},{"n":1}]'))
        if is_over:
            reply = Draft("assistant", ASSISTANT, f"{place.label} answer")
            ending = TurnEnding(COMPLETED, EventChunk(2, 1, '[{"n":2}]'), reply)
            answered = await store.turns.finish(tenant_id, turn_id, NODE, ending)
            assert answered is not None
            said.append(answered)
        place.turns.append(turn_id)
    place.messages = [(message.id, message.client_id) for message in said]


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
    yield "tenant in the list", _listed(store, tenant_id)
    yield "keys usable", _usable(store, world)
    yield "keys", store.keys.list(tenant_id)
    for number, key_id in enumerate(world.keys):
        yield f"key {number}", store.keys.find(tenant_id, key_id)
    yield "webhooks", store.webhooks.list(tenant_id)
    yield "found", store.search.candidates(tenant_id, world.name, None, EVERYTHING, ["single ann"], 100)
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
    for place in world.places:
        async for question in _questions_of_place(store, world, place):
            yield question


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
    yield f"{name}latest", store.messages.latest(tenant_id, key, 5)
    yield f"{name}last turn", store.turns.find_last(tenant_id, key)
    yield f"{name}chat surveyed", store.deletions.survey(tenant_id, CHAT, key)
    yield f"{name}session surveyed", store.deletions.survey(tenant_id, SESSION, session_key)
    for who, participant_id in world.people.items():
        yield f"{name}{who} is member", store.sessions.is_member(tenant_id, session_key, participant_id)
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


async def _listed(store: Store, tenant_id: Uid) -> list[Any]:
    return [tenant for tenant in (await store.tenants.list(ALL))[0] if tenant.id == tenant_id]


async def _first_deliveries(store: Store, tenant_id: Uid, webhook_id: Uid) -> list[Any]:
    """The one that the world began with: a deletion adds its own."""
    return (await store.webhooks.deliveries(tenant_id, webhook_id, None, 100))[-1:]


async def _read_mark(store: Store, tenant_id: Uid, place: Place, participant_id: Uid) -> int | None:
    return (await store.chats.read_marks(tenant_id, place.session_key, participant_id)).get(place.key)
