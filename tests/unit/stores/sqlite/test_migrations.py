"""Migrations: once, by whoever comes first, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from antiphon.domain.errors import StoreTooNew
from antiphon.stores.contract.worlds import ALL, new_tenant
from antiphon.stores.sqlite import migrations
from antiphon.stores.sqlite.database import FILE_NAME
from antiphon.stores.sqlite.migrations import known_migrations
from antiphon.stores.sqlite.store import SqliteStore

# Children are forked from a warmed parent of one thread: a process started for each would take seconds.
FORK = """
import asyncio, os, pathlib, signal, sys, time
import apsw
from antiphon.domain.errors import StoreUnavailable
from antiphon.stores.sqlite.store import SqliteStore

def fork(work):
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException as error:
        print(type(error).__name__, error, file=sys.stderr, flush=True)
        os._exit(1)

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def open_and_use(folder):
    async def work():
        store = await SqliteStore.open(pathlib.Path(folder))
        while True:
            try:
                await store.check()
                break
            except StoreUnavailable:  # a reader does not wait for those who come and go: the next look finds it well
                await asyncio.sleep(0.01)
        await store.close()
    asyncio.run(work())
"""

ALL_AT_ONCE = (
    FORK
    + """
for round in range(5):
    folder = f"{sys.argv[1]}/{round}"
    starts_at = time.monotonic() + 0.05
    def work():
        while time.monotonic() < starts_at:
            pass
        open_and_use(folder)
    codes = [ended(child) for child in [fork(work) for _ in range(8)]]
    assert codes == [0] * 8, codes
"""
)

KILLED = (
    FORK
    + """
def killed_at(count, folder):
    seen = 0
    def trace(cursor, sql, bindings):
        nonlocal seen
        seen += 1
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return True
    def watch(connection):
        connection.exec_trace = trace
    apsw.connection_hooks.append(watch)
    open_and_use(folder)

killed = 0
for count in range(1, 200):
    folder = f"{sys.argv[1]}/{count}"
    code = ended(fork(lambda: killed_at(count, folder)))
    assert code in (0, -signal.SIGKILL), (count, code)
    open_and_use(folder)
    if code == 0:
        break
    killed += 1
print(killed)
"""
)


def run(script: str, folder: Path) -> str:
    """Run a script in a process of its own, which must end well; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def applied(folder: Path) -> list[tuple[Any, ...]]:
    """The migrations that a directory has had: number, name, moment."""
    connection = apsw.Connection(str(folder / FILE_NAME))
    rows = connection.execute("SELECT version, name, applied_at FROM schema_migrations ORDER BY version").fetchall()
    connection.close()
    return rows


def tables(folder: Path) -> list[tuple[Any, ...]]:
    """The schema of a directory."""
    connection = apsw.Connection(str(folder / FILE_NAME))
    rows = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return rows


KNOWN = [(number, name) for number, name, _ in known_migrations()]


def test_eight_processes_may_open_a_fresh_directory_at_once(tmp_path: Path) -> None:
    run(ALL_AT_ONCE, tmp_path)
    for round_ in range(5):
        assert [row[:2] for row in applied(tmp_path / str(round_))] == KNOWN


def test_a_process_that_is_killed_in_the_middle_leaves_a_directory_that_opens(tmp_path: Path) -> None:
    killed = int(run(KILLED, tmp_path))
    assert killed > 25, "it was to be killed between any two statements"
    whole = tables(tmp_path / str(killed + 1))
    for count in range(1, killed + 1):
        assert [row[:2] for row in applied(tmp_path / str(count))] == KNOWN
        assert tables(tmp_path / str(count)) == whole


async def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    first = await SqliteStore.open(tmp_path)
    tenant = await new_tenant(first)
    await first.close()
    before = applied(tmp_path), tables(tmp_path)
    second = await SqliteStore.open(tmp_path)
    assert [found.id for found in (await second.tenants.list(ALL))[0]] == [tenant]
    await second.close()
    assert (applied(tmp_path), tables(tmp_path)) == before


async def test_a_newer_database_is_refused_by_name(tmp_path: Path) -> None:
    await (await SqliteStore.open(tmp_path)).close()
    connection = apsw.Connection(str(tmp_path / FILE_NAME))
    connection.execute("INSERT INTO schema_migrations VALUES (4711, 'from_the_future', 1)")
    connection.close()
    before = applied(tmp_path), tables(tmp_path)
    with pytest.raises(StoreTooNew, match="4711"):
        await SqliteStore.open(tmp_path)
    assert (applied(tmp_path), tables(tmp_path)) == before


async def test_the_directory_is_its_owner_s_alone(tmp_path: Path) -> None:
    await (await SqliteStore.open(tmp_path / "a" / "data")).close()
    assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700


async def test_messages_that_were_quiet_stay_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = [one for one in known_migrations() if one[1] != "reasoning"]
    connection = apsw.Connection(str(tmp_path / FILE_NAME))
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "known_migrations", lambda: older)
        migrations.migrate(connection)
    connection.execute("INSERT INTO quiet_messages VALUES (?, ?, ?)", [b"tenant", b"chat", b"message"])
    migrations.migrate(connection)
    assert connection.execute("SELECT * FROM reasoning_marks").fetchall() == [(b"tenant", b"chat", b"message", 0)]
    connection.close()
