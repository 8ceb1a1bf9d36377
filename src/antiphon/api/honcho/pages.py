"""Pages of lists: which part is asked for, and how it is answered."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from pydantic import BaseModel, Field

from antiphon.api.honcho.bodies import validate
from antiphon.api.honcho.wire import Page
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Query
from antiphon.core.ports import Slice
from antiphon.domain import limits

T = TypeVar("T")

_SIZE = 50
_OFFSET_MAX = 2**53  # beyond the end of any list, and still a number that every database takes


class _Numbers(BaseModel):
    page: int = Field(1, ge=1)
    size: int = Field(_SIZE, ge=1, le=limits.HONCHO_PAGE_ITEMS)


class _Part(_Numbers):
    reverse: bool = False


class Asked(msgspec.Struct, frozen=True):
    """The page that is asked for."""

    page: int
    size: int
    is_reversed: bool

    @property
    def part(self) -> Slice:
        """The same for the store."""
        return Slice(min((self.page - 1) * self.size, _OFFSET_MAX), self.size, self.is_reversed)


_FIRST = Asked(1, _SIZE, is_reversed=False)

OPTIONAL_TEXT = {"anyOf": [{"type": "string"}, {"type": "null"}]}
"""The schema of a query parameter that is a text, or not there."""

PAGE_QUERY = (
    Query("page", {"type": "integer", "minimum": 1, "default": 1}, "Which page, counted from 1."),
    Query(
        "size",
        {"type": "integer", "minimum": 1, "maximum": limits.HONCHO_PAGE_ITEMS, "default": _SIZE},
        "How many items a page has.",
    ),
)
LIST_QUERY = (
    *PAGE_QUERY,
    Query("reverse", {"type": "boolean", "default": False}, "Whether the order is turned round."),
)


def read_part(request: Request) -> Asked:
    """The page that the query names, in either order. Raises InvalidRequest."""
    if not request.query_items:
        return _FIRST
    found = validate(_Part, request.query, ("query",))
    return Asked(found.page, found.size, found.reverse)


def read_page(request: Request) -> Asked:
    """The page that the query names, for a list without `reverse`. Raises InvalidRequest."""
    if not request.query_items:
        return _FIRST
    found = validate(_Numbers, request.query, ("query",))
    return Asked(found.page, found.size, is_reversed=False)


def page_reply(asked: Asked, items: list[T], total: int) -> Reply:
    """200 with a page of what is to be shown."""
    return json_reply(200, Page(items, total, asked.page, asked.size, -(-total // asked.size)))
