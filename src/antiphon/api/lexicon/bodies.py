"""What clients send: the body of a create, the paging of a list, the frames of a socket; checked field by field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from antiphon.api.http import Request, decode_json, encode
from antiphon.core.ports import Slice
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput, MalformedBody
from antiphon.domain.texts import check_text

_PAGE_ITEMS = 50
_ORDERS = ("asc", "desc")
_JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json", re.IGNORECASE | re.ASCII)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # the escape itself, not a backslash before the letters


class NewChat(NamedTuple):
    """What a chat is to be made of; without a title it gets one. `metadata` is a JSON object as text."""

    user_id: str
    title: str | None
    metadata: str


class Said(NamedTuple):
    """What a frame says; `metadata` is a JSON object as text."""

    content: str
    metadata: str


async def read_new_chat(request: Request) -> NewChat:
    """The body of a create. Raises InvalidInput, MalformedBody and BodyTooLarge."""
    media_type = (request.header(b"content-type") or "").partition(";")[0].strip()
    if media_type and not _JSON_TYPE.fullmatch(media_type):
        raise InvalidInput("the body's Content-Type must be application/json")
    body = decode_json(await request.body())
    if not isinstance(body, dict):
        raise MalformedBody("the body is not a JSON object")
    user_id = _text(body, "user_id", limits.LEXICON_USER_ID_CHARACTERS)
    title = None
    if body.get("title") is not None:
        title = _optional_text(body, "title", limits.LEXICON_TITLE_CHARACTERS)
    return NewChat(user_id, title, _metadata(body))


def read_frame(frame: str | None) -> Said:
    """What a text frame says; None stands for a binary one. Raises InvalidInput for anything that is not a message."""
    if frame is None:
        raise InvalidInput("a frame is text, not binary")
    try:
        body = decode_json(frame.encode())
    except (MalformedBody, UnicodeEncodeError):
        raise InvalidInput("the frame cannot be read as JSON") from None
    if not isinstance(body, dict):
        raise InvalidInput("the frame is not a JSON object")
    return Said(_text(body, "content", limits.LEXICON_CONTENT_CHARACTERS), _metadata(body))


def read_part(query: Mapping[str, str], default_order: str) -> Slice:
    """The part of a list that is asked for. Raises InvalidInput: nothing out of range is silently put in range."""
    offset = _whole_number(query, "offset", 0, 0, None)
    limit = _whole_number(query, "limit", _PAGE_ITEMS, 1, limits.PAGE_ITEMS)
    order = query.get("order", default_order)
    if order not in _ORDERS:
        raise InvalidInput(f"order must be {' or '.join(_ORDERS)}", field="order")
    return Slice(offset, limit, order == "desc")


def _text(body: dict[str, Any], field: str, characters_max: int) -> str:
    text = _optional_text(body, field, characters_max)
    if text is None:
        raise InvalidInput(f"{field} must be a string that is not blank", field=field)
    return text


def _optional_text(body: dict[str, Any], field: str, characters_max: int) -> str | None:
    """A string; None for one that is blank."""
    value = body.get(field)
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be a string", field=field)
    return check_text(value, field, characters_max) if value.strip() else None


def _metadata(body: dict[str, Any]) -> str:
    value = body.get("metadata")
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        raise InvalidInput("metadata must be an object", field="metadata")
    raw = encode(value)
    if len(raw) > limits.METADATA_BYTES:
        raise InvalidInput(f"metadata is larger than {limits.METADATA_BYTES} bytes", field="metadata")
    if b"\\u0000" in raw and _NUL.search(raw):
        raise InvalidInput("metadata holds a NUL character", field="metadata")
    return raw.decode()


def _whole_number(query: Mapping[str, str], name: str, default: int, low: int, high: int | None) -> int:
    text = query.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= limits.QUERY_NUMBER_DIGITS
    if not is_number or int(text) < low or (high is not None and int(text) > high):
        allowed = f"{low} to {high}" if high is not None else f"{low} or more"
        raise InvalidInput(f"{name} must be a whole number, {allowed}", field=name)
    return int(text)
