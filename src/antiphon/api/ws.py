"""What all sockets share: how they are written to, how they end, and how many there may be."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from antiphon.api.http import ABORT
from antiphon.domain import limits
from antiphon.domain.errors import ConnectionLimitExceeded
from antiphon.domain.ids import Uid

CLOSE_GOING_AWAY = 1001

_SECOND = 1.0


_LENGTH_16, _LENGTH_64, _SIZE_16_MAX = 126, 127, 0xFFFF


class ClientLeft(Exception):
    """The other end is gone: there is nobody to tell anything."""


async def send(socket: WebSocket, text: str) -> None:
    """Send a frame, which waits while the client does not read. Raises ClientLeft."""
    try:
        await socket.send_text(text)
    except (WebSocketDisconnect, RuntimeError):  # starlette says in two ways that nobody is there
        raise ClientLeft from None


async def close(socket: WebSocket, code: int, reason: str = "") -> None:
    """End a socket that is open; a client that does not read has SOCKET_CLOSE_SECONDS to hear of it."""
    if socket.application_state == WebSocketState.CONNECTED:
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(limits.SOCKET_CLOSE_SECONDS):
                await socket.close(code, reason)


def cut(socket: WebSocket, code: int, reason: str) -> None:
    """End a socket whose client does not read: the reason goes behind what waits, and soon the connection is broken."""
    if (abort := socket.scope.get(ABORT)) is not None:
        abort(code, reason)


class Places:
    """How many followers each tenant has in this process: FOLLOWERS_PER_TENANT at most, of all kinds."""

    def __init__(self) -> None:
        self._taken: Counter[Uid] = Counter()

    def take(self, tenant_id: Uid) -> ExitStack:
        """Hold a place until it is closed; `pop_all` hands it on. Raises ConnectionLimitExceeded."""
        self.check(tenant_id)
        place = ExitStack()
        place.enter_context(self.taken(tenant_id))
        return place

    def check(self, tenant_id: Uid) -> None:
        """Raises ConnectionLimitExceeded when there is no place left."""
        if self._taken[tenant_id] >= limits.FOLLOWERS_PER_TENANT:
            raise ConnectionLimitExceeded(f"more than {limits.FOLLOWERS_PER_TENANT} streams and sockets")

    @contextmanager
    def taken(self, tenant_id: Uid) -> Iterator[None]:
        """Hold a place while inside."""
        self._taken[tenant_id] += 1
        try:
            yield
        finally:
            self._taken[tenant_id] -= 1
            if not self._taken[tenant_id]:
                del self._taken[tenant_id]


class FrameRate:
    """Counts the frames of one socket that were taken in the last second, valid or not. `frames_max` 0: no limit."""

    def __init__(self, frames_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max = frames_max
        self._clock = clock
        self._times: deque[float] = deque(maxlen=frames_max)

    def take(self) -> bool:
        """Whether a frame that has just arrived is within the limit; one that is not does not prolong the wait."""
        now = self._clock()
        if self._max and len(self._times) == self._max and now - self._times[0] < _SECOND:
            return False
        self._times.append(now)
        return True


def text_frame(payload: bytes) -> bytes:
    """A whole text frame from a server, which masks nothing (RFC 6455, 5.2)."""
    size = len(payload)
    if size < _LENGTH_16:
        return b"\x81%c%b" % (size, payload)
    if size <= _SIZE_16_MAX:
        return b"\x81%c%b%b" % (_LENGTH_16, size.to_bytes(2, "big"), payload)
    return b"\x81%c%b%b" % (_LENGTH_64, size.to_bytes(8, "big"), payload)
