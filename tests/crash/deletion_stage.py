"""A deletion of a world on any store, and what must hold of it whoever was killed on the way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from antiphon.core.deletion.engine import Deletions, Target
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.deletion.verify import Verification
from antiphon.core.deletion.worker import Worker
from antiphon.core.ports import Store
from antiphon.core.ports.embeddings import Said
from antiphon.domain import limits
from antiphon.domain.deletions import CANCEL, DONE, ERASED, REMOVED, Deletion, Order
from antiphon.domain.errors import ChatNotFound, NotFound, TenantNotFound
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.imports import Batch
from antiphon.domain.messages import USER, Draft
from antiphon.sandbox.directories import Directories
from antiphon.signing.ed25519 import verify_signature
from antiphon.stores.contract.imports import HEAD
from tests.crash.deletion_view import ABSENT, SHRINKING, WORDS, View, kept_of, view_of
from tests.crash.deletion_world import NODE, OF_IMPORT, World
from tests.receipts import receipts_of

PATIENCE_SECONDS = 60
ELSEWHERE = "bens: "
_MOVED = ("updated_at", "touched_at")
_OF_ITS_SESSION = {
    f"{label}: {what}"
    for label in ("more", "least")
    for what in (
        *("session", "members", "places", "sandbox", "siblings", "session surveyed"),
        *("ann is member", "ben is member", "assistant is member"),
    )
}
"""What goes on to be there when chats are deleted of which none is the last of its session."""

Look = Callable[[Store, World], Awaitable[View]]
"""How a world is looked at."""


class Ground(msgspec.Struct):
    """The worlds that a deletion meets: the one in which something is deleted, and one in which nothing is.

    `stages` are the views of the former before anything, and after each of the targets' detaches.
    """

    world: World
    other: World
    stages: list[View]
    other_before: View
    done: View = {}
    kept: dict[str, bool] = {}
    """Which of the kept answers there are in the end."""


class Stage:
    """One process's hold of a store and a directory: the receipts, and the verbs over them."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.store = store
        self._sandboxes = Directories(folder / "sandboxes")
        self.receipts: Receipts = receipts_of(store, folder)
        self._worker = Worker(store, self.receipts, remove_files=self._remove_files)
        self._deletions = Deletions(store, lambda *_: None, self._worker.wake)

    async def _remove_files(self, tenant_id: Uid, session_key: Uid, _: str) -> int:
        return await asyncio.to_thread(self._sandboxes.remove, tenant_id, session_key)

    async def delete(self, world: World, kind: str, target_id: str) -> None:
        """The request."""
        await self._deletions.delete(world.tenant_id, Target(kind, target_id), Order(CANCEL))

    async def planned(self, world: World, target: str) -> Counter[str]:
        """How many rows of each table the plan says will go."""
        found = Counter[str]()
        for kind, target_id in world.targets(target):
            (survey,) = (await self._deletions.plan(world.tenant_id, [Target(kind, target_id)])).surveys
            found.update(survey.counts)
        found["messages"] += found.pop("messages_elsewhere", 0)
        del found["chats_elsewhere"]  # those stay
        return found

    async def run(self, world: World, target: str) -> None:
        """All that a process does: start, the requests, and the work to the end."""
        await self.receipts.start()
        for kind, target_id in world.targets(target):
            await self.delete(world, kind, target_id)
        await self.work_to_the_end(world)

    async def work_until(self, world: World, state: str) -> None:
        """Until the one deletion is in that state."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while (job := (await self.jobs(world))[0]).state != state:
            assert time.monotonic() < ends, f"not {state} in {PATIENCE_SECONDS} s: {job}"
            await self._worker.run_once()

    async def jobs(self, world: World) -> list[Deletion]:
        """All deletions of the tenant, oldest first."""
        return (await self.store.deletions.list(world.tenant_id, [], None, 100, None))[::-1]

    async def work_to_the_end(self, world: World) -> None:
        """Until every deletion is done."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while any(job.state != DONE for job in await self.jobs(world)):
            assert time.monotonic() < ends, f"not done in {PATIENCE_SECONDS} s: {await self.jobs(world)}"
            await self._worker.run_once()


def shorten(rows: int = 6) -> None:
    """Steps of so many rows, so that there are many, and no waiting for anything."""
    limits.PURGE_ROWS = limits.PURGE_ROWS_POSTGRES = rows
    limits.PURGE_ROWS_MIN = limits.SILENCE_ROWS = min(rows, 4) if rows < 10 else rows
    limits.SCRUB_GATHER_SECONDS = 0
    limits.JOB_POLL_SECONDS = limits.JOB_BLOCKED_SECONDS = 0
    limits.PURGE_ROUNDS = 2
    limits.WEBHOOK_FAREWELL_SECONDS = 0  # nobody sends anything here


def furnish(folder: Path, *worlds: World) -> None:
    """Put a file into the sandbox of each."""
    for world in worlds:
        home = Directories(folder / "sandboxes").make(world.tenant_id, world.sandboxed, None)
        (home / "notes").write_text("a note")


async def rehearse(stage: Stage, ground: Ground, target: str, fault: Any) -> Ground:
    """The deletion without a kill: how the world looks after each detach and in the end."""
    world, store = ground.world, stage.store
    planned = await stage.planned(world, target)
    fault.arm()
    await stage.receipts.start()
    for kind, target_id in world.targets(target):
        await stage.delete(world, kind, target_id)
        fault.arm(is_armed=False)
        ground.stages.append(await view_of(store, world))
        fault.arm()
    await stage.work_to_the_end(world)
    fault.arm(is_armed=False)
    ground.done, ground.kept = await view_of(store, world), await kept_of(store, world)
    check_rehearsal(ground, target, await view_of(store, ground.other))
    removed = sum((Counter(job.counts) for job in await stage.jobs(world)), Counter[str]())
    removed.subtract(OF_IMPORT if target in ("participant", "tenant") else {})
    differs = {table: (removed[table], count) for table, count in planned.items() if removed[table] != count}
    assert not differs, f"what went is not what was planned: {differs}"
    return ground


async def go_on(folder: Path, stage: Stage, ground: Ground, target: str, look: Look = view_of) -> None:
    """The next process, the leases of the dead one being over. Raises AssertionError for anything that is not right."""
    world, store = ground.world, stage.store
    gone = check_whole(await look(store, world), ground, target)
    assert len(await stage.jobs(world)) == gone, "a deletion is there as soon as its target is not"
    await stage.receipts.start()
    for kind, target_id in world.targets(target)[gone:]:
        await stage.delete(world, kind, target_id)
    await check_late_writers(store, world, target)
    await stage.work_to_the_end(world)
    await check_end(folder, stage, ground, target, look)


async def check_end(folder: Path, stage: Stage, ground: Ground, target: str, look: Look = view_of) -> None:
    """Nothing is left, the rest is as it was, and there is one proof of it."""
    world, store = ground.world, stage.store
    assert shown(await look(store, world)) == shown(ground.done), "what is left is not what should be"
    assert await kept_of(store, world) == ground.kept, "an answer is kept that tells of what is gone, or another is not"
    await check_proof(folder, stage, world, target)
    if target in ("session", "participant", "tenant"):
        home = Directories(folder / "sandboxes")
        assert home.all() == [(ground.other.tenant_id, ground.other.sandboxed)], "files of a sandbox are left"


async def check_store(store: Store) -> None:
    """No row hangs on nothing, and the database is sound."""
    assert set((await store.orphans()).values()) == {0}, await store.orphans()
    assert await store.check_integrity() == []


def shown(view: View) -> View:
    """A view without the one moment that a deletion moves: when a session that goes on was last changed."""
    return {name: _without_moment(answer) for name, answer in view.items()}


def _without_moment(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_moment(inner) for name, inner in value.items() if name not in _MOVED}
    return [_without_moment(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def check_rehearsal(ground: Ground, target: str, other: View) -> None:
    """Nothing of a target is shown from the detach on, and the purge changes nothing that can be seen."""
    touched = {name: (other[name], before) for name, before in ground.other_before.items() if other[name] != before}
    assert not touched, f"another tenant was touched: {touched}"
    if target == "participant":
        left = {name: answer for name, answer in ground.done.items() if b'"ann"' in msgspec.json.encode(answer)}
        assert not left, f"shown in the end: {left}"
    doomed = tuple(f"{place.label}: " for place in ground.world.doomed(target))
    detached = ground.stages[-1]
    left = {name: answer for name, answer in detached.items() if target == "tenant" or name.startswith(doomed)}
    left = {name: answer for name, answer in left.items() if not is_nothing(answer)}
    if target in ("chat", "chats"):
        left = {name: answer for name, answer in left.items() if name not in _OF_ITS_SESSION}
    assert not left, f"shown after the detach: {left}"
    if target != "participant":
        assert shown(detached) == shown(ground.done)


def is_nothing(answer: Any) -> bool:
    """Whether an answer shows that something is not there."""
    return answer in (ABSENT, None, False, [], [[], 0], {"items": [], "total": 0})


def check_whole(found: View, ground: Ground, target: str) -> int:
    """How many of the targets are gone, each whole or not at all. Only a participant's words elsewhere go in bits."""
    view, stages = shown(found), [shown(stage) for stage in ground.stages]
    if view in stages[:-1]:
        return stages.index(view)
    loose = {name for name in view if name.startswith((ELSEWHERE, WORDS)) or name.endswith(SHRINKING)}
    if target != "participant":
        loose = set()
    detached = stages[-1]
    half = {name: (view[name], detached[name]) for name in view if name not in loose and view[name] != detached[name]}
    assert not half, f"half visible: {half}"
    if loose:
        check_shrinking(found, ground)
    return len(stages) - 1


def check_shrinking(view: View, ground: Ground) -> None:
    """What others said stays, what is left of hers was there before, and the numbers fit."""
    items, before = view["bens: page"]["items"], ground.stages[0]["bens: page"]["items"]
    assert [item for item in before if item in items] == items
    assert [item for item in items if item["author"] != "ann"] == [item for item in before if item["author"] != "ann"]
    assert view["bens: page"]["total"] == len(items) == view["bens: chat"]["message_count"]
    for name in (name for name in view if name.startswith(WORDS)):
        assert all(item in ground.stages[0][name] for item in view[name] or ()), f"something new in {name}"


async def check_late_writers(store: Store, world: World, target: str) -> None:
    """Nobody who knew a chat from before can write to it."""
    tenant_id, late = world.tenant_id, new_uid7()
    for place in world.doomed(target):
        with suppress(ChatNotFound):
            await store.messages.append(tenant_id, place.key, [Draft("ben", USER, "late")])
            raise AssertionError(f"a late message was taken in {place.label}")
        said = len(place.messages)
        assert await store.search.advance(tenant_id, place.key, said - 1, said) == said - 1, "its words were indexed"
        vectors = [(Said(said, f"{place.label} answer"), b"")]
        assert not await store.vectors.keep(tenant_id, place.key, said - 1, said, "model", vectors)
        with suppress(TenantNotFound):
            await store.idempotency.claim(tenant_id, late, b"asked", NODE, PATIENCE_SECONDS)
            assert not await store.idempotency.keep(
                tenant_id, late, NODE, b"told", Subject(place.key), PATIENCE_SECONDS
            )
            await store.idempotency.release(tenant_id, late, NODE)
    if target in ("participant", "tenant"):
        with suppress(NotFound):
            step = Batch(30)
            await store.imports.write(tenant_id, world.imported, NODE, HEAD.cursor, step, PATIENCE_SECONDS)
            raise AssertionError("an import went on that names somebody who is gone")


async def check_proof(folder: Path, stage: Stage, world: World, target: str) -> None:
    """One receipt of each deletion, a sound chain, and the same in the file beside the database."""
    jobs = await stage.jobs(world)
    assert len(jobs) == len(world.targets(target))
    receipts = await stage.receipts.list(world.tenant_id, 0, 100)
    assert sorted(receipt.id for receipt in receipts) == sorted(job.receipt_id or b"" for job in jobs)
    bytes_state = ERASED if stage.store.kind == "sqlite" else REMOVED
    for job in jobs:
        assert (job.state, job.bytes, job.target_id, job.last_error) == (DONE, bytes_state, None, None)
    verdict = await stage.receipts.verify(world.tenant_id)
    assert verdict.ok, verdict
    filed = Verification({key.kid: key.public_key for key in await stage.receipts.keys()}, verify_signature)
    lines = [line for file in (folder / "receipts").glob("*.jsonl") for line in file.read_bytes().splitlines(True)]
    for number, line in enumerate(lines):
        filed.read("file", number, line)
    expected = [receipt.body.encode() + b"\n" for receipt in receipts]
    assert (filed.verdict().first_error, lines) == (None, expected)
