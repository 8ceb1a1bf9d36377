"""Reading bodies as Recoup's server does, with its validator's words."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from antiphon.api.http import Request
from antiphon.api.recoup.errors import FieldInvalid
from antiphon.domain import limits

_UUID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
    r"|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff"
)


def is_uuid(text: str) -> bool:
    """Whether it is a UUID by this wire's idea of one, which is narrower than ours."""
    return _UUID.fullmatch(text) is not None


async def lenient_value(request: Request) -> Any:
    """The JSON value of the body, whatever its media type; one that is absent or unreadable is an empty object.

    Raises BodyTooLarge. Strings may hold lone surrogates, as they may where these clients live: an id with one is an
    invalid id and no unreadable body. Every number is a float, and what is nested too deep to be read is unreadable.
    """
    raw = await request.body(limits.UNREAD_BODY_BYTES)
    if not raw.strip():
        return {}
    try:
        return json.loads(raw.decode(), parse_int=float, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return {}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def kind_of(value: Any) -> str:
    """The validator's name for the type of a JSON value."""
    if value is None:
        return "null"
    names = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}
    return names[type(value)]


def check_object(value: Any) -> dict[str, Any]:
    """The body, which must be an object. Raises FieldInvalid with an empty path."""
    if not isinstance(value, dict):
        raise FieldInvalid(f"Invalid input: expected object, received {kind_of(value)}", [])
    return value


def optional_string(body: dict[str, Any], field: str) -> str | None:
    """A string that may be absent. Raises FieldInvalid for anything else, null included."""
    if field not in body:
        return None
    value = body[field]
    if not isinstance(value, str):
        raise FieldInvalid(f"Invalid input: expected string, received {kind_of(value)}", [field])
    return value


def optional_uuid(body: dict[str, Any], field: str) -> str | None:
    """A UUID as it was written, by this wire's idea of one. Raises FieldInvalid."""
    value = optional_string(body, field)
    if value is not None and not is_uuid(value):
        raise FieldInvalid(f"{field} must be a valid UUID", [field])
    return value
