"""A turn, as every agent that asks a server has to do it: one suite for all of them, over a real socket."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from antiphon.core.ports import (
    Agent,
    AgentEvent,
    CallAnswered,
    CallDelta,
    CallMade,
    CallRefused,
    CallStarted,
    Finished,
    StepBegan,
    StepDone,
    TextDelta,
    ThoughtDelta,
    Tool,
    ToolCall,
    ToolResult,
    Utterance,
)
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed, ToolRefused
from tests.scripted_model import THOUGHT, ScriptedModel
from tests.unit.agent.conftest import KEY, MODULES, Make


class Doubler:
    """A tool that doubles a number. `act` does something else instead; `ran` are the arguments it was given."""

    name = "double"
    description = "Doubles a number."
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }

    def __init__(self, act: Callable[[], Any] | None = None, *, is_answered_by_client: bool = False) -> None:
        self.is_answered_by_client = is_answered_by_client
        self.ran: list[Mapping[str, Any]] = []
        self._act = act

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """See the port."""
        self.ran.append(arguments)
        if self._act is None:
            return {"twice": 2 * arguments["n"]}
        value = self._act()
        return await value if asyncio.iscoroutine(value) else value


def say(text: str) -> list[Utterance]:
    return [Utterance("user", text)]


async def take(agent: Agent, text: str, *tools: Tool) -> list[AgentEvent]:
    """All events of a turn."""
    return [event async for event in agent.run_turn(say(text), tools)]


async def note(agent: Agent, text: str, tools: Sequence[Tool], seen: list[AgentEvent]) -> None:
    """Add the events of a turn to a list as they come."""
    async for event in agent.run_turn(say(text), tools):
        seen += [event]


async def fail(agent: Agent, text: str, *tools: Tool) -> tuple[list[AgentEvent], str]:
    """The events before a failure, and its words, which tell nothing they should not."""
    seen: list[AgentEvent] = []
    with pytest.raises(AgentFailed) as failed:
        await note(agent, f"private words {text}", tools, seen)
    shown = f"{failed.value!r} {failed.value.__cause__!r} {failed.value.message}"
    assert KEY not in shown
    assert "private" not in shown
    return seen, failed.value.message


async def gone(model: ScriptedModel) -> str | None:
    """How the newest request ended."""
    async with asyncio.timeout(5):
        await model.calls[-1].ended.wait()
    return model.calls[-1].outcome


def text_of(events: Sequence[AgentEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def kinds(events: Sequence[AgentEvent]) -> list[type]:
    return [type(event) for event in events]


# Texts and thoughts


async def test_text__one_step(agent: Agent, model: ScriptedModel) -> None:
    assert await take(agent, "[[tokens=2]]") == [
        StepBegan(),
        TextDelta("t0"),
        TextDelta(" t1"),
        StepDone("stop", "m1", 1, 2),
        Finished("m1", 3, "stop"),
    ]
    assert "tools" not in model.calls[0].body


async def test_text__thoughts_come_apart(agent: Agent) -> None:
    events = await take(agent, "[[thinks text=x]]")
    assert [event.text for event in events if isinstance(event, ThoughtDelta)] == [THOUGHT]
    assert kinds(events)[:3] == [StepBegan, ThoughtDelta, TextDelta]


async def test_text__a_chat_may_name_its_model(agent: Agent, model: ScriptedModel) -> None:
    events = [event async for event in agent.run_turn(say("[[tokens=1]]"), (), "m2")]
    assert events[-1] == Finished("m2", 2, "stop")
    assert model.calls[0].body["model"] == "m2"


# Tools


async def test_tool__a_turn_of_two_steps(agent: Agent, model: ScriptedModel) -> None:
    tool = Doubler()
    assert await take(agent, '[[tool=double args={"n": 21}]]', tool) == [
        StepBegan(),
        CallStarted("call_1_0", "double"),
        CallDelta("call_1_0", '{"n"'),
        CallDelta("call_1_0", ": 21}"),
        CallMade("call_1_0", "double", '{"n":21}'),
        CallAnswered("call_1_0", '{"twice":42}'),
        StepDone("tool-calls", "m1", 1, 3),
        StepBegan(),
        *(TextDelta(piece) for piece in ("The", " tool", " has", " answered.")),
        StepDone("stop", "m1", 1, 4),
        Finished("m1", 9, "stop"),
    ]
    assert tool.ran == [{"n": 21}]
    first, second = model.calls
    (offered,) = first.body["tools"]
    assert offered["function"]["name"] == "double"
    assert offered["function"]["description"] == tool.description
    assert offered["function"]["parameters"] == tool.schema
    _, called, answered = second.body["messages"]
    (call,) = called["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("call_1_0", "double")
    assert json.loads(call["function"]["arguments"]) == {"n": 21}
    assert (answered["tool_call_id"], answered["content"]) == ("call_1_0", '{"twice":42}')


async def test_tool__several_calls_run_in_their_order(agent: Agent, model: ScriptedModel) -> None:
    events = await take(agent, '[[tool=double calls=3 args={"n":1}]]', Doubler())
    ids = ["call_1_0", "call_1_1", "call_1_2"]
    assert [event.id for event in events if isinstance(event, CallMade)] == ids
    assert [event.id for event in events if isinstance(event, CallAnswered)] == ids
    assert [message["tool_call_id"] for message in model.calls[1].body["messages"][2:]] == ids


async def test_tool__calls_without_ids_get_some(agent: Agent, model: ScriptedModel) -> None:
    events = await take(agent, '[[tool=double bare calls=2 args={"n":1}]]', Doubler())
    ids = [event.id for event in events if isinstance(event, CallStarted)]
    assert len(set(ids)) == 2
    assert all(ids)
    assert [event.id for event in events if isinstance(event, CallAnswered)] == ids
    assert [message["tool_call_id"] for message in model.calls[1].body["messages"][2:]] == ids


async def test_tool__an_id_that_the_chat_knows_already_is_not_used_again(agent: Agent) -> None:
    before = [
        Utterance("user", "hello"),
        Utterance("assistant", "", (ToolCall("call_1_0", "double", "{}"),)),
        Utterance("tool", "1", result=ToolResult("call_1_0", "double", "1")),
    ]
    history = [*before, *say('[[tool=double args={"n":1}]]')]
    events = [event async for event in agent.run_turn(history, [Doubler()])]
    (call,) = [event for event in events if isinstance(event, CallMade)]
    assert call.id != "call_1_0"
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("tool=nope args={}", "{}", "there is no tool nope"),
        ('tool=double args={"n":"x"}', '{"n":"x"}', "n: 'x' is not of type 'integer'"),
        ("tool=double args={}", "{}", "'n' is a required property"),
        ('tool=double args={"n":}', "{}", "not a JSON object"),
        (f'tool=double args={{"n":{"[" * 200}{"]" * 200}}}', "{}", "not a JSON object"),
    ],
)
async def test_refusal__a_call_that_cannot_be_made(
    agent: Agent, model: ScriptedModel, script: str, arguments: str, words: str
) -> None:
    tool = Doubler()
    events = await take(agent, f"[[{script}]]", tool)
    (made,) = [event for event in events if isinstance(event, CallMade)]
    (refused,) = [event for event in events if isinstance(event, CallRefused)]
    assert made.arguments == arguments
    assert words in refused.error
    assert tool.ran == []
    told = model.calls[1].body["messages"][-1]
    assert json.loads(told["content"]) == {"error": refused.error}
    assert text_of(events) == "The tool has answered."


def _refuse() -> Any:
    raise ToolRefused("not on Sundays")


def _break() -> Any:
    raise ValueError("private words")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (_refuse, "not on Sundays"),
        (_break, "the tool failed"),
        (object, "the tool failed"),
        (lambda: "x" * 100, "longer than 50 bytes"),
        (lambda: asyncio.Event().wait(), "the tool did not answer in time"),
    ],
    ids=["refuses", "breaks", "no JSON", "long", "slow"],
)
async def test_refusal__a_tool_that_gives_no_answer(
    agent: Agent,
    act: Callable[[], Any],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(limits, "TOOL_SECONDS", 0.05)
    monkeypatch.setattr(limits, "TOOL_OUTPUT_BYTES", 50)
    with caplog.at_level(logging.DEBUG, "antiphon"):
        events = await take(agent, '[[tool=double args={"n":1}]]', Doubler(act))
    (refused,) = [event for event in events if isinstance(event, CallRefused)]
    assert words in refused.error
    assert text_of(events) == "The tool has answered."
    assert not any("private" in f"{vars(record)}" for record in caplog.records if record.name.startswith("antiphon"))


async def test_refusal__tools_that_say_too_much_together(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may be as long as that; what they say stays in the message, and is sent with every step."""
    monkeypatch.setattr(limits, "TURN_TOOL_BYTES", 24)
    events = await take(agent, '[[tool=double calls=3 args={"n":1}]]', Doubler(lambda: "x" * 8))
    answers = [event for event in events if isinstance(event, CallAnswered | CallRefused)]
    assert [type(answer) for answer in answers] == [CallAnswered, CallAnswered, CallRefused]
    assert isinstance(answers[2], CallRefused)
    assert "longer than 24 bytes" in answers[2].error
    assert text_of(events) == "The tool has answered."


async def test_client__its_tool_ends_the_turn(agent: Agent, model: ScriptedModel) -> None:
    tool = Doubler(is_answered_by_client=True)
    events = await take(agent, '[[tool=double args={"n":1}]]', tool)
    assert events[-3:] == [
        CallMade("call_1_0", "double", '{"n":1}'),
        StepDone("tool-calls", "m1", 1, 3),
        Finished("m1", 4, "tool-calls"),
    ]
    assert (len(model.calls), tool.ran) == (1, [])


async def test_client__a_bad_call_of_its_tool_is_refused_here(agent: Agent) -> None:
    events = await take(agent, "[[tool=double args={}]]", Doubler(is_answered_by_client=True))
    assert CallRefused in kinds(events)
    assert text_of(events) == "The tool has answered."


# Ends of what has none


async def test_bound__steps(agent: Agent, model: ScriptedModel) -> None:
    events = await take(agent, '[[tool=double again args={"n":1}]]', Doubler())
    assert kinds(events).count(StepBegan) == len(model.calls) == limits.TURN_STEPS
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "tool-calls"
    ids = [event.id for event in events if isinstance(event, CallMade)]
    assert len(set(ids)) == limits.TURN_STEPS


async def test_bound__text(agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_CHARACTERS", 50)
    events = await take(agent, "[[tokens=1000000]]")
    assert len(text_of(events)) == 50
    assert isinstance(events[-1], Finished)
    assert (events[-1].model, events[-1].reason) == ("m1", "length")
    assert await gone(model) == "client_gone"


async def test_bound__arguments(agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_CHARACTERS", 3)
    tool = Doubler()
    events = await take(agent, '[[tool=double args={"n": 1}]]', tool)
    assert events[2:] == [
        CallDelta("call_1_0", '{"n'),
        CallMade("call_1_0", "double", "{}"),
        CallRefused("call_1_0", "the call was cut off"),
        StepDone("length", "m1"),
        events[-1],
    ]
    assert isinstance(events[-1], Finished)
    assert (len(model.calls), tool.ran) == (1, [])


async def test_bound__calls(agent: Agent, model: ScriptedModel) -> None:
    tool = Doubler()
    _, words = await fail(agent, '[[tool=double calls=1000 args={"n":1}]]', tool)
    assert "too many tools" in words
    assert tool.ran == []
    assert await gone(model) == "client_gone"


# Failures


@pytest.mark.parametrize("status", [401, 500])
async def test_failure__a_status_is_told_and_not_tried_again(agent: Agent, model: ScriptedModel, status: int) -> None:
    seen, words = await fail(agent, f"[[error={status}]]")
    assert (kinds(seen), len(model.calls)) == ([StepBegan], 1)
    assert str(status) in words


async def test_failure__a_server_without_tools_is_told_apart(agent: Agent, model: ScriptedModel) -> None:
    _, words = await fail(agent, "[[refused tool=double args={}]]", Doubler())
    assert "ANTIPHON_TOOLS=off" in words
    assert "ANTIPHON_TOOLS" not in (await fail(agent, "[[error=400]]"))[1]
    assert len(model.calls) == 2


@pytest.mark.parametrize("script", ["error=503 times=2", "error=429 times=2", "error=502 times=1", "drop=2"])
async def test_retry__what_passes_is_waited_for(agent: Agent, model: ScriptedModel, script: str) -> None:
    events = await take(agent, f"[[{script} tokens=1]]")
    assert (kinds(events).count(StepBegan), text_of(events)) == (1, "t0")
    assert len(model.calls) == (2 if "times=1" in script else 3)


@pytest.mark.parametrize(("script", "words"), [("error=503", "503"), ("drop=100", "reached")])
async def test_retry__not_for_ever(agent: Agent, model: ScriptedModel, script: str, words: str) -> None:
    assert words in (await fail(agent, f"[[{script}]]"))[1]
    assert len(model.calls) == limits.MODEL_ATTEMPTS


async def test_retry__also_in_a_later_step(agent: Agent, model: ScriptedModel) -> None:
    """The second step is another request; what the first said is not said again."""
    tool = Doubler()
    events = await take(agent, '[[tool=double unready=2 args={"n":1}]]', tool)
    assert (len(tool.ran), len(model.calls)) == (1, 3)
    assert (kinds(events).count(CallMade), text_of(events)) == (1, "The tool has answered.")


async def test_retry__the_server_says_when(agent: Agent, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[float | None] = []

    def hear(told: float | None, _: float) -> float:
        heard.append(told)
        return 0

    monkeypatch.setattr(f"{MODULES[kind]}.asked_for", hear)
    await take(agent, "[[error=503 times=2 retry_after=7 tokens=1]]")
    assert heard == [7, 7]


async def test_failure__nobody_listens(make: Make) -> None:
    _, words = await fail(make("http://127.0.0.1:9/v1"), "hello")  # the port of the discard service
    assert "reached" in words


async def test_failure__a_break_in_the_middle_is_not_tried_again(agent: Agent, model: ScriptedModel) -> None:
    seen, words = await fail(agent, "[[error_after=2 tokens=5]]")
    assert text_of(seen) == "t0 t1"
    assert "broke off" in words
    assert len(model.calls) == 1


async def test_failure__an_answer_that_just_stops(agent: Agent, model: ScriptedModel) -> None:
    seen, words = await fail(agent, "[[fades tokens=2]]")
    assert (text_of(seen), len(model.calls)) == ("t0 t1", 1)
    assert "broke off" in words


async def test_failure__a_break_inside_a_call(agent: Agent, model: ScriptedModel) -> None:
    tool = Doubler()
    seen, _ = await fail(agent, '[[error_after=2 tool=double args={"n":1}]]', tool)
    assert kinds(seen) == [StepBegan, CallStarted, CallDelta]
    assert (tool.ran, len(model.calls)) == ([], 1)


@pytest.mark.parametrize("script", ["[[garbage]]", "[[garbage tokens=2]]", "[[empty]]", "[[empty thinks]]"])
async def test_failure__nothing_usable(agent: Agent, model: ScriptedModel, script: str) -> None:
    await fail(agent, script)
    assert len(model.calls) == 1


@pytest.mark.parametrize(
    ("script", "seen"),
    [("[[hang]]", [StepBegan]), ('[[hang tool=double args={"n":1}]]', [StepBegan, CallStarted, CallDelta])],
)
async def test_failure__silence_ends_the_request(
    make: Make, model: ScriptedModel, script: str, seen: list[type]
) -> None:
    events, _ = await fail(make(silence_seconds=0.3), script, Doubler())
    assert kinds(events) == seen
    assert await gone(model) == "client_gone"


# Stops


@pytest.mark.parametrize("script", ["[[tokens=1000 delay_ms=20]]", '[[hang tool=double args={"n":1}]]'])
async def test_stop__leaving_closes_the_request(agent: Agent, model: ScriptedModel, script: str) -> None:
    async with aclosing(agent.run_turn(say(script), [Doubler()])) as events:
        for _ in range(3):
            await anext(events)
    assert await gone(model) == "client_gone"


@pytest.mark.parametrize("script", ["[[hang]]", "[[tokens=1000 delay_ms=20]]", "[[hang tool=double args={}]]"])
async def test_stop__cancelling_the_reader_closes_the_request(agent: Agent, model: ScriptedModel, script: str) -> None:
    reading = asyncio.create_task(take(agent, script, Doubler()))
    async with asyncio.timeout(5):
        await model.asked.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await gone(model) == "client_gone"


async def test_stop__cancelling_the_reader_cancels_the_tool(agent: Agent, model: ScriptedModel) -> None:
    runs, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        runs.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    reading = asyncio.create_task(take(agent, '[[tool=double args={"n":1}]]', Doubler(wait)))
    async with asyncio.timeout(5):
        await runs.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert ended.is_set()
    assert len(model.calls) == 1


async def test_stop__an_agent_goes_on_with_others(agent: Agent) -> None:
    """One turn that is stopped in the middle takes nothing from those beside and after it."""
    beside = asyncio.create_task(take(agent, "[[tokens=20 delay_ms=5]]"))
    async with aclosing(agent.run_turn(say("[[tokens=1000 delay_ms=20]]"))) as events:
        await anext(events)
        await anext(events)
    assert text_of(await beside).endswith("t19")
    assert text_of(await take(agent, "[[tokens=1]]")) == "t0"


# Histories


async def test_history__calls_and_results_go_out_as_they_were(agent: Agent, model: ScriptedModel) -> None:
    history = [
        Utterance("system", "be brief"),
        Utterance("user", "double one"),
        Utterance("assistant", "Well.", (ToolCall("c1", "double", '{"n":1}'), ToolCall("c" * 100, "my.tool", "7"))),
        Utterance("tool", "2", result=ToolResult("c1", "double", "2")),
        Utterance("tool", '{"error":"no"}', result=ToolResult("c" * 100, "my.tool", '{"error":"no"}')),
        Utterance("assistant", "Two."),
        *say("[[tokens=1]]"),
    ]
    assert text_of([event async for event in agent.run_turn(history)]) == "t0"
    sent = model.calls[0].body["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]
    one, other = sent[2]["tool_calls"]
    assert sent[2]["content"] == "Well."
    assert (one["id"], one["function"]) == ("c1", {"name": "double", "arguments": '{"n":1}'})
    assert other["function"] == {"name": "my_tool", "arguments": "{}"}
    assert len(other["id"]) <= 40
    assert [(said["tool_call_id"], said["content"]) for said in sent[3:5]] == [
        ("c1", "2"),
        (other["id"], '{"error":"no"}'),
    ]
    assert (sent[5]["content"], sent[6]["content"]) == ("Two.", "[[tokens=1]]")
