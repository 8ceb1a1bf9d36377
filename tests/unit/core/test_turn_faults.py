"""Faults at every point of a turn: nothing acknowledged is lost, nothing comes after an end, nothing goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from antiphon.core.instance import Instance
from antiphon.core.ports import AgentEvent, Tool, Utterance
from antiphon.core.turns import Turns
from antiphon.domain import limits
from antiphon.domain.errors import ChatNotFound, StoreFailed, StoreUnavailable, TurnNotFound
from antiphon.domain.participants import PEER
from antiphon.domain.turns import COMPLETED, FAILED, INTERRUPTED, STOPPED
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.streams.live import LiveStreams
from tests.unit.core.turn_stage import ACTS, PATIENCE_SECONDS, WHOLE, HaltingAgent, Hold, Scene, Stage, outcome, until
from tests.unit.core.watched_store import WatchedStore

EVERYWHERE: list[int | None] = [*range(len(ACTS) + 1), None]


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
async def stage(instance: Instance, tmp_path: Path) -> AsyncIterator[Stage]:
    """A session whose first chat is never spoken in, so that every other one may be deleted."""
    tenant = await instance.tenants.create("t1")
    owner, _ = await instance.store.participants.ensure(tenant.id, PEER, "ann")
    session, _ = await instance.store.sessions.create_multi(tenant.id, owner.id, "Talk", None, None)
    made = Stage(instance, tenant.id, session, tmp_path / "data")
    yield made
    made.agent.go.set()  # or one that cannot be cancelled would stay


@pytest.fixture(params=[1, 64], ids=["each event stored", "chunks"])
def flush(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How often a turn is stored while it runs."""
    monkeypatch.setattr(limits, "TURN_FLUSH_EVENTS", request.param)


@pytest.mark.usefixtures("flush")
async def test_a_stop_at_every_event(stage: Stage) -> None:
    """Everybody hears the same end; what was told is what is stored, and nothing is said afterwards."""
    chat = await stage.new_chat()
    for number, halt_at in enumerate(EVERYWHERE):
        scene = await stage.begin(halt_at, chat)
        stopped = await stage.turns.stop(stage.tenant_id, scene.turn.id)
        stored = (await scene.messages())[-1]
        state = COMPLETED if halt_at is None else STOPPED
        assert stopped.state == await scene.live.end() == await scene.durable.end() == state
        assert scene.durable.events == scene.live.events
        assert (stored.text if stored.id == scene.turn.reply_id else "") == scene.live.text
        await stage.settle()
        again = await stage.follow(scene.turn)
        assert (await again.end(), again.events) == (state, scene.live.events)
        assert (await scene.messages())[-1] == stored
        assert (await stage.turns.get(stage.tenant_id, scene.turn.id)) == stopped
        assert (await stage.instance.chats.get(stage.tenant_id, chat.id)).active_turn is None
        assert stage.count("turns", "state = 'running'") == 0
        assert stage.count("messages", "role = 'user'") == number + 1


@pytest.mark.usefixtures("flush")
async def test_a_deletion_at_every_event(stage: Stage) -> None:
    """Everybody hears of it, and nothing of the chat is left or comes back."""
    for halt_at in EVERYWHERE:
        scene = await stage.begin(halt_at, await stage.new_chat())
        await stage.delete(scene.chat)
        state = COMPLETED if halt_at is None else "deleted"
        assert await scene.live.end() == await scene.durable.end() == state
        with pytest.raises(TurnNotFound):
            await stage.turns.get(stage.tenant_id, scene.turn.id)
        await stage.settle()
    assert await stage.is_bare()


@pytest.mark.usefixtures("flush")
async def test_followers_that_leave_at_every_event(stage: Stage) -> None:
    """The turn does not notice: it is said and stored whole, and nobody is kept."""
    for halt_at in EVERYWHERE:
        scene = await stage.begin(halt_at, await stage.new_chat())
        await scene.live.leave()
        await scene.durable.leave()
        await stage.settle()
        assert (await stage.turns.get(stage.tenant_id, scene.turn.id)).state == COMPLETED
        assert [message.text for message in await scene.messages()] == ["hello", WHOLE]
    assert not stage.instance.streams._own  # type: ignore[attr-defined]


def elsewhere(stage: Stage) -> Turns:
    """The turns of another process on the same store."""
    instance = stage.instance
    return Turns(instance.store, instance.messages, instance.agent, LiveStreams(instance.store), lambda *_: ())


async def test_a_deletion_at_every_event_as_seen_from_another_process(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TURN_FLUSH_EVENTS", 1)
    monkeypatch.setattr(limits, "FOLLOW_POLL_SECONDS", 0.01)
    other = elsewhere(stage)
    for halt_at in EVERYWHERE[:-1]:
        scene = await stage.begin(halt_at, await stage.new_chat())
        afar = await stage.follow(scene.turn, other)
        await stage.delete(scene.chat)
        assert await afar.end() == "deleted"
        await stage.settle()
    assert await stage.is_bare()


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["turns.claim", "messages.page", "turns.append_events", "turns.finish"])
async def test_a_late_writer_brings_nothing_back(
    stage: Stage, name: str, is_after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call of a turn waits at the store while its chat is deleted, and is made before the chat is purged."""
    monkeypatch.setattr(limits, "TURN_FLUSH_EVENTS", 1)
    monkeypatch.setattr(limits, "PURGE_INLINE_MESSAGES", 0)
    chat = await stage.new_chat()
    hold, purge = Hold(stage.store, name, is_after=is_after), Hold(stage.store, "deletions.claim", is_after=False)
    stage.agent.set_up(20 if name == "turns.append_events" else None)
    starting = asyncio.create_task(outcome(stage.turns.start(stage.tenant_id, stage.question(chat))))
    await until(hold.reached.is_set)
    hearing = None
    if name != "turns.claim":
        hearing = await stage.follow((await starting).turn)
    await stage.delete(chat)
    left = stage.rows()
    hold.release.set()
    started = await starting
    assert isinstance(started, ChatNotFound) == (name == "turns.claim" and not is_after)
    if hearing is not None:
        assert await hearing.end() == "deleted"
    await stage.settle()
    assert stage.rows() == left
    purge.release.set()
    assert await stage.is_bare()


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["turns.events", "turns.finish"])
async def test_who_closes_for_the_dead_brings_nothing_back(
    stage: Stage,
    name: str,
    is_after: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = await leave_for_dead(stage, monkeypatch)
    monkeypatch.setattr(limits, "PURGE_INLINE_MESSAGES", 0)
    hold, purge = Hold(stage.store, name, is_after=is_after), Hold(stage.store, "deletions.claim", is_after=False)
    closing = asyncio.create_task(stage.turns.close_dead(stage.tenant_id, scene.turn.id))
    await until(hold.reached.is_set)
    await stage.delete(scene.chat)
    left = stage.rows()
    hold.release.set()
    await closing
    assert stage.rows() == left
    purge.release.set()
    assert await stage.is_bare()


async def leave_for_dead(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A turn some events of which are stored and whose process is gone, as after SIGKILL."""
    monkeypatch.setattr(limits, "TURN_LEASE_SECONDS", 0)
    monkeypatch.setattr(limits, "TURN_FLUSH_EVENTS", 1)
    monkeypatch.setattr(limits, "TURN_REAP_SECONDS", 3600)
    chat, dead = await stage.new_chat(), elsewhere(stage)
    stage.agent.set_up(20)
    turn = (await dead.start(stage.tenant_id, stage.question(chat))).turn
    hearing = await stage.follow(turn, dead, is_stored_only=True)
    await until(lambda: len(hearing.events) > 15)
    for task in [*dead._tasks, hearing.task]:
        task.cancel()
    await until(lambda: not dead._tasks)
    monkeypatch.setattr(limits, "TURN_LEASE_SECONDS", 30)
    return Scene(stage, chat, turn, hearing, hearing)


async def test_of_many_who_close_for_the_dead_one_does(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What followers were shown as stored is the beginning of the one message."""
    scene = await leave_for_dead(stage, monkeypatch)
    afar = [await stage.follow(scene.turn, elsewhere(stage)) for _ in range(3)]
    await asyncio.gather(*(stage.turns.close_dead(stage.tenant_id, scene.turn.id) for _ in range(5)))
    assert [await hearing.end() for hearing in afar] == [INTERRUPTED] * 3
    question, answer = await scene.messages()
    assert (question.text, answer.text) == ("hello", afar[0].text)
    assert answer.text.startswith(scene.durable.text)
    assert scene.durable.text
    assert (await stage.begin(None, scene.chat)).live.text == WHOLE
    await stage.settle()


def unreadable(_: str) -> NoReturn:
    """As what a newer version has written."""
    raise ValueError("unforeseen")


async def test_events_that_cannot_be_read_hold_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who follows from another process ends without an end, and asks again."""
    monkeypatch.setattr(limits, "TURN_FLUSH_EVENTS", 1)
    scene = await stage.begin(20, await stage.new_chat())
    monkeypatch.setattr("antiphon.streams.live.decode_events", unreadable)
    afar = await stage.follow(scene.turn, elsewhere(stage))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(afar.task, return_exceptions=True)
    assert scene.durable.events
    await stage.settle()


class Deaf(HaltingAgent):
    """An agent that does not end when it is cancelled."""

    async def run_turn(
        self, history: Sequence[Utterance], tools: Sequence[Tool] = (), model: str | None = None
    ) -> AsyncGenerator[AgentEvent, None]:
        """See the port."""
        async for act in super().run_turn(history, tools, model):
            self.halted.set()
            while not self.go.is_set():
                try:
                    await self.go.wait()
                except asyncio.CancelledError:
                    continue
            yield act


async def test_an_agent_that_does_not_end_ends_nothing_but_itself(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn is over for everybody; what the agent still says is nobody's."""
    monkeypatch.setattr(limits, "TURN_STOP_SECONDS", 1)
    stage.agent = stage.turns._agent = deaf = Deaf()
    chat = await stage.new_chat()
    turn = (await stage.turns.start(stage.tenant_id, stage.question(chat))).turn
    hearing = await stage.follow(turn)
    await deaf.halted.wait()
    assert (await stage.turns.stop(stage.tenant_id, turn.id)).state == STOPPED
    assert await hearing.end() == STOPPED
    assert deaf.at_work == 1
    await stage.settle()
    assert [message.text for message in await stage.instance.messages.all(stage.tenant_id, chat.key)] == ["hello"]


async def test_an_agent_that_talks_on_is_not_heard(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the moment of the stop nothing is added, not even while the end is being stored."""
    monkeypatch.setattr(limits, "TURN_STOP_SECONDS", 2)
    stage.turns._agent = stage.agent = deaf = Deaf()
    chat = await stage.new_chat()
    turn = (await stage.turns.start(stage.tenant_id, stage.question(chat))).turn
    hearing = await stage.follow(turn)
    await deaf.halted.wait()
    hold = Hold(stage.store, "turns.finish", is_after=False)
    stopping = asyncio.create_task(stage.turns.stop(stage.tenant_id, turn.id))
    await until(hold.reached.is_set)
    deaf.go.set()
    await until(lambda: not deaf.at_work)
    hold.release.set()
    assert (await stopping).state == await hearing.end() == STOPPED
    assert hearing.text == ""
    await stage.settle()


async def test_a_turn_that_cannot_be_prepared_fails_and_frees_the_chat(stage: Stage) -> None:
    """Whatever breaks after the slot was taken, the turn comes to its end."""
    chat = await stage.new_chat()

    async def break_down(*_: object) -> Sequence[Tool]:
        raise RuntimeError("unforeseen")

    enter, stage.turns._enter = stage.turns._enter, break_down
    scene = await stage.begin(None, chat)
    assert await scene.live.end() == await scene.durable.end() == FAILED
    await stage.settle()
    stage.turns._enter = enter
    assert (await stage.begin(None, chat)).live.text == WHOLE
    await stage.settle()


async def test_a_stop_while_a_turn_is_being_prepared(stage: Stage) -> None:
    """It need not wait for what the agent is to be given."""
    chat = await stage.new_chat()
    entered = asyncio.Event()

    async def take_long(*_: object) -> Sequence[Tool]:
        entered.set()
        await asyncio.Event().wait()
        return ()

    stage.turns._enter = take_long
    turn = (await stage.turns.start(stage.tenant_id, stage.question(chat))).turn
    hearing = await stage.follow(turn)
    await until(entered.is_set)
    assert (await stage.turns.stop(stage.tenant_id, turn.id)).state == STOPPED
    assert await hearing.end() == STOPPED
    await stage.settle()


async def test_who_wants_what_is_stored_gets_nothing_else_when_the_chat_goes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TURN_FLUSH_SECONDS", 3600)
    scene = await stage.begin(30, await stage.new_chat())
    await stage.delete(scene.chat)
    assert await scene.durable.end() == "deleted"
    assert len(scene.durable.events) == 1
    with pytest.raises(TurnNotFound):
        await stage.follow(scene.turn)
    await stage.settle()


@pytest.mark.parametrize("stored", [0, 1, 2, 5, 40])
async def test_a_store_that_fails_while_a_turn_runs(stage: Stage, stored: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored is the message, and all that followers of what is stored were given; the chat is free again."""
    stage.write_each_event(monkeypatch)
    chat, calls = await stage.new_chat(), stage.store.calls

    async def fail(*_: object) -> None:
        if calls.count("turns.append_events") > stored:
            raise StoreFailed

    stage.store.before["turns.append_events"] = fail
    scene = await stage.begin(None, chat)
    assert await scene.live.end() == await scene.durable.end() == INTERRUPTED
    assert calls.count("turns.append_events") == stored + 1
    assert (await stage.turns.get(stage.tenant_id, scene.turn.id)).state == INTERRUPTED
    assert [message.text for message in await scene.messages()][1:] == [scene.durable.text] * bool(scene.durable.text)
    assert scene.live.text.startswith(scene.durable.text)
    del stage.store.before["turns.append_events"]
    await stage.settle()
    assert (await stage.begin(None, chat)).live.text == WHOLE
    await stage.settle()


@pytest.mark.parametrize("halt_at", [20, None], ids=["stopped", "completed"])
@pytest.mark.parametrize("is_done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("name", ["turns.append_events", "turns.finish"])
async def test_a_write_of_which_nobody_heard(
    stage: Stage,
    name: str,
    is_done: bool,
    halt_at: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection broke before or after it was done: the turn goes on, and has everything once."""
    stage.write_each_event(monkeypatch)
    chat, broken = await stage.new_chat(), 0

    async def break_off(*_: object) -> None:
        nonlocal broken
        broken += 1
        if broken in {1, 2, 4}:
            raise StoreUnavailable

    (stage.store.after if is_done else stage.store.before)[name] = break_off
    scene = await stage.begin(halt_at, chat)
    await stage.turns.stop(stage.tenant_id, scene.turn.id)
    state = COMPLETED if halt_at is None else STOPPED
    assert await scene.live.end() == await scene.durable.end() == state
    assert scene.durable.events == scene.live.events
    assert (await scene.messages())[-1].text == scene.live.text != ""
    turn, chunks = await stage.instance.store.turns.events(stage.tenant_id, scene.turn.id, 0, 1_000)
    assert (turn.state, sum(chunk.count for chunk in chunks)) == (state, len(scene.live.events))
    assert broken == {("turns.finish", False): 3, ("turns.finish", True): 1}.get((name, is_done), broken) > 0
    await stage.settle()
