"""A request and a reply as the dialects see them: a thin layer over ASGI that copies nothing it need not copy."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from antiphon.core.rates import Standing
from antiphon.domain import limits
from antiphon.domain.errors import AntiphonError, BodyTooLarge, InvalidInput, MalformedBody
from antiphon.domain.idempotency import Subject
from antiphon.domain.keys import Principal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ABORT = "antiphon.abort"
"""Where a scope holds the function that cuts its connection, when its server gives one."""

WIRE = "antiphon.wire"
"""Where a scope holds the way past ASGI to its connection, when its server gives one."""


EMPTIED = "antiphon.emptied"
"""Where a scope holds the function that waits until nothing of the answer is left to send, when its server gives one.
It tells whether the connection is there then."""


class Wire(Protocol):
    """A connection whose answer, or socket, has begun: what is written is sent behind what waits already."""

    def write(self, data: bytes) -> bool:
        """Send a piece of the body, or whole frames; whether there is room for more. One that is closed has room."""
        ...

    async def drained(self) -> None:
        """Returns when there is room again."""
        ...


JSON = (b"content-type", b"application/json")

encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class ClientGone(Exception):
    """The client left before its request was complete, or before it had all that it must have."""


class InternalFault(AntiphonError):
    """Something unforeseen happened; it has been logged."""

    code = "internal_fault"


class Reply(msgspec.Struct):
    """An answer: status, body, and headers as lowercase byte pairs (content-length is added on sending)."""

    status: int
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = []


class Pieces(Protocol):
    """A body that comes to be: pieces in order, and a way to be let go of."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Itself."""
        ...

    async def aclose(self) -> None:
        """Let go of it, whether or not it was begun."""
        ...


@runtime_checkable
class LivePieces(Pieces, Protocol):
    """A body that can be written without waiting for each piece of it."""

    async def pump(self, wire: Wire) -> None:
        """Write the whole body."""
        ...


class StreamReply(msgspec.Struct):
    """An answer that is sent piece by piece as it comes to be; `pieces` is closed when the client leaves."""

    status: int
    pieces: Pieces
    headers: list[tuple[bytes, bytes]] = []


def json_reply(status: int, value: Any, headers: list[tuple[bytes, bytes]] | None = None) -> Reply:
    """An answer with that value as compact JSON."""
    return Reply(status, encode(value), [JSON, *headers] if headers else [JSON])


class Request:
    """One HTTP request. `segments` are the parts of the raw path, each decoded after splitting: an id may hold a slash.

    A segment that is not UTF-8 keeps its bytes as lone surrogates, which no stored text has: it names nothing.
    `params` are the values of the route's placeholders; `principal` is who is calling, once that is known, and
    `standing` where its tenant stands in the rate limit. `subject` is what was made for it, once it is there.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_query",
        "_receive",
        "id",
        "method",
        "params",
        "principal",
        "route",
        "scope",
        "segments",
        "standing",
        "subject",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self._receive = receive
        self._headers: dict[bytes, bytes] | None = None
        self._query: list[tuple[str, str]] | None = None
        self._body: bytes | None = None
        self.params: dict[str, str] = {}
        self.route: str = ""
        self.principal: Principal | None = None
        self.standing: Standing | None = None
        self.subject: Subject | None = None
        self.segments = split_path(scope.get("raw_path") or scope["path"].encode())
        self.id = self._take_id()

    def _take_id(self) -> str:
        given = self.header(b"x-request-id")
        if given and len(given) <= limits.REQUEST_ID_CHARACTERS and given.isascii() and given.isprintable():
            return given
        return f"{random.getrandbits(64):016x}"  # tells requests apart, and guards nothing

    def header(self, name: bytes) -> str | None:
        """The last value of a header (its name in lowercase), without blanks around it; None when absent."""
        headers = self._headers
        if headers is None:
            headers = self._headers = dict(self.scope["headers"])
        value = headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    def abort(self) -> None:
        """Cut the connection at once, whatever still waits to be sent: for a client that does not read."""
        if (cut := self.scope.get(ABORT)) is not None:
            cut()

    async def emptied(self) -> bool:
        """Returns when all of the answer so far has been handed to the network; whether the client is there then."""
        wait: Callable[[], Awaitable[bool]] | None = self.scope.get(EMPTIED)
        return True if wait is None else await wait()

    async def left(self) -> None:
        """Returns when the client has left; the body must have been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; a repeated one has its last value, a blank one is there with an empty text."""
        return dict(self.query_items)

    @property
    def query_items(self) -> list[tuple[str, str]]:
        """The query parameters in order, repeated ones included."""
        if self._query is None:
            raw: bytes = self.scope.get("query_string", b"")
            if b"%" in raw or b"+" in raw:
                self._query = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
            else:
                pairs = (piece.partition("=") for piece in raw.decode("latin-1").split("&") if piece)
                self._query = [(name, value) for name, _, value in pairs]
        return self._query

    async def body(self, bytes_max: int = limits.BODY_BYTES) -> bytes:
        """The whole body; may be asked for again. Raises BodyTooLarge as soon as it is known to be, and ClientGone."""
        if self._body is None:
            self._body = await self._read(bytes_max)
        if len(self._body) > bytes_max:
            raise BodyTooLarge(f"the body is larger than {bytes_max} bytes")
        return self._body

    async def _read(self, bytes_max: int) -> bytes:
        declared = self.header(b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > bytes_max:
            raise BodyTooLarge(f"the body is larger than {bytes_max} bytes")
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            return body
        return await self._long_body(message, bytes_max)

    async def _long_body(self, message: MutableMapping[str, Any], bytes_max: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > bytes_max:
                raise BodyTooLarge(f"the body is larger than {bytes_max} bytes")
            if not message.get("more_body", False):
                return b"".join(pieces)
            message = await self._receive()

    async def pieces(self, bytes_max: int) -> AsyncIterator[bytes]:
        """The body as it comes, of which nothing is kept here. Raises BodyTooLarge and ClientGone."""
        declared = self.header(b"content-length")
        size = int(declared) if declared is not None and declared.isdigit() else 0
        read, is_more = 0, size <= bytes_max
        while is_more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece: bytes = message.get("body", b"")
            read, is_more = read + len(piece), message.get("more_body", False)
            if read > bytes_max:
                break
            yield piece
        if max(read, size) > bytes_max:
            raise BodyTooLarge(f"the body is larger than {bytes_max} bytes")


def split_path(raw: bytes) -> list[str]:
    """The segments of a raw path, percent-decoded one by one; the empty one before the first slash is left out."""
    path = raw.partition(b"?")[0]
    if b"%" not in path:
        return path.decode("utf-8", "surrogateescape").split("/")[1:]
    parts = path.split(b"/")[1:]
    return [(unquote_to_bytes(part) if b"%" in part else part).decode("utf-8", "surrogateescape") for part in parts]


def check_containers(raw: bytes) -> None:
    """Raises InvalidInput for more objects and lists than allowed: each costs little to send, and much to read."""
    if raw.count(b"[") + raw.count(b"{") > limits.JSON_CONTAINERS:
        raise InvalidInput(f"JSON of more than {limits.JSON_CONTAINERS} objects and lists")


def decode_json(raw: bytes) -> Any:
    """The JSON value of a body. Raises MalformedBody when it is not JSON in UTF-8, InvalidInput when too deep."""
    check_containers(raw)
    try:
        value = _decode(raw)
    except RecursionError:
        raise InvalidInput(f"JSON nested deeper than {limits.JSON_DEPTH} levels") from None
    except (msgspec.MsgspecError, ValueError):
        raise MalformedBody from None
    if raw.count(b"[") + raw.count(b"{") > limits.JSON_DEPTH and _depth(value) > limits.JSON_DEPTH:
        raise InvalidInput(f"JSON nested deeper than {limits.JSON_DEPTH} levels")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= limits.JSON_DEPTH:
        children: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                children.extend(item.values())
            elif isinstance(item, list):
                children.extend(item)
        depth, level = depth + 1, children
    return depth


def json_text(value: Any) -> str:
    """A value as compact JSON text, for the store."""
    return encode(value).decode()


def raw_json(text: str) -> msgspec.Raw:
    """Stored JSON text, to be put into an answer as it is."""
    return msgspec.Raw(text.encode())
