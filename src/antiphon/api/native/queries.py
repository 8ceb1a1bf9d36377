"""What stands behind the question mark on our own wire, and where pages end."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection

from antiphon.api.http import Request
from antiphon.api.native.errors import UnknownField
from antiphon.api.routing import Query
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput

_PAGE_ITEMS = 50
_CHECK_BYTES = 8

PAGE = (
    Query("limit", {"type": "integer", "minimum": 1, "maximum": limits.NATIVE_PAGE_ITEMS, "default": _PAGE_ITEMS}),
    Query("cursor", {"type": "string"}, "`next` of the page before."),
)
"""What a list takes that comes in pages."""

PAGE_NAMES = frozenset(query.name for query in PAGE)


def check_names(request: Request, known: Collection[str]) -> None:
    """Raise UnknownField for a parameter that the route does not have: nobody meant it to be passed over."""
    for name, _ in request.query_items:
        if name not in known:
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


def make_cursor(of_list: bytes, place: bytes) -> str:
    """Where a page ends, checked against the list that it is of: tenant, filter and all."""
    return urlsafe_b64encode(place + hashlib.sha256(of_list + place).digest()[:_CHECK_BYTES]).decode()


def read_cursor(of_list: bytes, request: Request) -> bytes | None:
    """Where the page before ended, as it was put into the cursor. Raises InvalidInput for that of another list."""
    text = request.query.get("cursor")
    if text is None:
        return None
    try:
        place = urlsafe_b64decode(text.encode("ascii"))[:-_CHECK_BYTES]
    except ValueError:
        place = b""
    if text != make_cursor(of_list, place):
        raise InvalidInput("the cursor is of another list", field="cursor")
    return place
