"""Deletions that are killed everywhere, or stand still: `python -m tests.crash.kill_points FOLDER TARGET [--pause]`.

One process is warmed, and forked for every kill point: it never opens a database itself. The fork of a point makes a
copy of the world, forks once more for the process that deletes and is killed before or after a statement or a file
operation, and then is the second process that opens the same directory, looks, and works on to the end.

Most kills leave what another has left: the transaction that one of them cut off is not there. What such a directory
holds is compared, the database checked, and only the first of them gone on with to the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from antiphon.domain.errors import NotFound
from antiphon.stores.sqlite.store import SqliteStore
from tests.crash.deletion_stage import (
    PATIENCE_SECONDS,
    Ground,
    Stage,
    check_end,
    check_store,
    furnish,
    go_on,
    rehearse,
    shorten,
)
from tests.crash.deletion_view import view_of
from tests.crash.deletion_world import make_world

AT_ONCE = 2
STATES = "states"
FILE_OPERATIONS = ("write", "fsync", "replace", "rename", "ftruncate", "unlink", "rmdir", "mkdir")
_EXECUTE = apsw.Connection.execute


class Outcome(msgspec.Struct):
    """How many points there are, how many a process came to, and what went wrong, by point.

    `states` is how many different ones the kills have left.
    """

    points: int
    reached: int
    faults: dict[int, str]
    states: int = 0

    def __str__(self) -> str:
        return f"killed at {self.reached} of {self.points} points, {self.states} states left"


class Fault:
    """The shim: counts what goes by once it is armed, and ends the process at one of them."""

    def __init__(self, deadly: int | None, how: signal.Signals = signal.SIGKILL) -> None:
        self._deadly = deadly
        self._how = how
        self._numbers = itertools.count(1)
        self.points = 0
        self.names: list[str] = []
        self._is_armed = False

    def arm(self, *, is_armed: bool = True) -> None:
        """From now on it counts, or does not."""
        self._is_armed = is_armed

    def _pass(self, name: str) -> None:
        if not self._is_armed:
            return
        self.points = number = next(self._numbers)
        self.names.append(name)
        if number == self._deadly:
            # To this thread, so that it does not run on for a moment, as others may: it could take the lock again.
            signal.pthread_kill(threading.get_ident(), self._how)

    def around(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        """The operation with a point before and one after it."""

        def call(*args: Any, **more: Any) -> Any:
            self._pass(f"before {operation.__name__}")
            result = operation(*args, **more)
            self._pass(f"after {operation.__name__}")
            return result

        return call

    def _execute(self, connection: apsw.Connection, statement: str, values: Any = None) -> Any:
        """After a statement is before the next one: only a commit, and what is one, has an end of its own."""
        self._pass(f"before {statement}")
        result = _EXECUTE(connection, statement, values)
        if statement == "COMMIT" or statement.startswith("PRAGMA"):
            self._pass(f"after {statement}")
        return result

    def install(self) -> None:
        """Put points around everything that this process does to files and databases."""
        fault = self

        class Connection(apsw.Connection):
            def execute(self, statements: str, bindings: Any = None, **_: Any) -> Any:
                return fault._execute(self, statements, bindings)

        setattr(apsw, "Connection", Connection)  # noqa: B010  it is no attribute that a module may be given
        self.watch_files()

    def watch_files(self) -> None:
        """Put points around what this process does to files by itself."""
        for name in FILE_OPERATIONS:
            setattr(os, name, self.around(getattr(os, name)))


async def prepare(folder: Path) -> Ground:
    """Make the two worlds, with a file in a sandbox."""
    store = await SqliteStore.open(folder / "data")
    world, other = await make_world(store, "one"), await make_world(store, "other")
    furnish(folder, world, other)
    ground = Ground(world, other, [await view_of(store, world)], await view_of(store, other))
    await store.close()
    return ground


async def rehearse_deletion(folder: Path, ground: Ground, target: str, fault: Fault) -> Ground:
    """The deletion without a kill."""
    store = await SqliteStore.open(folder / "data")
    seen = await rehearse(Stage(folder, store), ground, target, fault)
    await store.close()
    return seen


async def delete_and_die(folder: Path, ground: Ground, target: str, fault: Fault) -> None:
    """The deletion, in a process that does not come to its end."""
    store = await SqliteStore.open(folder / "data")
    fault.arm()
    await Stage(folder, store).run(ground.world, target)


async def take_over(folder: Path, ground: Ground, target: str) -> None:
    """The next process. Raises AssertionError for anything that is not as it should be."""
    let_leases_run_out(folder)
    store = await SqliteStore.open(folder / "data")
    await go_on(folder, Stage(folder, store), ground, target)
    await check_store(store)
    await store.close()


class Play(NamedTuple):
    """What is done without a kill, what is killed, and what the next process does."""

    rehearse: Callable[[Path, Ground, str, Fault], Coroutine[Any, Any, Ground]]
    act: Callable[[Path, Ground, str, Fault], Coroutine[Any, Any, None]]
    take_over: Callable[[Path, Ground, str], Coroutine[Any, Any, None]]


DELETION = Play(rehearse_deletion, delete_and_die, take_over)


def let_leases_run_out(folder: Path, *, is_all: bool = False) -> None:
    """As if a dead process's leases of deletions, or all of its leases, had."""
    connection = apsw.Connection(str(folder / "data" / "antiphon.db"))
    connection.set_busy_timeout(PATIENCE_SECONDS * 1000)
    connection.execute("UPDATE deletions SET lease_until = 0 WHERE lease_until IS NOT NULL")
    if is_all:
        connection.execute("UPDATE connections SET expires_at = 0")
        connection.execute("UPDATE turns SET expires_at = 0")
    connection.close()


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


def rehearsed(folder: Path, target: str, shim: type[Fault] = Fault, play: Play = DELETION) -> tuple[Ground, list[str]]:
    """The worlds in FOLDER/world, and the points that their deletion has."""
    answer = folder / "answer"
    if in_child(lambda: prepare(folder / "world"), answer):
        raise SystemExit(answer.read_text(encoding="utf-8"))
    ground = msgspec.json.decode(answer.read_bytes(), type=Ground)
    shutil.copytree(folder / "world", folder / "rehearsal")

    async def rehearsal() -> tuple[Ground, list[str]]:
        fault = shim(None)
        fault.install()
        return await play.rehearse(folder / "rehearsal", ground, target, fault), fault.names

    if in_child(rehearsal, answer):
        raise SystemExit(answer.read_text(encoding="utf-8"))
    return msgspec.json.decode(answer.read_bytes(), type=tuple[Ground, list[str]])


def try_point(folder: Path, ground: Ground, target: str, point: int, play: Play = DELETION) -> str:
    """Kill at one point and go on: what went wrong, `alive` when the point was never reached, nothing otherwise."""
    place = folder / f"point-{point}"
    shutil.copytree(folder / "world", place)

    async def die() -> None:
        fault = Fault(point)
        fault.install()
        await play.act(place, ground, target, fault)

    status = in_child(die, place / "answer")
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and status:
        return (place / "answer").read_text(encoding="utf-8")
    try:
        if is_new_state(folder, place):
            asyncio.run(play.take_over(place, ground, target))
    except Exception:  # noqa: BLE001  whatever it is, it is what the test wants to know
        return traceback.format_exc()
    shutil.rmtree(place)
    return "" if killed else "alive"


def is_new_state(folder: Path, place: Path) -> bool:
    """Whether this is the first directory to be left in its state, of all processes that ask about the same folder."""
    digest = hashlib.sha256(repr(state_of(place)).encode()).hexdigest()
    (folder / STATES).mkdir(exist_ok=True)
    try:
        (folder / STATES / digest).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def state_of(place: Path) -> list[Any]:
    """What a directory holds, but for ids and moments, which are others each time.

    Of each column of each table, those of the index among them, how many rows have a value in it, and the sum of what
    is a number; of each file beside the database, how many lines it has and whether the last is whole.
    """
    connection = apsw.Connection(str(place / "data" / "antiphon.db"))
    connection.set_busy_timeout(PATIENCE_SECONDS * 1000)
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    found: list[Any] = []
    for (table,) in list(connection.execute(tables)):
        columns = list(connection.execute(f"SELECT name, type FROM pragma_table_info('{table}')"))
        told = ", ".join(_told(*column) for column in columns)
        found.append((table, *connection.execute(f'SELECT count(*), {told} FROM "{table}"')))
    assert list(connection.execute("PRAGMA quick_check")) == [("ok",)]
    connection.close()
    return found + lines_beside(place)


def lines_beside(place: Path) -> list[tuple[str, str, int, bool]]:
    """Of each file beside the database in which of the directories it is, of what kind, and what it has of lines."""
    found = []
    for file in place.rglob("*"):
        if file.is_file() and not file.name.startswith("antiphon.db"):
            content = file.read_bytes()
            lines = content.count(b"\n"), content[-1:] == b"\n"
            found.append((file.relative_to(place).parts[0], file.suffix, *lines))
    return sorted(found)


def _told(column: str, kind: str) -> str:
    is_moment = column.endswith(("_at", "_until", "run_after"))
    return f'total("{column}")' if kind == "INTEGER" and not is_moment else f'count("{column}")'


class Pauses(Fault):
    """A shim that counts commits only: who stands still holds no lock that others wait for."""

    def _execute(self, connection: apsw.Connection, statement: str, values: Any = None) -> Any:
        result = _EXECUTE(connection, statement, values)
        if statement == "COMMIT" and not connection.readonly("main"):
            self._pass(statement)
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
        other = os.waitpid(fork(lambda: take_over(place, ground, target), place / "other"), 0)[1]
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
    store = await SqliteStore.open(folder / "data")
    await check_end(folder, Stage(folder, store), ground, target)
    await check_store(store)
    await store.close()


Trial = Callable[[Path, Ground, str, int], str]


def try_points(trial: Trial, folder: Path, ground: Ground, target: str, names: list[str]) -> Outcome:
    """Try every point, some at the same time."""
    outcome, waiting, running = Outcome(len(names), 0, {}), iter(range(1, len(names) + 1)), dict[int, int]()
    while True:
        for point in itertools.islice(waiting, AT_ONCE - len(running)):
            child = os.fork()
            if not child:
                (folder / f"found-{point}").write_text(trial(folder, ground, target, point), encoding="utf-8")
                os._exit(0)
            running[child] = point
        if not running:
            outcome.states = len(list((folder / STATES).glob("*")))
            return outcome
        point = running.pop(os.wait()[0])
        found = (folder / f"found-{point}").read_text(encoding="utf-8")
        outcome.reached += found != "alive"
        if found not in ("", "alive"):
            outcome.faults[point] = f"{names[point - 1]}: {found}"


def main() -> None:
    """The command."""
    folder, target, is_pausing = Path(sys.argv[1]), sys.argv[2], "--pause" in sys.argv
    shorten()
    ground, names = rehearsed(folder, target, Pauses if is_pausing else Fault)
    outcome = try_points(try_pause if is_pausing else try_point, folder, ground, target, names)
    sys.stdout.write(msgspec.json.encode(outcome).decode())


if __name__ == "__main__":
    main()
