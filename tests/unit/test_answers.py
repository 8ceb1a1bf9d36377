"""Events folded into the parts of a message, and what closes an answer that breaks off."""

from __future__ import annotations

import msgspec

from antiphon.domain.answers import CANCELLED, Answer
from antiphon.domain.events import (
    Event,
    StepStarted,
    StepSummary,
    TextAdded,
    TextEnded,
    TextStarted,
    ToolAnswered,
    ToolCalled,
    ToolFailed,
    ToolInputAdded,
    ToolStarted,
    decode_events,
    encode_events,
    raw,
)

TOOL_TURN: list[Event] = [
    StepStarted(),
    TextStarted("txt-0"),
    TextAdded("txt-0", "Let me "),
    TextAdded("txt-0", "look."),
    TextEnded("txt-0"),
    ToolStarted("call-1", "current_time"),
    ToolInputAdded("call-1", '{"zone":'),
    ToolInputAdded("call-1", '"UTC"}'),
    ToolCalled("call-1", "current_time", raw({"zone": "UTC"})),
    ToolAnswered("call-1", raw({"time": "12:00"})),
    StepSummary("tool-calls", "m", 3, 4),
    StepStarted(),
    TextStarted("txt-1"),
    TextAdded("txt-1", " Noon."),
    TextEnded("txt-1"),
    StepSummary("stop", "m", 5, 6),
]


def folded(events: list[Event], before: str | None = None) -> Answer:
    """The answer that these events amount to."""
    answer = Answer(before)
    for event in events:
        answer.take(event)
    return answer


def test_a_turn_with_a_tool() -> None:
    """Steps, texts and the call with its answer, in order."""
    answer = folded(TOOL_TURN)
    assert answer.text == "Let me look. Noon."
    assert (answer.model, answer.tokens, answer.reason) == ("m", 18, "stop")
    assert msgspec.json.decode(answer.parts()) == [
        {"type": "step-start"},
        {"type": "text", "text": "Let me look.", "state": "done"},
        {
            "type": "tool-current_time",
            "toolCallId": "call-1",
            "state": "output-available",
            "input": {"zone": "UTC"},
            "output": {"time": "12:00"},
        },
        {"type": "step-start"},
        {"type": "text", "text": " Noon.", "state": "done"},
    ]
    assert answer.closing() == []


def test_events_survive_the_store() -> None:
    """What is read back folds into the same."""
    assert folded(decode_events(encode_events(TOOL_TURN))).parts() == folded(TOOL_TURN).parts()


def test_at_every_point_an_answer_can_be_closed() -> None:
    """Nothing stays open, and closing what is closed adds nothing."""
    for end in range(len(TOOL_TURN) + 1):
        answer = folded(TOOL_TURN[:end])
        for event in answer.closing():
            answer.take(event)
        assert answer.closing() == []
        parts = msgspec.json.decode(answer.parts())
        assert all(part.get("state") in (None, "done", "output-available", "output-error") for part in parts), end


def test_a_call_that_nobody_answers_is_cancelled() -> None:
    """One whose arguments never came is called with none, since a result needs a call."""
    assert folded(TOOL_TURN[:6]).closing() == [
        ToolCalled("call-1", "current_time", raw({})),
        ToolFailed("call-1", CANCELLED),
    ]
    assert folded(TOOL_TURN[:9]).closing() == [ToolFailed("call-1", CANCELLED)]


def test_a_call_that_the_client_answers_stays_open() -> None:
    """A complete answer may end with it."""
    assert folded(TOOL_TURN[:9]).closing(is_complete=True) == []


def test_what_says_nothing_is_empty() -> None:
    """A step alone is no answer, nor is a text that was never begun."""
    assert folded([]).is_empty
    assert folded([StepStarted(), TextStarted("txt-0")]).is_empty
    assert not folded(TOOL_TURN[:3]).is_empty
    assert not folded(TOOL_TURN[5:6]).is_empty


def test_a_message_that_is_gone_on_with_keeps_what_it_had() -> None:
    """The parts before stand first, as they were, and the text begins with theirs."""
    before = '[{"type":"text","text":"Before."},{"type":"tool-ask","toolCallId":"c","state":"output-available"}]'
    answer = folded(TOOL_TURN[-5:], before)
    assert msgspec.json.decode(answer.parts())[:2] == msgspec.json.decode(before)
    assert answer.text == "Before. Noon."
