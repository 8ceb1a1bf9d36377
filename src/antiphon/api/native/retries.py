"""Retries on our own wire: a POST with an `Idempotency-Key` has one effect, and every time the same answer.

Nothing that the database holds of it can be read without the key: the row's digest, the request's and the secret under
which the answer is sealed are all derived from it. So a kept answer is nothing that a deletion leaves to be read, and a
key or a ticket that was shown once stands nowhere in clear.
"""

from __future__ import annotations

import hashlib
import hmac
import os

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from antiphon.api.http import Reply, Request, StreamReply
from antiphon.api.native.errors import PROBLEM, refuse
from antiphon.api.native.reach import Reach
from antiphon.api.routing import Content, Query, Route
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.errors import AntiphonError, InvalidInput, TenantNotFound
from antiphon.domain.idempotency import Subject
from antiphon.domain.keys import Principal

HEADER = "Idempotency-Key"
REPLAYED = (b"idempotency-replayed", b"true")

_PARAMETER = Query(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": limits.IDEMPOTENCY_KEY_CHARACTERS},
    "Sent again with the same words: the first answer again, for a day.",
    place="header",
)
_NAME = HEADER.lower().encode()
_NOTHING_BEGUN = frozenset({400, 401, 413, 429})
"""What is wrong with the request itself, or comes before it: a corrected one may come under the same key."""

_FAULT = 500
_NONCE_BYTES = 12
_EACH_TIME = frozenset({b"cache-control"})  # what `Native.respond` gives to every answer


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """An answer as it is sealed."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Retries:
    """Answers a route's requests, those that are repeated from what is kept."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    async def answer(self, request: Request, route: Route) -> Reply | StreamReply:
        """What the route answers, or answered before. Raises what the handler raises, and as `Idempotency.once`."""
        key = request.header(_NAME)
        if key is None or not is_repeatable(route):
            return await route.handler(request)
        if not key or len(key) > limits.IDEMPOTENCY_KEY_CHARACTERS:
            most = limits.IDEMPOTENCY_KEY_CHARACTERS
            raise InvalidInput(f"{HEADER} is 1 to {most} characters", field=HEADER)
        try:
            principal = await self._reach.caller(request)
        except TenantNotFound:  # one of which only the records are left keeps no answers
            return await route.handler(request)
        secret = _secret_of(key, principal, request)
        said = b"\0".join((b"request", (request.header(b"if-match") or "").encode(), await request.body()))
        attempt = _Attempt(self._instance, request, route, principal, secret)
        kept = await self._instance.idempotency.once(
            principal.tenant_id, _digest(secret, b"row"), _digest(secret, said), attempt.work
        )
        return _unseal(secret, kept) if kept is not None else attempt.outcome()


class _Attempt:
    """The first of several requests under one key: what came of it."""

    def __init__(self, instance: Instance, request: Request, route: Route, principal: Principal, secret: bytes) -> None:
        self._instance = instance
        self._request = request
        self._route = route
        self._principal = principal
        self._secret = secret
        self._outcome: Reply | StreamReply | AntiphonError | None = None

    def outcome(self) -> Reply | StreamReply:
        """The answer. Raises what the handler has raised."""
        if isinstance(self._outcome, AntiphonError):
            raise self._outcome
        assert self._outcome is not None, "the work was done"
        return self._outcome

    async def work(self) -> tuple[bytes, Subject] | None:
        """Let the handler answer; what is to be kept of it, sealed, and what it tells of."""
        named = await self._named()
        try:
            reply = self._outcome = await self._route.handler(self._request)
        except AntiphonError as error:
            self._outcome = error
            reply = refuse(self._request, error)
        if isinstance(reply, StreamReply) or reply.status >= _FAULT or reply.status in _NOTHING_BEGUN:
            return None
        if named is None and not isinstance(self._outcome, AntiphonError):
            return None
        return _seal(self._secret, reply), self._request.subject or named or Subject()

    async def _named(self) -> Subject | None:
        """What the path names, looked up before the work: so the answer never hangs on what has come in its place.

        None when there is nothing of that id. An answer that tells of nothing else goes with who has asked.
        """
        tenant_id, params = self._principal.tenant_id, self._request.params
        if "chat_id" in params:
            chat = await self._instance.chats.find(tenant_id, params["chat_id"])
            return None if chat is None else Subject(chat_key=chat.key)
        if "session_id" in params:
            session = await self._instance.sessions.find(tenant_id, params["session_id"])
            return None if session is None else Subject(session_key=session.key)
        return Subject(participant_id=self._principal.participant_id)


def is_repeatable(route: Route) -> bool:
    """Whether answers of the route are kept: of a POST whose body is not streamed."""
    return route.method == "POST" and not isinstance(route.body, Content)


def documented(route: Route) -> Route:
    """The route, with what a key may bring with it."""
    if not is_repeatable(route):
        return route
    answers = {**route.answers, **dict.fromkeys((409, 422), PROBLEM)}
    return msgspec.structs.replace(route, answers=answers, query=(*route.query, _PARAMETER))


def _digest(secret: bytes, of: bytes) -> bytes:
    return hmac.digest(secret, of, hashlib.sha256)


def _secret_of(key: str, principal: Principal, request: Request) -> bytes:
    """What only who sends that key knows; bound to the tenant, how far the credential reaches, and the route."""
    place = [
        principal.tenant_id,
        principal.scope,
        principal.participant_id,
        principal.session_id,
        request.method,
        bytes(request.scope.get("raw_path") or request.scope["path"].encode()).partition(b"?")[0],
    ]
    return _digest(key.encode(), msgspec.json.encode(place))


def _seal(secret: bytes, reply: Reply) -> bytes:
    headers = [header for header in reply.headers if header[0] not in _EACH_TIME]
    content = msgspec.msgpack.encode(_Kept(reply.status, headers, reply.body))
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher_of(secret).encrypt(nonce, content, None)


def _unseal(secret: bytes, sealed: bytes) -> Reply:
    """The answer as it was first given; it says that it is not the first time."""
    content = _cipher_of(secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
    kept = msgspec.msgpack.decode(content, type=_Kept)
    return Reply(kept.status, kept.body, [*kept.headers, REPLAYED])


def _cipher_of(secret: bytes) -> AESGCM:
    return AESGCM(_digest(secret, b"answer"))
