"""Undo, killed everywhere: `python -m tests.crash.undo_points FOLDER TARGET`.

A deletion of the mode `after` waits for what is live, takes hold when nothing is any more, and is undone in its window.
Whoever comes after a kill at any point of that finds it whole or out of reach, and can still undo it.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec

from antiphon.core.ports import Store
from antiphon.domain.deletions import AFTER, CHAT, DETACHED, PARTICIPANT, SESSION, TENANT, UNDONE, WAITING, Order
from antiphon.domain.ids import Uid
from antiphon.stores.sqlite.store import SqliteStore
from tests.crash.deletion_stage import Ground, Stage, check_store, shorten, shown
from tests.crash.deletion_view import view_of
from tests.crash.deletion_world import World
from tests.crash.kill_points import Fault, Play, let_leases_run_out, rehearsed, try_point, try_points

ORDER = Order(AFTER, undo_seconds=3_600)

Expire = Callable[[], Awaitable[None]]
"""Lets all leases of a world run out."""


async def ask(store: Store, world: World, target: str) -> Uid:
    """Ask for the deletion: the world is full of what is live."""
    ((kind, _),) = world.targets(target)
    deletions = store.deletions
    if kind == TENANT:
        return (await deletions.detach_tenant(world.tenant_id, ORDER, with_sessions=True)).deletion.id
    key = {CHAT: world.places[1].key, SESSION: world.places[0].session_key, PARTICIPANT: world.people["ann"]}[kind]
    detach = {CHAT: deletions.detach_chat, SESSION: deletions.detach_session, PARTICIPANT: deletions.detach_participant}
    return (await detach[kind](world.tenant_id, key, ORDER)).deletion.id


async def wait_and_undo(stage: Stage, ground: Ground, target: str, fault: Fault, expire: Expire) -> Ground:
    """All of it, without a kill or to the kill."""
    store, world = stage.store, ground.world
    fault.arm()
    await stage.receipts.start()
    deletion_id = await ask(store, world, target)
    await stage.work_until(world, WAITING)
    fault.arm(is_armed=False)
    await expire()
    ground.stages = [await view_of(store, world)]
    fault.arm()
    await stage.work_until(world, DETACHED)
    fault.arm(is_armed=False)
    ground.stages.append(await view_of(store, world))
    fault.arm()
    await store.deletions.undo(world.tenant_id, deletion_id)
    fault.arm(is_armed=False)
    assert shown(await view_of(store, world)) == shown(ground.stages[0]), "not all is back"
    return ground


async def undo_after_all(stage: Stage, ground: Ground) -> None:
    """The next process lets it take hold, if it was asked for and is not undone, and undoes it."""
    store, world = stage.store, ground.world
    whole, gone = [shown(view) for view in ground.stages]
    jobs = await stage.jobs(world)
    state = jobs[0].state if jobs else None
    assert shown(await view_of(store, world)) == (gone if state == DETACHED else whole), f"half visible while {state}"
    if state in (WAITING, DETACHED):
        await stage.receipts.start()
        await stage.work_until(world, DETACHED)
        assert shown(await view_of(store, world)) == gone
        (job,) = await stage.jobs(world)
        assert job.undo_until is not None
        assert (await store.deletions.undo(world.tenant_id, job.id)).state == UNDONE
    assert shown(await view_of(store, world)) == whole, "not all is back"
    assert {job.state for job in await stage.jobs(world)} <= {UNDONE}


async def act(folder: Path, ground: Ground, target: str, fault: Fault) -> Ground:
    """In SQLite, without a kill or to the kill."""
    store = await SqliteStore.open(folder / "data")

    async def expire() -> None:
        let_leases_run_out(folder, is_all=True)

    done = await wait_and_undo(Stage(folder, store), ground, target, fault, expire)
    await store.close()
    return done


async def die(folder: Path, ground: Ground, target: str, fault: Fault) -> None:
    """To the kill."""
    await act(folder, ground, target, fault)


async def take_over(folder: Path, ground: Ground, _target: str) -> None:
    """The next process."""
    let_leases_run_out(folder, is_all=True)
    store = await SqliteStore.open(folder / "data")
    await undo_after_all(Stage(folder, store), ground)
    assert await store.deletions.pending() == (0, 0)
    await check_store(store)
    await store.close()


def main() -> None:
    """The command."""
    folder, target = Path(sys.argv[1]), sys.argv[2]
    shorten()
    play = Play(act, die, take_over)
    ground, names = rehearsed(folder, target, play=play)
    outcome = try_points(partial(try_point, play=play), folder, ground, target, names)
    sys.stdout.write(msgspec.json.encode(outcome).decode())


if __name__ == "__main__":
    main()
