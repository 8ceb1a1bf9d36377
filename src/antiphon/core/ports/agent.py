"""What the core needs of an agent, and what it gives it: history and tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

import msgspec


class ToolCall(msgspec.Struct, frozen=True):
    """A tool that the agent called before: the call's id, the tool's name, and the arguments as JSON text."""

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool answered before, as text (JSON where it was JSON)."""

    call_id: str
    name: str
    output: str


class Utterance(msgspec.Struct, frozen=True):
    """One thing said before, as the model is to see it. `role` is `system`, `user`, `assistant` or `tool`.

    `calls` are the tools that an assistant's utterance called; `result` is what an utterance of the role `tool` says.
    """

    role: str
    text: str
    calls: tuple[ToolCall, ...] = ()
    result: ToolResult | None = None


class Tool(Protocol):
    """Something that the agent may use. `schema` is the JSON Schema of its arguments, an object.

    `is_answered_by_client` marks a tool that nobody here runs: its call ends the turn, and the client's next request
    brings the answer.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    is_answered_by_client: bool

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """What it answers, a JSON value. Raises ToolRefused with words fit for a reader and the model."""
        ...


class ThoughtDelta(msgspec.Struct, frozen=True):
    """A piece of what the model thinks aloud, never empty."""

    text: str


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the answer's text, never empty; the pieces joined are the answer."""

    text: str


class CallStarted(msgspec.Struct, frozen=True):
    """The model begins to call a tool."""

    id: str
    name: str


class CallDelta(msgspec.Struct, frozen=True):
    """A piece of a call's arguments, never empty."""

    id: str
    text: str


class CallMade(msgspec.Struct, frozen=True):
    """A call is complete; `arguments` is a JSON object as text."""

    id: str
    name: str
    arguments: str


class CallAnswered(msgspec.Struct, frozen=True):
    """The tool of a call has answered; `output` is a JSON value as text."""

    id: str
    output: str


class CallRefused(msgspec.Struct, frozen=True):
    """The tool of a call failed, or there is none of that name; `error` is fit for a reader."""

    id: str
    error: str


class StepBegan(msgspec.Struct, frozen=True):
    """The model is called (again)."""


class StepDone(msgspec.Struct, frozen=True):
    """The model has said what it says in this step: why it ended, who answered, the tokens it took where known.

    `reason` is one of stop, length, content-filter, tool-calls, error, other.
    """

    reason: str
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class Finished(msgspec.Struct, frozen=True):
    """The end of an answer: the model that gave it, the tokens it took (0 when unknown), and why it ended."""

    model: str
    tokens_used: int
    reason: str


AgentEvent = (
    StepBegan
    | ThoughtDelta
    | TextDelta
    | CallStarted
    | CallDelta
    | CallMade
    | CallAnswered
    | CallRefused
    | StepDone
    | Finished
)


class Agent(Protocol):
    """Something that answers, token by token, and may use tools on the way."""

    def run_turn(
        self, history: Sequence[Utterance], tools: Sequence[Tool] = (), model: str | None = None
    ) -> AsyncGenerator[AgentEvent, None]:
        """What happens in one turn, in order: StepBegan, its pieces, StepDone, and so on; last, one Finished.

        The agent runs the tools itself, at most TURN_STEPS steps. Closing the iterator early stops the model's
        generation and the tool that is running. The agent shortens the history to what its model can read. Raises
        AgentFailed.
        """
        ...

    async def close(self) -> None:
        """Let go of the model."""
        ...
