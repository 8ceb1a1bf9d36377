"""What stands behind the question mark on our own wire, and where pages end."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import TypeVar

from antiphon.api.http import Request, encode
from antiphon.api.native.errors import InvalidCursor, UnknownField
from antiphon.api.routing import Query
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import Uid

_PAGE_ITEMS = 50
_CHECK_BYTES = 8
UID_BYTES, SEQUENCE_BYTES = 16, 8

T = TypeVar("T")

PAGE = (
    Query("limit", {"type": "integer", "minimum": 1, "maximum": limits.NATIVE_PAGE_ITEMS, "default": _PAGE_ITEMS}),
    Query("cursor", {"type": "string"}, "`next` of the page before."),
)
"""What a list takes that comes in pages."""


def check_names(request: Request, known: Sequence[Query]) -> None:
    """Raise UnknownField for a parameter that the route does not have: nobody meant it to be passed over."""
    for name, _ in request.query_items:
        if not any(query.name == name and query.place == "query" for query in known):
            raise UnknownField(f"{name} is not known", field=name)


def read_limit(request: Request) -> int:
    """How many items a page is to have. Raises InvalidInput."""
    text = request.query.get("limit", str(_PAGE_ITEMS))
    is_number = text.isascii() and text.isdigit() and len(text) <= limits.QUERY_NUMBER_DIGITS
    if not (is_number and 1 <= int(text) <= limits.NATIVE_PAGE_ITEMS):
        raise InvalidInput(f"limit is a number from 1 to {limits.NATIVE_PAGE_ITEMS}", field="limit")
    return int(text)


def read_flag(request: Request, name: str) -> bool:
    """`true` or `false`, which is what an absent one is. Raises InvalidInput."""
    text = request.query.get(name, "false")
    if text not in {"true", "false"}:
        raise InvalidInput(f"{name} is true or false", field=name)
    return text == "true"


def read_text(request: Request, name: str) -> str | None:
    """A parameter that names something, None when it is absent. Raises InvalidInput when it is blank."""
    text = request.query.get(name)
    if text is not None and not text:
        raise InvalidInput(f"{name} names nothing", field=name)
    return text


def read_choice(request: Request, name: str, choices: Sequence[str]) -> str | None:
    """One of some words, None when it is absent. Raises InvalidInput."""
    text = request.query.get(name)
    if text is not None and text not in choices:
        raise InvalidInput(f"{name} is {' or '.join(choices)}", field=name)
    return text


def list_name(kind: str, tenant_id: Uid, *filters: str | bool | None) -> bytes:
    """What a list is, for its cursors: which of which tenant, and by what filters."""
    return tenant_id + encode([kind, *filters])


def read_cursor(of_list: bytes, request: Request, place_bytes: int = UID_BYTES) -> bytes | None:
    """Where the page before ended, as it was put into the cursor; None for the first one.

    Raises InvalidCursor for one of another list: of another tenant, or with other filters.
    """
    text = request.query.get("cursor")
    if text is None:
        return None
    try:
        place = urlsafe_b64decode(text.encode("ascii"))[:-_CHECK_BYTES]
    except ValueError:
        place = b""
    if len(place) != place_bytes or text != _make_cursor(of_list, place):
        raise InvalidCursor("the cursor is of another list", field="cursor")
    return place


def read_sequence_cursor(of_list: bytes, request: Request) -> int | None:
    """The same where a page ends at a number."""
    place = read_cursor(of_list, request, SEQUENCE_BYTES)
    number = None if place is None else int.from_bytes(place, "big")
    if number is not None and number >= 10**limits.QUERY_NUMBER_DIGITS:
        raise InvalidCursor("the cursor is of another list", field="cursor")
    return number


def cut_page(
    found: Sequence[T], limit: int, of_list: bytes, place_of: Callable[[T], bytes | int]
) -> tuple[Sequence[T], str | None]:
    """The page, and the cursor of the next one, of what was found when one more than the page holds was asked for."""
    if len(found) <= limit:
        return found, None
    return found[:limit], make_cursor(of_list, place_of(found[limit - 1]))


def make_cursor(of_list: bytes, place: bytes | int) -> str:
    """Where a page ends, at a thing's id or at a number."""
    return _make_cursor(of_list, place if isinstance(place, bytes) else place.to_bytes(SEQUENCE_BYTES, "big"))


def _make_cursor(of_list: bytes, place: bytes) -> str:
    return urlsafe_b64encode(place + hashlib.sha256(of_list + place).digest()[:_CHECK_BYTES]).decode()
