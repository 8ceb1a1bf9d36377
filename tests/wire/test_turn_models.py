"""Models that fail in the middle of a turn: the text so far is kept, the chat is free, nobody waits upstream."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from antiphon.agent.openai_chat import OpenAiAgent
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import CANCEL
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import USER, Draft
from antiphon.domain.participants import PEER
from antiphon.domain.turns import COMPLETED, FAILED, STOPPED, Turn, TurnStart
from tests.scripted_model import ScriptedModel
from tests.unit.core.turn_stage import Hearing, until

PATIENCE_SECONDS = 20
ENDLESS = "[[tokens=1000000]]"


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    """A model in this process, whose requests can be looked at."""
    async with ScriptedModel().serving() as serving:
        yield serving


@pytest.fixture
def mortal() -> Iterator[subprocess.Popen[str]]:
    """A model in a process of its own, which can be killed."""
    command = [sys.executable, "-m", "tests.scripted_model", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
async def agent(request: pytest.FixtureRequest, model: ScriptedModel) -> AsyncIterator[OpenAiAgent]:
    """The agent over the one that can be killed, where the test has it, else over the other."""
    is_mortal = "mortal" in request.fixturenames
    url = request.getfixturevalue("mortal").stdout.readline().strip() if is_mortal else model.url
    made = OpenAiAgent(url, silence_seconds=2, retry_seconds=0.01)
    yield made
    await made.close()


class Room:
    """A chat, and what is done in it."""

    def __init__(self, instance: Instance, tenant_id: Uid, chat: Chat) -> None:
        self.instance, self.tenant_id, self.chat = instance, tenant_id, chat
        self.tasks = asyncio.all_tasks()

    async def ask(self, text: str) -> tuple[Turn, Hearing]:
        """A turn that runs, and somebody who follows it."""
        message = Draft(author="ann", role=USER, text=text)
        start = TurnStart(self.chat.key, new_uid7(), "assistant", message=message)
        turn = (await self.instance.turns.start(self.tenant_id, start)).turn
        return turn, Hearing(await self.instance.turns.follow(self.tenant_id, turn.id, 0, lambda: None))

    async def last(self) -> str:
        """The last message."""
        return (await self.instance.messages.latest(self.tenant_id, self.chat.key, 1))[-1].text

    async def check_end(self, turn: Turn, hearing: Hearing, state: str) -> None:
        """It ended so, what was told is kept, the slot is free, nothing of it runs."""
        assert await hearing.end() == state
        assert (await self.instance.turns.get(self.tenant_id, turn.id)).state == state
        assert (await self.last()) == hearing.text != ""
        assert (await self.instance.chats.get(self.tenant_id, self.chat.id)).active_turn is None
        names = {"turn", "model", "start", "hearing"}
        await until(lambda: not {task.get_name() for task in asyncio.all_tasks() - self.tasks} & names)


@pytest.fixture
async def room(instance: Instance) -> Room:
    tenant = await instance.tenants.create("t1")
    owner, _ = await instance.store.participants.ensure(tenant.id, PEER, "ann")
    session, _ = await instance.store.sessions.create_multi(tenant.id, owner.id, "Talk", None, None)
    chat, _ = await instance.chats.create(tenant.id, session, None)
    return Room(instance, tenant.id, chat)


async def gone(model: ScriptedModel) -> None:
    """Return when the model has seen the last request's connection close."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await model.calls[-1].ended.wait()
    assert model.calls[-1].outcome == "client_gone"


async def test_a_model_that_is_killed(room: Room, mortal: subprocess.Popen[str]) -> None:
    turn, hearing = await room.ask("[[tokens=5000 delay_ms=2]]")
    await until(lambda: len(hearing.text) > 40)
    mortal.send_signal(signal.SIGKILL)
    await room.check_end(turn, hearing, FAILED)
    assert (await room.instance.turns.get(room.tenant_id, turn.id)).error
    again, hearing = await room.ask("and now?")
    assert await hearing.end() == FAILED
    assert (await room.instance.turns.get(room.tenant_id, again.id)).error
    assert await room.last() == "and now?"


@pytest.mark.parametrize("script", ["[[tokens=3 hang]]", ENDLESS], ids=["hangs", "never ends"])
async def test_a_stop_is_heard_upstream(room: Room, model: ScriptedModel, script: str) -> None:
    turn, hearing = await room.ask(script)
    await until(lambda: "t2" in hearing.text)
    assert (await room.instance.turns.stop(room.tenant_id, turn.id)).state == STOPPED
    await gone(model)
    await room.check_end(turn, hearing, STOPPED)
    turn, hearing = await room.ask("and now?")
    await room.check_end(turn, hearing, COMPLETED)


async def test_a_stop_before_the_model_has_said_anything(room: Room, model: ScriptedModel) -> None:
    turn, hearing = await room.ask("[[hang]]")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await model.asked.wait()
    assert (await room.instance.turns.stop(room.tenant_id, turn.id)).state == STOPPED
    await gone(model)
    assert await hearing.end() == STOPPED
    assert await room.last() == "[[hang]]"


async def test_a_deletion_is_heard_upstream(room: Room, model: ScriptedModel) -> None:
    _, hearing = await room.ask(ENDLESS)
    await until(lambda: hearing.text != "")
    await room.instance.deletions.delete_chat(room.tenant_id, room.chat, CANCEL)
    await gone(model)
    assert await hearing.end() == "deleted"


async def test_an_answer_without_an_end_is_ended(
    room: Room, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TURN_EVENTS", 500)
    turn, hearing = await room.ask(ENDLESS)
    await room.check_end(turn, hearing, FAILED)
    assert len(hearing.events) < 600
    await gone(model)


async def test_a_model_that_falls_silent(room: Room, model: ScriptedModel) -> None:
    turn, hearing = await room.ask("[[tokens=3 hang]]")
    await room.check_end(turn, hearing, FAILED)
    await gone(model)


async def test_a_process_that_stops_leaves_no_request(room: Room, model: ScriptedModel) -> None:
    asked: list[Any] = [await room.ask(ENDLESS)]
    await until(lambda: asked[0][1].text != "")
    await room.instance.turns.close()
    await gone(model)
    assert await asked[0][1].end() == "interrupted"
    assert await room.last() == asked[0][1].text
