"""Server-sent events (WHATWG HTML, 9.2): a follower's events as the pieces of an answer's body.

A piece holds all events that were ready, so a reader that is behind costs fewer writes. A comment says that the stream
lives when nothing happens for FOLLOWER_SILENCE_SECONDS.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from antiphon.api.http import Wire
from antiphon.core.ports.streams import Follower, Record
from antiphon.domain.errors import FollowerTooSlow

HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
]

_HEARTBEAT = b": alive\n\n"

_log = logging.getLogger(__name__)


class EventStream:
    """The body of a stream: every event as `frame_of` words it (b"" for none), then `end`.

    `frame_of` is called for each follower, so it should keep what it makes in `Record.frames`. A follower that is cut
    off gets no end. Closing the body closes the follower and calls `on_close`. (No generator: one for each of a
    thousand followers costs a tenth of a delivery.)
    """

    def __init__(
        self,
        follower: Follower,
        frame_of: Callable[[Record], bytes],
        end: bytes = b"",
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._follower = follower
        self._frame_of = frame_of
        self._end = end
        self._on_close = on_close
        self._is_over = False

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        try:
            while True:
                records = await self._follower.__anext__()
                if not records:
                    return _HEARTBEAT
                if piece := b"".join(map(self._frame_of, records)):
                    return piece
        except StopAsyncIteration:
            self._is_over = True
            if self._end:
                return self._end
            raise
        except FollowerTooSlow as error:
            self._is_over = True
            _log.warning("a stream was cut off", extra={"code": error.code})
            raise StopAsyncIteration from None

    async def pump(self, wire: Wire) -> None:
        """Write all of it, mostly from where the events are published: see `Follower.pump`."""
        frame_of, send = self._frame_of, wire.write

        def write(records: Sequence[Record]) -> bool:
            piece = b"".join(map(frame_of, records)) if records else _HEARTBEAT
            return send(piece) if piece else True

        try:
            await self._follower.pump(write, wire.drained)
        except FollowerTooSlow as error:
            _log.warning("a stream was cut off", extra={"code": error.code})
        else:
            if self._end:
                send(self._end)

    async def aclose(self) -> None:
        """Stop following; closing twice is no error."""
        self._is_over = True
        self._follower.close()
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            on_close()
