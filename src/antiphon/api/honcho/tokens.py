"""JSON Web Tokens as this wire's keys: HS256 only, under a secret that the operator sets or the first start makes.

Claims: `ad` administrator, `w` workspace, with it `p` peer or `s` session, `exp` the end. A token judges itself by its
narrowest claim. One that was minted here also carries `jti`, the tenant and id of a key, so that it can be listed and
revoked like any other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import Any

import jwt
import msgspec

from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain import limits, times
from antiphon.domain.errors import AuthenticationFailed
from antiphon.domain.ids import Uid
from antiphon.domain.keys import ADMIN, PARTICIPANT, SESSION, TENANT, Principal, is_key_text
from antiphon.domain.participants import DEFAULT_AGENT_NAME

_ALGORITHM = "HS256"
_NOBODY: Uid = bytes(16)
"""The id of whatever is not there: nothing is found under it, and nothing can be made."""

_UID_BYTES = 16
_UNCHECKED = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


class Claims(msgspec.Struct, frozen=True):
    """What a token says of its bearer; `expires_at` is in microseconds."""

    is_admin: bool = False
    workspace: str | None = None
    peer: str | None = None
    session: str | None = None
    expires_at: int | None = None
    key: tuple[Uid, Uid] | None = None


class Tokens:
    """Makes and reads tokens."""

    def __init__(self, instance: Instance, secret: str) -> None:
        self._instance = instance
        self._secret = secret

    def write(self, claims: Claims) -> str:
        """The text of a token."""
        payload: dict[str, Any] = {"t": times.text_of(times.now())}
        if claims.expires_at is not None:
            payload["exp"] = claims.expires_at // times.SECOND
        payload |= {
            name: value
            for name, value in (("w", claims.workspace), ("p", claims.peer), ("s", claims.session))
            if value is not None
        }
        if claims.key is not None:
            payload["jti"] = b"".join(claims.key).hex()
        return jwt.encode(payload, self._secret, algorithm=_ALGORITHM)

    async def principal(self, text: str) -> Principal:
        """Whom a token stands for. Raises AuthenticationFailed.

        A workspace or peer that is not there is no fault of the token: it stands for somebody who finds nothing.
        """
        claims = self._read(text)
        if claims.key is not None:
            await self._instance.keys.check(*claims.key)
        key_id = claims.key[1] if claims.key else None
        if claims.workspace is None:
            tenants, _ = await self._instance.tenants.list(Slice(0, 1))
            if tenants:
                return Principal(tenants[0].id, tenants[0].name, tenants[0].agent_name, ADMIN, key_id=key_id)
            return Principal(_NOBODY, "", DEFAULT_AGENT_NAME, ADMIN, key_id=key_id)
        tenant = await self._instance.tenants.find_by_name(claims.workspace)
        home = (
            (tenant.id, tenant.name, tenant.agent_name) if tenant else (_NOBODY, claims.workspace, DEFAULT_AGENT_NAME)
        )
        if claims.session is not None:
            return Principal(*home, SESSION, session_id=claims.session, key_id=key_id)
        if claims.peer is None:
            return Principal(*home, TENANT, key_id=key_id)
        peer = await self._instance.participants.find_owner(home[0], claims.peer)
        return Principal(*home, PARTICIPANT, peer.id if peer else _NOBODY, claims.peer, key_id=key_id)

    def _read(self, text: str) -> Claims:
        if len(text) > limits.HONCHO_TOKEN_CHARACTERS:
            raise AuthenticationFailed
        try:
            payload = jwt.decode(text, self._secret, algorithms=[_ALGORITHM], options=_UNCHECKED)  # type: ignore[arg-type]
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise AuthenticationFailed from None
        claims = _claims_of(payload)
        if claims.expires_at is not None and claims.expires_at <= times.now():
            raise AuthenticationFailed
        if not claims.is_admin and claims.workspace is None:
            raise AuthenticationFailed
        return claims


def is_token(text: str) -> bool:
    """Whether the text may be such a token, and not a key of ours."""
    return not is_key_text(text) and text.count(".") == 2  # header, claims and signature


def _claims_of(payload: dict[str, Any]) -> Claims:
    if payload.get("ad"):
        return Claims(is_admin=True, expires_at=_moment(payload.get("exp")), key=_key(payload.get("jti")))
    names = [payload.get(claim) or None for claim in ("w", "p", "s")]
    if any(name is not None and not isinstance(name, str) for name in names) or (names[0] is None and any(names)):
        raise AuthenticationFailed
    workspace, peer, session = names
    return Claims(False, workspace, peer, session, _moment(payload.get("exp")), _key(payload.get("jti")))


def _moment(value: Any) -> int | None:
    """The end of a token: seconds since 1970, or an ISO time, which is UTC when it has no offset."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return times.from_datetime(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            return int(value * times.SECOND)
    except (ValueError, OverflowError):
        pass
    raise AuthenticationFailed


def _key(value: Any) -> tuple[Uid, Uid] | None:
    """The key that a token carries; one that was minted elsewhere carries none that is ours."""
    try:
        raw = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        return None
    return (raw[:_UID_BYTES], raw[_UID_BYTES:]) if len(raw) == 2 * _UID_BYTES else None
