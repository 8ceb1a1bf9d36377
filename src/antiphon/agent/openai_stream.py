"""The stream of one of OpenAI's chat completions, read piece by piece.

Sources: OpenAI's API reference for chat completions and their streams; what several servers really send was tried.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec

from antiphon.agent.tool_loop import CONTENT_FILTER, LENGTH, OTHER, STOP, TOOL_CALLS, Piece, Said, new_call_id
from antiphon.core.ports import CallDelta, CallStarted, TextDelta, ThoughtDelta, ToolCall
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed

DONE = b"[DONE]"
"""The data of the last event."""

_REASONS = {
    "stop": STOP,
    "length": LENGTH,
    "content_filter": CONTENT_FILTER,
    "tool_calls": TOOL_CALLS,
    "function_call": TOOL_CALLS,
}
_UNREADABLE = "the model's server sent something unreadable"


async def data_of(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The data of a stream's events, each a line. Raises AgentFailed for a line longer than FRAME_BYTES.

    (Lines as the library cuts them end at U+2028 and its kin too, which may stand inside of JSON.)
    """
    rest = b""
    async with aclosing(response.aiter_bytes()) as blocks:
        async for block in blocks:
            *lines, rest = (rest + block).split(b"\n")
            if len(rest) > limits.FRAME_BYTES:
                raise AgentFailed(_UNREADABLE)
            for line in lines:
                if line.startswith(b"data:"):
                    yield line[5:].strip()
    if rest.startswith(b"data:"):
        yield rest[5:].strip()


@dataclass
class _Call:
    """A call while its arguments come in. `index` and `given_id` are what the server tells calls apart by."""

    index: int | None
    given_id: str | None
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


class Reader:
    """What is known of one step so far. `model` is the name that was asked for."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._reason: str | None = None
        self._calls: list[_Call] = []
        self._usage: dict[str, Any] = {}

    def take(self, data: bytes) -> list[Piece]:
        """The pieces in one chunk, possibly none. Raises AgentFailed when the chunk is none, or tells of an error."""
        try:
            chunk = msgspec.json.decode(data)
            if chunk.get("error"):
                raise AgentFailed("the model's server reported an error")
            self._model = str(chunk.get("model") or self._model)
            self._usage = dict(chunk.get("usage") or self._usage)
            choice = (chunk.get("choices") or [{}])[0]
            self._reason = _text(choice.get("finish_reason") or "") or self._reason
            return list(self._pieces(choice.get("delta") or {}))
        except (msgspec.MsgspecError, UnicodeError, AttributeError, LookupError, TypeError, ValueError):
            raise AgentFailed(_UNREADABLE) from None

    def _pieces(self, delta: dict[str, Any]) -> Iterator[Piece]:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought and isinstance(thought, str):
            yield ThoughtDelta(thought)
        if text := delta.get("content"):
            yield TextDelta(_text(text))
        for part in delta.get("tool_calls") or []:
            yield from self._call_pieces(part)

    def _call_pieces(self, part: dict[str, Any]) -> Iterator[Piece]:
        function = part.get("function") or {}
        call = self._find(part, function.get("name"))
        if call is None:
            call_id = new_call_id()  # ours within the step; what the model is told back is its own where it has one
            call = _Call(part.get("index"), part.get("id"), str(part.get("id") or call_id), _text(function["name"]))
            if any(other.id == call.id for other in self._calls):
                call.id = call_id
            self._calls.append(call)
            yield CallStarted(call.id, call.name)
        written = function.get("arguments")
        if isinstance(written, dict):  # some servers send the object itself
            written = msgspec.json.encode(written).decode()
        if written:
            call.arguments.append(_text(written))
            yield CallDelta(call.id, written)

    def _find(self, part: dict[str, Any], name: Any) -> _Call | None:
        """The call that a part goes on with. Some servers send no index, some no id, some the same one for all."""
        index, given_id = part.get("index"), part.get("id")
        if index is None and not given_id and name:
            return None
        for call in reversed(self._calls):
            is_other_index = index is not None and call.index is not None and index != call.index
            is_other_id = given_id and call.given_id and given_id != call.given_id
            if not is_other_index and not is_other_id:
                return call
        return None

    def end(self, *, is_told: bool) -> Said:
        """The end of the step; `is_told`: the server said that this is the end. Raises AgentFailed when none was."""
        if self._reason is None and not is_told:
            raise AgentFailed("the model's answer broke off")
        return Said(
            _REASONS.get(self._reason or "stop", OTHER),
            self._model,
            tuple(ToolCall(call.id, call.name, "".join(call.arguments)) for call in self._calls),
            _count(self._usage.get("prompt_tokens")),
            _count(self._usage.get("completion_tokens")),
            _count(self._usage.get("total_tokens")),
        )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
