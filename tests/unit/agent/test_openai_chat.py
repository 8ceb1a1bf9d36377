"""The agent over OpenAI's wire, against a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from antiphon.agent.openai_chat import OpenAiAgent
from antiphon.agent.openai_messages import shorten
from antiphon.core.ports import Finished, StepBegan, TextDelta, Utterance
from antiphon.domain.errors import AgentFailed
from tests.scripted_model import ScriptedModel

KEY = "sk-very-secret"


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel().serving() as serving:
        yield serving


@pytest.fixture
async def agent(model: ScriptedModel) -> AsyncIterator[OpenAiAgent]:
    made = OpenAiAgent(model.url, KEY, "m1", silence_seconds=0.5, retry_seconds=0)
    yield made
    await made.close()


def say(text: str) -> list[Utterance]:
    return [Utterance("user", text)]


async def take(agent: OpenAiAgent, text: str) -> tuple[str, Finished]:
    pieces, end = [], None
    async for event in agent.run_turn(say(text)):
        if isinstance(event, TextDelta):
            pieces.append(event.text)
        elif isinstance(event, Finished):
            end = event
    assert end is not None
    return "".join(pieces), end


async def test_answer__pieces_and_end(agent: OpenAiAgent) -> None:
    assert await take(agent, "[[tokens=3]]") == ("t0 t1 t2", Finished("m1", 4, "stop"))


async def test_answer__history_goes_out_as_it_is(agent: OpenAiAgent, model: ScriptedModel) -> None:
    history = [Utterance("system", "be brief"), Utterance("assistant", "hi"), Utterance("user", "[[text=ok]]")]
    events = [event async for event in agent.run_turn(history)]
    assert events[:2] == [StepBegan(), TextDelta("ok")]
    sent = model.calls[0].body
    assert sent["messages"] == [{"role": said.role, "content": said.text} for said in history]
    assert (sent["model"], sent["stream"], sent["stream_options"]) == ("m1", True, {"include_usage": True})


async def test_answer__pieces_arrive_while_the_model_still_speaks(agent: OpenAiAgent, model: ScriptedModel) -> None:
    async with aclosing(agent.run_turn(say("[[tokens=50 delay_ms=20]]"))) as events:
        assert [await anext(events), await anext(events)] == [StepBegan(), TextDelta("t0")]
        assert model.calls[0].outcome is None


async def test_answer__leaving_early_stops_the_model(agent: OpenAiAgent, model: ScriptedModel) -> None:
    async with aclosing(agent.run_turn(say("[[tokens=1000 delay_ms=20]]"))) as events:
        await anext(events)
        await anext(events)
    await asyncio.wait_for(model.calls[0].ended.wait(), 2)
    assert model.calls[0].outcome == "client_gone"


async def test_answer__cancelling_the_reader_stops_the_model(agent: OpenAiAgent, model: ScriptedModel) -> None:
    task = asyncio.create_task(take(agent, "[[tokens=1000 delay_ms=20]]"))
    await asyncio.wait_for(model.asked.wait(), 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(model.calls[0].ended.wait(), 2)
    assert model.calls[0].outcome == "client_gone"


@pytest.mark.parametrize(
    "script", ["[[error=500]]", "[[error=401]]", "[[error_after=2 tokens=5]]", "[[hang]]", "[[garbage]]", "[[empty]]"]
)
async def test_answer__failures_are_agent_failed_and_tell_no_secret(agent: OpenAiAgent, script: str) -> None:
    with pytest.raises(AgentFailed) as failed:
        await take(agent, f"private words {script}")
    assert KEY not in failed.value.message
    assert "private" not in failed.value.message


async def test_answer__nobody_listens() -> None:
    agent = OpenAiAgent("http://127.0.0.1:9/v1", None, "m1", retry_seconds=0)
    with pytest.raises(AgentFailed, match="reached"):
        await take(agent, "hello")
    await agent.close()


async def test_answer__first_listed_model_is_the_default(model: ScriptedModel) -> None:
    agent = OpenAiAgent(model.url)
    assert (await take(agent, "[[text=a]]"))[1].model == "scripted-1"
    await agent.close()


async def test_answer__a_stale_connection_is_replaced_once(agent: OpenAiAgent, model: ScriptedModel) -> None:
    await take(agent, "[[text=a]]")
    model.stale.set()  # the server closes the kept-alive connection when the next request has come in
    assert (await take(agent, "[[text=b]]"))[0] == "b"
    assert model.connections == 2


def test_shorten__everything_fits() -> None:
    history = [Utterance("user", "one"), Utterance("assistant", "two")]
    assert shorten(history, None) == history
    assert shorten(history, 100) == history


def test_shorten__newest_and_system_stay() -> None:
    history = [Utterance("system", "sss"), *(Utterance("user", f"{i}" * 30) for i in range(9))]
    assert shorten(history, 22) == [history[0], *history[-2:]]


def test_shorten__last_alone_is_cut_from_its_front() -> None:
    assert shorten([Utterance("user", "a" * 50 + "end")], 2) == [Utterance("user", "aaaend")]
