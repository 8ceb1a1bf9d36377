"""The contract of webhooks: told in order, by one at a time, in the transaction of what is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from antiphon.core.ports import Store
from antiphon.core.ports.webhooks import Errand
from antiphon.domain import limits, times
from antiphon.domain.errors import ChatNotFound, LimitExceeded, NotFound, TenantNotFound, TurnOver
from antiphon.domain.ids import Uid, new_public_id, new_uid7, text_of
from antiphon.domain.messages import ASSISTANT
from antiphon.domain.turns import COMPLETED, TurnEnding, TurnStart
from antiphon.domain.webhooks import (
    DELETION_DETACHED,
    DELETION_DONE,
    DELIVERED,
    EVENTS,
    FAILED,
    HONCHO_EVENTS,
    MESSAGE_APPENDED,
    QUEUE_EMPTY,
    TURN_ENDED,
    WAITING,
    Delivery,
    Outcome,
    Webhook,
)
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    SHORT_LEASE_SECONDS,
    add_chat,
    detach,
    draft,
    losses,
    new_multi,
    new_single,
    new_tenant,
    race,
    remove,
    say,
    take_lease,
    until,
    wins,
)

OK = Outcome(status=204)
BAD = Outcome("bad_status", 500)
GONE = Outcome("bad_status", 410, is_gone=True)
AT_ONCE, LATER, NEVER = 0.0, 60.0, float(limits.WEBHOOK_GIVE_UP_SECONDS)


async def new_webhook(store: Store, tenant_id: Uid, *events: str) -> Webhook:
    """A stored webhook that wants those events, or all."""
    webhook = Webhook(new_uid7(), tenant_id, "https://example.com/a?b=ü", events or EVENTS, "whsec_x", times.now())
    await store.webhooks.create(webhook)
    return webhook


async def tell(store: Store, tenant_id: Uid, *names: str) -> None:
    """Enqueue one event a name."""
    for name in names:
        await store.webhooks.enqueue(tenant_id, DELETION_DONE, json.dumps({"name": name}))


def name_of(delivery: Delivery) -> str:
    """What `tell` was told."""
    name: str = json.loads(delivery.body)["data"]["name"]
    return name


async def take(store: Store, tenant_id: Uid, node: Uid, lease_seconds: float = LONG_LEASE_SECONDS) -> Errand:
    """What may be sent now; it must be there."""
    errand = await store.webhooks.claim(tenant_id, node, lease_seconds)
    assert errand is not None
    return errand


async def told(store: Store, webhook: Webhook) -> list[Delivery]:
    """All deliveries of a webhook, the oldest first."""
    return (await store.webhooks.deliveries(webhook.tenant_id, webhook.id, None, 1_000))[::-1]


async def events_of(store: Store, webhook: Webhook) -> list[Any]:
    """The bodies of all deliveries of a webhook, the oldest first."""
    return [json.loads(delivery.body) for delivery in await told(store, webhook)]


class WebhookContract:
    """The webhooks themselves."""

    async def test_it_is_found_as_it_was_made(self, store: Store) -> None:
        tenant, other = await new_tenant(store), await new_tenant(store)
        made = [await new_webhook(store, tenant, DELETION_DONE, TURN_ENDED), await new_webhook(store, tenant)]
        assert await store.webhooks.list(tenant) == made
        assert await store.webhooks.find(tenant, made[0].id) == made[0]
        assert await store.webhooks.find(other, made[0].id) is None
        assert await store.webhooks.list(other) == []

    async def test_a_tenant_that_is_gone_has_none(self, store: Store) -> None:
        with pytest.raises(TenantNotFound):
            await new_webhook(store, new_uid7())

    async def test_a_tenant_has_so_many_at_most(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "WEBHOOKS_PER_TENANT", 3)
        tenant, other = await new_tenant(store), await new_tenant(store)
        outcomes = await race(*(new_webhook(store, tenant) for _ in range(8)))
        assert losses(outcomes) == [LimitExceeded] * 5
        assert len(await store.webhooks.list(tenant)) == len(wins(outcomes)) == 3
        await new_webhook(store, other)

    async def test_it_is_removed_with_its_deliveries_by_its_tenant_only(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "WEBHOOK_DELETE_ROWS", 2)
        tenant, other = await new_tenant(store), await new_tenant(store)
        gone, kept = await new_webhook(store, tenant), await new_webhook(store, tenant)
        await tell(store, tenant, *"12345")
        with pytest.raises(NotFound):
            await store.webhooks.delete(other, gone.id)
        await store.webhooks.delete(tenant, gone.id)
        assert await store.webhooks.list(tenant) == [kept]
        assert await told(store, gone) == []
        assert [name_of(delivery) for delivery in await told(store, kept)] == list("12345")
        with pytest.raises(NotFound):
            await store.webhooks.delete(tenant, gone.id)


class FarewellContract:
    """The end of a tenant, of which its webhooks are to be told before they go with it."""

    async def test_the_rows_wait_until_it_is_told(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        await new_single(store, tenant)
        await new_webhook(store, tenant, DELETION_DETACHED)
        await store.deletions.detach_tenant(tenant, with_sessions=True)
        lease = await take_lease(store, tenant, node)
        step = await store.deletions.step(lease, node, 500, LONG_LEASE_SECONDS)
        assert (step.is_blocked, step.removed) == (True, {})
        errand = await take(store, tenant, node)
        assert errand.delivery.event == DELETION_DETACHED
        await store.webhooks.settle(errand, node, OK, 60)
        assert (await remove(store, lease, node))["webhook_deliveries"] == 1

    async def test_they_wait_for_no_other_event_and_for_nobody_who_listens_no_more(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        await new_webhook(store, tenant, DELETION_DONE)
        gone = await new_webhook(store, tenant, DELETION_DETACHED)
        await tell(store, tenant, "before")
        await store.webhooks.enqueue(tenant, DELETION_DETACHED, "{}")
        errand = await take(store, tenant, node)
        while errand.webhook.id != gone.id:
            errand = await take(store, tenant, node)
        await store.webhooks.settle(errand, node, GONE, 60)
        await store.deletions.detach_tenant(tenant)
        assert (await remove(store, await take_lease(store, tenant, node), node))["webhooks"] == 2

    async def test_they_wait_for_a_while_only(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "WEBHOOK_FAREWELL_SECONDS", 0)
        tenant, node = await new_tenant(store), new_uid7()
        await new_webhook(store, tenant, DELETION_DETACHED)
        await store.deletions.detach_tenant(tenant)
        assert (await remove(store, await take_lease(store, tenant, node), node))["webhooks"] == 1

    async def test_who_is_late_brings_nothing_back(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "WEBHOOK_FAREWELL_SECONDS", 0)
        tenant, node = await new_tenant(store), new_uid7()
        webhook = await new_webhook(store, tenant)
        await tell(store, tenant, "first", "second")
        errand = await take(store, tenant, node)
        await store.deletions.detach_tenant(tenant)
        lease = await take_lease(store, tenant, node)
        for is_gone in (False, True):
            if is_gone:
                await remove(store, lease, node)
            with pytest.raises(NotFound):
                await store.webhooks.resend(tenant, webhook.id, errand.delivery.id)
            with pytest.raises(NotFound):
                await new_webhook(store, tenant)
        for outcome in (OK, BAD, GONE):
            with pytest.raises(NotFound):
                await store.webhooks.settle(errand, node, outcome, AT_ONCE)
        assert await store.webhooks.enqueue(tenant, DELETION_DONE, "{}") == 0
        assert await store.webhooks.claim(tenant, node, LONG_LEASE_SECONDS) is None
        assert not any((await store.orphans()).values())


class OutboxContract:
    """What becomes a delivery, and when."""

    async def test_each_that_wants_an_event_is_told_of_the_same_one(self, store: Store) -> None:
        tenant, other = await new_tenant(store), await new_tenant(store)
        one, two = await new_webhook(store, tenant, DELETION_DONE), await new_webhook(store, tenant)
        deaf, foreign = await new_webhook(store, tenant, TURN_ENDED), await new_webhook(store, other)
        assert await store.webhooks.enqueue(tenant, DELETION_DONE, '{"ü":1}') == 2
        ((first,), (second,)) = await told(store, one), await told(store, two)
        assert first.id == second.id
        assert (first.event, first.state, first.attempts) == (DELETION_DONE, WAITING, 0)
        body = json.loads(first.body)
        assert (body["type"], body["data"]) == (DELETION_DONE, {"ü": 1})
        assert times.from_text(body["timestamp"]) == first.created_at
        assert (first.last_error, first.last_status, first.settled_at) == (None, None, None)
        assert await told(store, deaf) == await told(store, foreign) == []
        assert await store.webhooks.enqueue(await new_tenant(store), DELETION_DONE, "{}") == 0

    async def test_an_append_is_told_without_what_was_said(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_multi(store, tenant, title="SECRET TITLE")
        webhook, deaf = await new_webhook(store, tenant, MESSAGE_APPENDED), await new_webhook(store, tenant, TURN_ENDED)
        stored = await say(store, tenant, chat, "SECRET ONE", "SECRET TWO")
        named, _ = await add_chat(store, tenant, session, "ann@example.com")
        more = await store.messages.append(tenant, named.key, [draft("SECRET", client_id="SECRET", author="SECRET")])
        bodies = await events_of(store, webhook)
        assert [body["type"] for body in bodies] == [MESSAGE_APPENDED] * 2
        assert bodies[0]["data"] == {
            "chat": {"id": chat.id, "key": text_of(chat.key)},
            "messages": [{"id": text_of(m.id), "seq": m.seq, "role": "user"} for m in stored],
        }
        assert bodies[1]["data"]["chat"] == {"id": None, "key": text_of(named.key)}
        assert [message["id"] for message in bodies[1]["data"]["messages"]] == [text_of(more[0].id)]
        assert "SECRET" not in json.dumps(bodies)
        assert "ann" not in json.dumps(bodies)
        assert await told(store, deaf) == []

    async def test_the_end_of_a_turn_is_told_once_with_its_message(self, store: Store) -> None:
        tenant, turn_id, node = await new_tenant(store), new_uid7(), new_uid7()
        _, chat = await new_multi(store, tenant)
        webhook = await new_webhook(store, tenant)
        await store.turns.claim(tenant, turn_id, TurnStart(chat.key, new_uid7(), "bot"), node, 1, LONG_LEASE_SECONDS)
        ending = TurnEnding(COMPLETED, None, draft("SECRET", author="bot", role=ASSISTANT))
        with pytest.raises(TurnOver):
            await store.turns.finish(tenant, turn_id, new_uid7(), ending)
        assert await told(store, webhook) == [], "nothing has ended"
        await store.turns.finish(tenant, turn_id, node, ending)
        appended, ended = await events_of(store, webhook)
        assert appended["data"]["messages"][0]["role"] == ASSISTANT
        chat_of_both = {"id": chat.id, "key": text_of(chat.key)}
        assert appended["data"]["chat"] == chat_of_both
        assert (ended["type"], ended["data"]) == (
            TURN_ENDED,
            {"turn": f"trn_{text_of(turn_id)}", "chat": chat_of_both, "state": COMPLETED},
        )
        assert "SECRET" not in json.dumps([appended, ended])

    async def test_many_appends_at_once_are_all_told(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        webhook = await new_webhook(store, tenant)
        outcomes = await race(*(say(store, tenant, chat, f"{n}", f"{n}") for n in range(20)))
        assert losses(outcomes) == []
        told_of = [m["seq"] for body in await events_of(store, webhook) for m in body["data"]["messages"]]
        assert told_of == list(range(1, 41)), "in the order of the chat"

    async def test_an_append_that_may_be_derived_from_empties_the_queue(self, store: Store) -> None:
        tenant = await new_tenant(store)
        webhook = await new_webhook(store, tenant, *HONCHO_EVENTS)
        _, chat = await new_single(store, tenant)
        _, room = await new_multi(store, tenant)
        _, off = await new_single(store, tenant, "off")
        await store.sessions.put_single(tenant, "off", "ann", None, '{"reasoning":{"enabled":false}}', [])
        said = await say(store, tenant, chat, "a", "b")
        said += await store.messages.append(tenant, chat.key, [draft("c"), draft("d", author="bob"), draft("e")])
        await store.messages.append(tenant, chat.key, [draft("quiet", is_reasoned=False)])
        await say(store, tenant, room, "f")
        await say(store, tenant, off, "g")
        asked = await store.messages.append(tenant, off.key, [draft("h", is_reasoned=True), draft("i", author="bob")])
        await store.members.clone(tenant, "s", "copy", None)
        bodies = await events_of(store, webhook)
        assert [body["type"] for body in bodies] == [QUEUE_EMPTY] * 4
        last = [(chat, said[1]), (chat, said[4]), (chat, said[3]), (off, asked[0])]
        assert [body["data"] for body in bodies] == [
            {"chat": {"key": text_of(where.key)}, "message": text_of(message.id)} for where, message in last
        ]
        await store.tenants.update(tenant, None, '{"reasoning":{"enabled":false}}')
        await say(store, tenant, chat, "j")
        assert len(await events_of(store, webhook)) == 4

    async def test_an_append_that_fails_is_not_told(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_multi(store, tenant)
        await add_chat(store, tenant, session, new_public_id())
        webhook = await new_webhook(store, tenant)
        await say(store, tenant, chat, "a")
        await detach(store, tenant, chat)
        with pytest.raises(ChatNotFound):
            await say(store, tenant, chat, "b")
        bodies = await events_of(store, webhook)
        assert [body["type"] for body in bodies if body["type"] == MESSAGE_APPENDED] == [MESSAGE_APPENDED]

    async def test_who_was_disabled_is_told_nothing(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        webhook = await new_webhook(store, tenant)
        _, chat = await new_multi(store, tenant)
        await tell(store, tenant, "1")
        assert await store.webhooks.settle(await take(store, tenant, node), node, GONE, AT_ONCE) == FAILED
        assert await store.webhooks.enqueue(tenant, DELETION_DONE, "{}") == 0
        await say(store, tenant, chat, "a")
        assert [(name_of(one), one.state, one.last_status) for one in await told(store, webhook)] == [
            ("1", FAILED, 410)
        ]
        found = await store.webhooks.find(tenant, webhook.id)
        assert found is not None
        assert found.disabled_at is not None

    async def test_an_append_outlives_the_removal_of_webhooks_beside_it(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        for _ in range(5):
            webhook = await new_webhook(store, tenant)
            outcomes = await race(
                store.webhooks.delete(tenant, webhook.id), *(say(store, tenant, chat, "a") for _ in range(6))
            )
            assert losses(outcomes) == []
        assert (await store.messages.latest(tenant, chat.key, 1))[0].seq == 30


class CourierContract:
    """Who sends what, and what is noted."""

    async def test_deliveries_go_out_one_after_the_other_in_order(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        webhook = await new_webhook(store, tenant)
        await tell(store, tenant, "1", "2", "3")
        sent = []
        while (errand := await store.webhooks.claim(tenant, node, LONG_LEASE_SECONDS)) is not None:
            assert errand.webhook == webhook
            assert await store.webhooks.claim(tenant, node, LONG_LEASE_SECONDS) is None, "one at a time"
            sent.append(name_of(errand.delivery))
            assert await store.webhooks.settle(errand, node, OK, AT_ONCE) == DELIVERED
        assert sent == ["1", "2", "3"]
        assert [(one.state, one.attempts, one.last_status) for one in await told(store, webhook)] == [
            (DELIVERED, 1, 204)
        ] * 3

    async def test_one_that_waits_keeps_those_behind_it_waiting(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        webhook = await new_webhook(store, tenant)
        await tell(store, tenant, "1", "2")
        assert await store.webhooks.settle(await take(store, tenant, node), node, BAD, LATER) == WAITING
        assert await store.webhooks.claim(tenant, node, LONG_LEASE_SECONDS) is None
        assert tenant not in await store.webhooks.due()
        first, second = await told(store, webhook)
        assert (first.state, first.attempts, first.last_error, first.last_status) == (WAITING, 1, "bad_status", 500)
        assert (second.state, second.attempts) == (WAITING, 0)

    async def test_what_failed_is_taken_again_before_the_next(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        await new_webhook(store, tenant)
        await tell(store, tenant, "1", "2")
        first = await take(store, tenant, node)
        await store.webhooks.settle(first, node, BAD, AT_ONCE)
        again = await take(store, tenant, node)
        assert (again.delivery.id, again.delivery.attempts) == (first.delivery.id, 1)

    async def test_webhooks_do_not_wait_for_one_another(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        hooks = {(await new_webhook(store, tenant)).id for _ in range(3)}
        await tell(store, tenant, "1", "2")
        outcomes = await race(*(store.webhooks.claim(tenant, new_uid7(), LONG_LEASE_SECONDS) for _ in range(9)))
        taken = [errand for errand in wins(outcomes) if errand is not None]
        assert losses(outcomes) == []
        while (errand := await store.webhooks.claim(tenant, node, LONG_LEASE_SECONDS)) is not None:
            taken.append(errand)
        assert sorted(errand.webhook.id for errand in taken) == sorted(hooks)
        assert {name_of(errand.delivery) for errand in taken} == {"1"}

    async def test_it_is_given_up_when_the_next_attempt_would_be_too_late(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        webhook = await new_webhook(store, tenant)
        await tell(store, tenant, "1", "2")
        assert await store.webhooks.settle(await take(store, tenant, node), node, BAD, NEVER) == FAILED
        assert name_of((await take(store, tenant, node)).delivery) == "2"
        first, _ = await told(store, webhook)
        assert first.settled_at is not None

    async def test_a_lease_that_is_over_is_taken_by_another(self, store: Store) -> None:
        tenant, slow, quick = await new_tenant(store), new_uid7(), new_uid7()
        webhook = await new_webhook(store, tenant)
        await tell(store, tenant, "1", "2")
        lost = await take(store, tenant, slow, SHORT_LEASE_SECONDS)

        async def is_due() -> bool:
            return tenant in await store.webhooks.due()

        await until(is_due, "the lease is over")
        again = await take(store, tenant, quick)
        assert again.delivery.id == lost.delivery.id
        with pytest.raises(NotFound):
            await store.webhooks.settle(lost, slow, OK, AT_ONCE)
        assert [one.state for one in await told(store, webhook)] == [WAITING, WAITING]
        assert await store.webhooks.settle(again, quick, OK, AT_ONCE) == DELIVERED

    async def test_a_process_that_ends_gives_back_what_it_held(self, store: Store) -> None:
        tenant, other, node = await new_tenant(store), await new_tenant(store), new_uid7()
        for who in (tenant, other):
            await new_webhook(store, who)
            await tell(store, who, "1")
            await take(store, who, node)
        assert {tenant, other}.isdisjoint(await store.webhooks.due())
        await store.webhooks.release(node)
        assert {tenant, other} <= set(await store.webhooks.due())
        assert (await take(store, tenant, new_uid7())).delivery.attempts == 0

    async def test_who_waits_longest_is_due_first(self, store: Store) -> None:
        tenants = [await new_tenant(store) for _ in range(3)]
        for tenant in tenants:
            await new_webhook(store, tenant)
        for tenant in reversed(tenants):
            await tell(store, tenant, "1", "2")
            await until(_is_due(store, tenant), "it is due")
            await asyncio.sleep(0.005)  # SQLite's clock counts milliseconds: no two of them in the same one
        assert await store.webhooks.due() == tenants[::-1]

    async def test_settling_what_was_removed_is_not_found(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        webhook = await new_webhook(store, tenant)
        await tell(store, tenant, "1")
        errand = await take(store, tenant, node)
        await store.webhooks.delete(tenant, webhook.id)
        with pytest.raises(NotFound):
            await store.webhooks.settle(errand, node, OK, AT_ONCE)

    async def test_any_delivery_is_sent_again_when_it_is_asked_for(self, store: Store) -> None:
        tenant, other, node = await new_tenant(store), await new_tenant(store), new_uid7()
        webhook = await new_webhook(store, tenant)
        await tell(store, tenant, "1", "2")
        await store.webhooks.settle(await take(store, tenant, node), node, OK, AT_ONCE)
        await store.webhooks.settle(await take(store, tenant, node), node, GONE, AT_ONCE)
        first, second = await told(store, webhook)
        for who, which in ((other, first.id), (tenant, new_uid7())):
            with pytest.raises(NotFound):
                await store.webhooks.resend(who, webhook.id, which)
        for delivery in (first, second):
            again = await store.webhooks.resend(tenant, webhook.id, delivery.id)
            assert (again.id, again.state, again.attempts, again.settled_at) == (delivery.id, WAITING, 0, None)
            errand = await take(store, tenant, node)
            assert (errand.delivery.id, errand.webhook.disabled_at) == (delivery.id, None)
            assert await store.webhooks.settle(errand, node, BAD, LATER) == WAITING, "tried for as long as a new one"
            await store.webhooks.resend(tenant, webhook.id, delivery.id)
            await store.webhooks.settle(await take(store, tenant, node), node, OK, AT_ONCE)

    async def test_deliveries_are_read_in_pages_from_the_newest(self, store: Store) -> None:
        tenant, other = await new_tenant(store), await new_tenant(store)
        webhook = await new_webhook(store, tenant)
        await tell(store, tenant, *"1234567")
        read: list[Delivery] = []
        while page := await store.webhooks.deliveries(tenant, webhook.id, read[-1].id if read else None, 3):
            read += page
        assert [name_of(delivery) for delivery in read] == list("7654321")
        assert await store.webhooks.deliveries(other, webhook.id, None, 3) == []

    async def test_what_was_settled_long_ago_is_removed_on_the_way(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        webhook = await new_webhook(store, tenant)
        await tell(store, tenant, *"12345")
        for _ in range(3):
            await store.webhooks.settle(await take(store, tenant, node), node, OK, AT_ONCE)
        assert len(await told(store, webhook)) == 5
        monkeypatch.setattr(limits, "WEBHOOK_KEPT_SECONDS", 0)
        monkeypatch.setattr(limits, "WEBHOOK_PRUNE_ROWS", 2)
        await until(_is_past(await told(store, webhook)), "the clock has moved on")
        await store.webhooks.settle(await take(store, tenant, node), node, BAD, LATER)
        assert [name_of(delivery) for delivery in await told(store, webhook)] == ["3", "4", "5"]


def _is_due(store: Store, tenant_id: Uid) -> Any:
    async def is_due() -> bool:
        return tenant_id in await store.webhooks.due()

    return is_due


def _is_past(deliveries: list[Delivery]) -> Any:
    last = max(delivery.settled_at or 0 for delivery in deliveries)

    async def is_past() -> bool:
        return times.now() > last + times.SECOND // 100

    return is_past
