"""Who is calling: where a request carries its key, and whom that key stands for."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from antiphon.api.http import Request
from antiphon.core.instance import Instance
from antiphon.domain.errors import AuthenticationFailed
from antiphon.domain.keys import Principal

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def api_key_of(request: Request) -> str | None:
    """The value of `X-API-Key`; None when it is absent or blank."""
    return request.header(b"x-api-key") or None


def bearer_of(request: Request) -> str | None:
    """The token of `Authorization: Bearer` (the word in any case); None for anything else."""
    scheme, _, token = (request.header(b"authorization") or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def check_origin(origin: str | None) -> None:
    """Raise AuthenticationFailed for a page of somewhere else, which any browser on this machine may have open.

    Browsers name the page in `Origin` with everything that writes, with sockets, and with what a page of another site
    asks for; programs do not. It counts only while nobody is asked for a key.
    """
    with contextlib.suppress(ValueError):  # it is no URL
        if origin is None or urlsplit(origin).hostname in _LOOPBACK:
            return
    raise AuthenticationFailed("without authentication only pages of this machine are served")


async def authenticate(instance: Instance, request: Request, key: str | None) -> Principal:
    """The principal of a key's text; everybody's while authentication is off. Raises AuthenticationFailed."""
    if instance.everybody is not None:
        check_origin(request.header(b"origin"))
        principal = instance.everybody
    elif key is None:
        raise AuthenticationFailed
    else:
        principal = await instance.keys.authenticate(key)
    request.principal = principal
    return principal
