"""The local model, really run: it answers, and its process lives no longer than it should."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from antiphon.agent import models
from antiphon.agent.local import LocalAgent
from antiphon.core.ports import (
    CallAnswered,
    CallDelta,
    CallMade,
    CallRefused,
    Finished,
    StepBegan,
    StepDone,
    TextDelta,
    Utterance,
)
from antiphon.core.tools import CurrentTime
from antiphon.domain.errors import AgentFailed

PARENT = """
import asyncio
from antiphon.agent.local import LocalAgent

async def main():
    agent = LocalAgent()
    await agent.warm_up()
    print(agent.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[LocalAgent]:
    made = LocalAgent(tmp_path / "model.log")
    yield made
    await made.close()


def is_running(pid: int) -> bool:
    """Whether the process does anything still; one that nobody has buried yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def wait_until_gone(pid: int, seconds: float) -> None:
    """Raises TimeoutError when the process still runs then."""
    async with asyncio.timeout(seconds):
        while is_running(pid):  # noqa: ASYNC110  there is no event
            await asyncio.sleep(0.02)  # nobody tells of the end of a process that is not one's own child


def sockets_of(pid: int) -> set[str]:
    """The sockets that a process has open, as the kernel names them."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


async def answer(agent: LocalAgent, *texts: str) -> tuple[list[str], Finished]:
    """The pieces and the end of an answer to the last of these texts."""
    events = [event async for event in agent.run_turn([Utterance("user", text) for text in texts])]
    end = events.pop()
    assert isinstance(end, Finished)
    return [event.text for event in events if isinstance(event, TextDelta)], end


async def test_answer__and_the_process_ends_with_close(agent: LocalAgent) -> None:
    pieces, end = await answer(agent, "Say hello.")
    assert len(pieces) >= 1
    assert end.tokens_used >= len(pieces)
    assert end.reason in {"stop", "length"}
    pid = agent.pid
    assert pid is not None
    begun = time.monotonic()
    await agent.close()
    assert time.monotonic() - begun < 3
    assert not is_running(pid)


@pytest.mark.parametrize("texts", [["你好" * 2000], ["😀" * 2000], ["😀"] * 300], ids=["chinese", "emoji", "many"])
async def test_answer__no_history_is_more_than_the_model_reads(agent: LocalAgent, texts: list[str]) -> None:
    """What a model this small says to it is another matter: often nothing."""
    async with aclosing(agent.run_turn([Utterance("user", text) for text in texts])) as events:
        try:
            assert await anext(events) == StepBegan()
            assert isinstance(await anext(events), TextDelta)
        except AgentFailed as failed:
            assert failed.message == "the model gave no text"  # noqa: PT017  either end is a good one


async def test_tool__one_that_is_named_is_used(agent: LocalAgent) -> None:
    history = [Utterance("user", "Use current_time: what time is it?")]
    events = [event async for event in agent.run_turn(history, [CurrentTime()])]
    (made,) = [event for event in events if isinstance(event, CallMade)]
    assert made.name == "current_time"
    assert set(json.loads(made.arguments)) <= {"time_zone"}  # the schema binds it; what it fills in is another matter
    (answered,) = [event for event in events if isinstance(event, CallAnswered | CallRefused)]
    assert answered.id == made.id
    assert [type(event) for event in events].count(StepBegan) == 2
    after = events[events.index(answered) :]
    assert any(isinstance(event, TextDelta) for event in after)
    assert isinstance(events[-1], Finished)


async def test_tool__one_that_is_not_named_is_not_used(agent: LocalAgent) -> None:
    events = [event async for event in agent.run_turn([Utterance("user", "Say hello.")], [CurrentTime()])]
    assert {type(event) for event in events} == {StepBegan, TextDelta, StepDone, Finished}


async def test_tool__leaving_while_its_arguments_are_written(agent: LocalAgent) -> None:
    history = [Utterance("user", "Use current_time: what time is it?")]
    async with aclosing(agent.run_turn(history, [CurrentTime()])) as events:
        async for event in events:
            if isinstance(event, CallDelta):
                break
    pieces, _ = await answer(agent, "Say hello.")
    assert pieces


async def test_answer__a_process_that_died_is_started_again(agent: LocalAgent) -> None:
    await agent.warm_up()
    first = agent.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(5):
        while agent.pid is not None:  # noqa: ASYNC110  there is no event
            await asyncio.sleep(0.01)  # until the loop has heard of the end of its child
    await answer(agent, "Say hello.")
    assert agent.pid not in {None, first}


async def test_answer__the_process_inherits_no_socket(agent: LocalAgent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        await agent.warm_up()
        assert agent.pid is not None
        name = os.readlink(f"/proc/self/fd/{listening.fileno()}")
        assert name not in sockets_of(agent.pid)


async def test_close__while_it_starts(agent: LocalAgent) -> None:
    starting = asyncio.create_task(agent.warm_up())
    async with asyncio.timeout(5):
        while agent.pid is None:  # noqa: ASYNC110  there is no event
            await asyncio.sleep(0)  # until there is a process, which does not listen yet
    pid = agent.pid
    begun = time.monotonic()
    await agent.close()
    assert time.monotonic() - begun < 3
    with pytest.raises(AgentFailed):
        await starting
    assert not is_running(pid)


async def test_parent__its_killing_ends_the_model() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 60))
    assert is_running(pid)
    parent.kill()
    await parent.wait()
    await wait_until_gone(pid, 3)


async def test_start__nothing_installed_names_the_command(agent: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_weights", lambda: None)
    with pytest.raises(AgentFailed, match="antiphon models install"):
        await answer(agent, "Say hello.")


async def test_start__slowness_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.agent.local._PROGRESS_SECONDS", 0.05)
    told: list[str] = []
    agent = LocalAgent(on_progress=told.append)
    await agent.warm_up()
    await agent.close()
    assert told == ["starting the local model"]
