"""Undo in PostgreSQL, killed at whatever is durable: `python -m tests.crash.undo_points_postgres URL FOLDER TARGET`.

What is done is that of `undo_points`, how that of `kill_points_postgres`.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import asyncpg
import msgspec

from antiphon.stores.postgres.database import open_database
from antiphon.stores.postgres.store import PostgresStore
from tests.crash.deletion_stage import Ground, shorten
from tests.crash.deletion_world import World
from tests.crash.kill_points import Outcome
from tests.crash.kill_points_postgres import (
    STEP_ROWS,
    Answers,
    Sends,
    answer_of,
    copies_of,
    firsts_of,
    kill_all,
    let_leases_run_out,
    look_at_all,
    prepare,
    renamed,
    stage_of,
    take_over_all,
)
from tests.crash.undo_points import undo_after_all, wait_and_undo


class Commits(Sends):
    """A shim with a point while anything durable is under way, and one after it: all else leaves what was there."""

    def _pass(self, name: str) -> None:
        if name.startswith(("under way ", "after ")):
            super()._pass(name)

    def watch_files(self) -> None:
        """Leave files alone."""


async def expire(url: str, world: World) -> None:
    """As if all leases of one of the worlds had run out."""
    connection = await asyncpg.connect(url)
    for change in (
        "deletions SET lease_until = now() - interval '1 second'",
        "connections SET expires_at = now() - interval '1 second'",
        "turns SET expires_at = now() - interval '1 second'",
    ):
        await connection.execute(f"UPDATE {change} WHERE tenant_id = '{world.tenant_id.hex()}'::uuid")
    await connection.close()


async def act(url: str, folder: Path, ground: Ground, target: str, fault: Sends) -> Ground:
    """All of it, without a kill or to the kill."""
    fault.install()
    store = PostgresStore(await open_database(url))
    stage = stage_of(folder, store, ground)
    done = await wait_and_undo(stage, ground, target, fault, lambda: expire(url, ground.world))
    await store.close()
    return done


async def die(url: str, folder: Path, ground: Ground, target: str, fault: Sends) -> None:
    """To the kill."""
    await act(url, folder, ground, target, fault)


async def rehearsed(url: str, folder: Path, ground: Ground, target: str) -> tuple[Ground, list[str]]:
    """The undo without a kill: how the world looks on the way, and the points that it has."""
    (own,) = await copies_of(url, folder / "rehearsal", ground, 1)
    fault = Commits(None)
    own = await act(url, folder / "rehearsal" / "point-1", own, target, fault)
    return renamed(own, ground.world.tenant_id, ground.world.name), fault.names


async def take_over(url: str, folder: Path, copies: dict[int, Ground], _target: str) -> Answers:
    """The next process, in each of the worlds."""
    store, found = await PostgresStore.open(url), Answers()
    for point, ground in copies.items():
        try:
            await expire(url, ground.world)
            await undo_after_all(stage_of(folder / f"point-{point}", store, ground), ground)
        except Exception:  # noqa: BLE001  whatever it is, it is what the test wants to know
            found[point] = traceback.format_exc()
    await store.close()
    return found


def main() -> None:
    """The command."""
    url, folder, target = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    shorten(STEP_ROWS)
    ground = answer_of(folder, lambda: prepare(url), Ground)
    ground, names = answer_of(folder, lambda: rehearsed(url, folder, ground, target), tuple[Ground, list[str]])
    made = answer_of(folder, lambda: copies_of(url, folder, ground, len(names)), list[Ground])
    copies = dict(enumerate(made, start=1))
    reached, found = kill_all(url, folder, copies, target, die, Commits)
    answer_of(folder, lambda: let_leases_run_out(url), None)
    firsts = answer_of(folder, lambda: firsts_of(url, folder, copies), list[int])
    found |= take_over_all(url, folder, {point: copies[point] for point in firsts}, target, take_over)
    answer_of(folder, lambda: look_at_all(url), None)
    faults = {point: f"{names[point - 1]}: {fault}" for point, fault in found.items()}
    sys.stdout.write(msgspec.json.encode(Outcome(len(names), reached, faults, len(firsts))).decode())


if __name__ == "__main__":
    main()
