"""A request whose answer is read while it is being made; the in-process client of httpx waits for its end."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, Self
from urllib.parse import quote

import msgspec

from antiphon.api.server import Server
from tests.wire.recoup.ui_schema import check_chunk


class LiveCall:
    """One request to the server. `begin` returns when the answer's head is there; `leave` is a client that vanishes."""

    def __init__(self, server: Server, method: str, path: str, headers: dict[str, str], json: Any = None) -> None:
        bare, _, query = path.partition("?")
        self._scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": bare,
            "raw_path": quote(bare, safe="/%").encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        self._server = server
        self._body = b"" if json is None else msgspec.json.encode(json)
        self._is_sent = False
        self._left = asyncio.Event()
        self._heads: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._unread = b""
        self._task: asyncio.Task[None] | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.read_so_far = b""

    async def begin(self) -> Self:
        self._task = asyncio.create_task(self._serve(), name="live call")
        head = await self._heads.get()
        self.status = head["status"]
        self.headers = {name.decode(): value.decode() for name, value in head["headers"]}
        return self

    async def _serve(self) -> None:
        try:
            await self._server(self._scope, self._receive, self._send)
        finally:
            self._pieces.put_nowait(None)

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._is_sent:
            self._is_sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._heads.put_nowait(message)
        elif piece := message.get("body", b""):
            self._pieces.put_nowait(piece)

    async def chunk(self) -> dict[str, Any] | None:
        """The next chunk; None once there is nothing but `[DONE]` or the end."""
        while b"\n\n" not in self._unread:
            piece = await self._pieces.get()
            if piece is None:
                return None
            self._unread += piece
            self.read_so_far += piece
        frame, _, self._unread = self._unread.partition(b"\n\n")
        if frame.startswith(b":"):
            return await self.chunk()
        if frame == b"data: [DONE]":
            return None
        chunk: dict[str, Any] = msgspec.json.decode(frame.removeprefix(b"data: "))
        check_chunk(chunk)
        return chunk

    async def comment(self) -> None:
        """Return when the next frame is there, which must be a comment."""
        while not self._unread:
            piece = await self._pieces.get()
            assert piece is not None
            self._unread += piece
        assert self._unread.startswith(b":"), self._unread

    async def take(self, count: int) -> list[dict[str, Any]]:
        """The next so many chunks."""
        taken = [await self.chunk() for _ in range(count)]
        assert None not in taken
        return [chunk for chunk in taken if chunk is not None]

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """The next chunks up to the first of that type."""
        taken: list[dict[str, Any]] = []
        while (chunk := await self.chunk()) is not None:
            taken.append(chunk)
            if chunk["type"] == kind:
                return taken
        raise AssertionError(f"the stream ended without {kind}")

    async def rest(self) -> list[dict[str, Any]]:
        """All further chunks; `read_so_far` is then the whole body."""
        taken: list[dict[str, Any]] = []
        while (chunk := await self.chunk()) is not None:
            taken.append(chunk)
        await self.end()
        return taken

    async def end(self) -> None:
        """Wait until the server is done with it."""
        assert self._task is not None
        await self._task

    async def leave(self) -> None:
        """The client goes away."""
        self._left.set()
        await self.end()
