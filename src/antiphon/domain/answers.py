"""An answer in the making: events folded into the parts of a message.

Parts have the form of the AI SDK's UI messages (`text`, `reasoning`, `step-start`, `tool-<name>`), which is what
clients send us and is stored as they sent it: one form, whoever wrote the message (docs/decisions/0006).
"""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.domain.events import (
    Event,
    ReasoningAdded,
    ReasoningEnded,
    ReasoningStarted,
    StepStarted,
    StepSummary,
    TextAdded,
    TextEnded,
    TextStarted,
    ToolAnswered,
    ToolCalled,
    ToolFailed,
    ToolStarted,
    raw,
)

CANCELLED = "Cancelled"
"""What a tool call says that nobody will answer any more."""

_INPUT = "input-streaming"
_CALLED = "input-available"
_ANSWERED = "output-available"
_FAILED = "output-error"


class _Piecewise:
    """A text or a thought that is being said."""

    __slots__ = ("ended", "pieces", "type")

    def __init__(self, kind: str) -> None:
        self.type = kind
        self.pieces: list[str] = []
        self.ended = False

    def part(self) -> dict[str, Any]:
        return {"type": self.type, "text": "".join(self.pieces), "state": "done" if self.ended else "streaming"}


def _text_of(part: Any) -> str:
    """The text of a part that a client may have written: whatever is malformed says nothing."""
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    return text if isinstance(text, str) else ""


class Answer:
    """What the events so far amount to. `before` are the parts (a JSON array) of a message that is gone on with."""

    def __init__(self, before: str | None = None) -> None:
        self._parts: list[Any] = msgspec.json.decode(before) if before else []  # parts, and texts in the making
        self._open: dict[tuple[str, str], _Piecewise] = {}
        self._calls: dict[str, dict[str, Any]] = {}
        self._said = [text for part in self._parts if (text := _text_of(part))]
        self.model: str | None = None
        self.tokens = 0
        self.reason: str | None = None
        self._take: dict[type, Any] = {
            TextAdded: self._add_text,
            TextStarted: self._start,
            TextEnded: self._end,
            ReasoningStarted: self._start,
            ReasoningAdded: self._add_thought,
            ReasoningEnded: self._end,
            StepStarted: self._start_step,
            StepSummary: self._note_summary,
            ToolStarted: self._start_call,
            ToolCalled: self._call,
            ToolAnswered: self._answer_call,
            ToolFailed: self._fail_call,
        }

    def take(self, event: Event) -> None:
        """Go on by one event."""
        change = self._take.get(type(event))
        if change is not None:
            change(event)

    @property
    def text(self) -> str:
        """All that was said, without thoughts and tools."""
        return "".join(self._said)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said and no tool was called."""
        return not any(
            part.pieces if isinstance(part, _Piecewise) else part.get("type") != "step-start" for part in self._parts
        )

    def parts(self) -> str:
        """The parts as a JSON array."""
        shown = [part.part() if isinstance(part, _Piecewise) else part for part in self._parts]
        return msgspec.json.encode(shown).decode()

    def closing(self, *, is_complete: bool = False) -> list[Event]:
        """The events that close what is open: texts end, calls that nobody answers fail. Not taken yet.

        In a complete answer a call may stay open: the client answers it, with its next request.
        """
        events: list[Event] = []
        for kind, name in self._open:
            events.append(TextEnded(name) if kind == "text" else ReasoningEnded(name))
        open_calls = {} if is_complete else self._calls
        for call_id, part in open_calls.items():
            if part["state"] == _INPUT:
                events.append(ToolCalled(call_id, part["type"].removeprefix("tool-"), raw({})))
            if part["state"] in (_INPUT, _CALLED):
                events.append(ToolFailed(call_id, CANCELLED))
        return events

    def _start(self, event: TextStarted | ReasoningStarted) -> None:
        kind = "text" if isinstance(event, TextStarted) else "reasoning"
        self._open[kind, event.id] = piecewise = _Piecewise(kind)
        self._parts.append(piecewise)

    def _add_text(self, event: TextAdded) -> None:
        self._said.append(event.text)
        self._open["text", event.id].pieces.append(event.text)

    def _add_thought(self, event: ReasoningAdded) -> None:
        self._open["reasoning", event.id].pieces.append(event.text)

    def _end(self, event: TextEnded | ReasoningEnded) -> None:
        self._open.pop(("text" if isinstance(event, TextEnded) else "reasoning", event.id)).ended = True

    def _start_step(self, event: StepStarted) -> None:
        self._parts.append({"type": "step-start"})

    def _note_summary(self, event: StepSummary) -> None:
        self.model = event.model or self.model
        self.reason = event.reason
        self.tokens += (event.input_tokens or 0) + (event.output_tokens or 0)

    def _start_call(self, event: ToolStarted) -> None:
        part = {"type": f"tool-{event.name}", "toolCallId": event.id, "state": _INPUT}
        self._calls[event.id] = part
        self._parts.append(part)

    def _call(self, event: ToolCalled) -> None:
        part = self._calls.get(event.id)
        if part is None:
            part = self._calls[event.id] = {"type": f"tool-{event.name}", "toolCallId": event.id}
            self._parts.append(part)
        part.update(state=_CALLED, input=event.input)

    def _answer_call(self, event: ToolAnswered) -> None:
        self._calls[event.id].update(state=_ANSWERED, output=event.output)

    def _fail_call(self, event: ToolFailed) -> None:
        self._calls[event.id].update(state=_FAILED, errorText=event.error)
