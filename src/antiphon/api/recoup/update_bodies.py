"""What clients send to have a session or a chat changed, in the order in which their validator finds fault."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.api.http import decode_json
from antiphon.api.recoup.bodies import check_object, kind_of, optional_string
from antiphon.api.recoup.errors import FieldInvalid
from antiphon.api.recoup.session_wire import LINES_MAX
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput, MalformedBody
from antiphon.domain.sessions import STATUSES, SessionChange
from antiphon.domain.texts import check_text

_CHAT_FIELDS = ("title", "modelId")


class ChatChange(msgspec.Struct, frozen=True):
    """What is to be changed of a chat; None leaves it."""

    title: str | None
    model: str | None


def read_session_change(raw: bytes) -> SessionChange:
    """The body of a session's change; blank is as good as empty. Raises MalformedBody, and FieldInvalid."""
    value = decode_json(raw) if raw.strip() else {}
    if value is None:
        raise MalformedBody
    body = check_object(value)
    return SessionChange(
        title=_checked(optional_string(body, "title"), "title", limits.TITLE_CHARACTERS),
        status=_status(body),
        lines_added=_lines(body, "linesAdded"),
        lines_removed=_lines(body, "linesRemoved"),
    )


def read_chat_change(raw: bytes) -> ChatChange:
    """The body of a chat's change. Raises MalformedBody, and InvalidInput for the first fault."""
    try:
        body = check_object(decode_json(raw))
        title = _words(body, "title", limits.TITLE_CHARACTERS)
        model = _words(body, "modelId", limits.NAME_CHARACTERS)
    except FieldInvalid as fault:
        raise InvalidInput(fault.message) from None
    if unknown := [f'"{key}"' for key in body if key not in _CHAT_FIELDS]:
        raise InvalidInput(f"Unrecognized key{'s' if len(unknown) > 1 else ''}: {', '.join(unknown)}")
    if title is None and model is None:
        raise InvalidInput("At least one field is required")
    return ChatChange(title, model)


def _words(body: dict[str, Any], field: str, characters_max: int) -> str | None:
    """A text that is trimmed and must not be empty then."""
    given = optional_string(body, field)
    if given is not None and not (given := given.strip()):
        raise FieldInvalid(f"{field} cannot be empty", [field])
    return _checked(given, field, characters_max)


def _checked(text: str | None, field: str, characters_max: int) -> str | None:
    try:
        return None if text is None else check_text(text, field, characters_max)
    except InvalidInput as error:
        raise FieldInvalid(error.message, [field]) from None


def _status(body: dict[str, Any]) -> str | None:
    if "status" not in body:
        return None
    status = body["status"]
    if not isinstance(status, str) or status not in STATUSES:
        options = "|".join(f'"{option}"' for option in STATUSES)
        raise FieldInvalid(f"Invalid option: expected one of {options}", ["status"])
    return status


def _lines(body: dict[str, Any], field: str) -> int | None:
    """A whole number from 0 on, also one that is written as `3.0`."""
    if field not in body:
        return None
    value = body[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldInvalid(f"Invalid input: expected number, received {kind_of(value)}", [field])
    if value != value // 1:
        raise FieldInvalid("Invalid input: expected int, received number", [field])
    if value > LINES_MAX:
        raise FieldInvalid(f"Too big: expected int to be <{LINES_MAX}", [field])
    if value < -LINES_MAX:
        raise FieldInvalid(f"Too small: expected int to be >-{LINES_MAX}", [field])
    if value < 0:
        raise FieldInvalid("Too small: expected number to be >=0", [field])
    return int(value)
