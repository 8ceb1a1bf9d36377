"""A deletion in PostgreSQL killed before and after what it sends: whole or gone, and gone in the end, with one receipt.

The file is also the command that tries the points, `python -m tests.crash.test_deletion_everywhere_postgres URL FOLDER
TARGET`: as in `kill_points`, one process is warmed, never connects itself, and is forked for whoever does. All points
share a database, and each has a tenant of its own, which is the rehearsed one under another id.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from antiphon.domain import limits
from antiphon.domain.ids import Uid, new_uid7
from antiphon.sandbox.directories import Directories
from antiphon.stores.postgres.database import Cursor
from antiphon.stores.postgres.store import PostgresStore
from tests.crash.deletion_world import make_world, view_of
from tests.crash.kill_points import (
    PATIENCE_SECONDS,
    Fault,
    Ground,
    Outcome,
    Stage,
    check_end,
    check_late_writers,
    check_rehearsal,
    check_whole,
    in_child,
    shorten,
)
from tests.postgres_server import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

TARGETS = ("chat", "single", "participant", "tenant")
STEP_ROWS = 120
"""Steps that are longer than those of `kill_points`: a point costs half a second here."""

STRIDE = {"chat": 20, "single": 20, "participant": 70, "tenant": 50}
"""Of the points that are not around a commit, one in so many is tried."""

COMMIT = "COMMIT"
COMMITS = (COMMIT, "claim_scrubs", "claim_deletion", "insert_signing_key")
"""What makes something durable: the end of a transaction, and statements that are one by themselves."""

SENT = ("rows", "run", "script", "commit")
"""The methods of a cursor that send something which a deletion sends."""


class Sends(Fault):
    """A shim with a point before a statement is sent and after its answer; for a commit also between the two."""

    def __init__(self, deadly: int | None) -> None:
        super().__init__(deadly)
        self.names: list[str] = []

    def _reach(self, name: str) -> None:
        self._pass()
        self.names += [name] * (self.points - len(self.names))

    def sending(self, send: Callable[..., Any]) -> Callable[..., Any]:
        """A cursor's method with points."""

        async def call(cursor: Cursor, name: str = COMMIT, /, **values: Any) -> Any:
            self._reach(name)
            is_commit = name == COMMIT
            answer = asyncio.ensure_future(send(cursor) if is_commit else send(cursor, name, **values))
            if is_commit:
                await asyncio.sleep(0)  # one turn of the loop: by then the driver has written it to the socket
                self._reach(name)
            result = await answer
            self._reach(name)
            return result

        return call

    def install(self) -> None:
        """Put points around everything that this process sends to the database."""
        for name in SENT:
            setattr(Cursor, name, self.sending(getattr(Cursor, name)))


# In the processes


async def prepare(url: str) -> Ground:
    """Make the two worlds."""
    store = await PostgresStore.open(url)
    world, other = await make_world(store, f"t-{new_uid7().hex()}"), await make_world(store, "other")
    ground = Ground(world, other, await view_of(store, world), await view_of(store, other))
    await store.close()
    return ground


async def copies_of(url: str, folder: Path, ground: Ground, points: list[int]) -> list[Ground]:
    """A copy for each point, with a directory of its own."""
    connection = await asyncpg.connect(url)
    copies = [await copy_of(connection, folder / f"point-{point}", ground) for point in points]
    await connection.close()
    return copies


async def copy_of(connection: Any, folder: Path, ground: Ground) -> Ground:
    """The same world again as another tenant, with the files of both worlds in that directory."""
    tenant_id = new_uid7()
    name = f"t-{tenant_id.hex()}"
    columns = await connection.fetch(
        "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        " GROUP BY table_name HAVING 'tenant_id' = ANY (array_agg(column_name::text))"
    )
    replaced = {"tenant_id": f"'{tenant_id.hex()}'::uuid"}
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # in any order of the tables
        for table, its in columns:
            new = replaced | ({"name": f"'{name}'"} if table in ("tenants", "tenant_names") else {})
            values = ", ".join(new.get(column, f'"{column}"') for column in its)
            names = ", ".join(f'"{column}"' for column in its)
            query = f'INSERT INTO "{table}" ({names}) SELECT {values} FROM "{table}" WHERE tenant_id = '
            await connection.execute(f"{query}'{ground.world.tenant_id.hex()}'::uuid")
    copy = renamed(ground, tenant_id, name)
    for each in (copy.world, copy.other):
        (Directories(folder / "sandboxes").make(each.tenant_id, each.sandboxed, None) / "notes").write_text("a note")
    return copy


def renamed(ground: Ground, tenant_id: Uid, name: str) -> Ground:
    """What is true of the world, said of its copy."""
    text = msgspec.json.encode(ground).decode()
    old, new = (base64.b64encode(uid).decode() for uid in (ground.world.tenant_id, tenant_id))
    return msgspec.json.decode(text.replace(old, new).replace(ground.world.name, name), type=Ground)


async def rehearse(url: str, folder: Path, ground: Ground, target: str) -> tuple[Ground, list[str]]:
    """The deletion without a kill: how the world looks then, and what is sent at each point."""
    (own,) = await copies_of(url, folder, ground, [0])
    folder /= "point-0"
    fault = Sends(None)
    fault.install()
    stage = Stage(folder, await PostgresStore.open(url))
    fault.arm()
    await stage.receipts.start()
    await stage.delete(own.world, target)
    fault.arm(is_armed=False)
    own.detached = await view_of(stage.store, own.world)
    fault.arm()
    await stage.work_to_the_end(own.world)
    fault.arm(is_armed=False)
    own.done = await view_of(stage.store, own.world)
    check_rehearsal(own, target, await view_of(stage.store, own.other))
    await stage.store.close()
    return renamed(own, ground.world.tenant_id, ground.world.name), fault.names


async def delete_and_die(url: str, folder: Path, ground: Ground, target: str, point: int) -> None:
    """The deletion, in a process that does not come to its end."""
    fault = Sends(point)
    fault.install()
    stage = Stage(folder, await PostgresStore.open(url))
    fault.arm()
    await stage.receipts.start()
    await stage.delete(ground.world, target)
    await stage.work_to_the_end(ground.world)


async def go_on(url: str, folder: Path, ground: Ground, target: str) -> None:
    """The next process. Raises AssertionError for anything that is not as it should be."""
    await let_leases_run_out(url, ground.world.tenant_id)
    stage = Stage(folder, await PostgresStore.open(url))
    world, store = ground.world, stage.store
    is_gone = check_whole(await view_of(store, world), ground, target)
    assert len(await stage.jobs(world)) == is_gone, "a deletion is there as soon as its target is not"
    await stage.receipts.start()
    if not is_gone:
        await stage.delete(world, target)
    await check_late_writers(store, world, target)
    await stage.work_to_the_end(world)
    await check_end(folder, stage, ground, target)
    await store.close()


async def let_leases_run_out(url: str, tenant_id: Uid) -> None:
    """As if a dead process's leases had, once the server has noticed its end and finished what it had been sent."""
    connection = await asyncpg.connect(url)
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    ends = time.monotonic() + PATIENCE_SECONDS
    while await connection.fetchval(others):
        assert time.monotonic() < ends, "the server still holds a connection of the dead"
    await connection.execute(
        "UPDATE deletions SET lease_until = now() - interval '1 second' WHERE tenant_id = $1 AND lease_until > now()",
        tenant_id.hex(),
    )
    await connection.close()


# The command


def answer_of(folder: Path, work: Any, answer_type: Any) -> Any:
    """What comes of doing it in a process of its own. Raises SystemExit when it fails."""
    answer = folder / "answer"
    if in_child(work, answer):
        raise SystemExit(answer.read_text(encoding="utf-8"))
    return msgspec.json.decode(answer.read_bytes(), type=answer_type)


def chosen(names: list[str], target: str) -> list[int]:
    """The points to try, numbered from 1: all around commits, and some of the others."""
    others = [point for point, name in enumerate(names, 1) if name not in COMMITS]
    return sorted({point for point, name in enumerate(names, 1) if name in COMMITS} | {*others[:: STRIDE[target]]})


def try_point(url: str, folder: Path, ground: Ground, target: str, point: int) -> tuple[bool, str]:
    """Kill at one point and go on: whether it was reached, and what went wrong."""
    answer = folder / "answer"
    status = in_child(lambda: delete_and_die(url, folder, ground, target, point), answer)
    is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if (status and not is_killed) or in_child(lambda: go_on(url, folder, ground, target), answer):
        return is_killed, answer.read_text(encoding="utf-8")
    shutil.rmtree(folder)
    return is_killed, ""


def main() -> None:
    """The command."""
    url, folder, target = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    shorten()
    limits.PURGE_ROWS_POSTGRES = limits.PURGE_ROWS_MIN = limits.SILENCE_ROWS = STEP_ROWS
    ground = answer_of(folder, lambda: prepare(url), Ground)
    ground, names = answer_of(folder, lambda: rehearse(url, folder, ground, target), tuple[Ground, list[str]])
    outcome = Outcome(len(names), 0, {})
    points = chosen(names, target)
    copies = answer_of(folder, lambda: copies_of(url, folder, ground, points), list[Ground])
    for point, copy in zip(points, copies, strict=True):
        is_killed, fault = try_point(url, folder / f"point-{point}", copy, target, point)
        outcome.reached += is_killed
        if fault:
            outcome.faults[point] = f"{names[point - 1]}: {fault}"
    sys.stdout.write(msgspec.json.encode(outcome).decode())


# The test


KILLS = {"chat": 18, "single": 18, "participant": 25, "tenant": 15}
"""How many kills there are at least: fewer mean that the shim has lost sight of something."""


@pytest.mark.parametrize("target", TARGETS)
def test_a_deletion_killed_around_what_it_sends_is_whole_or_gone_and_ends(
    target: str, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "tests.crash.test_deletion_everywhere_postgres"]
    done = subprocess.run([*command, postgres_url, str(tmp_path), target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    assert not outcome.faults, "\n".join(f"point {point}: {fault}" for point, fault in outcome.faults.items())
    with capsys.disabled():
        sys.stdout.write(f"\n{target}: killed at {outcome.reached} of {outcome.points} points\n")
    assert outcome.reached >= KILLS[target]


if __name__ == "__main__":
    main()
