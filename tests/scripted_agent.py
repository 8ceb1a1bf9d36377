"""An agent for tests: what it answers stands in the last thing that was said to it.

`[[tokens=3]]` three words `t0`, ` t1`, ` t2`; `[[text=hello]]` that text; `[[fail]]` AgentFailed at once; `[[break]]`
after one piece; `[[hang]]` one piece and then nothing. Otherwise `You said: ` and the words. `[[thinks]]` a thought
before that; `[[tool=name args={...}]]` a step before that, in which it calls a tool.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from antiphon.agent.tool_loop import Piece, Said, run_steps
from antiphon.core.ports import (
    AgentEvent,
    CallDelta,
    CallStarted,
    TextDelta,
    ThoughtDelta,
    Tool,
    ToolCall,
    Utterance,
)
from antiphon.domain.errors import AgentFailed

THOUGHT = "Let me see."

_DIRECTIVE = re.compile(r"\[\[(\w+)(?:=(.*?))?\]\]", re.DOTALL)
_TOOL = re.compile(r"\[\[tool=(\w+)(?: args=(\{.*?\}))?\]\]", re.DOTALL)


class ScriptedAgent:
    """An Agent; `heard` are the histories it was asked to answer, `closed_early` how many answers nobody waited for."""

    def __init__(self) -> None:
        self.heard: list[list[Utterance]] = []
        self.closed_early = 0
        self.gate: asyncio.Event | None = None

    async def run_turn(
        self, history: Sequence[Utterance], tools: Sequence[Tool] = (), model: str | None = None
    ) -> AsyncGenerator[AgentEvent, None]:
        """What happens, as scripted; each piece of a text waits for `gate` when there is one."""
        self.heard.append(list(history))
        is_over = False
        try:
            async with aclosing(run_steps(self._ask, history, tools, model or "scripted")) as events:
                async for event in events:
                    yield event
            is_over = True
        finally:
            if not is_over:
                self.closed_early += 1

    async def _ask(
        self, history: Sequence[Utterance], tools: Sequence[Tool], model: str
    ) -> AsyncGenerator[Piece, None]:
        said = next((one.text for one in reversed(history) if one.role == "user"), history[-1].text)
        if "[[thinks]]" in said:
            yield ThoughtDelta(THOUGHT)
            said = said.replace("[[thinks]]", "")
        if found := _TOOL.search(said):
            if history[-1].role != "tool":
                call = ToolCall("call-1", found[1], found[2] or "{}")
                yield CallStarted(call.id, call.name)
                yield CallDelta(call.id, call.arguments)
                yield Said("tool-calls", model, (call,), 1, 2, 3)
                return
            said = said.replace(found[0], "")
        for piece in _pieces(said):
            if self.gate is not None:
                await self.gate.wait()
            yield TextDelta(piece)
            if "[[break]]" in said:
                raise AgentFailed
            if "[[hang]]" in said:
                await asyncio.Event().wait()
        yield Said("stop", model, (), 1, 2, 3)

    async def close(self) -> None:
        """Nothing to let go of."""


def _pieces(said: str) -> list[str]:
    found = _DIRECTIVE.search(said)
    word, value = (found[1], found[2] or "") if found else ("", "")
    if word == "fail":
        raise AgentFailed
    if word == "tokens":
        return [("" if i == 0 else " ") + f"t{i}" for i in range(int(value))]
    text = value if word == "text" else f"You said: {' '.join(said.split())}"
    return re.findall(r"\s*\S+|\s+$", text)
