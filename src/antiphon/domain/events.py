"""Event: one ordered item of a turn's stream. The stored, the replayed and the live form are the same.

Within a turn events are numbered from 0 without gaps. `TurnStarted` is the first, `TurnEnded` the last. Texts and tool
calls are told apart by an `id` of their own; a piece comes after its start and before its end.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Event(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """What all events share: the field `type` tells them apart."""


class TurnStarted(_Event, frozen=True, tag="turn-started"):
    """The turn has its slot. `message_id` is the id, as the wires show it, of the message that it makes."""

    message_id: str


class StepStarted(_Event, frozen=True, tag="step-started"):
    """The model is called; a turn with tools calls it more than once."""


class TextStarted(_Event, frozen=True, tag="text-started"):
    """A text begins."""

    id: str


class TextAdded(_Event, frozen=True, tag="text-added"):
    """A piece of a text, never empty."""

    id: str
    text: str


class TextEnded(_Event, frozen=True, tag="text-ended"):
    """A text is complete."""

    id: str


class ReasoningStarted(_Event, frozen=True, tag="reasoning-started"):
    """The model begins to think aloud."""

    id: str


class ReasoningAdded(_Event, frozen=True, tag="reasoning-added"):
    """A piece of what it thinks, never empty."""

    id: str
    text: str


class ReasoningEnded(_Event, frozen=True, tag="reasoning-ended"):
    """The thought is complete."""

    id: str


class ToolStarted(_Event, frozen=True, tag="tool-started"):
    """The model begins to call a tool; `id` is the call's."""

    id: str
    name: str


class ToolInputAdded(_Event, frozen=True, tag="tool-input-added"):
    """A piece of the call's arguments as the model writes them (JSON, not yet complete)."""

    id: str
    text: str


class ToolCalled(_Event, frozen=True, tag="tool-called"):
    """The call is complete; `input` is its arguments."""

    id: str
    name: str
    input: msgspec.Raw


class ToolAnswered(_Event, frozen=True, tag="tool-answered"):
    """The tool has answered; `output` is any JSON value."""

    id: str
    output: msgspec.Raw


class ToolFailed(_Event, frozen=True, tag="tool-failed"):
    """The tool gave no answer, or was never asked; `error` says why in words fit for a reader."""

    id: str
    error: str


class StepEnded(_Event, frozen=True, tag="step-ended"):
    """The model has said what it says in this step."""


class StepSummary(_Event, frozen=True, tag="step-summary"):
    """What the step took: why it ended, the model that answered, its tokens (None: unknown)."""

    reason: str
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class TurnFailed(_Event, frozen=True, tag="turn-failed"):
    """The turn cannot go on; `error` says why in words fit for a reader."""

    error: str


class TurnStopped(_Event, frozen=True, tag="turn-stopped"):
    """Somebody stopped the turn."""


class TurnEnded(_Event, frozen=True, tag="turn-ended"):
    """The last event: `state` is the turn's, or `deleted` when its chat is gone."""

    state: str


Event = (
    TurnStarted
    | StepStarted
    | TextStarted
    | TextAdded
    | TextEnded
    | ReasoningStarted
    | ReasoningAdded
    | ReasoningEnded
    | ToolStarted
    | ToolInputAdded
    | ToolCalled
    | ToolAnswered
    | ToolFailed
    | StepEnded
    | StepSummary
    | TurnFailed
    | TurnStopped
    | TurnEnded
)

_decoder: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Event])


def encode_events(events: list[Event]) -> str:
    """Events as a JSON array, as the store keeps them."""
    return msgspec.json.encode(events).decode()


def decode_events(body: str) -> list[Event]:
    """The way back."""
    return _decoder.decode(body)


def raw(value: Any) -> msgspec.Raw:
    """A value as JSON, to stand in an event."""
    return msgspec.Raw(msgspec.json.encode(value))
