"""Reading bodies as Recoup's server does, with its validator's words."""

from __future__ import annotations

from typing import Any

from antiphon.api.http import Request, decode_json
from antiphon.api.recoup.errors import FieldInvalid
from antiphon.domain.errors import InvalidInput


async def lenient_object(request: Request) -> Any:
    """The JSON value of the body; one that is absent or cannot be read counts as an empty object."""
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        return decode_json(raw)
    except InvalidInput:
        return {}


def kind_of(value: Any) -> str:
    """The validator's name for the type of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names[type(value)]


def optional_string(body: dict[str, Any], field: str) -> str | None:
    """A string that may be absent. Raises FieldInvalid for anything else, null included."""
    if field not in body:
        return None
    value = body[field]
    if not isinstance(value, str):
        raise FieldInvalid(f"Invalid input: expected string, received {kind_of(value)}", [field])
    return value
