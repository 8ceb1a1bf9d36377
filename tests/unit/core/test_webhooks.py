"""Telling webhooks: in order, again and again, by whoever is there, and never twice at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from antiphon.core.webhooks import Webhooks, backoff_seconds
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput, LimitExceeded, NotFound, StoreUnavailable
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.webhooks import DELETION_DONE, DELIVERED, FAILED, WAITING, Delivery, Outcome, Webhook, event_id
from antiphon.stores.contract.worlds import new_tenant, until
from antiphon.stores.sqlite.store import SqliteStore

URL = "https://example.com/hook"
OK, BAD, GONE = Outcome(status=200), Outcome("bad_status", 500), Outcome("bad_status", 410, is_gone=True)

Answer = Callable[[str, str], Awaitable[Outcome]]


class Wire:
    """A sender that notes what is sent, and gives what it is told to for a URL and a name."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self.sent: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.at_once = self.most_at_once = 0
        self.is_closed = False

    @property
    def names(self) -> list[str]:
        return [name for _, name, _, _ in self.sent]

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        name = json.loads(body)["data"]["name"]
        self.sent.append((url, name, headers, body))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return OK if self.answer is None else await self.answer(url, name)
        finally:
            self.at_once -= 1

    async def close(self) -> None:
        self.is_closed = True


def failing(times: int, outcome: Outcome = BAD) -> Answer:
    """The first so many attempts fail."""
    left = [times]

    async def answer(_url: str, _name: str) -> Outcome:
        left[0] -= 1
        return outcome if left[0] >= 0 else OK

    return answer


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WEBHOOK_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(limits, "WEBHOOK_POLL_SECONDS", 0.02)


@asynccontextmanager
async def at_work(*workers: Webhooks) -> AsyncIterator[None]:
    """Their background work runs inside."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        for worker in workers:
            await worker.release()


async def made(store: Any, tenant_id: Uid, url: str = URL, secret: str | None = None) -> Webhook:
    webhook, _ = await Webhooks(store, None, "instance").create(tenant_id, url, [DELETION_DONE], secret)
    return webhook


async def tell(store: Any, tenant_id: Uid, *names: str) -> None:
    for name in names:
        await store.webhooks.enqueue(tenant_id, DELETION_DONE, json.dumps({"name": name}))


async def told(store: Any, webhook: Webhook) -> list[Delivery]:
    found: list[Delivery] = await store.webhooks.deliveries(webhook.tenant_id, webhook.id, None, 1_000)
    return found[::-1]


def all_are(store: Any, webhook: Webhook, *states: str) -> Callable[[], Awaitable[bool]]:
    async def are() -> bool:
        return tuple(delivery.state for delivery in await told(store, webhook)) == states

    return are


async def test_what_is_sent_is_signed_for_the_published_library(store: SqliteStore) -> None:
    tenant, wire = await new_tenant(store), Wire()
    webhooks = Webhooks(store, wire, "instance")
    webhook, secret = await webhooks.create(tenant, URL, [DELETION_DONE])
    await tell(store, tenant, "ü")
    async with at_work(webhooks):
        await until(all_are(store, webhook, DELIVERED), "it is delivered")
    ((url, _, headers, body),) = wire.sent
    (delivery,) = await told(store, webhook)
    assert (url, headers["webhook-id"], body.decode()) == (URL, event_id(delivery.id), delivery.body)
    assert Verifier(secret).verify(body, dict(headers))["data"] == {"name": "ü"}


async def test_a_first_one_that_fails_comes_again_before_the_others(store: SqliteStore) -> None:
    tenant, wire = await new_tenant(store), Wire(failing(3))
    webhook = await made(store, tenant)
    await tell(store, tenant, "1", "2", "3")
    async with at_work(Webhooks(store, wire, "instance")):
        await until(all_are(store, webhook, DELIVERED, DELIVERED, DELIVERED), "all are delivered")
    assert wire.names == ["1", "1", "1", "1", "2", "3"]
    assert len({headers["webhook-id"] for _, name, headers, _ in wire.sent if name == "1"}) == 1
    assert [delivery.attempts for delivery in await told(store, webhook)] == [4, 1, 1]


async def test_one_that_never_succeeds_is_given_up_and_can_be_sent_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WEBHOOK_GIVE_UP_SECONDS", 0.05)
    tenant, wire = await new_tenant(store), Wire(failing(10_000))
    webhooks = Webhooks(store, wire, "instance")
    webhook = await made(store, tenant)
    await tell(store, tenant, "1", "2")
    async with at_work(webhooks):
        await until(all_are(store, webhook, FAILED, FAILED), "both are given up")
        first, second = await told(store, webhook)
        assert min(first.attempts, second.attempts) >= 1
        assert (first.last_error, first.last_status) == ("bad_status", 500)
        wire.answer = None
        await webhooks.resend(tenant, webhook.id, first.id)
        await until(all_are(store, webhook, DELIVERED, FAILED), "the first is delivered")
    assert wire.sent[-1][2]["webhook-id"] == event_id(first.id)


async def test_a_slow_webhook_holds_up_no_other(store: SqliteStore) -> None:
    tenant, other = await new_tenant(store), await new_tenant(store)
    never = asyncio.Event()

    async def answer(url: str, _name: str) -> Outcome:
        if url.endswith("slow"):
            await never.wait()
        return OK

    slow, quick = await made(store, tenant, f"{URL}/slow"), await made(store, tenant)
    foreign = await made(store, other)
    await tell(store, tenant, "1", "2")
    await tell(store, other, "1", "2")
    wire = Wire(answer)
    async with at_work(Webhooks(store, wire, "instance")):
        for webhook in (quick, foreign):
            await until(all_are(store, webhook, DELIVERED, DELIVERED), "the others are delivered")
        assert [url for url, *_ in wire.sent].count(f"{URL}/slow") == 1
        assert [one.state for one in await told(store, slow)] == [WAITING, WAITING]


async def test_so_many_are_sent_at_once_and_no_more(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WEBHOOKS_AT_ONCE", 3)
    tenant, gate = await new_tenant(store), asyncio.Event()

    async def answer(_url: str, _name: str) -> Outcome:
        await gate.wait()
        return OK

    hooks = [await made(store, tenant) for _ in range(7)]
    await tell(store, tenant, "1")
    wire = Wire(answer)
    async with at_work(Webhooks(store, wire, "instance")):

        async def is_full() -> bool:
            return wire.at_once == 3

        await until(is_full, "three are under way")
        gate.set()
        for webhook in hooks:
            await until(all_are(store, webhook, DELIVERED), "all are delivered")
    assert wire.most_at_once == 3


async def test_who_is_gone_is_told_nothing_more(store: SqliteStore) -> None:
    tenant, wire = await new_tenant(store), Wire(failing(1, GONE))
    webhooks = Webhooks(store, wire, "instance")
    webhook = await made(store, tenant)
    await tell(store, tenant, "1", "2", "3")
    async with at_work(webhooks):
        await until(all_are(store, webhook, FAILED, FAILED, FAILED), "all are given up")
        assert wire.names == ["1"]
        assert [one.last_error for one in await told(store, webhook)] == ["bad_status", "disabled", "disabled"]
        assert (await webhooks.get(tenant, webhook.id)).disabled_at is not None
        await webhooks.resend(tenant, webhook.id, (await told(store, webhook))[1].id)
        await until(all_are(store, webhook, FAILED, DELIVERED, FAILED), "the second is delivered")
        assert (await webhooks.get(tenant, webhook.id)).disabled_at is None


async def test_another_instances_secret_never_signs(store: SqliteStore) -> None:
    tenant, wire = await new_tenant(store), Wire()
    webhook = await made(store, tenant)
    await tell(store, tenant, "1")
    async with at_work(Webhooks(store, wire, "another")):

        async def was_tried() -> bool:
            return (await told(store, webhook))[0].last_error == "secret_unknown"

        await until(was_tried, "it was tried")
        assert wire.sent == []
    async with at_work(Webhooks(store, wire, "instance")):
        await until(all_are(store, webhook, DELIVERED), "who knows it delivers it")


async def test_several_processes_share_the_work_and_keep_the_order(store: SqliteStore) -> None:
    tenant = await new_tenant(store)
    hooks = [await made(store, tenant, f"{URL}/{n}") for n in range(4)]
    await tell(store, tenant, *"123456")
    wires = [Wire(failing(2)) for _ in range(3)]
    async with at_work(*(Webhooks(store, wire, "instance") for wire in wires)):
        for webhook in hooks:
            await until(all_are(store, webhook, *[DELIVERED] * 6), "all are delivered")
    for webhook in hooks:
        assert [one.attempts for one in await told(store, webhook)][1:].count(1) >= 1
    assert sum(len(wire.sent) for wire in wires) == 4 * 6 + 6, "nothing twice but what failed"


async def test_what_cannot_be_noted_is_sent_again_under_the_same_id(
    watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WEBHOOK_LEASE_SECONDS", 0.05)
    tenant, wire = await new_tenant(watched), Wire()
    webhook = await made(watched, tenant)
    await tell(watched, tenant, "1", "2")
    failures = [StoreUnavailable(), NotFound()]

    async def refuse(*_: object) -> None:
        if failures:
            raise failures.pop()

    watched.before["webhooks.settle"] = refuse
    async with at_work(Webhooks(watched, wire, "instance")):
        await until(all_are(watched, webhook, DELIVERED, DELIVERED), "both are delivered")
    assert wire.names == ["1", "1", "1", "2"]
    assert len({headers["webhook-id"] for _, _, headers, _ in wire.sent}) == 2


async def test_a_sender_that_breaks_is_an_attempt_that_failed(store: SqliteStore) -> None:
    tenant, left = await new_tenant(store), [1]

    async def answer(_url: str, _name: str) -> Outcome:
        if left.pop() if left else 0:
            raise RuntimeError
        return OK

    webhook = await made(store, tenant)
    await tell(store, tenant, "1")
    async with at_work(Webhooks(store, Wire(answer), "instance")):
        await until(all_are(store, webhook, DELIVERED), "it is delivered")
    assert (await told(store, webhook))[0].attempts == 2


async def test_a_process_that_ends_gives_back_what_it_was_sending(store: SqliteStore) -> None:
    tenant, never = await new_tenant(store), asyncio.Event()

    async def answer(_url: str, _name: str) -> Outcome:
        await never.wait()
        return OK

    webhook, wire = await made(store, tenant), Wire(answer)
    await tell(store, tenant, "1")
    ending = Webhooks(store, wire, "instance")
    async with at_work(ending):

        async def is_sending() -> bool:
            return wire.at_once == 1

        await until(is_sending, "it is being sent")
    assert (wire.at_once, wire.is_closed) == (0, True)
    async with at_work(Webhooks(store, wire := Wire(), "instance")):
        await until(all_are(store, webhook, DELIVERED), "another delivers it")
    assert (await told(store, webhook))[0].attempts == 1


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "ftp://example.com/", "http://", "https:///x", "http://u:p@example.com/", "http://@example.com",
        "http://example.com:0/", "http://example.com:65536/", "http://example.com:x/", "http://[::1", "http://a b/",
        "http://example.com/#f", "http://example.com/\n", "http://ex\u00e4mple.com/", "http://example.com\\@evil/",
        "http://example.com/" + "a" * limits.WEBHOOK_URL_CHARACTERS,
    ],
)  # fmt: skip
async def test_what_is_no_address_is_refused(store: SqliteStore, url: str) -> None:
    tenant = await new_tenant(store)
    with pytest.raises(InvalidInput) as refused:
        await made(store, tenant, url)
    assert refused.value.field == "url"
    assert await store.webhooks.list(tenant) == []


async def test_what_else_is_refused(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, webhooks = await new_tenant(store), Webhooks(store, None, "instance")
    for events in ([], ["deletion"], [DELETION_DONE, "x"]):
        with pytest.raises(InvalidInput) as refused:
            await webhooks.create(tenant, URL, events)
        assert refused.value.field == "events"
    with pytest.raises(InvalidInput) as refused:
        await webhooks.create(tenant, URL, [DELETION_DONE], "whsec_short")
    assert refused.value.field == "secret"
    monkeypatch.setattr(limits, "WEBHOOKS_PER_TENANT", 1)
    await made(store, tenant)
    with pytest.raises(LimitExceeded):
        await made(store, tenant)
    for call in (webhooks.get(tenant, new_uid7()), webhooks.deliveries(tenant, new_uid7(), None, 1)):
        with pytest.raises(NotFound):
            await call


def test_the_wait_doubles_up_to_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WEBHOOK_RETRY_SECONDS", 5)
    for attempts, ceiling in ((1, 5), (2, 10), (5, 80), (11, 3_600), (5_000, 3_600)):
        waits = [backoff_seconds(attempts) for _ in range(200)]
        assert ceiling / 2 <= min(waits) < max(waits) <= ceiling
