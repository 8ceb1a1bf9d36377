"""Answers that pages of other origins may read, and the preflights that their browsers ask before (CORS)."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware

from antiphon.api.http import Receive, Scope, Send
from antiphon.api.server import Server

ANY = "*"
"""An origin that is all of them; then browsers send no cookies along, which no wire here needs."""

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_READABLE = (
    "etag",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
)
"""Headers that a page may read beyond the few that it always may."""
_PREFLIGHT_SECONDS = 600


class CrossOrigin:
    """A server whose answers pages of these origins may read; a dialect that says itself who may is left to do so."""

    def __init__(self, server: Server, origins: Sequence[str]) -> None:
        self._server = server
        self._shared = CORSMiddleware(
            server,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=("*",),
            allow_credentials=ANY not in origins,
            expose_headers=_READABLE,
            max_age=_PREFLIGHT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        is_shared = scope["type"] == "http" and not self._server.dialect_of(scope["path"]).has_own_cors
        await (self._shared if is_shared else self._server)(scope, receive, send)
