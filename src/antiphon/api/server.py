"""The ASGI application: finds the dialect of a request, sends what it answers, counts and logs it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.websockets import WebSocket

from antiphon.api.dialect import Dialect
from antiphon.api.http import ClientGone, InternalFault, Receive, Reply, Request, Scope, Send
from antiphon.api.metrics import Metrics
from antiphon.core.faults import describe
from antiphon.domain.errors import AntiphonError

SocketHandler = Callable[[WebSocket], Awaitable[None]]

_log = logging.getLogger(__name__)


class Server:
    """All dialects behind one address.

    `dialects` maps a path prefix (`/v3`) to its dialect; the longest that fits is taken, and the one of the empty
    prefix answers what is nobody's. `sockets` maps a path to the handler of its WebSockets.
    """

    def __init__(self, dialects: Mapping[str, Dialect], sockets: Mapping[str, SocketHandler], metrics: Metrics) -> None:
        self._prefixes = sorted(dialects.items(), key=lambda item: -len(item[0]))
        self._sockets = dict(sockets)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            await self._serve_request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)

    def _dialect_of(self, path: str) -> Dialect:
        for prefix, dialect in self._prefixes:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
                return dialect
        return self._prefixes[-1][1]

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request = Request(scope, receive)
        dialect = self._dialect_of(scope["path"])
        try:
            reply = await dialect.respond(request)
        except AntiphonError as error:
            reply = dialect.refuse(request, error)
        except ClientGone:
            return
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # noqa: BLE001  the last line of defence: whatever it is, the client gets its wire's error
            _log.error("unforeseen fault", extra={"request": request.id, **describe(fault)})
            reply = dialect.refuse(request, InternalFault())
        await send_reply(request, reply, send)
        self._metrics.observe(dialect.name, request, reply.status, time.perf_counter() - began)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._sockets.get(scope["path"])
        socket = WebSocket(scope, receive, send)
        if handler is None:
            await socket.close()  # before accepting: the client sees an HTTP refusal
            return
        await handler(socket)


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
