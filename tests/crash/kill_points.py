"""Deletions that are killed everywhere, or stand still: `python -m tests.crash.kill_points FOLDER TARGET [--pause]`.

One process is warmed, and forked for every kill point: it never opens a database itself. The fork of a point makes a
copy of the world, forks once more for the process that deletes and is killed before or after a statement or a file
operation, and then is the second process that opens the same directory, looks, and works on to the end.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec

from antiphon.core.deletion.engine import Deletions, Target
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.deletion.verify import Verification
from antiphon.core.deletion.worker import Worker
from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.deletions import CANCEL, DONE, ERASED, REMOVED, Deletion, Order
from antiphon.domain.errors import ChatNotFound, NotFound
from antiphon.domain.ids import Uid
from antiphon.domain.messages import USER, Draft
from antiphon.sandbox.directories import Directories
from antiphon.signing.ed25519 import verify_signature
from antiphon.stores.sqlite.store import SqliteStore
from tests.crash.deletion_world import ABSENT, View, World, make_world, view_of
from tests.receipts import receipts_of

AT_ONCE = 2
PATIENCE_SECONDS = 60
FILE_OPERATIONS = ("write", "fsync", "replace", "rename", "ftruncate", "unlink", "rmdir", "mkdir")
ELSEWHERE = "bens: "
_MOVED = ("updated_at", "touched_at")
_OF_ITS_SESSION = {
    f"more: {what}"
    for what in (
        *("session", "members", "sandbox", "siblings", "session surveyed"),
        *("ann is member", "ben is member", "assistant is member"),
    )
}
"""What goes on to be there when a chat is deleted that is not the last of its session."""

_EXECUTE = apsw.Connection.execute


class Outcome(msgspec.Struct):
    """How many points there are, how many a process came to, and what went wrong, by point."""

    points: int
    reached: int
    faults: dict[int, str]


class Fault:
    """The shim: counts what goes by once it is armed, and ends the process at one of them."""

    def __init__(self, deadly: int | None, how: signal.Signals = signal.SIGKILL) -> None:
        self._deadly = deadly
        self._how = how
        self._numbers = itertools.count(1)
        self.points = 0
        self._is_armed = False

    def arm(self, *, is_armed: bool = True) -> None:
        """From now on it counts, or does not."""
        self._is_armed = is_armed

    def _pass(self) -> None:
        if not self._is_armed:
            return
        self.points = number = next(self._numbers)
        if number == self._deadly:
            os.kill(os.getpid(), self._how)
            if self._how == signal.SIGKILL:
                threading.Event().wait()  # another thread may run on for a moment; this one does not

    def around(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        """The operation with a point before and one after it."""

        def call(*args: Any, **more: Any) -> Any:
            self._pass()
            result = operation(*args, **more)
            self._pass()
            return result

        return call

    def _execute(self, connection: apsw.Connection, statement: str, values: Any = None) -> Any:
        """After a statement is before the next one: only a commit, and what is one, has an end of its own."""
        self._pass()
        result = _EXECUTE(connection, statement, values)
        if statement == "COMMIT" or statement.startswith("PRAGMA"):
            self._pass()
        return result

    def install(self) -> None:
        """Put points around everything that this process does to files and databases."""
        fault = self

        class Connection(apsw.Connection):
            def execute(self, statements: str, bindings: Any = None, **_: Any) -> Any:
                return fault._execute(self, statements, bindings)

        setattr(apsw, "Connection", Connection)  # noqa: B010  it is no attribute that a module may be given
        for name in FILE_OPERATIONS:
            setattr(os, name, self.around(getattr(os, name)))


class Ground(msgspec.Struct):
    """The worlds in one directory: the one in which something is deleted, and one in which nothing is."""

    world: World
    other: World
    before: View
    other_before: View
    detached: View = {}
    done: View = {}


class Stage:
    """One process's hold of a directory: the store, the receipts and the verbs over them."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.store = store
        self._sandboxes = Directories(folder / "sandboxes")
        self.receipts: Receipts = receipts_of(store, folder)
        self._worker = Worker(store, self.receipts, remove_files=self._remove_files)
        self._deletions = Deletions(store, lambda *_: None, self._worker.wake)

    @classmethod
    async def enter(cls, folder: Path) -> Stage:
        """Open the store of a directory."""
        return cls(folder, await SqliteStore.open(folder / "data"))

    async def _remove_files(self, tenant_id: Uid, session_key: Uid, _: str) -> int:
        return await asyncio.to_thread(self._sandboxes.remove, tenant_id, session_key)

    async def delete(self, world: World, target: str) -> None:
        """The request."""
        await self._deletions.delete(world.tenant_id, Target(*world.target(target)), Order(CANCEL))

    async def jobs(self, world: World) -> list[Deletion]:
        """All deletions of the tenant."""
        return await self.store.deletions.list(world.tenant_id, [], None, 100, None)

    async def work_to_the_end(self, world: World) -> None:
        """Until every deletion is done."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while any(job.state != DONE for job in await self.jobs(world)):
            assert time.monotonic() < ends, f"not done in {PATIENCE_SECONDS} s: {await self.jobs(world)}"
            await self._worker.run_once()


def shorten() -> None:
    """Small steps, so that there are many, and no waiting for anything."""
    limits.PURGE_ROWS = 6
    limits.PURGE_ROWS_MIN = 4
    limits.SILENCE_ROWS = 4
    limits.SCRUB_GATHER_SECONDS = 0
    limits.JOB_POLL_SECONDS = 0


async def prepare(folder: Path) -> Ground:
    """Make the two worlds, with a file in a sandbox."""
    store = await SqliteStore.open(folder / "data")
    world, other = await make_world(store, "one"), await make_world(store, "other")
    for each in (world, other):
        home = Directories(folder / "sandboxes").make(each.tenant_id, each.sandboxed, None)
        (home / "notes").write_text("a note")
    ground = Ground(world, other, await view_of(store, world), await view_of(store, other))
    await store.close()
    return ground


async def rehearse(folder: Path, ground: Ground, target: str, fault: Fault) -> Ground:
    """The deletion without a kill: how the world looks after the detach and in the end."""
    stage = await Stage.enter(folder)
    fault.arm()
    await stage.receipts.start()
    await stage.delete(ground.world, target)
    fault.arm(is_armed=False)
    ground.detached = await view_of(stage.store, ground.world)
    fault.arm()
    await stage.work_to_the_end(ground.world)
    fault.arm(is_armed=False)
    ground.done = await view_of(stage.store, ground.world)
    check_rehearsal(ground, target, await view_of(stage.store, ground.other))
    await stage.store.close()
    return ground


async def delete_and_die(folder: Path, ground: Ground, target: str, fault: Fault) -> None:
    """The deletion, in a process that does not come to its end."""
    stage = await Stage.enter(folder)
    fault.arm()
    await stage.receipts.start()
    await stage.delete(ground.world, target)
    await stage.work_to_the_end(ground.world)


async def go_on(folder: Path, ground: Ground, target: str) -> None:
    """The next process. Raises AssertionError for anything that is not as it should be."""
    stage = await Stage.enter(folder)
    world, store = ground.world, stage.store
    is_gone = check_whole(await view_of(store, world), ground, target)
    let_leases_run_out(folder)
    jobs = await stage.jobs(world)
    assert len(jobs) == is_gone, "a deletion is there as soon as its target is not"
    await stage.receipts.start()
    if not is_gone:
        await stage.delete(world, target)
    await check_late_writers(store, world, target)
    await stage.work_to_the_end(world)
    await check_end(folder, stage, ground, target)
    await store.close()


async def check_end(folder: Path, stage: Stage, ground: Ground, target: str) -> None:
    """Nothing is left, the rest is as it was, and there is one proof of it."""
    world, store = ground.world, stage.store
    assert shown(await view_of(store, world)) == shown(ground.done), "what is left is not what should be"
    await check_proof(folder, stage, world)
    assert set((await store.orphans()).values()) == {0}, await store.orphans()
    assert await store.check_integrity() == []
    if target in ("session", "participant", "tenant"):
        home = Directories(folder / "sandboxes")
        assert home.all() == [(ground.other.tenant_id, ground.other.sandboxed)], "files of a sandbox are left"


def shown(view: View) -> View:
    """A view without the one moment that a deletion moves: when a session that goes on was last changed."""
    return {name: _without_moment(answer) for name, answer in view.items()}


def _without_moment(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_moment(inner) for name, inner in value.items() if name not in _MOVED}
    return [_without_moment(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def check_rehearsal(ground: Ground, target: str, other: View) -> None:
    """Nothing of a target is shown from the detach on, and the purge changes nothing that can be seen."""
    assert other == ground.other_before, "another tenant was touched"
    doomed = tuple(f"{place.label}: " for place in ground.world.doomed(target))
    left = {name: answer for name, answer in ground.detached.items() if target == "tenant" or name.startswith(doomed)}
    left = {name: answer for name, answer in left.items() if not is_nothing(answer)}
    if target == "chat":
        left = {name: answer for name, answer in left.items() if name not in _OF_ITS_SESSION}
    assert not left, f"shown after the detach: {left}"
    if target != "participant":
        assert shown(ground.detached) == shown(ground.done)


def is_nothing(answer: Any) -> bool:
    """Whether an answer shows that something is not there."""
    return answer in (ABSENT, None, False, [], [[], 0])


def check_whole(found: View, ground: Ground, target: str) -> bool:
    """Whether the target is gone; it must be whole or gone. Only a participant's words elsewhere go bit by bit."""
    view, before, detached = shown(found), shown(ground.before), shown(ground.detached)
    if view == before:
        return False
    loose = {name for name in view if name.startswith(ELSEWHERE) or name.endswith(("surveyed", "spoke in"))}
    if target != "participant":
        loose = set()
    half = {name: (view[name], detached[name]) for name in view if name not in loose and view[name] != detached[name]}
    assert not half, f"half visible: {half}"
    if loose:
        check_shrinking(found, ground)
    return True


def check_shrinking(view: View, ground: Ground) -> None:
    """What others said stays, what is left of hers was there before, and the numbers fit."""
    items, before = view["bens: page"]["items"], ground.before["bens: page"]["items"]
    assert [item for item in before if item in items] == items
    assert [item for item in items if item["author"] != "ann"] == [item for item in before if item["author"] != "ann"]
    assert view["bens: page"]["total"] == len(items) == view["bens: chat"]["message_count"]


def let_leases_run_out(folder: Path, *, is_all: bool = False) -> None:
    """As if a dead process's leases of deletions, or all of its leases, had."""
    connection = apsw.Connection(str(folder / "data" / "antiphon.db"))
    connection.set_busy_timeout(PATIENCE_SECONDS * 1000)
    connection.execute("UPDATE deletions SET lease_until = 0 WHERE lease_until IS NOT NULL")
    if is_all:
        connection.execute("UPDATE connections SET expires_at = 0")
        connection.execute("UPDATE turns SET expires_at = 0")
    connection.close()


async def check_late_writers(store: Store, world: World, target: str) -> None:
    """Nobody who knew a chat from before can write to it."""
    for place in world.doomed(target):
        try:
            await store.messages.append(world.tenant_id, place.key, [Draft("ben", USER, "late")])
        except ChatNotFound:
            continue
        raise AssertionError(f"a late message was taken in {place.label}")


async def check_proof(folder: Path, stage: Stage, world: World) -> None:
    """One deletion, one receipt, a sound chain, and the same in the file beside the database."""
    (job,) = await stage.jobs(world)
    receipts = await stage.receipts.list(world.tenant_id, 0, 100)
    assert [receipt.id for receipt in receipts] == [job.receipt_id]
    bytes_state = ERASED if stage.store.kind == "sqlite" else REMOVED
    assert (job.state, job.bytes, job.target_id, job.last_error) == (DONE, bytes_state, None, None)
    verdict = await stage.receipts.verify(world.tenant_id)
    assert verdict.ok, verdict
    filed = Verification({key.kid: key.public_key for key in await stage.receipts.keys()}, verify_signature)
    lines = [line for file in (folder / "receipts").glob("*.jsonl") for line in file.read_bytes().splitlines(True)]
    for number, line in enumerate(lines):
        filed.read("file", number, line)
    assert (filed.verdict().first_error, lines) == (None, [receipts[0].body.encode() + b"\n"])


# Processes


def in_child(work: Callable[[], Coroutine[Any, Any, Any]], answer: Path) -> int:
    """Do it in a forked process; its status as `waitpid` gives it."""
    return os.waitpid(fork(work, answer), 0)[1]


def fork(work: Callable[[], Coroutine[Any, Any, Any]], answer: Path) -> int:
    """Begin it in a forked process: its id. Result or fault stand in the file once it has ended."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        answer.write_bytes(msgspec.json.encode(asyncio.run(work())))
        status = 0
    except BaseException:  # noqa: BLE001  whatever it is, it must not come back into the parent's code
        answer.write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(status)


def rehearsed(folder: Path, target: str, shim: type[Fault]) -> tuple[Ground, int]:
    """The worlds in FOLDER/world, and how many points their deletion has."""
    answer = folder / "answer"
    if in_child(lambda: prepare(folder / "world"), answer):
        raise SystemExit(answer.read_text(encoding="utf-8"))
    ground = msgspec.json.decode(answer.read_bytes(), type=Ground)
    shutil.copytree(folder / "world", folder / "rehearsal")

    async def rehearsal() -> tuple[Ground, int]:
        fault = shim(None)
        fault.install()
        return await rehearse(folder / "rehearsal", ground, target, fault), fault.points

    if in_child(rehearsal, answer):
        raise SystemExit(answer.read_text(encoding="utf-8"))
    return msgspec.json.decode(answer.read_bytes(), type=tuple[Ground, int])


def try_point(folder: Path, ground: Ground, target: str, point: int) -> str:
    """Kill at one point and go on: what went wrong, `alive` when the point was never reached, nothing otherwise."""
    place = folder / f"point-{point}"
    shutil.copytree(folder / "world", place)

    async def die() -> None:
        fault = Fault(point)
        fault.install()
        await delete_and_die(place, ground, target, fault)

    status = in_child(die, place / "answer")
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and status:
        return (place / "answer").read_text(encoding="utf-8")
    try:
        asyncio.run(go_on(place, ground, target))
    except Exception:  # noqa: BLE001  whatever it is, it is what the test wants to know
        return traceback.format_exc()
    shutil.rmtree(place)
    return "" if killed else "alive"


class Pauses(Fault):
    """A shim that counts commits only: who stands still holds no lock that others wait for."""

    def _execute(self, connection: apsw.Connection, statement: str, values: Any = None) -> Any:
        result = _EXECUTE(connection, statement, values)
        if statement == "COMMIT" and not connection.readonly("main"):
            self._pass()
        return result

    def around(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        """The operation as it is."""
        return operation


def try_pause(folder: Path, ground: Ground, target: str, point: int) -> str:
    """Let a process stand still at a commit until another has done its work, and go on then: what went wrong."""
    place = folder / f"pause-{point}"
    shutil.copytree(folder / "world", place)

    async def stand_still() -> None:
        fault = Pauses(point, signal.SIGSTOP)
        fault.install()
        with suppress(NotFound):  # the other was first with the request, too
            await delete_and_die(place, ground, target, fault)

    child = fork(stand_still, place / "answer")
    if os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]):
        other = os.waitpid(fork(lambda: go_on(place, ground, target), place / "other"), 0)[1]
        os.kill(child, signal.SIGCONT)
        status = os.waitpid(child, 0)[1]
        if other or status:
            return (place / ("other" if other else "answer")).read_text(encoding="utf-8")
    else:
        return "alive"
    if os.waitpid(fork(lambda: look_again(place, ground, target), place / "answer"), 0)[1]:
        return (place / "answer").read_text(encoding="utf-8")
    return ""


async def look_again(folder: Path, ground: Ground, target: str) -> None:
    """Whether everything is as the second process left it: one receipt, one line, nothing done twice."""
    stage = await Stage.enter(folder)
    await check_end(folder, stage, ground, target)
    await stage.store.close()


Trial = Callable[[Path, Ground, str, int], str]


def try_points(trial: Trial, folder: Path, ground: Ground, target: str, points: int) -> Outcome:
    """Try every point, some at the same time."""
    outcome, waiting, running = Outcome(points, 0, {}), iter(range(1, points + 1)), dict[int, int]()
    while True:
        for point in itertools.islice(waiting, AT_ONCE - len(running)):
            child = os.fork()
            if not child:
                (folder / f"found-{point}").write_text(trial(folder, ground, target, point), encoding="utf-8")
                os._exit(0)
            running[child] = point
        if not running:
            return outcome
        point = running.pop(os.wait()[0])
        found = (folder / f"found-{point}").read_text(encoding="utf-8")
        outcome.reached += found != "alive"
        if found not in ("", "alive"):
            outcome.faults[point] = found


def main() -> None:
    """The command."""
    folder, target, is_pausing = Path(sys.argv[1]), sys.argv[2], "--pause" in sys.argv
    shorten()
    ground, points = rehearsed(folder, target, Pauses if is_pausing else Fault)
    outcome = try_points(try_pause if is_pausing else try_point, folder, ground, target, points)
    sys.stdout.write(msgspec.json.encode(outcome).decode())


if __name__ == "__main__":
    main()
