"""What was said and the tools, in the words of OpenAI's chat completions; and how a long history is shortened."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.core.ports import Tool, Utterance

# A low guess for English, so that what is sent fits rather than not. In bytes, because a character of another script
# takes several, and up to as many tokens: as many characters of Chinese do not fit.
_BYTES_PER_TOKEN = 3
_NAME_CHARACTERS = 64  # OpenAI takes no longer names, and no longer ids than these
_ID_CHARACTERS = 40


def messages_of(history: Sequence[Utterance]) -> list[dict[str, Any]]:
    """Utterances as messages. Names and ids that a client made up are bent until a strict server takes them."""
    return [_message_of(said) for said in history]


def _message_of(said: Utterance) -> dict[str, Any]:
    if said.result is not None:
        return {"role": "tool", "tool_call_id": bent_id(said.result.call_id), "content": said.result.output}
    if not said.calls:
        return {"role": said.role, "content": said.text}
    calls = [
        {
            "id": bent_id(call.id),
            "type": "function",
            "function": {"name": bent_name(call.name), "arguments": object_text(call.arguments)},
        }
        for call in said.calls
    ]
    return {"role": said.role, "content": said.text or None, "tool_calls": calls}


def tools_of(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools as functions."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.schema)},
        }
        for tool in tools
    ]


def bent_name(name: str) -> str:
    """A tool's name in the letters that every server takes."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:_NAME_CHARACTERS] or "_"


def object_text(arguments: str) -> str:
    """Arguments of an earlier call; what is no object is left out."""
    return arguments if arguments.lstrip().startswith("{") else "{}"


def bent_id(given: str) -> str:
    """A call's id, no longer than every server takes."""
    return given if len(given) <= _ID_CHARACTERS else hashlib.sha256(given.encode()).hexdigest()[:_ID_CHARACTERS]


def shorten(history: Sequence[Utterance], tokens: int | None) -> list[Utterance]:
    """The newest of a history that fit in about so many tokens, after its system utterance if it begins with one.

    The last utterance is always there; when it is too long, its end is, for which half of the tokens are kept free. A
    call and its results stay or go together.
    """
    if tokens is None or not history:
        return list(history)
    budget = tokens * _BYTES_PER_TOKEN
    head = list(history[:1]) if history[0].role == "system" else []
    left = max(budget - sum(_size(said) for said in head), budget // 2)
    kept: list[list[Utterance]] = []
    for group in reversed(_groups(history[len(head) :])):
        size = sum(_size(said) for said in group)
        if kept and size > left:
            break
        kept.append(group if size <= left else [_cut(said, max(left, 1) // len(group)) for said in group])
        left -= size
    return head + [said for group in reversed(kept) for said in group]


def _groups(history: Sequence[Utterance]) -> list[list[Utterance]]:
    """Utterances one by one, but results with the utterance that called for them."""
    groups: list[list[Utterance]] = []
    for said in history:
        if said.result is not None and groups:
            groups[-1].append(said)
        else:
            groups.append([said])
    return groups


def _size(said: Utterance) -> int:
    return len(said.text.encode()) + sum(len(call.arguments) for call in said.calls)


def _cut(said: Utterance, room: int) -> Utterance:
    """The end of what was said, and the beginning of what a tool answered."""
    raw = said.text.encode()
    if said.result is None:
        return msgspec.structs.replace(said, text=raw[-max(room, 1) :].decode(errors="ignore"))
    output = raw[:room].decode(errors="ignore")
    return msgspec.structs.replace(said, text=output, result=msgspec.structs.replace(said.result, output=output))
