"""Worlds of one of everything, in which every name and every id that a client may choose is that of every other."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.core.ports import Choice, Lease, Store
from antiphon.domain.chats import Chat
from antiphon.domain.conclusions import Conclusion, ConclusionDraft
from antiphon.domain.connections import Connection
from antiphon.domain.deletions import SESSION as DELETED_SESSION
from antiphon.domain.deletions import Order
from antiphon.domain.errors import AntiphonError
from antiphon.domain.filters import EVERYTHING
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.imports import Import
from antiphon.domain.keys import Key
from antiphon.domain.messages import Message
from antiphon.domain.participants import PEER, SCOPE, Member, Participant
from antiphon.domain.receipts import Receipt
from antiphon.domain.sessions import MULTI, SINGLE, Session
from antiphon.domain.turns import EventChunk, Turn, TurnStart
from antiphon.domain.webhooks import Webhook
from antiphon.stores.contract.imports import begin, opening, session_of
from antiphon.stores.contract.keys import new_key
from antiphon.stores.contract.vectors import heading
from antiphon.stores.contract.webhooks import new_webhook
from antiphon.stores.contract.worlds import (
    ALL,
    LONG_LEASE_SECONDS,
    add_chat,
    connect,
    detach,
    draft,
    new_single,
    new_tenant,
    purge,
    say,
    take_lease,
)

CHAT_ID = "00000000-0000-4000-8000-000000000001"
FREE_ID = "00000000-0000-4000-8000-000000000002"
NODE = new_uid7()
GONE = "gone"
NAME = "a name"


class World(msgspec.Struct, frozen=True):
    """One tenant with one of everything."""

    tenant_id: Uid
    ann: Participant
    single: Session
    single_chat: Chat
    multi: Session
    chat: Chat
    messages: list[Message]
    key: Key
    connection: Connection
    lease: Lease
    turn: Turn
    receipt: Receipt
    webhook: Webhook
    scope: Participant
    conclusion: Conclusion
    said: Message
    imported: Import


async def new_world(store: Store) -> World:
    """A tenant whose every name and chosen id is that of every other world."""
    tenant = await new_tenant(store)
    ann, _ = await store.participants.put(tenant, "ann", '{"of":1}', '{"x":1}')
    await store.participants.ensure(tenant, SCOPE, "ann")
    single, single_chat = await new_single(store, tenant, "s")
    await store.sessions.put_single(tenant, "s", "ann", '{"a":1}', '{"x":1}', [Member("ann"), Member("ben")])
    multi, _ = await store.sessions.create_multi(tenant, ann.id, "T", None, None)
    chat, _ = await add_chat(store, tenant, multi, CHAT_ID)
    messages = await store.messages.append(
        tenant, chat.key, [draft("a", client_id="m1"), draft("b", client_id="m2"), draft("c")]
    )
    (said,) = await say(store, tenant, single_chat, "in the single one")
    scope, _ = await store.participants.put(tenant, "scope.x", None, None, SCOPE)
    await store.members.join(tenant, ["s"], SCOPE, [scope.name])
    (conclusion,) = await store.conclusions.create(tenant, [ConclusionDraft("likes tea", "ann", "ben", "s")])
    await store.conclusions.put_card(tenant, "ann", "ann", '["of one"]')
    await store.chats.mark_read(tenant, chat.key, ann.id)
    key = await new_key(store, tenant, participant_id=ann.id, participant_name="ann")
    await store.tickets.create(tenant, key.id, tenant, LONG_LEASE_SECONDS)
    await store.idempotency.claim(tenant, tenant, b"asked", NODE, LONG_LEASE_SECONDS)
    await store.idempotency.keep(tenant, tenant, NODE, b"told", Subject(chat_key=chat.key), LONG_LEASE_SECONDS)
    connection = await connect(store, tenant, chat, NODE)
    turn = (await store.turns.claim(tenant, new_uid7(), start_of(single_chat), NODE, 10, LONG_LEASE_SECONDS)).turn
    await store.turns.append_events(tenant, turn.id, NODE, EventChunk(0, 1, '[{"of":1}]'))
    erased, _ = await add_chat(store, tenant, multi, GONE)
    await detach(store, tenant, erased)
    await purge(store, tenant)
    (receipt,) = await store.receipts.list(tenant, 0, 10)
    webhook = await new_webhook(store, tenant)
    husk, _ = await add_chat(store, tenant, multi, GONE)
    await say(store, tenant, husk, *(f"gone {i}" for i in range(5)))
    await store.deletions.detach_chat(tenant, husk.key, Order("refuse"))
    lease = await take_lease(store, tenant, NODE)
    held = session_of(session_id="imported")
    imported = await begin(store, tenant, opening(session=held, chat_ids=("imported",)), NODE)
    return World(
        tenant_id=tenant,
        ann=ann,
        single=single,
        single_chat=single_chat,
        multi=multi,
        chat=chat,
        messages=messages,
        key=key,
        connection=connection,
        lease=lease,
        turn=turn,
        receipt=receipt,
        webhook=webhook,
        scope=scope,
        conclusion=conclusion,
        said=said,
        imported=imported,
    )


def start_of(chat: Chat) -> TurnStart:
    """A turn in a chat, without a question."""
    return TurnStart(chat.key, new_uid7(), "assistant")


async def all_of(store: Store, w: World) -> dict[str, Any]:
    """Everything that can be seen of a world."""
    tenant = w.tenant_id
    pages = [await store.messages.page(tenant, chat.key, ALL) for chat in (w.chat, w.single_chat)]
    deletion = await store.deletions.find(tenant, w.lease.deletion_id)
    return {
        "tenant": await store.tenants.find(tenant),
        "peers": await store.participants.list(tenant, PEER, ALL),
        "scopes": await store.participants.list(tenant, SCOPE, ALL),
        "singles": await store.sessions.list(tenant, SINGLE, ALL),
        "multis": await store.sessions.list(tenant, MULTI, ALL),
        "titles": await store.sessions.titles(tenant, w.ann.id),
        "members": [await store.sessions.members(tenant, key, ALL) for key in (w.single.key, w.multi.key)],
        "chats": [await store.chats.list_of_session(tenant, key) for key in (w.single.key, w.multi.key)],
        "owned": await store.chats.list_of_owner(tenant, "ann", ALL),
        "said": await store.chats.list_said(tenant, None, None, 100),
        "overviews": await store.sessions.overviews(tenant, w.ann.id, ALL, is_archived=None),
        "marks": await store.chats.read_marks(tenant, w.multi.key, w.ann.id),
        "messages": [(page.items, page.total) for page in pages],
        "keys": await store.keys.list(tenant),
        "deletion": deletion,
        "deletions": await store.deletions.list(tenant, (), None, 100, None),
        "survey": await store.deletions.survey(tenant, DELETED_SESSION, w.multi.key),
        "receipts": await store.receipts.list(tenant, 0, 100),
        "turn": await store.turns.events(tenant, w.turn.id, 0, 100),
        "stopping": await store.turns.stopping(tenant, NODE),
        "webhooks": await store.webhooks.list(tenant),
        "import": await store.imports.find(tenant, w.imported.id),
        "deliveries": await store.webhooks.deliveries(tenant, w.webhook.id, None, 100),
        "kept answer": await store.idempotency.claim(tenant, tenant, b"asked", NODE, LONG_LEASE_SECONDS),
        "sockets": await _live_sockets(store, w),
        "filtered": await _filtered(store, w),
        "card": await store.conclusions.find_card(tenant, w.ann.id, w.ann.id),
        "units": await store.conclusions.count_units(tenant, None, None),
        "settings": await store.members.find(tenant, "s", "ben"),
        "last turn": await store.turns.find_last(tenant, w.single_chat.key),
    }


async def _filtered(store: Store, w: World) -> list[Any]:
    """What each filtered list has of a world when nothing is left out."""
    tenant, lists = w.tenant_id, store.lists
    page = await lists.messages(tenant, NAME, w.single_chat.key, EVERYTHING, ALL)
    return [
        await lists.participants(tenant, NAME, None, EVERYTHING, ALL),
        await lists.sessions(tenant, NAME, None, EVERYTHING, ALL),
        await lists.sessions(tenant, NAME, w.ann.id, EVERYTHING, ALL),
        await lists.sessions_of_member(tenant, w.scope.id, ALL),
        (page.items, page.total),
        await lists.newest_messages(tenant, NAME, EVERYTHING, 100),
        await store.conclusions.list(tenant, NAME, EVERYTHING, ALL),
        await store.vectors.nearest_conclusions(tenant, NAME, EVERYTHING, "m", heading(0), 100),
    ]


async def _live_sockets(store: Store, w: World) -> tuple[int, int]:
    """How many sockets hold the chat, and until when."""
    try:
        await store.deletions.detach_chat(w.tenant_id, w.chat.key, Order("refuse"))
    except AntiphonError as refusal:
        return getattr(refusal, "count", 0), getattr(refusal, "until", 0)
    raise AssertionError("the chat has a live socket and was deleted")


def choice_of(w: World) -> Choice:
    """All that is of a world, by its keys."""
    return Choice(owner_id=w.ann.id, member_id=w.ann.id, session_key=w.multi.key)


async def in_pages(store: Store, w: World, uid: Uid) -> set[Uid]:
    """That id, if the pages of a world hold it."""
    keys = await store.pages.keys(w.tenant_id, None, 100)
    participants = await store.pages.participants(w.tenant_id, None, None, None, 100)
    return ({key.id for key in keys} | {one.id for one in participants}) & {uid}


def uids_in(value: Any) -> set[bytes]:
    """All 16-byte ids anywhere in a value."""
    if isinstance(value, msgspec.Struct):
        value = list(msgspec.structs.asdict(value).values())
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set):
        return {uid for item in value for uid in uids_in(item)}
    return {value} if isinstance(value, bytes) and len(value) == 16 else set()
