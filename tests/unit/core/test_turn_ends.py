"""Turns that end before they have begun, and those whose ends nobody may be kept from by another's trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.core.turns import Turns
from antiphon.domain import limits
from antiphon.domain.errors import StoreUnavailable
from antiphon.domain.events import TurnEnded, TurnStarted
from antiphon.domain.ids import Uid
from antiphon.domain.participants import PEER
from antiphon.domain.turns import INTERRUPTED, RUNNING, Turn
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.streams.live import LiveStreams
from tests.unit.core.turn_stage import HaltingAgent, Hold, Stage, until
from tests.unit.core.watched_store import WatchedStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Any]:
    """A store that can be held; typed loosely: it is any port."""
    opened = await SqliteStore.open(tmp_path / "data")
    yield WatchedStore(opened)
    await opened.close()


@pytest.fixture
def agent() -> HaltingAgent:
    return HaltingAgent()


@pytest.fixture
async def stage(instance: Instance, tmp_path: Path) -> Stage:
    """A session with chats of the tenant `t1`."""
    return await new_stage(instance, "t1", tmp_path)


async def new_stage(instance: Instance, tenant: str, tmp_path: Path) -> Stage:
    """A session with chats of a tenant of its own."""
    made = await instance.tenants.create(tenant)
    owner, _ = await instance.store.participants.ensure(made.id, PEER, "ann")
    session, _ = await instance.store.sessions.create_multi(made.id, owner.id, "Talk", None, None)
    return Stage(instance, made.id, session, tmp_path / "data")


def elsewhere(stage: Stage) -> Turns:
    """The turns of another process on the same store."""
    instance = stage.instance
    return Turns(stage.store, instance.messages, instance.agent, LiveStreams(stage.store), lambda *_: ())


async def test_a_turn_that_is_claimed_while_the_process_ends_has_a_beginning_and_an_end(stage: Stage) -> None:
    """And the process waits for it."""
    hold = Hold(stage.store, "turns.claim", is_after=True)
    asking = asyncio.create_task(stage.turns.start(stage.tenant_id, stage.question(await stage.new_chat())))
    await until(hold.reached.is_set)
    closing = asyncio.create_task(stage.turns.close())
    await asyncio.sleep(0)
    hold.release.set()
    turn = (await asking).turn
    await closing
    assert (await stage.turns.get(stage.tenant_id, turn.id)).state == INTERRUPTED
    heard = await stage.follow(turn)
    assert await heard.end() == INTERRUPTED
    assert [type(event) for event in heard.events[:1]] == [TurnStarted]
    await stage.settle()


async def dead_turn(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Turn:
    """A turn whose process was killed before it stored anything."""
    with monkeypatch.context() as patch:
        patch.setattr(limits, "TURN_LEASE_SECONDS", 0)
        patch.setattr(limits, "TURN_FLUSH_SECONDS", 1000)
        stage.agent.set_up(0)
        dead = elsewhere(stage)
        turn = (await dead.start(stage.tenant_id, stage.question(await stage.new_chat()))).turn
        await until(stage.agent.halted.is_set)
        for task in list(dead._tasks):
            task.cancel()
        await until(lambda: not dead._tasks)
    return turn


async def test_a_turn_that_stored_nothing_has_a_beginning_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its follower sees the first event, and then why there are no others."""
    monkeypatch.setattr(limits, "TURN_REAP_SECONDS", 3600)
    turn = await dead_turn(stage, monkeypatch)
    assert (await stage.turns.get(stage.tenant_id, turn.id)).event_count == 0
    await stage.turns.close_dead(stage.tenant_id, turn.id)
    heard = await stage.follow(turn)
    assert await heard.end() == INTERRUPTED
    assert isinstance(heard.events[0], TurnStarted)
    assert heard.events[-1] == TurnEnded(INTERRUPTED)


async def test_one_that_cannot_be_closed_keeps_no_other_from_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TURN_REAP_SECONDS", 0.01)
    first, second = await dead_turn(stage, monkeypatch), await dead_turn(stage, monkeypatch)

    async def refuse(_: Uid, turn_id: Uid, *__: object) -> None:
        if turn_id == first.id:
            raise StoreUnavailable

    stage.store.before["turns.finish"] = refuse
    reaping = asyncio.create_task(stage.turns.keep_reaping())
    async with asyncio.timeout(20):
        while (await stage.turns.get(stage.tenant_id, second.id)).state == RUNNING:  # noqa: ASYNC110  the store has no event
            await asyncio.sleep(0.005)
    assert (await stage.turns.get(stage.tenant_id, first.id)).state == RUNNING
    reaping.cancel()
    await asyncio.wait({reaping})


async def test_a_tenant_out_of_reach_keeps_no_other_from_its_leases(stage: Stage, tmp_path: Path) -> None:
    """The rows of tenants may lie on different machines."""
    other = await new_stage(stage.instance, "t2", tmp_path)
    chats = [(one, await one.new_chat()) for one in (stage, other)]
    scenes = [await one.begin(0, chat) for one, chat in chats]
    renewed: list[Uid] = []

    async def lose(tenant_id: Uid, *_: object) -> None:
        if tenant_id == stage.tenant_id:
            raise StoreUnavailable
        renewed.append(tenant_id)

    stage.store.before["turns.renew"] = lose
    assert await stage.turns._attend(is_due=True) is False
    assert renewed == [other.tenant_id]
    for scene in scenes:
        scene.stage.agent.go.set()
        await scene.stage.turns.stop(scene.stage.tenant_id, scene.turn.id)
    await stage.settle()
