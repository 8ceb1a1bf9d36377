"""A turn as steps: the model is asked, the tools that it calls are run, and it is asked again with what they said.

Whichever way a model is asked, this is the one place that says how a turn goes.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from antiphon.agent.tool_calls import BadArguments, Toolbox, read_arguments
from antiphon.core.ports import (
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
from antiphon.domain import limits, texts
from antiphon.domain.errors import AgentFailed

STOP, LENGTH, CONTENT_FILTER, TOOL_CALLS, OTHER = "stop", "length", "content-filter", "tool-calls", "other"
"""Why a step ended, in the port's words."""

_CUT_OFF = "the call was cut off"
_ID_CHARACTERS = 9  # and no more, in letters and digits: what the strictest server takes back
_ID_ALPHABET = string.ascii_letters + string.digits


class Said(msgspec.Struct, frozen=True):
    """The end of what a model says in one step: why, the calls it made as it wrote them, tokens where known."""

    reason: str
    model: str
    calls: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens_used: int | None = None


Piece = ThoughtDelta | TextDelta | CallStarted | CallDelta | Said
"""What a model gives in one step; last, one Said, whose calls were all started, each by an id of its own."""

Ask = Callable[[Sequence[Utterance], Sequence[Tool], str], AsyncGenerator[Piece, None]]
"""Asks the model of that name for one step. Closing the iterator stops the model. Raises AgentFailed."""


def new_call_id() -> str:
    """An id for a call whose model gave it none."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARACTERS))


async def run_steps(
    ask: Ask, history: Sequence[Utterance], tools: Sequence[Tool], model: str
) -> AsyncGenerator[AgentEvent, None]:
    """A whole turn, as the port wants it. `model` is the name of who is asked.

    Raises AgentFailed, also when nothing was said and no tool called.
    """
    turn = _Turn(history, tools)
    for _ in range(limits.TURN_STEPS):
        yield StepBegan()
        step = _Step(turn, model)
        async with aclosing(ask(turn.said, tools, model)) as pieces:
            async for piece in pieces:
                if (event := step.take(piece)) is not None:
                    yield event
                if step.is_cut:
                    break
        async with aclosing(step.run_calls()) as answers:
            async for answer in answers:
                yield answer
        if turn.is_blank:
            raise AgentFailed("the model gave no text")
        done = step.done()
        yield done
        if step.is_last:
            break
    yield Finished(done.model or model, turn.tokens, done.reason)


class _Turn:
    """What is known of a turn across its steps."""

    def __init__(self, history: Sequence[Utterance], tools: Sequence[Tool]) -> None:
        self.said = list(history)
        self.toolbox = Toolbox(tools)
        self.room = limits.ANSWER_CHARACTERS
        self.tokens = 0
        self.is_blank = True
        self._ids = {call.id for utterance in history for call in utterance.calls}

    def new_id(self, given: str) -> str:
        """The id of a call, as the model gave it unless it names another call of this chat or cannot be stored."""
        fits = given and len(given) <= limits.CALL_ID_CHARACTERS and texts.is_storable(given)
        chosen = given if fits and given not in self._ids else new_call_id()
        self._ids.add(chosen)
        return chosen


class _Step:
    """One step while it runs."""

    def __init__(self, turn: _Turn, model: str) -> None:
        self.is_cut = False
        self.is_last = True
        self._turn = turn
        self._model = model
        self._text: list[str] = []
        self._pieces = 0
        self._calls: dict[str, CallStarted] = {}
        self._end: Said | None = None

    def take(self, piece: Piece) -> AgentEvent | None:
        """What the core is told of a piece. Raises AgentFailed for more calls than STEP_CALLS."""
        if isinstance(piece, Said):
            self._end = piece
            return None
        self._turn.is_blank = self._turn.is_blank and isinstance(piece, ThoughtDelta)
        self._pieces += 1
        if isinstance(piece, CallStarted):
            if len(self._calls) == limits.STEP_CALLS:
                raise AgentFailed("the model calls too many tools at once")
            name = piece.name[: limits.CALL_NAME_CHARACTERS]
            started = self._calls[piece.id] = CallStarted(self._turn.new_id(piece.id), name)
            return started
        text = self._fit(piece.text)
        if isinstance(piece, TextDelta):
            self._text.append(text)
        if not text:
            return None
        if isinstance(piece, CallDelta):
            return CallDelta(self._calls[piece.id].id, text)
        return type(piece)(text)

    def _fit(self, text: str) -> str:
        """As much of it as a turn has room for."""
        if len(text) > self._turn.room:
            self.is_cut = True
            text = text[: self._turn.room]
        self._turn.room -= len(text)
        return text

    async def run_calls(self) -> AsyncGenerator[CallMade | CallAnswered | CallRefused, None]:
        """Tell of the calls, run the tools one after the other, and add it all to what was said."""
        calls, runs = [], []
        for raw in self._written():
            call, arguments, error = self._checked(raw)
            yield CallMade(call.id, call.name, call.arguments)
            calls.append(call)
            runs.append((call, arguments, error))
        self._turn.said.append(Utterance("assistant", "".join(self._text), tuple(calls)))
        waits_for_client = False
        for call, arguments, error in runs:
            if error is None and self._turn.toolbox.is_answered_by_client(call.name):
                waits_for_client = True
                continue
            answer = CallRefused(call.id, error) if error else await self._turn.toolbox.run(call, arguments)
            yield answer
            self._turn.said.append(_result_of(call, answer))
        self.is_last = waits_for_client or self.is_cut or not calls

    def _written(self) -> list[ToolCall]:
        """The calls as the model wrote them; those of a step that was cut have no arguments yet."""
        if self._end is None:
            return [ToolCall(raw_id, started.name, "") for raw_id, started in self._calls.items()]
        return list(self._end.calls)

    def _checked(self, raw: ToolCall) -> tuple[ToolCall, Mapping[str, Any], str | None]:
        """The call under its id here, its arguments, and what is wrong with it."""
        started = self._calls[raw.id]
        call = ToolCall(started.id, started.name, "{}")
        if self._end is None:
            return call, {}, _CUT_OFF
        try:
            shown = msgspec.json.encode(read_arguments(raw.arguments)).decode()
            call = msgspec.structs.replace(call, arguments=shown)
            return call, self._turn.toolbox.check(call), None
        except BadArguments as refusal:
            return call, {}, str(refusal)

    def done(self) -> StepDone:
        """The end of the step; its tokens count for the turn, as pieces when nobody tells."""
        end = self._end
        self._turn.tokens += self._pieces if end is None or end.tokens_used is None else end.tokens_used
        if end is None:
            return StepDone(LENGTH, self._model)
        reason = TOOL_CALLS if end.calls and end.reason in {STOP, OTHER} else end.reason
        return StepDone(reason, end.model, end.input_tokens, end.output_tokens)


def _result_of(call: ToolCall, answer: CallAnswered | CallRefused) -> Utterance:
    """What the model is told."""
    if isinstance(answer, CallAnswered):
        output = answer.output
    else:
        output = msgspec.json.encode({"error": answer.error}).decode()
    return Utterance("tool", output, result=ToolResult(call.id, call.name, output))
