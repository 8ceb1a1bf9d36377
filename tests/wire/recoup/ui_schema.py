"""The UI message stream as the strictest client reads it: a union of closed objects, and what may follow what.

The keys are those that every release of npm `ai` from 5.0.120 on takes.
"""

from __future__ import annotations

import json
from typing import Any

TOOL_INPUT = {"toolCallId": str, "toolName": str, "input": object}
CHUNKS: dict[str, dict[str, type]] = {
    "start": {"messageId": str},
    "start-step": {},
    "text-start": {"id": str},
    "text-delta": {"id": str, "delta": str},
    "text-end": {"id": str},
    "reasoning-start": {"id": str},
    "reasoning-delta": {"id": str, "delta": str},
    "reasoning-end": {"id": str},
    "tool-input-start": {"toolCallId": str, "toolName": str},
    "tool-input-delta": {"toolCallId": str, "inputTextDelta": str},
    "tool-input-available": TOOL_INPUT,
    "tool-output-available": {"toolCallId": str, "output": object},
    "tool-output-error": {"toolCallId": str, "errorText": str},
    "finish-step": {},
    "message-metadata": {"messageMetadata": dict},
    "error": {"errorText": str},
    "abort": {},
    "finish": {},
}
REASONS = {"stop", "length", "content-filter", "tool-calls", "error", "other"}


def check_chunk(chunk: dict[str, Any]) -> None:
    """Raises AssertionError for a type or a key that some client does not know."""
    keys = CHUNKS[chunk["type"]]
    assert chunk.keys() == {"type", *keys}, chunk
    for key, kind in keys.items():
        assert isinstance(chunk[key], kind), chunk


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    """The chunks of a whole body, which must be well-framed and end with `[DONE]`; comments are passed over."""
    assert body.endswith(b"data: [DONE]\n\n"), body[-200:]
    frames = [frame for frame in body.decode().split("\n\n")[:-2] if not frame.startswith(":")]
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames), frames
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    for chunk in chunks:
        check_chunk(chunk)
    return chunks


class Reader:
    """What a client makes of the chunks of a turn: the message, as parts. Raises AssertionError where it would fail."""

    def __init__(self) -> None:
        self.message_id = ""
        self.parts: list[dict[str, Any]] = []
        self.metadata: dict[str, Any] = {}
        self.errors: list[str] = []
        self.is_finished = False
        self._open: dict[tuple[str, str], dict[str, Any]] = {}

    def read(self, chunks: list[dict[str, Any]]) -> Reader:
        for chunk in chunks:
            check_chunk(chunk)
            self._take(chunk)
        return self

    @property
    def text(self) -> str:
        return "".join(part["text"] for part in self.parts if part["type"] == "text")

    def _take(self, chunk: dict[str, Any]) -> None:
        kind, _, act = chunk["type"].partition("-")
        if kind in {"text", "reasoning"}:
            self._take_text(kind, act, chunk)
        elif kind == "tool":
            self._take_tool(chunk)
        elif chunk["type"] == "start":
            self.message_id = chunk["messageId"]
        elif chunk["type"] == "start-step":
            self.parts.append({"type": "step-start"})
        elif chunk["type"] == "message-metadata":
            assert chunk["messageMetadata"].get("lastStepFinishReason") in REASONS
            self.metadata |= chunk["messageMetadata"]
        elif chunk["type"] == "error":
            self.errors.append(chunk["errorText"])
        elif chunk["type"] == "finish":
            self.is_finished = True

    def _take_text(self, kind: str, act: str, chunk: dict[str, Any]) -> None:
        name = (kind, chunk["id"])
        if act == "start":
            self._open[name] = {"type": kind, "text": "", "state": "streaming"}
            self.parts.append(self._open[name])
        elif act == "delta":
            self._open[name]["text"] += chunk["delta"]
        else:
            self._open.pop(name)["state"] = "done"

    def _take_tool(self, chunk: dict[str, Any]) -> None:
        found = next((part for part in self.parts if part.get("toolCallId") == chunk["toolCallId"]), None)
        if found is None:
            found = {"type": f"tool-{chunk['toolName']}", "toolCallId": chunk["toolCallId"]}
            self.parts.append(found)
        if chunk["type"] == "tool-input-start":
            found["state"] = "input-streaming"
        elif chunk["type"] == "tool-input-available":
            found |= {"state": "input-available", "input": chunk["input"]}
        elif chunk["type"] == "tool-output-available":
            found |= {"state": "output-available", "output": chunk["output"]}
        elif chunk["type"] == "tool-output-error":
            found |= {"state": "output-error", "errorText": chunk["errorText"]}
