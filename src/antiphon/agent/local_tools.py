"""Tools for a model that knows none: it writes the arguments bound to their schema, and reads the answer as text.

A small model that is offered tools uses them at every turn. So it is offered one only when the last thing that the user
said names it, as a word: `current_time`, say. Then there is a step in which it writes that tool's arguments, and a
second in which it answers. All other turns are as if there were no tools.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from antiphon.agent.openai_chat import OpenAiAgent
from antiphon.agent.tool_loop import TOOL_CALLS, Piece, Said, new_call_id
from antiphon.core.ports import CallDelta, CallStarted, TextDelta, Tool, ToolCall, Utterance

_USER = "user"
_HISTORY_UTTERANCES = 24  # each has a frame of its own, about five tokens, besides its text


def named_tools(history: Sequence[Utterance], tools: Sequence[Tool]) -> list[Tool]:
    """The tools whose names stand in what the user has just said."""
    if not history or history[-1].role != _USER:
        return []
    words = set(re.findall(r"[\w-]+", history[-1].text))
    return [tool for tool in tools if tool.name in words]


class LocalSteps:
    """The steps of one turn."""

    def __init__(self, agent: OpenAiAgent) -> None:
        self._agent = agent

    async def ask(self, history: Sequence[Utterance], tools: Sequence[Tool], name: str) -> AsyncGenerator[Piece, None]:
        """See `tool_loop.Ask`. The first step calls every tool there is, the second answers."""
        is_first = bool(history) and history[-1].role == _USER
        steps = self._call(history[-1].text, tools, name) if tools and is_first else self._answer(history, name)
        async with aclosing(steps) as pieces:
            async for piece in pieces:
                yield piece

    def _answer(self, history: Sequence[Utterance], name: str) -> AsyncGenerator[Piece, None]:
        system = list(history[:1]) if history and history[0].role == "system" else []
        said = readable(history[len(system) :])[-_HISTORY_UTTERANCES:]
        return self._agent.ask([*system, *said], (), name)

    async def _call(self, question: str, tools: Sequence[Tool], name: str) -> AsyncGenerator[Piece, None]:
        calls: list[ToolCall] = []
        used = 0
        for tool in tools:
            call_id, written = new_call_id(), ""
            yield CallStarted(call_id, tool.name)
            request = f"{tool.description}\nThe arguments, as JSON, for this request: {question}"
            extra = {"response_format": _bound_to(tool), "temperature": 0}
            async with aclosing(self._agent.ask([Utterance(_USER, request)], (), name, extra)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, TextDelta):
                        written += piece.text
                        yield CallDelta(call_id, piece.text)
                    elif isinstance(piece, Said):
                        used += piece.tokens_used or 0
            calls.append(ToolCall(call_id, tool.name, written))
        yield Said(TOOL_CALLS, name, tuple(calls), tokens_used=used)


def readable(history: Sequence[Utterance]) -> list[Utterance]:
    """A history without calls: what tools have answered the last question stands before it, older answers are gone."""
    results: list[str] = []
    said: list[Utterance] = []
    for utterance in history:
        if utterance.result is not None:
            results.append(f"{utterance.result.name} says: {utterance.result.output}")
            continue
        if utterance.role == _USER:
            results.clear()
        if utterance.text:
            said.append(Utterance(utterance.role, utterance.text))
    if results and said and said[-1].role == _USER:
        said[-1] = Utterance(_USER, "\n".join([*results, "", said[-1].text]))
    return said


def _bound_to(tool: Tool) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": tool.name, "schema": dict(tool.schema)}}
