"""The encoder: every event is one chunk that the strictest client takes, and frames are made once."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from antiphon.api.recoup.ui_stream import DONE, chunk_of, frame_of
from antiphon.core.ports.streams import Record
from antiphon.domain.answers import Answer
from antiphon.domain.events import (
    Event,
    ReasoningAdded,
    ReasoningEnded,
    ReasoningStarted,
    StepEnded,
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
    TurnEnded,
    TurnFailed,
    TurnStarted,
    TurnStopped,
    decode_events,
    encode_events,
    raw,
)
from tests.wire.recoup.ui_schema import CHUNKS, Reader, check_chunk, chunks_of

USAGE = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7, "inputTokenDetails": {}, "outputTokenDetails": {}}

ONE_OF_EACH: list[tuple[Event, dict[str, Any]]] = [
    (TurnStarted("msg-1"), {"type": "start", "messageId": "msg-1"}),
    (StepStarted(), {"type": "start-step"}),
    (ReasoningStarted("rsn-0"), {"type": "reasoning-start", "id": "rsn-0"}),
    (ReasoningAdded("rsn-0", "Hm"), {"type": "reasoning-delta", "id": "rsn-0", "delta": "Hm"}),
    (ReasoningEnded("rsn-0"), {"type": "reasoning-end", "id": "rsn-0"}),
    (TextStarted("txt-1"), {"type": "text-start", "id": "txt-1"}),
    (TextAdded("txt-1", "Hé\n🦜"), {"type": "text-delta", "id": "txt-1", "delta": "Hé\n🦜"}),
    (TextEnded("txt-1"), {"type": "text-end", "id": "txt-1"}),
    (ToolStarted("c1", "bash"), {"type": "tool-input-start", "toolCallId": "c1", "toolName": "bash"}),
    (ToolInputAdded("c1", "{"), {"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": "{"}),
    (
        ToolCalled("c1", "bash", raw({"command": "ls"})),
        {"type": "tool-input-available", "toolCallId": "c1", "toolName": "bash", "input": {"command": "ls"}},
    ),
    (ToolAnswered("c1", raw([1, None])), {"type": "tool-output-available", "toolCallId": "c1", "output": [1, None]}),
    (ToolFailed("c2", "Cancelled"), {"type": "tool-output-error", "toolCallId": "c2", "errorText": "Cancelled"}),
    (StepEnded(), {"type": "finish-step"}),
    (
        StepSummary("tool-calls", "m", 5, 2),
        {
            "type": "message-metadata",
            "messageMetadata": {"modelId": "m", "lastStepFinishReason": "tool-calls", "lastStepUsage": USAGE},
        },
    ),
    (TurnFailed("No model"), {"type": "error", "errorText": "No model"}),
    (TurnStopped(), {"type": "abort"}),
    (TurnEnded("stopped"), {"type": "finish"}),
]


@pytest.mark.parametrize(("event", "chunk"), ONE_OF_EACH, ids=[chunk["type"] for _, chunk in ONE_OF_EACH])
def test_an_event_is_one_chunk_also_when_it_was_stored(event: Event, chunk: dict[str, Any]) -> None:
    stored = decode_events(encode_events([event]))[0]
    for one in (event, stored):
        shown = msgspec.json.decode(msgspec.json.encode(chunk_of(one)))
        check_chunk(shown)
        assert shown == chunk


def test_no_event_and_no_chunk_is_left_out() -> None:
    assert {type(event) for event, _ in ONE_OF_EACH} == set(get_args(Event))
    assert {chunk["type"] for _, chunk in ONE_OF_EACH} == set(CHUNKS)


def test_what_is_not_known_of_a_step_is_not_told() -> None:
    def told(*of_step: Any) -> Any:
        return msgspec.json.decode(msgspec.json.encode(chunk_of(StepSummary(*of_step))))["messageMetadata"]

    assert told("stop") == {"lastStepFinishReason": "stop"}
    half = told("stop", None, None, 3)["lastStepUsage"]
    assert half == {"outputTokens": 3, "totalTokens": 3, "inputTokenDetails": {}, "outputTokenDetails": {}}


def test_a_frame_is_compact_and_made_once() -> None:
    record = Record(3, TextAdded("txt-0", "a\n\nb — ü"))
    frame = frame_of(record)
    assert frame == 'data: {"type":"text-delta","id":"txt-0","delta":"a\\n\\nb — ü"}\n\n'.encode()
    assert frame_of(record) is frame


def test_frames_of_a_turn_are_a_body_and_its_chunks_the_events() -> None:
    events = [event for event, _ in ONE_OF_EACH]
    body = b"".join(frame_of(Record(at, event)) for at, event in enumerate(events)) + DONE
    assert chunks_of(body) == [chunk for _, chunk in ONE_OF_EACH]


def test_a_deleted_chat_is_an_abort_and_an_end() -> None:
    frame = frame_of(Record(4, TurnEnded("deleted")))
    assert [chunk["type"] for chunk in chunks_of(frame + DONE)] == ["abort", "finish"]
    others = [frame_of(Record(4, TurnEnded(state))) for state in ("completed", "failed", "stopped", "interrupted")]
    assert set(others) == {b'data: {"type":"finish"}\n\n'}


def test_a_client_makes_of_the_chunks_what_is_stored() -> None:
    events: list[Event] = [
        *[event for event, _ in ONE_OF_EACH if not isinstance(event, ToolFailed | TurnFailed | TurnStopped)][:-1],
        StepStarted(),
        TextStarted("txt-2"),
        TextAdded("txt-2", "Cut"),
        ToolStarted("c3", "read"),
    ]
    answer = Answer()
    for event in events:
        answer.take(event)
    closing = answer.closing()
    for event in closing:
        answer.take(event)
    chunks = [msgspec.json.decode(msgspec.json.encode(chunk_of(event))) for event in [*events, *closing]]
    reader = Reader().read(chunks)
    assert reader.parts == msgspec.json.decode(answer.parts())
    assert reader.parts[-1] == {
        "type": "tool-read",
        "toolCallId": "c3",
        "state": "output-error",
        "input": {},
        "errorText": "Cancelled",
    }
    assert reader.text == answer.text
