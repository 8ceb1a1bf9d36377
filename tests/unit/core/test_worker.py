"""The worker: a deletion may be late and says why, but always ends, and none stands in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.deletion import worker as module
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.deletion.worker import Worker, backoff_seconds
from antiphon.core.ports import Lease, Slice
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import AFTER, CANCEL, DONE, PURGING, SCRUBBING, WAITING, Deletion, Order
from antiphon.domain.errors import NotFound, StoreFailed, StoreUnavailable
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.sessions import MULTI, Session
from antiphon.stores.contract.worlds import add_chat, connect, detach, new_chats, new_tenant, say_many, until
from tests.receipts import receipts_of


@pytest.fixture(autouse=True)
def delays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Short waits; the numbers of failures for which a delay was asked."""
    asked: list[int] = []

    def short(failures: int) -> float:
        asked.append(failures)
        return 0.001

    monkeypatch.setattr(module, "backoff_seconds", short)
    monkeypatch.setattr(limits, "JOB_POLL_SECONDS", 0.005)
    monkeypatch.setattr(limits, "SCRUB_GATHER_SECONDS", 0)
    return asked


@pytest.fixture
def receipts(watched: Any, tmp_path: Path) -> Receipts:
    """Real receipts over the watched store."""
    return receipts_of(watched, tmp_path)


@asynccontextmanager
async def working(store: Any, receipts: Receipts) -> AsyncIterator[Worker]:
    """A worker at work while inside."""
    worker = Worker(store, receipts)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
        assert not task.done(), "the worker broke off"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def new_jobs(store: Any, count: int, messages: int = 0) -> tuple[Uid, list[Deletion]]:
    """A tenant with that many deletions of chats of so many messages."""
    tenant = await new_tenant(store)
    _, chats = await new_chats(store, tenant, count + 1)
    for chat in chats[:count]:
        await say_many(store, tenant, chat, messages)
    return tenant, [await detach(store, tenant, chat) for chat in chats[:count]]


async def wait_for(store: Any, *jobs: Deletion) -> list[Deletion]:
    """Those deletions, once all are done."""

    async def are_done() -> bool:
        return all([(await now(store, job)).state == DONE for job in jobs])

    await until(are_done, "the deletions were done")
    return [await now(store, job) for job in jobs]


async def now(store: Any, job: Deletion) -> Deletion:
    """The deletion as it is."""
    found: Deletion | None = await store.deletions.find(job.tenant_id, job.id)
    assert found is not None
    return found


def only(deletion_id: Uid, error: Exception) -> Callable[..., Any]:
    """A disturbance of the steps of one deletion."""

    async def disturb(lease: Lease, *_: object) -> None:
        if lease.deletion_id == deletion_id:
            raise error

    return disturb


async def test_deletions_of_all_tenants_are_carried_out(watched: Any, receipts: Receipts) -> None:
    jobs = [job for _ in range(3) for job in (await new_jobs(watched, 2, 7))[1]]
    async with working(watched, receipts):
        done = await wait_for(watched, *jobs)
    assert [job.counts["messages"] for job in done] == [7] * 6
    assert await watched.deletions.pending() == (0, 0)


@pytest.mark.parametrize("error", [StoreUnavailable(), StoreFailed()])
async def test_a_step_that_fails_is_tried_again_until_it_does_not(
    watched: Any, receipts: Receipts, delays: list[int], error: Exception
) -> None:
    _, (job,) = await new_jobs(watched, 1, 5)
    watched.fail("deletions.step", error, times=4)
    async with working(watched, receipts):
        (done,) = await wait_for(watched, job)
    assert (done.attempts, done.last_error, done.counts["messages"]) == (4, None, 5)
    assert delays == [1, 2, 3, 4]


async def test_a_success_begins_the_count_anew(
    watched: Any, receipts: Receipts, delays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PURGE_ROWS", 5)
    monkeypatch.setattr(limits, "PURGE_ROUNDS", 1)
    monkeypatch.setattr(limits, "PURGE_ROWS_MIN", 1)
    _, (job,) = await new_jobs(watched, 1, 20)
    calls = 0

    async def every_third(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise StoreUnavailable

    watched.before["deletions.step"] = every_third
    async with working(watched, receipts):
        await wait_for(watched, job)
    assert len(delays) >= 2
    assert set(delays) == {1}


@pytest.mark.parametrize("error", [StoreFailed(), RuntimeError("a mistake of ours, with words in it")])
async def test_a_job_that_always_fails_stops_no_other(watched: Any, receipts: Receipts, error: Exception) -> None:
    tenant, (poison, *others) = await new_jobs(watched, 3, 5)
    _, elsewhere = await new_jobs(watched, 2, 5)
    watched.before["deletions.step"] = only(poison.id, error)
    async with working(watched, receipts) as worker:
        await wait_for(watched, *others, *elsewhere)
        late_tenant, late = await new_jobs(watched, 1, 5)
        worker.wake()
        await wait_for(watched, *late)

        async def has_failed_often() -> bool:
            return (await now(watched, poison)).attempts >= 3

        await until(has_failed_often, "it had failed three times")
        stuck = await now(watched, poison)
        assert stuck.state == PURGING
        assert stuck.last_error in {"store_failed", "unforeseen"}
        watched.before.clear()
        await wait_for(watched, poison)
    assert late_tenant != tenant


async def test_a_scan_that_fails_does_not_stop_what_is_known(watched: Any, receipts: Receipts) -> None:
    tenant, (first,) = await new_jobs(watched, 1)
    async with working(watched, receipts):
        await wait_for(watched, first)
    chats = await more_chats(watched, tenant)
    worker = Worker(watched, receipts)
    second = await detach(watched, tenant, chats[0])
    await worker._take()  # it knows the tenant now, and holds the job
    third = await detach(watched, tenant, chats[1])
    watched.fail("deletions.due", StoreUnavailable())
    while await worker.run_once():
        pass
    await worker.run_once()
    assert [(await now(watched, job)).state for job in (second, third)] == [DONE, DONE]


async def more_chats(store: Any, tenant: Uid) -> list[Chat]:
    """Three more chats of a tenant's session."""
    session: Session = (await store.sessions.list(tenant, MULTI, Slice(0, 1)))[0][0]
    return [(await add_chat(store, tenant, session, f"more {i}"))[0] for i in range(3)]


async def test_a_tenant_that_cannot_be_asked_stops_no_other(watched: Any, receipts: Receipts) -> None:
    down, (stuck,) = await new_jobs(watched, 1)
    _, others = await new_jobs(watched, 2)

    async def refuse(tenant_id: Uid, *_: object) -> None:
        if tenant_id == down:
            raise StoreUnavailable

    watched.before["deletions.claim"] = refuse
    async with working(watched, receipts):
        await wait_for(watched, *others)
        assert (await now(watched, stuck)).state == PURGING
        watched.before.clear()
        await wait_for(watched, stuck)


async def test_a_store_that_is_away_altogether_is_asked_again(
    watched: Any, receipts: Receipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOB_LEASE_SECONDS", 0.05)
    _, (job,) = await new_jobs(watched, 1)
    for name in ("due", "claim", "step", "postpone"):
        watched.fail(f"deletions.{name}", StoreUnavailable(), times=5)
    async with working(watched, receipts):
        (done,) = await wait_for(watched, job)
    assert done.attempts == 0, "no note of a failure could be made"
    assert watched.count("deletions.postpone") == 5


async def test_a_lost_lease_is_no_failure(
    watched: Any, receipts: Receipts, delays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOB_LEASE_SECONDS", 0.05)
    _, (job, other) = await new_jobs(watched, 2)
    left = 1

    async def lose(lease: Lease, *_: object) -> None:
        nonlocal left
        if lease.deletion_id == job.id and left:
            left -= 1
            raise NotFound

    watched.before["deletions.step"] = lose
    async with working(watched, receipts):
        done = await wait_for(watched, job, other)
    assert [found.attempts for found in done] == [0, 0]
    assert delays == []


async def test_waking_saves_the_wait_for_the_next_poll(
    watched: Any, receipts: Receipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOB_POLL_SECONDS", 3_600)
    async with working(watched, receipts) as worker:

        async def has_looked() -> bool:
            return bool(watched.count("deletions.due"))

        await until(has_looked, "it had looked once")
        _, (job,) = await new_jobs(watched, 1)
        worker.wake()
        await wait_for(watched, job)


async def test_what_is_held_at_once_is_bounded_and_goes_on_in_turn(
    watched: Any, receipts: Receipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOBS_HELD", 2)
    monkeypatch.setattr(limits, "JOB_POLL_SECONDS", 3_600)
    monkeypatch.setattr(limits, "PURGE_ROWS", 5)
    monkeypatch.setattr(limits, "PURGE_ROUNDS", 1)
    monkeypatch.setattr(limits, "PURGE_ROWS_MIN", 1)
    jobs = [job for _ in range(4) for job in (await new_jobs(watched, 2, 30))[1]]
    steps: list[Uid] = []
    held: list[int] = []

    async def note(lease: Lease, *_: object) -> None:
        steps.append(lease.deletion_id)
        held.append(len(worker._purging))

    watched.before["deletions.step"] = note
    worker = Worker(watched, receipts)
    while await worker.run_once():
        pass
    assert {(await now(watched, job)).state for job in jobs} == {DONE}, "what found no room was taken without a wait"
    assert max(held) == 2
    assert set(steps[:2]) == {jobs[0].id, jobs[2].id}, "the two tenants that had waited longest"
    assert steps[:6] == steps[:2] * 3


async def test_a_job_goes_on_in_the_next_process(
    watched: Any, receipts: Receipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PURGE_ROWS", 5)
    monkeypatch.setattr(limits, "PURGE_ROUNDS", 1)
    monkeypatch.setattr(limits, "PURGE_ROWS_MIN", 1)
    monkeypatch.setattr(limits, "JOB_LEASE_SECONDS", 0.05)
    _, (job,) = await new_jobs(watched, 1, 30)
    dead = Worker(watched, receipts)
    await dead.run_once()
    assert (await now(watched, job)).counts == {"messages": 5}
    async with working(watched, receipts):
        (done,) = await wait_for(watched, job)
    assert (done.counts["messages"], done.attempts) == (30, 0)
    await dead.run_once()
    assert dead._purging == []


async def new_scrubs(store: Any, count: int) -> tuple[Uid, list[Deletion]]:
    """A tenant with that many deletions of which only bytes are left."""
    tenant = await new_tenant(store)
    _, chats = await new_chats(store, tenant, count + 1)
    order = Order(CANCEL, inline_messages=10)
    return tenant, [(await store.deletions.detach_chat(tenant, chat.key, order)).deletion for chat in chats[:count]]


async def test_one_scrub_serves_many(watched: Any, receipts: Receipts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCRUB_GATHER_SECONDS", 3_600)
    worker = Worker(watched, receipts)
    tenant, scrubs = await new_scrubs(watched, 3)
    other, purges = await new_jobs(watched, 2, 5)
    while await worker.run_once():
        pass
    assert {(await now(watched, job)).state for job in (*scrubs, *purges)} == {SCRUBBING}
    assert watched.count("scrub") == 0, "it waits for more"
    worker._scrub_at = 0.0
    await worker.run_once()
    assert watched.count("scrub") == 1
    assert [(await now(watched, job)).state for job in (*scrubs, *purges)] == [DONE] * 5
    assert [len(await watched.receipts.list(each, 0, 10)) for each in (tenant, other)] == [3, 2]


async def test_no_more_is_gathered_than_a_scrub_may_serve(
    watched: Any, receipts: Receipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCRUB_GATHER_SECONDS", 3_600)
    monkeypatch.setattr(limits, "SCRUBS_AT_ONCE", 2)
    worker = Worker(watched, receipts)
    jobs = (await new_scrubs(watched, 5))[1]
    done = []
    for _ in range(2):
        assert await worker.run_once(), "there is more to take"
        done.append([(await now(watched, job)).state for job in jobs].count(DONE))
    assert (done, watched.count("scrub")) == ([2, 4], 2)


@pytest.mark.parametrize("error", [StoreUnavailable(), RuntimeError("a mistake of ours")])
async def test_a_scrub_that_fails_is_tried_again(
    watched: Any, receipts: Receipts, delays: list[int], error: Exception
) -> None:
    tenant, jobs = await new_scrubs(watched, 2)
    watched.fail("scrub", error, times=3)
    async with working(watched, receipts):
        done = await wait_for(watched, *jobs)
    assert [(job.attempts >= 1, job.last_error, job.bytes) for job in done] == [(True, None, "erased")] * 2
    assert watched.count("scrub") >= 4
    assert len(delays) == sum(job.attempts for job in done)
    assert [receipt.sequence for receipt in await watched.receipts.list(tenant, 0, 10)] == [1, 2]


async def test_a_receipt_that_fails_is_tried_again(watched: Any, receipts: Receipts) -> None:
    tenant, (job,) = await new_scrubs(watched, 1)
    watched.fail("deletions.complete", StoreUnavailable(), times=2)
    async with working(watched, receipts):
        (done,) = await wait_for(watched, job)
    assert done.attempts == 2
    assert [receipt.id for receipt in await watched.receipts.list(tenant, 0, 10)] == [done.receipt_id]


async def test_a_lease_lost_before_the_receipt_makes_no_second_one(
    watched: Any, receipts: Receipts, delays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCRUB_GATHER_SECONDS", 3_600)
    tenant, (job,) = await new_scrubs(watched, 1)
    slow = Worker(watched, receipts)
    await slow.run_once()
    await watched.deletions.release(slow._node)  # as if its lease had run out
    monkeypatch.setattr(limits, "SCRUB_GATHER_SECONDS", 0)
    async with working(watched, receipts):
        (done,) = await wait_for(watched, job)
    slow._scrub_at = 0.0
    await slow.run_once()
    assert [receipt.id for receipt in await watched.receipts.list(tenant, 0, 10)] == [done.receipt_id]
    assert (await now(watched, job), delays, slow._scrubbing) == (done, [], [])


async def test_a_job_that_waits_is_looked_at_again_and_has_not_failed(
    watched: Any, receipts: Receipts, delays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOB_BLOCKED_SECONDS", 0.01)
    tenant = await new_tenant(watched)
    _, chats = await new_chats(watched, tenant, 3)
    socket = await connect(watched, tenant, chats[0], new_uid7())
    waiting = await detach(watched, tenant, chats[0], AFTER)
    async with working(watched, receipts) as worker:
        other = await detach(watched, tenant, chats[1])
        worker.wake()
        await wait_for(watched, other)

        async def has_been_asked_often() -> bool:
            return bool(watched.count("deletions.postpone") >= 3)

        await until(has_been_asked_often, "it had been looked at three times")
        assert (await now(watched, waiting)).state == WAITING
        await watched.connections.close(tenant, socket.id)
        (done,) = await wait_for(watched, waiting)
    assert (done.attempts, done.last_error, delays) == (0, None, [])


@given(st.integers(min_value=1, max_value=10_000))
def test_the_delay_doubles_up_to_its_cap(failures: int) -> None:
    ceiling = min(limits.JOB_BACKOFF_SECONDS, 0.25 * 2 ** min(failures - 1, 30))
    found = [backoff_seconds(failures) for _ in range(20)]
    assert all(ceiling / 2 <= delay <= ceiling for delay in found)
    assert len(set(found)) > 1, "no two workers may knock in step"


async def test_a_cancellation_that_comes_with_the_bell_is_not_swallowed(watched: Any, receipts: Receipts) -> None:
    worker = Worker(watched, receipts)
    work = asyncio.create_task(worker.run())
    while not worker._bell._waiters:  # noqa: ASYNC110  nobody tells that a worker has begun to wait
        await asyncio.sleep(0)
    worker.wake()
    await asyncio.sleep(0)  # the bell has rung, and the worker has not yet been told
    work.cancel()
    done, _ = await asyncio.wait([work], timeout=5)
    assert done == {work}


async def test_rows_go_while_others_are_scrubbed(
    watched: Any, receipts: Receipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrub may take longer than a lease: no deletion waits for it meanwhile, and its own jobs stay held."""
    monkeypatch.setattr(limits, "JOB_HEARTBEAT_SECONDS", 0.01)
    _, (slow,) = await new_scrubs(watched, 1)
    gate, is_there = asyncio.Event(), asyncio.Event()
    renewed: list[Uid] = []

    async def hold() -> None:
        is_there.set()
        await gate.wait()

    async def note(lease: Lease, *_: object) -> None:
        renewed.append(lease.deletion_id)

    async def is_kept() -> bool:
        return renewed.count(slow.id) >= 3

    watched.before |= {"scrub": hold, "deletions.step": note}
    async with working(watched, receipts):
        await is_there.wait()
        _, (late,) = await new_jobs(watched, 1, messages=200)

        async def is_purged() -> bool:
            return (await now(watched, late)).state == SCRUBBING

        await until(is_purged, "the rows of the late one were gone")
        await until(is_kept, "the lease of the slow one was renewed again and again")
        assert (await now(watched, slow)).state == SCRUBBING
        gate.set()
        await wait_for(watched, slow, late)
    assert (await now(watched, slow)).attempts == 0


async def test_a_scrub_rests_and_what_is_gathered_meanwhile_stays_held(
    watched: Any, receipts: Receipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOB_HEARTBEAT_SECONDS", 0.01)
    _, (first,) = await new_scrubs(watched, 1)
    async with working(watched, receipts) as worker:
        await wait_for(watched, first)
        worker._rests_until = float("inf")
        _, later = await new_scrubs(watched, 2)
        worker.wake()

        async def are_held() -> bool:
            return watched.count("deletions.step") >= 6

        await until(are_held, "the leases of both were renewed again and again")
        assert (watched.count("scrub"), len(worker._scrubbing)) == (1, 2)
        worker._rests_until = 0.0
        await wait_for(watched, *later)
    assert watched.count("scrub") == 2


async def test_nobody_rests_when_no_more_can_be_gathered(
    watched: Any, receipts: Receipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCRUBS_AT_ONCE", 2)
    _, jobs = await new_scrubs(watched, 2)
    async with working(watched, receipts) as worker:
        worker._rests_until = float("inf")
        await wait_for(watched, *jobs)


@pytest.mark.parametrize(("took", "rests"), [(0.5, 2.0), (1.0, 4.0), (30.0, 4.0)])
async def test_a_scrub_is_followed_by_a_rest(
    watched: Any, receipts: Receipts, monkeypatch: pytest.MonkeyPatch, took: float, rests: float
) -> None:
    clock = 100.0

    async def take_time() -> None:
        nonlocal clock
        clock += took

    watched.before["scrub"] = take_time
    worker = Worker(watched, receipts)
    await new_scrubs(watched, 1)
    await worker._take()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock))
    await worker._scrub()
    assert worker._rests_until == 100 + took + rests
