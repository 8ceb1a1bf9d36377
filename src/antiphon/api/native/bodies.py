"""Reading what clients of our own wire send: a field that is not known is an error, so that no typo is ignored."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from antiphon.api.http import Request, decode_json, json_text
from antiphon.api.native.errors import UnknownField
from antiphon.api.native.wire import NewMessage
from antiphon.domain import limits, texts
from antiphon.domain.errors import InvalidInput, MalformedBody

T = TypeVar("T")

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_PLACE = re.compile(r"(.*?)(?: - at `(?:key in )?\$\.?(.*)`)?", re.DOTALL)


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request holds whose route takes no body: a field in it means something that would not be done."""


async def read_body(request: Request, kind: type[T]) -> T:
    """The body as that type; an empty one is an empty object. Raises InvalidInput, UnknownField, BodyTooLarge."""
    raw = await request.body()
    media_type = (request.header(b"content-type") or "application/json").partition(";")[0].strip().lower()
    if raw and media_type != "application/json":
        raise MalformedBody("the body must be application/json")
    return convert(decode_json(raw) if raw.strip() else {}, kind)


def convert(value: Any, kind: type[T]) -> T:
    """A JSON value as that type. Raises InvalidInput and UnknownField, each naming the field."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message, place = _split(str(error))
        if found := _UNKNOWN.fullmatch(message):
            field = f"{place}.{found[1]}" if place else found[1]
            raise UnknownField(f"{field} is not known", field=field) from None
        if found := _MISSING.fullmatch(message):
            field = f"{place}.{found[1]}" if place else found[1]
            raise InvalidInput(f"{field} is missing", field=field) from None
        raise InvalidInput(message, field=place) from None


def _split(text: str) -> tuple[str, str | None]:
    found = _PLACE.fullmatch(text)
    return (found[1], found[2] or None) if found else (text, None)


def sequence_of(request: Request) -> int | None:
    """The last sequence that the client has, from `Last-Event-ID` or else `?after=`. Raises InvalidInput."""
    header = request.header(b"last-event-id")
    given, field = (header, "Last-Event-ID") if header else (request.query.get("after"), "after")
    return None if given is None else read_sequence(given, field)


def read_sequence(text: str, field: str) -> int:
    """A sequence. Raises InvalidInput."""
    if not (text.isascii() and text.isdigit() and len(text) <= limits.QUERY_NUMBER_DIGITS):
        raise InvalidInput(f"{field} is no sequence", field=field)
    return int(text)


def check_message(message: NewMessage, at: str = "message") -> tuple[str, str | None]:
    """The text of a message, and its parts as JSON when it has any. Raises InvalidInput; its fields are below `at`."""
    if (message.text is None) == (message.parts is None):
        raise InvalidInput("a message has either text or parts", field=at)
    if message.client_id is not None and not texts.is_client_id(message.client_id):
        raise InvalidInput("a client's id is 1 to 512 characters", field=f"{at}.client_id")
    check_name(message.participant, f"{at}.participant")
    if message.text is not None:
        if not message.text:
            raise InvalidInput("the text is empty", field=f"{at}.text")
        return texts.check_text(message.text, f"{at}.text", limits.BODY_BYTES), None
    parts = message.parts or []
    said = [part["text"] for part in parts if part.get("type") == "text" and isinstance(part.get("text"), str)]
    if not parts or not all(isinstance(part.get("type"), str) for part in parts):
        raise InvalidInput("parts is a list of at least one object with a type", field=f"{at}.parts")
    return texts.check_text("\n\n".join(said), f"{at}.parts", limits.BODY_BYTES), json_text(parts)


def check_metadata(metadata: dict[str, Any] | None, at: str = "message") -> str:
    """Metadata as JSON text. Raises InvalidInput."""
    text = json_text(metadata or {})
    if len(text.encode()) > limits.METADATA_BYTES:
        raise InvalidInput(f"metadata is larger than {limits.METADATA_BYTES} bytes", field=f"{at}.metadata")
    return texts.check_text(text, f"{at}.metadata", limits.METADATA_BYTES)


def check_name(name: str | None, field: str) -> None:
    """Raise InvalidInput unless a participant may have that name; None names nobody."""
    if name is not None and not texts.check_text(name, field, limits.NAME_CHARACTERS).strip():
        raise InvalidInput("a participant has a name", field=field)


def check_title(title: str) -> str:
    """The title itself. Raises InvalidInput unless it is 1 to TITLE_CHARACTERS characters that are not all blank."""
    if not texts.check_text(title, "title", limits.TITLE_CHARACTERS).strip():
        raise InvalidInput("the title is blank", field="title")
    return title
