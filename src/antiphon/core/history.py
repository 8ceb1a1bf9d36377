"""What was said before, as a model is to see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.core.ports import ToolCall, ToolResult, Utterance
from antiphon.domain.answers import CANCELLED
from antiphon.domain.messages import ASSISTANT, Message

TOOL = "tool"
SYSTEM = "system"

_TOOL_PREFIX = "tool-"
_DYNAMIC = "dynamic-tool"
_ANSWERED, _FAILED = "output-available", "output-error"


def utterances_of_messages(messages: Sequence[Message]) -> list[Utterance]:
    """Stored messages as utterances, in order."""
    said: list[Utterance] = []
    for message in messages:
        if message.parts is None:
            said.append(Utterance(message.role, message.text))
        else:
            said += utterances_of_parts(message.role, msgspec.json.decode(message.parts))
    return said


def prompted(history: Sequence[Utterance], prompt: str | None) -> Sequence[Utterance]:
    """A history with the tenant's prompt before it, unless somebody has given one with it."""
    if prompt is None or any(said.role == SYSTEM for said in history):
        return history
    return [Utterance(SYSTEM, prompt), *history]


def utterances_of_parts(role: str, parts: Sequence[Any]) -> list[Utterance]:
    """One message's parts as utterances: each step's text with its calls, then what its tools answered.

    Parts that a model cannot read (files, data, thoughts, what is malformed) are left out; a call without an answer is
    shown as cancelled, since models refuse a history that leaves one open.
    """
    if role != ASSISTANT:
        return [Utterance(role, _text_of(parts))]
    said: list[Utterance] = []
    for step in _steps(parts):
        results = [result for part in step if (result := _result_of(part)) is not None]
        text, calls = _text_of(step), tuple(call for part in step if (call := _call_of(part)) is not None)
        if text or calls:
            said.append(Utterance(ASSISTANT, text, calls))
        said += [Utterance(TOOL, result.output, result=result) for result in results]
    return said


def _steps(parts: Sequence[Any]) -> list[list[dict[str, Any]]]:
    steps: list[list[dict[str, Any]]] = [[]]
    for part in parts:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "step-start":
            steps.append([])
        else:
            steps[-1].append(part)
    return steps


def _text_of(parts: Sequence[Any]) -> str:
    """The text parts, joined by a blank line as paragraphs of one message."""
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "\n\n".join(text for text in texts if isinstance(text, str) and text)


def _tool_of(part: dict[str, Any]) -> tuple[str, str] | None:
    """The id and the name of a part that is a tool call."""
    kind, call_id = part.get("type"), part.get("toolCallId")
    if not isinstance(kind, str) or not isinstance(call_id, str):
        return None
    name = part.get("toolName") if kind == _DYNAMIC else kind.removeprefix(_TOOL_PREFIX)
    is_tool = kind == _DYNAMIC or kind.startswith(_TOOL_PREFIX)
    return (call_id, name) if is_tool and isinstance(name, str) and name else None


def _call_of(part: dict[str, Any]) -> ToolCall | None:
    tool = _tool_of(part)
    return None if tool is None else ToolCall(*tool, _json(part.get("input", {})))


def _result_of(part: dict[str, Any]) -> ToolResult | None:
    tool = _tool_of(part)
    if tool is None:
        return None
    state = part.get("state")
    if state == _ANSWERED:
        return ToolResult(*tool, _json(part.get("output")))
    error = part.get("errorText") if state == _FAILED else None
    return ToolResult(*tool, _json({"error": error if isinstance(error, str) else CANCELLED}))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
