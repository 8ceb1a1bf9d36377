"""The ASGI application: finds the dialect of a request, sends what it answers, counts and logs it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.websockets import WebSocket

from antiphon.api.dialect import Dialect
from antiphon.api.http import (
    ABORT,
    WIRE,
    ClientGone,
    InternalFault,
    LivePieces,
    Pieces,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    StreamReply,
    Wire,
    split_path,
)
from antiphon.api.metrics import Metrics
from antiphon.core.faults import describe
from antiphon.domain.errors import AntiphonError, StoreUnavailable

SocketHandler = Callable[[WebSocket], Awaitable[None]]

_log = logging.getLogger(__name__)


class Server:
    """All dialects behind one address.

    `dialects` maps a path prefix (`/v3`) to its dialect; the longest that fits is taken, and the one of the empty
    prefix answers what is nobody's. `sockets` maps a path, perhaps with placeholders in braces, to the handler of its
    WebSockets, which finds their values in the `path_params` of the socket.
    """

    def __init__(self, dialects: Mapping[str, Dialect], sockets: Mapping[str, SocketHandler], metrics: Metrics) -> None:
        self._prefixes = sorted(dialects.items(), key=lambda item: -len(item[0]))
        self._sockets = [(path.split("/")[1:], handler) for path, handler in sockets.items()]
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            await self._serve_request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)

    def dialect_of(self, path: str) -> Dialect:
        """The dialect that answers for a path."""
        for prefix, dialect in self._prefixes:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
                return dialect
        return self._prefixes[-1][1]

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request = Request(scope, receive)
        dialect = self.dialect_of(scope["path"])
        reply: Reply | StreamReply
        try:
            reply = await dialect.respond(request)
        except AntiphonError as error:
            reply = dialect.refuse(request, error)
        except ClientGone:
            return
        except asyncio.CancelledError:  # the server stops, and has waited long enough for it
            await send_reply(request, dialect.refuse(request, StoreUnavailable("the server is stopping")), send)
            raise
        except Exception as fault:  # noqa: BLE001  the last line of defence: whatever it is, the client gets its wire's error
            _log.error("unforeseen fault", extra={"request": request.id, **describe(fault)})
            reply = dialect.refuse(request, InternalFault())
        if isinstance(reply, StreamReply):
            self._metrics.observe(dialect.name, request, reply.status, time.perf_counter() - began)
            await send_stream(request, reply, send)
            return
        await send_reply(request, reply, send)
        self._metrics.observe(dialect.name, request, reply.status, time.perf_counter() - began)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        segments = split_path(scope.get("raw_path") or scope["path"].encode())
        socket = WebSocket(scope, receive, send)
        for path, handler in self._sockets:
            if (params := _match(path, segments)) is not None:
                scope["path_params"] = params
                await handler(socket)
                return
        await socket.close()  # before accepting: the client sees an HTTP refusal


def _match(path: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    """The values of the placeholders of a path; None when the segments are not of that form."""
    if len(path) != len(segments):
        return None
    params: dict[str, str] = {}
    for part, segment in zip(path, segments, strict=True):
        if part.startswith("{") and segment:
            params[part[1:-1]] = segment
        elif part != segment:
            return None
    return params


async def send_reply(request: Request, reply: Reply, send: Send) -> None:
    """Send an answer; that of a HEAD request goes without its body."""
    headers = [
        *reply.headers,
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", request.id.encode("latin-1")),
    ]
    if reply.status == 204:  # a 204 has no content-length (RFC 9110, 8.6)
        del headers[-2]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else reply.body})


async def send_stream(request: Request, reply: StreamReply, send: Send) -> None:
    """Send an answer piece by piece until it ends or the client leaves; `pieces` is closed either way.

    One that breaks is cut, so that no client takes it for whole.
    """
    headers = [*reply.headers, (b"x-request-id", request.id.encode("latin-1"))]
    tasks: list[asyncio.Task[None]] = []
    is_broken = False
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if request.method != "HEAD":
            sending = _send_pieces(reply.pieces, request.scope.get(WIRE), send)
            tasks = [asyncio.create_task(request.left()), asyncio.create_task(sending)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            is_broken = is_broken or isinstance(outcome, Exception)
            if isinstance(outcome, AntiphonError):
                _log.warning("a stream was cut", extra={"request": request.id, "code": outcome.code})
            elif isinstance(outcome, Exception) and not isinstance(outcome, ClientGone):
                _log.error("a stream broke", extra={"request": request.id, **describe(outcome)})
        await reply.pieces.aclose()
    if is_broken and ABORT in request.scope:
        request.abort()
        await request.left()
    elif not tasks or (tasks[-1].done() and not tasks[-1].cancelled()):
        await send({"type": "http.response.body", "body": b""})


async def _send_pieces(pieces: Pieces, wire: Wire | None, send: Send) -> None:
    """Past ASGI where the server and the body can: an event to a thousand clients is a thousand times this."""
    if wire is not None and isinstance(pieces, LivePieces):
        await pieces.pump(wire)
        return
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
