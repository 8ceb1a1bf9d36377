"""Isolation: two tenants with the same names and ids everywhere never see, touch or feel each other.

The matrix has a row for every method of every port that takes a tenant; a method without one fails the test. Each row
calls the method as one tenant with everything that it could know of the other.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antiphon.core import ports
from antiphon.core.ports import Lease, Store
from antiphon.core.ports.embeddings import Said
from antiphon.core.ports.indexing import TEXT, Behind
from antiphon.domain import limits
from antiphon.domain.conclusions import ConclusionDraft
from antiphon.domain.deletions import PURGING, SCRUBBING, Order
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
from antiphon.domain.filters import EQ, EVERYTHING, FieldTest
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import new_uid7
from antiphon.domain.messages import Page
from antiphon.domain.participants import PEER, SCOPE, Member
from antiphon.domain.sessions import SINGLE, NewSession, SessionChange
from antiphon.domain.turns import EventChunk, TurnEnding
from antiphon.stores.contract.imports import HEAD, opening
from antiphon.stores.contract.turns import claim
from antiphon.stores.contract.twins import (
    CHAT_ID,
    FREE_ID,
    GONE,
    NAME,
    NODE,
    World,
    all_of,
    choice_of,
    in_pages,
    new_world,
    start_of,
    uids_in,
)
from antiphon.stores.contract.vectors import heading
from antiphon.stores.contract.webhooks import OK, take, tell
from antiphon.stores.contract.worlds import (
    ALL,
    LONG_LEASE_SECONDS,
    NO_LIMIT,
    draft,
    issue,
    purge,
)

Call = Callable[[Store, World, World], Awaitable[Any]]


def row(name: str, call: Call, expected: Any) -> Any:
    """A row of the matrix: a port's method, a call as the first world with what is the second's, what must come."""
    return pytest.param(name, call, expected, id=f"{name}-{call.__code__.co_firstlineno}")


MATRIX = [
    row("keys.revoke", lambda s, a, b: s.keys.revoke(a.tenant_id, b.key.id), KeyNotFound),
    row("keys.find", lambda s, a, b: s.keys.find(a.tenant_id, b.key.id), None),
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
    row("sessions.rename", lambda s, a, b: s.sessions.rename(a.tenant_id, b.multi.key, "mine"), SessionNotFound),
    row("pages.keys", lambda s, a, b: in_pages(s, a, b.key.id), set()),
    row("pages.participants", lambda s, a, b: in_pages(s, a, b.ann.id), set()),
    row("pages.sessions", lambda s, a, b: s.pages.sessions(a.tenant_id, choice_of(b), None, None, 9), []),
    row("pages.chats", lambda s, a, b: s.pages.chats(a.tenant_id, choice_of(b), None, 9), []),
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
    row("connections.find", lambda s, a, b: s.connections.find(a.tenant_id, b.connection.id), None),
    row("connections.list", lambda s, a, b: s.connections.list(a.tenant_id, b.chat.key, None, 9), []),
    row("connections.counts", lambda s, a, b: s.connections.counts(a.tenant_id, [b.chat.key]), {}),
    row("connections.dismiss", lambda s, a, b: s.connections.dismiss(a.tenant_id, b.connection.id), ConnectionNotFound),
    row("connections.was_dismissed", lambda s, a, b: s.connections.was_dismissed(a.tenant_id, b.connection.id), False),
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
    row("idempotency.claim", lambda s, a, b: s.idempotency.claim(a.tenant_id, b.tenant_id, b"r", NODE, 60), None),
    row("idempotency.renew", lambda s, a, b: s.idempotency.renew(a.tenant_id, b.tenant_id, NODE, 0), None),
    row(
        "idempotency.keep",
        lambda s, a, b: s.idempotency.keep(a.tenant_id, b.tenant_id, NODE, b"x", Subject(), 60),
        False,
    ),
    row("idempotency.release", lambda s, a, b: s.idempotency.release(a.tenant_id, b.tenant_id, NODE), None),
    row("idempotency.sweep", lambda s, a, _: s.idempotency.sweep(a.tenant_id, 9), 0),
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
    row("imports.members", lambda s, a, b: s.imports.members(a.tenant_id, b.single.key, 0, 9), []),
    row("imports.reads", lambda s, a, b: s.imports.reads(a.tenant_id, b.chat.key, 0, 9), []),
    row("imports.marks", lambda s, a, b: s.imports.marks(a.tenant_id, b.chat.key, [b.messages[0].id]), {}),
    row("imports.find", lambda s, a, b: s.imports.find(a.tenant_id, b.imported.id), None),
    row("imports.claim", lambda s, a, b: s.imports.claim(a.tenant_id, b.imported.id, NODE, 60), None),
    row(
        "imports.write",
        lambda s, a, b: s.imports.write(a.tenant_id, b.imported.id, NODE, b.imported.cursor, HEAD, 60),
        NotFound,
    ),
    row("imports.finish", lambda s, a, b: s.imports.finish(a.tenant_id, b.imported.id, NODE), NotFound),
    row("imports.give_up", lambda s, a, b: s.imports.give_up(a.tenant_id, b.imported.id, "no"), None),
    row("webhooks.find", lambda s, a, b: s.webhooks.find(a.tenant_id, b.webhook.id), None),
    row("webhooks.delete", lambda s, a, b: s.webhooks.delete(a.tenant_id, b.webhook.id), NotFound),
    row("webhooks.deliveries", lambda s, a, b: s.webhooks.deliveries(a.tenant_id, b.webhook.id, None, 9), []),
    row("lists.sessions", lambda s, a, b: s.lists.sessions(a.tenant_id, NAME, b.ann.id, EVERYTHING, ALL), ([], 0)),
    row("lists.sessions_of_member", lambda s, a, b: s.lists.sessions_of_member(a.tenant_id, b.scope.id, ALL), ([], 0)),
    row(
        "lists.messages",
        lambda s, a, b: s.lists.messages(a.tenant_id, NAME, b.single_chat.key, EVERYTHING, ALL),
        Page([], 0),
    ),
    row(
        "indexing.claim",
        lambda s, a, b: s.indexing.claim(TEXT, a.tenant_id, Behind(b.single_chat.key, 0, 1), 60),
        False,
    ),
    row("indexing.put_off", lambda s, a, b: s.indexing.put_off(TEXT, a.tenant_id, b.single_chat.key, 60), None),
    row("indexing.settle", lambda s, a, b: s.indexing.settle(TEXT, a.tenant_id, b.single_chat.key, 0, 1), False),
    row("search.advance", lambda s, a, b: s.search.advance(a.tenant_id, b.single_chat.key, 0, 1), 0),
    row(
        "search.candidates",
        lambda s, a, b: s.search.candidates(a.tenant_id, NAME, b.single_chat.key, EVERYTHING, ["said"], 9),
        [],
    ),
    row("members.clone", lambda s, a, b: s.members.clone(a.tenant_id, "s", "copy", b.said.id), MessageNotFound),
    row(
        "members.set_metadata",
        lambda s, a, b: s.members.set_metadata(a.tenant_id, b.single_chat.key, b.said.id, "{}"),
        MessageNotFound,
    ),
    row(
        "members.set_metadata",
        lambda s, a, b: s.members.set_metadata(a.tenant_id, a.single_chat.key, b.said.id, "{}"),
        MessageNotFound,
    ),
    row("vectors.texts", lambda s, a, b: s.vectors.texts(a.tenant_id, b.chat.key, 0, 9), []),
    row(
        "vectors.keep",
        lambda s, a, b: s.vectors.keep(a.tenant_id, b.chat.key, 0, 1, "m", [(Said(1, "a"), heading(0))]),
        False,
    ),
    row(
        "vectors.keep_conclusions",
        lambda s, a, b: s.vectors.keep_conclusions(a.tenant_id, "m", [(b.conclusion.id, heading(0))]),
        None,
    ),
    row("conclusions.delete", lambda s, a, b: s.conclusions.delete(a.tenant_id, b.conclusion.id), False),
    row("conclusions.find_card", lambda s, a, b: s.conclusions.find_card(a.tenant_id, b.ann.id, b.ann.id), None),
    row("conclusions.find_card", lambda s, a, b: s.conclusions.find_card(a.tenant_id, a.ann.id, b.ann.id), None),
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
    page = await store.messages.page_of_single(tenant, "s", ALL)
    assert page == await store.messages.page(tenant, w.single_chat.key, ALL)
    assert {chat.owner_id for chat in (await store.chats.list_of_owner(tenant, "ann", ALL))[0]} == {w.ann.id}
    assert await store.chats.create(tenant, w.multi.key, w.ann.id, CHAT_ID, "T", None) == (found, False)
    assert (await store.chats.create_single(tenant, "ann", None, "{}"))[0].owner_id == w.ann.id
    made = await store.sessions.create(tenant, NewSession(SINGLE, "chosen", "ann", "T", "chosen", "T"))
    assert made.owner_id == w.ann.id
    await store.messages.append(tenant, w.chat.key, [draft("more", client_id="m3")])
    assert (await store.tenants.update(tenant, '{"mine":1}', '{"y":2}')).id == tenant
    assert await store.connections.renew(tenant, NODE, 600) == {w.connection.id}
    assert await store.turns.renew(tenant, NODE, 600) == {w.turn.id}
    await store.turns.request_stop(tenant, w.turn.id)
    assert await store.turns.stopping(tenant, NODE) == {w.turn.id}
    assert await store.deletions.claim(tenant, NODE, 60) == []
    again, is_new = await store.imports.begin(tenant, opening())
    assert (again.id, is_new) == (w.imported.id, False)
    await tell(store, tenant, "mine")
    errand = await take(store, tenant, NODE)
    await store.webhooks.settle(errand, NODE, OK, 60)
    assert errand.webhook.id == w.webhook.id
    await _use_of_vectors(store, w)
    await _use_of_members(store, w)
    await store.deletions.step(w.lease, NODE, 2, LONG_LEASE_SECONDS)
    await store.deletions.detach_session(tenant, w.multi.key, Order("cancel", inline_messages=100))
    await store.keys.revoke(tenant, w.key.id)


async def _use_of_vectors(store: Store, w: World) -> None:
    """The same of what is found by words and by meaning."""
    assert Behind(w.single_chat.key, 0, 1) in await store.indexing.chats_behind(TEXT, w.tenant_id, 9)
    asked = (w.tenant_id, NAME, EVERYTHING, "m", heading(0), 9)
    (said,) = await store.vectors.texts(w.tenant_id, w.single_chat.key, 0, 1)
    await store.vectors.keep(w.tenant_id, w.single_chat.key, 0, 1, "m", [(said, heading(0))])
    await store.vectors.keep_conclusions(w.tenant_id, "m", [(w.conclusion.id, heading(0))])
    assert [one.id for _, one, _ in await store.vectors.nearest_messages(*asked)] == [w.said.id]
    assert [one.id for one, _ in await store.vectors.nearest_conclusions(*asked)] == [w.conclusion.id]


async def _use_of_members(store: Store, w: World) -> None:
    """The same of those who are in a session, of filtered lists, and of what is known of somebody."""
    tenant = w.tenant_id
    assert [one.session_key for one in await store.conclusions.count_units(tenant, "s", "ann")] == [w.single.key]
    assert [one.id for one in (await store.conclusions.list(tenant, NAME, EVERYTHING, ALL))[0]] == [w.conclusion.id]
    assert [one.id for _, one in await store.lists.newest_messages(tenant, NAME, EVERYTHING, 9)] == [w.said.id]
    named, _ = await store.lists.participants(tenant, NAME, SCOPE, FieldTest("id", EQ, ("scope.x",)), ALL)
    assert [one.id for one in named] == [w.scope.id]
    await store.members.configure(tenant, "s", Member("ben", observe_others=True))
    assert await store.members.find(tenant, "s", "ben") == Member("ben", observe_others=True)
    assert (await store.members.leave(tenant, "s", SCOPE, ["scope.x"])).key == w.single.key
    await store.members.join(tenant, ["s"], SCOPE, ["ann"])
    assert (await store.members.replace(tenant, "s", [Member("eve")])).key == w.single.key
    assert (await store.members.clone(tenant, "s", "copy", None)).owner_id == w.ann.id
    await store.conclusions.create(tenant, [ConclusionDraft("likes jam", "ben", "ann", "s")])
    await store.conclusions.put_card(tenant, "ann", "ann", '["of the other"]')


BY_NAME = {
    "tenants.find",
    "tenants.update",
    "keys.create",
    "keys.list",
    "participants.ensure",
    "participants.put",
    "participants.find",
    "participants.list",
    "sessions.create",
    "sessions.find",
    "sessions.list",
    "chats.create_single",
    "chats.find",
    "chats.find_of_single",
    "chats.list_of_owner",
    "messages.page_of_single",
    "connections.renew",
    "turns.renew",
    "turns.stopping",
    "deletions.detach_tenant",
    "deletions.claim",
    "deletions.list",
    "receipts.list",
    "receipts.head",
    "imports.begin",
    "webhooks.enqueue",
    "webhooks.claim",
    "webhooks.list",
    "lists.participants",
    "lists.newest_messages",
    "members.join",
    "members.leave",
    "members.replace",
    "members.find",
    "members.configure",
    "conclusions.create",
    "conclusions.count_units",
    "conclusions.put_card",
    "conclusions.list",
    "indexing.chats_behind",
    "vectors.nearest_conclusions",
    "vectors.nearest_messages",
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
        assert methods_with_a_tenant() == in_matrix | BY_NAME

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
        seen = [uids_in(await all_of(store, world)) - {NODE} for world in (mine, other)]
        assert len(seen[0]) > 15
        assert seen[0] & seen[1] == set()

    async def test_the_end_of_one_tenant_leaves_the_other(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "WEBHOOK_FAREWELL_SECONDS", 0)  # nobody tells its webhooks here
        mine, other = await new_world(store), await new_world(store)
        before = await all_of(store, other)
        for session in (mine.single, mine.multi):
            await store.deletions.detach_session(mine.tenant_id, session.key, Order("cancel"))
        await store.deletions.detach_tenant(mine.tenant_id)
        await purge(store, mine.tenant_id, rows_max=3)
        assert await all_of(store, other) == before
        assert await store.keys.load(other.tenant_id, [other.key.id]) != []
