"""The HTTP floor: what the same uvicorn takes for the same bytes when nothing is checked, looked up or stored.

`python -m bench.http_floor PORT`. An append is read, decoded into a typed struct, and answered with a struct of the
shape of Honcho's message; a page is 50 structs made beforehand, encoded for each request.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import uvicorn

from antiphon.domain.ids import new_uid7, short_of, text_of
from bench import data
from bench.requests import PAGE

APPEND, HONCHO_PAGE, LEXICON_PAGE = "/append", "/honcho-page", "/lexicon-page"
_MOMENT = "2026-01-02T03:04:05.678901Z"

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Said(msgspec.Struct):
    """One message of an append, as it comes."""

    content: str
    peer_id: str


class Append(msgspec.Struct):
    """The body of an append."""

    messages: list[Said]


class HonchoMessage(msgspec.Struct):
    """A message in Honcho's shape."""

    id: str
    content: str
    peer_id: str
    session_id: str
    metadata: dict[str, Any]
    created_at: str
    workspace_id: str
    token_count: int


class HonchoPage(msgspec.Struct):
    """A page in Honcho's shape."""

    items: list[HonchoMessage]
    total: int
    page: int
    size: int
    pages: int


class LexiconMessage(msgspec.Struct):
    """A message in Lexicon's shape."""

    id: str
    content: str
    sender_role: str
    media_type: str | None
    media_url: str | None
    created_at: str
    metadata: dict[str, Any]


class LexiconPage(msgspec.Struct):
    """A page in Lexicon's shape."""

    messages: list[LexiconMessage]
    total: int
    offset: int
    limit: int
    has_more: bool


def _honcho_message(content: str, peer_id: str) -> HonchoMessage:
    return HonchoMessage(
        short_of(new_uid7()), content, peer_id, "session-0000", {}, _MOMENT, data.WORKSPACE, len(content) // 5
    )


def _lexicon_message(content: str) -> LexiconMessage:
    return LexiconMessage(f"msg-{text_of(new_uid7())}", content, "user", None, None, _MOMENT, {})


_texts = [data.sample_text(seed) for seed in range(PAGE)]
_message_id = short_of(new_uid7())
_pages: dict[str, Any] = {
    HONCHO_PAGE: HonchoPage([_honcho_message(text, data.PEER) for text in _texts], data.MESSAGES, 1, PAGE, 2),
    LEXICON_PAGE: LexiconPage([_lexicon_message(text) for text in _texts], data.MESSAGES, 0, PAGE, True),
}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Append).decode


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI application."""
    body = (await receive()).get("body", b"")
    path = scope["path"]
    status = 200
    if path == APPEND:
        status = 201
        answer = _encode(
            [
                HonchoMessage(_message_id, m.content, m.peer_id, "session-0000", {}, _MOMENT, data.WORKSPACE, 60)
                for m in _decode(body).messages
            ]
        )
    else:
        answer = _encode(_pages[path])
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
