"""Isolation: two tenants with the same names and ids everywhere never see, touch or feel each other.

The matrix has a row for every method of every port that takes a tenant; a method without one fails the test. Each row
calls the method as one tenant with everything that it could know of the other.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from antiphon.core import ports
from antiphon.core.ports import Lease, Store
from antiphon.domain.chats import Chat
from antiphon.domain.connections import Connection
from antiphon.domain.deletions import PURGING, SCRUBBING, Order
from antiphon.domain.deletions import SESSION as DELETED_SESSION
from antiphon.domain.errors import (
    AntiphonError,
    ChatNotFound,
    ConnectionNotFound,
    KeyNotFound,
    MessageNotFound,
    NotFound,
    ParticipantNotFound,
    SessionNotFound,
    TurnNotFound,
    TurnOver,
    UndoTooLate,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.keys import Key
from antiphon.domain.messages import Message
from antiphon.domain.participants import PEER, SCOPE, Member, Participant
from antiphon.domain.receipts import Receipt
from antiphon.domain.sessions import MULTI, SINGLE, Session, SessionChange
from antiphon.domain.turns import EventChunk, Turn, TurnEnding, TurnStart
from antiphon.domain.webhooks import Webhook
from antiphon.stores.contract.keys import new_key
from antiphon.stores.contract.turns import claim
from antiphon.stores.contract.webhooks import OK, new_webhook, take, tell
from antiphon.stores.contract.worlds import (
    ALL,
    LONG_LEASE_SECONDS,
    NO_LIMIT,
    add_chat,
    connect,
    detach,
    draft,
    issue,
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
    await say(store, tenant, single_chat, "in the single one")
    await store.chats.mark_read(tenant, chat.key, ann.id)
    key = await new_key(store, tenant, participant_id=ann.id, participant_name="ann")
    await store.tickets.create(tenant, key.id, tenant, LONG_LEASE_SECONDS)
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
    return World(
        tenant, ann, single, single_chat, multi, chat, messages, key, connection, lease, turn, receipt, webhook
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
        "deliveries": await store.webhooks.deliveries(tenant, w.webhook.id, None, 100),
        "sockets": await _live_sockets(store, w),
        "last turn": await store.turns.find_last(tenant, w.single_chat.key),
    }


async def _live_sockets(store: Store, w: World) -> tuple[int, int]:
    """How many sockets hold the chat, and until when."""
    try:
        await store.deletions.detach_chat(w.tenant_id, w.chat.key, Order("refuse"))
    except AntiphonError as refusal:
        return getattr(refusal, "count", 0), getattr(refusal, "until", 0)
    raise AssertionError("the chat has a live socket and was deleted")


Call = Callable[[Store, World, World], Awaitable[Any]]


def row(name: str, call: Call, expected: Any) -> Any:
    """A row of the matrix: a port's method, a call as the first world with what is the second's, what must come."""
    return pytest.param(name, call, expected, id=f"{name}-{call.__code__.co_firstlineno}")


HELD_BY_THE_WIRE = {"lists", "members", "conclusions"}
"""Ports that only Honcho's wire uses so far: its own tests hold two workspaces against each other."""

MATRIX = [
    row("keys.revoke", lambda s, a, b: s.keys.revoke(a.tenant_id, b.key.id), KeyNotFound),
    row("keys.load", lambda s, a, b: s.keys.load(a.tenant_id, [b.key.id]), []),
    row("participants.find_by_id", lambda s, a, b: s.participants.find_by_id(a.tenant_id, b.ann.id), None),
    row("sessions.titles", lambda s, a, b: s.sessions.titles(a.tenant_id, b.ann.id), set()),
    row("sessions.members", lambda s, a, b: s.sessions.members(a.tenant_id, b.single.key, ALL), ([], 0)),
    row("sessions.is_member", lambda s, a, b: s.sessions.is_member(a.tenant_id, b.single.key, b.ann.id), False),
    row("sessions.is_member", lambda s, a, b: s.sessions.is_member(a.tenant_id, a.single.key, b.ann.id), False),
    row("sessions.is_member", lambda s, a, b: s.sessions.is_member(a.tenant_id, b.single.key, a.ann.id), False),
    row(
        "sessions.create_multi",
        lambda s, a, b: s.sessions.create_multi(a.tenant_id, b.ann.id, "T", None, None),
        AntiphonError,
    ),
    row(
        "sessions.put_single",
        lambda s, a, b: s.sessions.put_single(a.tenant_id, "s", "ann", None, None, [], b.ann.id),
        AntiphonError,
    ),
    row(
        "chats.create",
        lambda s, a, b: s.chats.create(a.tenant_id, b.multi.key, a.ann.id, "new", "T", None),
        SessionNotFound,
    ),
    row(
        "chats.create",
        lambda s, a, b: s.chats.create(a.tenant_id, a.multi.key, b.ann.id, "new", "T", None),
        AntiphonError,
    ),
    row(
        "sessions.change",
        lambda s, a, b: s.sessions.change(a.tenant_id, b.multi.key, SessionChange(title="mine")),
        SessionNotFound,
    ),
    row(
        "sessions.overviews",
        lambda s, a, b: s.sessions.overviews(a.tenant_id, b.ann.id, ALL, is_archived=None),
        ([], 0),
    ),
    row("chats.list_said", lambda s, a, b: s.chats.list_said(a.tenant_id, b.ann.id, None, 10), []),
    row(
        "chats.put_single",
        lambda s, a, b: s.chats.put_single(a.tenant_id, b.ann.id, FREE_ID, "mine", None),
        ParticipantNotFound,
    ),
    row("chats.change", lambda s, a, b: s.chats.change(a.tenant_id, b.chat.key, "mine", None), ChatNotFound),
    row("chats.cut", lambda s, a, b: s.chats.cut(a.tenant_id, b.chat.key, b.messages[0].id), ChatNotFound),
    row("chats.cut", lambda s, a, b: s.chats.cut(a.tenant_id, a.chat.key, b.messages[0].id), MessageNotFound),
    row(
        "chats.copy",
        lambda s, a, b: s.chats.copy(a.tenant_id, b.chat.key, a.chat.key, is_clearing=True),
        ChatNotFound,
    ),
    row(
        "chats.copy",
        lambda s, a, b: s.chats.copy(a.tenant_id, a.chat.key, b.chat.key, is_clearing=True),
        ChatNotFound,
    ),
    row("chats.find_by_key", lambda s, a, b: s.chats.find_by_key(a.tenant_id, b.chat.key), None),
    row("chats.list_of_session", lambda s, a, b: s.chats.list_of_session(a.tenant_id, b.multi.key), []),
    row("chats.read_marks", lambda s, a, b: s.chats.read_marks(a.tenant_id, b.multi.key, b.ann.id), {}),
    row("chats.read_marks", lambda s, a, b: s.chats.read_marks(a.tenant_id, a.multi.key, b.ann.id), {}),
    row("chats.mark_read", lambda s, a, b: s.chats.mark_read(a.tenant_id, b.chat.key, a.ann.id), ChatNotFound),
    row("chats.mark_read", lambda s, a, b: s.chats.mark_read(a.tenant_id, a.chat.key, b.ann.id), AntiphonError),
    row("messages.append", lambda s, a, b: s.messages.append(a.tenant_id, b.chat.key, [draft("x")]), ChatNotFound),
    row(
        "messages.append",
        lambda s, a, b: s.messages.append(a.tenant_id, a.chat.key, [draft("x")], b.connection.id),
        ConnectionNotFound,
    ),
    row("messages.page", lambda s, a, b: s.messages.page(a.tenant_id, b.chat.key, ALL), ChatNotFound),
    row("messages.find", lambda s, a, b: s.messages.find(a.tenant_id, b.chat.key, b.messages[0].id), None),
    row("messages.find", lambda s, a, b: s.messages.find(a.tenant_id, a.chat.key, b.messages[0].id), None),
    row(
        "messages.find_by_client_id",
        lambda s, a, b: s.messages.find_by_client_id(a.tenant_id, b.chat.key, "m1"),
        None,
    ),
    row("messages.span", lambda s, a, b: s.messages.span(a.tenant_id, b.chat.key, 1, 9, 9, 9), ChatNotFound),
    row("messages.latest", lambda s, a, b: s.messages.latest(a.tenant_id, b.chat.key, 5), ChatNotFound),
    row(
        "connections.open",
        lambda s, a, b: s.connections.open(a.tenant_id, b.chat.key, "ann", NODE, NO_LIMIT, 60),
        ChatNotFound,
    ),
    row("connections.close", lambda s, a, b: s.connections.close(a.tenant_id, b.connection.id), None),
    row(
        "turns.claim",
        lambda s, a, b: claim(s, a.tenant_id, a.chat, NODE, rewind_to=b.messages[0].id),
        MessageNotFound,
    ),
    row(
        "deletions.detach_chat",
        lambda s, a, b: s.deletions.detach_chat(a.tenant_id, b.chat.key, Order("cancel", inline_messages=100)),
        ChatNotFound,
    ),
    row(
        "deletions.detach_session",
        lambda s, a, b: s.deletions.detach_session(a.tenant_id, b.single.key, Order("cancel", inline_messages=100)),
        SessionNotFound,
    ),
    row("deletions.find", lambda s, a, b: s.deletions.find(a.tenant_id, b.lease.deletion_id), None),
    row(
        "deletions.step",
        lambda s, a, b: s.deletions.step(Lease(a.tenant_id, b.lease.deletion_id, PURGING), NODE, 100, 60),
        NotFound,
    ),
    row(
        "deletions.postpone",
        lambda s, a, b: s.deletions.postpone(Lease(a.tenant_id, b.lease.deletion_id, PURGING), NODE, "no", 60),
        None,
    ),
    row(
        "deletions.complete",
        lambda s, a, b: s.deletions.complete(Lease(a.tenant_id, b.lease.deletion_id, SCRUBBING), NODE, "erased", issue),
        NotFound,
    ),
    row("deletions.undo", lambda s, a, b: s.deletions.undo(a.tenant_id, b.lease.deletion_id), UndoTooLate),
    row("deletions.retry", lambda s, a, b: s.deletions.retry(a.tenant_id, b.lease.deletion_id), None),
    row(
        "deletions.detach_participant",
        lambda s, a, b: s.deletions.detach_participant(a.tenant_id, b.ann.id, Order("cancel")),
        ParticipantNotFound,
    ),
    row("deletions.survey", lambda s, a, b: s.deletions.survey(a.tenant_id, "chat", b.chat.key), ChatNotFound),
    row(
        "deletions.survey",
        lambda s, a, b: s.deletions.survey(a.tenant_id, "participant", b.ann.id),
        ParticipantNotFound,
    ),
    row(
        "deletions.clear_files",
        lambda s, a, b: s.deletions.clear_files(Lease(a.tenant_id, b.lease.deletion_id, PURGING), NODE, b.multi.key, 1),
        NotFound,
    ),
    row("sandboxes.find", lambda s, a, b: s.sandboxes.find(a.tenant_id, b.multi.key), None),
    row("sandboxes.find_of_chat", lambda s, a, b: s.sandboxes.find_of_chat(a.tenant_id, b.chat.key), None),
    row("sandboxes.is_placed", lambda s, a, b: s.sandboxes.is_placed(a.tenant_id, b.multi.key), False),
    row(
        "sandboxes.change",
        lambda s, a, b: s.sandboxes.change(a.tenant_id, b.multi.key, lambda sandbox: sandbox),
        SessionNotFound,
    ),
    row("tickets.create", lambda s, a, b: s.tickets.create(a.tenant_id, b.key.id, b"x", 60), KeyNotFound),
    row("tickets.redeem", lambda s, a, b: s.tickets.redeem(a.tenant_id, b.tenant_id), False),
    row("receipts.find", lambda s, a, b: s.receipts.find(a.tenant_id, b.receipt.id), None),
    row(
        "turns.claim",
        lambda s, a, b: s.turns.claim(a.tenant_id, new_uid7(), start_of(b.chat), NODE, 10, 60),
        ChatNotFound,
    ),
    row(
        "turns.append_events",
        lambda s, a, b: s.turns.append_events(a.tenant_id, b.turn.id, NODE, EventChunk(1, 1, "[1]")),
        TurnOver,
    ),
    row(
        "turns.finish",
        lambda s, a, b: s.turns.finish(a.tenant_id, b.turn.id, NODE, TurnEnding("stopped", None, None)),
        TurnOver,
    ),
    row("turns.request_stop", lambda s, a, b: s.turns.request_stop(a.tenant_id, b.turn.id), None),
    row("turns.find", lambda s, a, b: s.turns.find(a.tenant_id, b.turn.id), None),
    row("turns.find_last", lambda s, a, b: s.turns.find_last(a.tenant_id, b.single_chat.key), None),
    row("turns.events", lambda s, a, b: s.turns.events(a.tenant_id, b.turn.id, 0, 10), TurnNotFound),
    row("webhooks.find", lambda s, a, b: s.webhooks.find(a.tenant_id, b.webhook.id), None),
    row("webhooks.delete", lambda s, a, b: s.webhooks.delete(a.tenant_id, b.webhook.id), NotFound),
    row("webhooks.deliveries", lambda s, a, b: s.webhooks.deliveries(a.tenant_id, b.webhook.id, None, 9), []),
    row("webhooks.resend", lambda s, a, b: s.webhooks.resend(a.tenant_id, b.webhook.id, new_uid7()), NotFound),
]
"""Calls with what belongs to the other: nothing is found, and nothing changes on either side."""


async def _use_of_names(store: Store, w: World) -> None:
    """Every call that names things by a name or id which both worlds have; each changes its own world only."""
    tenant = w.tenant_id
    assert (await store.participants.find(tenant, PEER, "ann")) == w.ann
    assert (await store.participants.ensure(tenant, PEER, "ann")) == (w.ann, False)
    assert (await store.participants.put(tenant, "ann", '{"of":2}', None))[0].id == w.ann.id
    assert all(who.id != w.ann.id for who in (await store.participants.list(tenant, SCOPE, ALL))[0])
    session = await store.sessions.find(tenant, "s")
    assert session is not None
    assert session.key == w.single.key
    assert (await store.sessions.put_single(tenant, "s", "ann", '{"b":2}', None, [Member("cid")]))[0].key == session.key
    assert await store.chats.find(tenant, GONE) is None
    found = await store.chats.find(tenant, CHAT_ID)
    single = await store.chats.find_of_single(tenant, "s")
    assert [chat.key for chat in (found, single) if chat] == [w.chat.key, w.single_chat.key]
    assert {chat.owner_id for chat in (await store.chats.list_of_owner(tenant, "ann", ALL))[0]} == {w.ann.id}
    assert await store.chats.create(tenant, w.multi.key, w.ann.id, CHAT_ID, "T", None) == (found, False)
    assert (await store.chats.create_single(tenant, "ann", None, "{}"))[0].owner_id == w.ann.id
    await store.messages.append(tenant, w.chat.key, [draft("more", client_id="m3")])
    assert (await store.tenants.update(tenant, '{"mine":1}', '{"y":2}')).id == tenant
    assert await store.connections.renew(tenant, NODE, 600) == {w.connection.id}
    assert await store.turns.renew(tenant, NODE, 600) == {w.turn.id}
    await store.turns.request_stop(tenant, w.turn.id)
    assert await store.turns.stopping(tenant, NODE) == {w.turn.id}
    assert await store.deletions.claim(tenant, NODE, 60) == []
    await tell(store, tenant, "mine")
    errand = await take(store, tenant, NODE)
    await store.webhooks.settle(errand, NODE, OK, 60)
    assert errand.webhook.id == w.webhook.id
    await store.deletions.step(w.lease, NODE, 2, LONG_LEASE_SECONDS)
    await store.deletions.detach_session(tenant, w.multi.key, Order("cancel", inline_messages=100))
    await store.keys.revoke(tenant, w.key.id)


BY_NAME = {
    "tenants.find",
    "tenants.update",
    "keys.create",
    "keys.list",
    "participants.ensure",
    "participants.put",
    "participants.find",
    "participants.list",
    "sessions.find",
    "sessions.list",
    "chats.create_single",
    "chats.find",
    "chats.find_of_single",
    "chats.list_of_owner",
    "connections.renew",
    "turns.renew",
    "turns.stopping",
    "deletions.detach_tenant",
    "deletions.claim",
    "deletions.list",
    "receipts.list",
    "webhooks.enqueue",
    "webhooks.claim",
    "webhooks.list",
}
"""Methods that take nothing but the tenant and names: `_use_of_names` and the tests below call them."""


def methods_with_a_tenant() -> set[str]:
    """Every method of a port whose first argument is, or holds, a tenant."""
    return {
        f"{noun}.{name}"
        for noun, port in inspect.get_annotations(ports.Store, eval_str=True).items()
        for name, method in inspect.getmembers(port, inspect.isfunction)
        if not name.startswith("_")
        and {"tenant_id", "lease", "key"} & set(inspect.signature(method).parameters)
        and f"{noun}.{name}" != "receipts.add_key"  # that one is of a process
    }


class IsolationContract:
    """Two tenants side by side."""

    async def test_the_matrix_has_every_method(self) -> None:
        in_matrix = {param.values[0] for param in MATRIX}
        asked = {name for name in methods_with_a_tenant() if name.partition(".")[0] not in HELD_BY_THE_WIRE}
        assert asked == in_matrix | BY_NAME

    @pytest.mark.parametrize(("name", "call", "expected"), MATRIX)
    async def test_what_is_another_s_is_not_there(self, store: Store, name: str, call: Call, expected: Any) -> None:
        mine, other = await new_world(store), await new_world(store)
        before = await all_of(store, mine), await all_of(store, other)
        if isinstance(expected, type):
            with pytest.raises(expected):
                await call(store, mine, other)
        else:
            assert await call(store, mine, other) == expected, name
        assert (await all_of(store, mine), await all_of(store, other)) == before

    async def test_what_has_one_name_is_each_one_s_own(self, store: Store) -> None:
        mine, other = await new_world(store), await new_world(store)
        before = await all_of(store, other)
        await _use_of_names(store, mine)
        assert await all_of(store, other) == before
        await _use_of_names(store, other)

    async def test_nothing_that_is_seen_is_shared(self, store: Store) -> None:
        mine, other = await new_world(store), await new_world(store)
        seen = [_uids(await all_of(store, world)) - {NODE} for world in (mine, other)]
        assert len(seen[0]) > 15
        assert seen[0] & seen[1] == set()

    async def test_the_end_of_one_tenant_leaves_the_other(self, store: Store) -> None:
        mine, other = await new_world(store), await new_world(store)
        before = await all_of(store, other)
        for session in (mine.single, mine.multi):
            await store.deletions.detach_session(mine.tenant_id, session.key, Order("cancel"))
        await store.deletions.detach_tenant(mine.tenant_id)
        await purge(store, mine.tenant_id, rows_max=3)
        assert await all_of(store, other) == before
        assert await store.keys.load(other.tenant_id, [other.key.id]) != []


def _uids(value: Any) -> set[bytes]:
    """All 16-byte ids anywhere in a value."""
    if isinstance(value, msgspec.Struct):
        value = list(msgspec.structs.asdict(value).values())
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set):
        return {uid for item in value for uid in _uids(item)}
    return {value} if isinstance(value, bytes) and len(value) == 16 else set()
