"""Versions of single things: the tag that an answer carries, and requests that hold only for the thing as it was."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from antiphon.api.http import JSON, Reply, Request, encode
from antiphon.api.routing import Query
from antiphon.domain.errors import InvalidInput, VersionChanged

_TAG = r'(W/)?"([^"]*)"'
_TAGS = re.compile(rf"{_TAG}(?:\s*,\s*{_TAG})*")
_DIGEST_CHARACTERS = 32

IF_MATCH = Query("If-Match", {"type": "string"}, "Only if this is its `ETag` still, or one of several.", place="header")
"""What a route takes that changes or deletes one thing."""


def versioned(status: int, shown: Any, headers: list[tuple[bytes, bytes]] | None = None) -> Reply:
    """An answer that shows one thing, with its version as `ETag`."""
    body = encode(shown)
    tag = (b"etag", f'"{_digest(body)}"'.encode())
    return Reply(status, body, [JSON, tag, *(headers or [])])


def tag_of(shown: Any) -> str:
    """The version of a thing as it is shown."""
    return _digest(encode(shown))


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:_DIGEST_CHARACTERS]


def read_tags(request: Request) -> set[str] | None:
    """The versions of which one must fit, from `If-Match`; None when any may. A weak one never fits.

    Raises InvalidInput for what cannot be read: no condition is passed over.
    """
    text = request.header(b"if-match")
    if text is None or text == "*":
        return None
    if not _TAGS.fullmatch(text):
        raise InvalidInput("If-Match is a version, or several, in quotes", field="If-Match")
    return {tag for weak, tag in re.findall(_TAG, text) if not weak}


def check_version(request: Request, shown: Any) -> bool:
    """Whether the request holds only for the thing as it is shown. Raises VersionChanged when it is another now."""
    tags = read_tags(request)
    if tags is not None and tag_of(shown) not in tags:
        raise VersionChanged
    return tags is not None
