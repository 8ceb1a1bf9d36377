"""A request whose answer waits after every piece until the test has looked around."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from tests.wire.recoup.live import LiveCall


class HeldCall(LiveCall):
    """One request to the server, which sends a piece of its answer whenever `piece` asks for the next."""

    _gate: asyncio.Semaphore | None = None

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            if self._gate is None:
                self._gate = asyncio.Semaphore(1)
            await self._gate.acquire()
        await super()._send(message)

    async def piece(self) -> bytes | None:
        """The next piece; the server stands still behind it. None at the end."""
        if self.read_so_far and self._gate is not None:
            self._gate.release()
        piece = await self._pieces.get()
        self.read_so_far += piece or b""
        return piece

    async def whole(self) -> bytes:
        """The answer to its end."""
        while await self.piece() is not None:
            pass
        await self.end()
        return self.read_so_far
