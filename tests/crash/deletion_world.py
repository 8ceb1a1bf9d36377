"""A small world with one of everything that hangs on what can be deleted. What a store tells of it is a `View`."""

from __future__ import annotations

import msgspec

from antiphon.core.ports import Store
from antiphon.domain import sandboxes, times
from antiphon.domain.chats import Chat
from antiphon.domain.conclusions import ConclusionDraft
from antiphon.domain.deletions import CHAT, PARTICIPANT, SESSION, TENANT
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import Uid, new_uid7, text_of
from antiphon.domain.messages import ASSISTANT, USER, Draft
from antiphon.domain.participants import PEER, SCOPE
from antiphon.domain.sessions import SINGLE, Session
from antiphon.domain.turns import COMPLETED, EventChunk, TurnEnding, TurnStart
from antiphon.domain.webhooks import EVENTS, Webhook
from antiphon.stores.contract.imports import HEAD, begin, opening, session_of, write
from antiphon.stores.contract.keys import new_key
from antiphon.stores.contract.vectors import heading
from antiphon.stores.contract.worlds import NO_LIMIT, add_chat, new_multi, new_single

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

MODEL = "model"
IMPORTED = "imported"
OF_IMPORT = {"sessions": 1, "chats": 1, "members": 2, "messages": 2, "reads": 1, "reasoning_marks": 2}
"""What the import of a world has written, which goes with ann and with the tenant and which no plan counts."""


class Place(msgspec.Struct):
    """A chat, as it was made. `label` is what it is called here."""

    label: str
    key: Uid
    id: str
    session_key: Uid
    session_id: str
    connection: Uid
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
    scope: Uid
    imported: Uid
    """An import of a chat that names both, half written: nothing of it is to be seen."""

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
    """Ann's session of three chats and single one, and Ben's single one; both speak in all, and the agent answers."""
    tenant_id = (await store.tenants.create(name, "assistant")).id
    session, first = await new_multi(store, tenant_id, "ann")
    more = [(await add_chat(store, tenant_id, session, chat_id))[0] for chat_id in ("more", "least")]
    single, alone = await new_single(store, tenant_id, "single", "ann")
    other, bens = await new_single(store, tenant_id, "bens", "ben")
    made = [("first", session, first), ("more", session, more[0]), ("least", session, more[1])]
    made += [("single", single, alone), ("bens", other, bens)]
    places = [await _place_of(store, tenant_id, *one) for one in made]
    people = {who: (await store.participants.ensure(tenant_id, PEER, who))[0].id for who in ("ann", "ben", "assistant")}
    for place in places:
        await store.chats.mark_read(tenant_id, place.key, people["ann"])
    for digest, told in kept_answers(places, people).items():
        await store.idempotency.claim(tenant_id, digest, b"asked", NODE, LEASE_SECONDS)
        assert await store.idempotency.keep(tenant_id, digest, NODE, b"told", told, LEASE_SECONDS)
    keys = [await new_key(store, tenant_id), await new_key(store, tenant_id, participant_id=people["ann"])]
    await store.tickets.create(tenant_id, keys[1].id, b"digest", LEASE_SECONDS)
    scope, _ = await store.participants.put(tenant_id, "circle", None, None, SCOPE)
    await store.members.join(tenant_id, ["single", "bens"], SCOPE, ["circle"])
    await _conclude(store, tenant_id)
    webhook = Webhook(new_uid7(), tenant_id, "https://example.com/", EVENTS, "whsec_x", times.now())
    await store.webhooks.create(webhook)
    await store.webhooks.enqueue(tenant_id, EVENTS[0], "{}")
    await store.sandboxes.change(tenant_id, session.key, lambda one: sandboxes.placed(one, "here"))
    coming = opening(session=session_of(SINGLE, IMPORTED), participants=HEAD.members[:2])
    step = msgspec.structs.replace(HEAD, members=HEAD.members[:2])
    imported = await write(store, tenant_id, await begin(store, tenant_id, coming), step)
    return World(
        tenant_id=tenant_id,
        name=name,
        places=places,
        people=people,
        keys=[key.id for key in keys],
        webhooks=[webhook.id],
        sandboxed=session.key,
        scope=scope.id,
        imported=imported.id,
    )


def kept_answers(places: list[Place], people: dict[str, Uid]) -> dict[bytes, Subject]:
    """What the kept answers tell of, by their digests: one of each chat, one of ann, and one of nothing that goes."""
    found = {place.key: Subject(place.key, place.session_key, people["ben"]) for place in places}
    return {**found, people["ann"]: Subject(participant_id=people["ann"]), b"of nothing": Subject()}


async def _place_of(store: Store, tenant_id: Uid, label: str, owner: Session, chat: Chat) -> Place:
    """A chat with all that is said in it, and a socket."""
    opened = await store.connections.open(tenant_id, chat.key, "ann", NODE, NO_LIMIT, LEASE_SECONDS)
    place = Place(label, chat.key, chat.id, owner.key, owner.id, opened.id)
    await _fill(store, tenant_id, place)
    return place


async def _conclude(store: Store, tenant_id: Uid) -> None:
    """What each of them holds of the other, by a session and by none, with vectors, and a card each."""
    drafts = [
        ConclusionDraft(f"{observer} of {observed}", observer, observed, session_id)
        for observer, observed in (("ann", "ben"), ("ben", "ann"), ("ben", "ben"))
        for session_id in ("single", "bens", None)
    ]
    made = await store.conclusions.create(tenant_id, drafts)
    await store.vectors.keep_conclusions(tenant_id, MODEL, [(one.id, heading(0)) for one in made])
    for observer in ("ann", "ben"):
        for observed in ("ann", "ben"):
            await store.conclusions.put_card(tenant_id, observer, observed, '["of one"]')


async def _fill(store: Store, tenant_id: Uid, place: Place) -> None:
    """Nine messages, of which all but the answer are in the indexes, a turn that is over and one that is running."""
    drafts = [
        Draft(
            who,
            USER,
            f"{place.label} {who} {number}",
            client_id=f"c{number}" if who == "ann" else None,
            is_reasoned={0: False, 1: True}.get(number),
        )
        for number in range(4)
        for who in ("ann", "ben")
    ]
    said = await store.messages.append(tenant_id, place.key, drafts)
    assert await store.search.advance(tenant_id, place.key, 0, len(drafts)) == len(drafts)
    texts = await store.vectors.texts(tenant_id, place.key, 0, len(drafts))
    vectors = [(one, heading(0)) for one in texts]
    assert await store.vectors.keep(tenant_id, place.key, 0, len(drafts), MODEL, vectors)
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
