"""An embedder for tests: words that mean the same point the same way."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence

from antiphon.core.ports.embeddings import Vector
from antiphon.domain.errors import AgentFailed, InvalidInput
from antiphon.embedding.vectors import pack

MEANINGS = ({"tea", "beverage", "drink"}, {"train", "railway", "departs"}, {"cat", "kitten", "pet"})
_DIRECTIONS = 64
_FAINT = 0.1


class ScriptedEmbedder:
    """`core.ports.embeddings.Embedder`. Waits while `gate` is closed; `asked` is set by the first request.

    With `is_down` it is out of reach; a text with the word `poison` is refused, with `refuses_all` every text.
    """

    batch = 4

    def __init__(self, model: str = "scripted-1") -> None:
        self.model = model
        self.is_down = False
        self.refuses_all = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.texts: list[str] = []

    async def name(self) -> str:
        """See the port."""
        return self.model

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """See the port."""
        self.asked.set()
        await self.gate.wait()
        if self.is_down:
            raise AgentFailed("the scripted embedder is down")
        if self.refuses_all or any("poison" in text for text in texts):
            raise InvalidInput("the scripted embedder refuses this")
        self.texts += texts
        return [_vector_of(text) for text in texts]

    async def close(self) -> None:
        """See the port."""


def _vector_of(text: str) -> Vector:
    """One direction for each meaning, a faint one for each other word, and a last one for a text without any."""
    numbers = [0.0] * (len(MEANINGS) + _DIRECTIONS) + [0.001]
    for word in text.lower().replace(".", " ").replace("?", " ").split():
        for i, meaning in enumerate(MEANINGS):
            numbers[i] += word in meaning
        numbers[len(MEANINGS) + zlib.crc32(word.encode()) % _DIRECTIONS] += _FAINT
    return pack(numbers)
