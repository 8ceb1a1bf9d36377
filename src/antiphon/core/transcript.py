"""What an agent does, as events of a turn: texts and thoughts get a beginning, an end, and a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from antiphon.core.ports import (
    AgentEvent,
    CallAnswered,
    CallDelta,
    CallMade,
    CallRefused,
    CallStarted,
    StepBegan,
    StepDone,
    TextDelta,
    ThoughtDelta,
)
from antiphon.domain import texts
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
)


class Transcript:
    """Turns what the agent does into events, one agent event at a time."""

    def __init__(self) -> None:
        self.is_in_step = False
        self._count = 0
        self._open: TextStarted | ReasoningStarted | None = None
        self._write: dict[type, Callable[[Any], list[Event]]] = {
            TextDelta: self._text,
            ThoughtDelta: self._thought,
            StepBegan: self._begin_step,
            StepDone: self._end_step,
            CallStarted: lambda call: [*self._close(), ToolStarted(call.id, texts.storable(call.name))],
            CallDelta: lambda call: [ToolInputAdded(call.id, texts.storable(call.text))],
            CallMade: lambda call: [
                *self._close(),
                ToolCalled(call.id, texts.storable(call.name), msgspec.Raw(call.arguments.encode())),
            ],
            CallAnswered: lambda call: [ToolAnswered(call.id, msgspec.Raw(call.output.encode()))],
            CallRefused: lambda call: [ToolFailed(call.id, texts.storable(call.error))],
        }

    def take(self, event: AgentEvent) -> list[Event]:
        """The events that follow from one act of the agent; none for its last."""
        write = self._write.get(type(event))
        return write(event) if write is not None else []

    def _text(self, said: TextDelta) -> list[Event]:
        text = texts.storable(said.text)
        if not text:
            return []
        if isinstance(self._open, TextStarted):
            return [TextAdded(self._open.id, text)]
        closing = self._close()
        self._open = TextStarted(self._name("txt"))
        return [*closing, self._open, TextAdded(self._open.id, text)]

    def _thought(self, said: ThoughtDelta) -> list[Event]:
        text = texts.storable(said.text)
        if not text:
            return []
        if isinstance(self._open, ReasoningStarted):
            return [ReasoningAdded(self._open.id, text)]
        closing = self._close()
        self._open = ReasoningStarted(self._name("rsn"))
        return [*closing, self._open, ReasoningAdded(self._open.id, text)]

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count - 1}"

    def _close(self) -> list[Event]:
        opened, self._open = self._open, None
        if opened is None:
            return []
        return [TextEnded(opened.id) if isinstance(opened, TextStarted) else ReasoningEnded(opened.id)]

    def _begin_step(self, step: StepBegan) -> list[Event]:
        self.is_in_step = True
        return [StepStarted()]

    def _end_step(self, step: StepDone) -> list[Event]:
        self.is_in_step = False
        summary = StepSummary(step.reason, step.model, step.input_tokens, step.output_tokens)
        return [*self._close(), StepEnded(), summary]
