"""Who is calling: where a request carries its key, and whom that key stands for."""

from __future__ import annotations

from antiphon.api.http import Request
from antiphon.core.instance import Instance
from antiphon.domain.errors import AuthenticationFailed
from antiphon.domain.keys import Principal


def api_key_of(request: Request) -> str | None:
    """The value of `X-API-Key`; None when it is absent or blank."""
    return request.header(b"x-api-key") or None


def bearer_of(request: Request) -> str | None:
    """The token of `Authorization: Bearer` (the word in any case); None for anything else."""
    scheme, _, token = (request.header(b"authorization") or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def authenticate(instance: Instance, request: Request, key: str | None) -> Principal:
    """The principal of a key's text; everybody's while authentication is off. Raises AuthenticationFailed."""
    if instance.everybody is not None:
        principal = instance.everybody
    elif key is None:
        raise AuthenticationFailed
    else:
        principal = await instance.keys.authenticate(key)
    request.principal = principal
    return principal
