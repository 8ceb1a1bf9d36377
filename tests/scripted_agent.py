"""An agent for tests: what it answers stands in the last thing that was said to it.

`[[tokens=3]]` three words `t0`, ` t1`, ` t2`; `[[text=hello]]` that text; `[[fail]]` AgentFailed at once; `[[break]]`
after one piece; `[[hang]]` one piece and then nothing. Otherwise `You said: ` and the words.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from antiphon.core.ports import Finished, TextDelta, Utterance
from antiphon.domain.errors import AgentFailed

_DIRECTIVE = re.compile(r"\[\[(\w+)(?:=(.*?))?\]\]", re.DOTALL)


class ScriptedAgent:
    """An Agent; `heard` are the histories it was asked to answer, `closed_early` how many answers nobody waited for."""

    def __init__(self) -> None:
        self.heard: list[list[Utterance]] = []
        self.closed_early = 0
        self.gate: asyncio.Event | None = None

    async def answer(
        self, history: Sequence[Utterance], model: str | None = None
    ) -> AsyncGenerator[TextDelta | Finished, None]:
        """Pieces and an end, as scripted; each piece waits for `gate` when there is one."""
        self.heard.append(list(history))
        said = history[-1].text
        is_over = False
        try:
            for piece in _pieces(said):
                if self.gate is not None:
                    await self.gate.wait()
                yield TextDelta(piece)
                if "[[break]]" in said:
                    raise AgentFailed
                if "[[hang]]" in said:
                    await asyncio.Event().wait()
            is_over = True
            yield Finished(model or "scripted", 3, "stop")
        finally:
            if not is_over:
                self.closed_early += 1

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
