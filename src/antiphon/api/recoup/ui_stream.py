"""Events as the AI SDK's clients read them: the UI message stream (ai-sdk.dev, "Stream Protocols").

Each event is one chunk, so that a chunk's index in a turn is its event's sequence. Clients of most releases end a
stream at a key or a type that they do not know, so nothing is sent but what all of them take (docs/protocol/recoup.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from antiphon.api.http import encode
from antiphon.api.recoup.wire import show_step
from antiphon.core.ports.streams import Record
from antiphon.core.turn_run import DELETED
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
)

Chunk = dict[str, Any]

DONE = b"data: [DONE]\n\n"
"""The end of an answer's body, whatever became of the turn."""

_NAME = "ui-message-stream"

_CHUNKS: dict[type, Callable[[Any], Chunk]] = {
    TurnStarted: lambda event: {"type": "start", "messageId": event.message_id},
    StepStarted: lambda _: {"type": "start-step"},
    TextStarted: lambda event: {"type": "text-start", "id": event.id},
    TextAdded: lambda event: {"type": "text-delta", "id": event.id, "delta": event.text},
    TextEnded: lambda event: {"type": "text-end", "id": event.id},
    ReasoningStarted: lambda event: {"type": "reasoning-start", "id": event.id},
    ReasoningAdded: lambda event: {"type": "reasoning-delta", "id": event.id, "delta": event.text},
    ReasoningEnded: lambda event: {"type": "reasoning-end", "id": event.id},
    ToolStarted: lambda event: {"type": "tool-input-start", "toolCallId": event.id, "toolName": event.name},
    ToolInputAdded: lambda event: {"type": "tool-input-delta", "toolCallId": event.id, "inputTextDelta": event.text},
    ToolCalled: lambda event: {
        "type": "tool-input-available",
        "toolCallId": event.id,
        "toolName": event.name,
        "input": event.input,
    },
    ToolAnswered: lambda event: {"type": "tool-output-available", "toolCallId": event.id, "output": event.output},
    ToolFailed: lambda event: {"type": "tool-output-error", "toolCallId": event.id, "errorText": event.error},
    StepEnded: lambda _: {"type": "finish-step"},
    StepSummary: lambda event: {"type": "message-metadata", "messageMetadata": show_step(event)},
    TurnFailed: lambda event: {"type": "error", "errorText": event.error},
    TurnStopped: lambda _: {"type": "abort"},
    TurnEnded: lambda _: {"type": "finish"},
}


def chunk_of(event: Event) -> Chunk:
    """An event as a chunk."""
    return _CHUNKS[type(event)](event)


def frame_of(record: Record) -> bytes:
    """An event as it goes over the wire; made once for all who follow.

    The end of a turn whose chat was deleted is told as an abort, and then as an end like any other: a client that has
    seen no end would come back for more.
    """
    frame = record.frames.get(_NAME)
    if frame is None:
        frame = _frame(chunk_of(record.event))
        if isinstance(record.event, TurnEnded) and record.event.state == DELETED:
            frame = _frame(chunk_of(TurnStopped())) + frame
        record.frames[_NAME] = frame
    return frame


def _frame(chunk: Chunk) -> bytes:
    return b"data: %b\n\n" % encode(chunk)
