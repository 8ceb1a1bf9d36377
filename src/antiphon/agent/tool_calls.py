"""One tool call: what the model wrote is checked, the tool runs within its limits, and its answer becomes JSON text."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema
import msgspec
from jsonschema.protocols import Validator
from referencing import Registry

from antiphon.core.ports import CallAnswered, CallRefused, Tool, ToolCall
from antiphon.domain import limits
from antiphon.domain.errors import ToolRefused

_log = logging.getLogger(__name__)

_NOTHING_REMOTE: Registry[Any] = Registry()  # a schema's references lead nowhere outside of it


class BadArguments(Exception):
    """A call cannot be carried out as it is; the text is fit for a reader and the model."""


class Toolbox:
    """The tools of one turn, by name."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._validators: dict[str, Validator] = {}
        self._room = limits.TURN_TOOL_BYTES

    def is_answered_by_client(self, name: str) -> bool:
        """Whether nobody here runs the tool of that name."""
        tool = self._tools.get(name)
        return tool is not None and tool.is_answered_by_client

    def check(self, call: ToolCall) -> Mapping[str, Any]:
        """The arguments of a call. Raises BadArguments, also when there is no tool of that name."""
        if call.name not in self._tools:
            raise BadArguments(f"there is no tool {_cut(call.name)}")
        arguments = read_arguments(call.arguments)
        try:
            fault = jsonschema.exceptions.best_match(self._validator(call.name).iter_errors(arguments))
        except Exception as error:  # noqa: BLE001  a schema that leads nowhere raises what its library likes
            _log.error("schema of a tool failed", extra={"tool": call.name, "fault": type(error).__name__})
            raise BadArguments("the tool failed") from None
        if fault is not None:
            place = "".join(f"{step}: " for step in fault.absolute_path)
            raise BadArguments(_cut(f"the arguments are not as the tool wants them: {place}{fault.message}"))
        return arguments

    async def run(self, call: ToolCall, arguments: Mapping[str, Any]) -> CallAnswered | CallRefused:
        """What the tool answers, or why it does not. Never raises but when cancelled."""
        try:
            async with asyncio.timeout(limits.TOOL_SECONDS):
                value = await self._tools[call.name].run(arguments)
            output = msgspec.json.encode(value)
        except ToolRefused as refusal:
            return CallRefused(call.id, _cut(refusal.message))
        except TimeoutError:
            return CallRefused(call.id, "the tool did not answer in time")
        except Exception as fault:  # noqa: BLE001  whatever a tool does, the model is told and the turn goes on
            _log.error("tool failed", extra={"tool": call.name, "fault": type(fault).__name__})
            return CallRefused(call.id, "the tool failed")
        if len(output) > limits.TOOL_OUTPUT_BYTES:
            return CallRefused(call.id, f"the tool's answer is longer than {limits.TOOL_OUTPUT_BYTES} bytes")
        if len(output) > self._room:
            return CallRefused(call.id, f"the answers of the tools are longer than {limits.TURN_TOOL_BYTES} bytes")
        self._room -= len(output)
        return CallAnswered(call.id, output.decode())

    def _validator(self, name: str) -> Validator:
        found = self._validators.get(name)
        if found is None:
            schema = dict(self._tools[name].schema)
            found = jsonschema.Draft202012Validator(schema, registry=_NOTHING_REMOTE)
            self._validators[name] = found
        return found


def read_arguments(text: str) -> dict[str, Any]:
    """Arguments as the model wrote them; nothing at all means none. Raises BadArguments for what is no JSON object."""
    try:
        value = msgspec.json.decode(text.strip() or "{}")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = None
    if not isinstance(value, dict) or _is_too_deep(value):
        raise BadArguments("the arguments are not a JSON object")
    return value


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(limits.JSON_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _cut(words: str) -> str:
    """Words that quote what the model wrote, short enough to be shown."""
    room = limits.TOOL_ERROR_CHARACTERS
    return words if len(words) <= room else words[: room - 1] + "…"
