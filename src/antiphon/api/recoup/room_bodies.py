"""What clients send to have rooms made, changed, copied and put in short."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.api.http import Request
from antiphon.api.recoup.bodies import check_object, is_uuid, kind_of, lenient_value, optional_string, optional_uuid
from antiphon.api.recoup.errors import FieldInvalid
from antiphon.api.recoup.turn_bodies import title_of
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.domain.texts import check_text

_UTF16 = "utf-16-le"
_UNIT_BYTES = 2


class PostedRoom(msgspec.Struct, frozen=True):
    """A body of `POST /api/chats`; ids are lowercase."""

    chat_id: str | None
    artist_id: str | None
    account_id: str | None
    topic: str | None


class PostedCopy(msgspec.Struct, frozen=True):
    """A body of a copy."""

    target_id: str
    is_clearing: bool


class PostedCompaction(msgspec.Struct, frozen=True):
    """A body of `POST /api/chats/compact`."""

    chat_ids: list[str]
    prompt: str | None


async def read_room(request: Request) -> PostedRoom:
    """The body of `POST /api/chats`. Raises FieldInvalid for the first fault."""
    body = check_object(await lenient_value(request))
    artist, chat, account = (_lowered(optional_uuid(body, field)) for field in ("artistId", "chatId", "accountId"))
    first = optional_string(body, "firstMessage")
    topic = _checked(optional_string(body, "topic"), "topic", limits.TITLE_CHARACTERS)
    if topic is None and first is not None:
        topic = title_of({"parts": [{"type": "text", "text": first}]})
    return PostedRoom(chat, artist, account, topic)


async def read_topic(request: Request) -> tuple[str, str]:
    """The room and its new topic, of the body of `PATCH /api/chats`. Raises as `read_room`."""
    body = check_object(await lenient_value(request))
    chat_id = _uuid(body, "chatId")
    if "topic" not in body:
        raise FieldInvalid("topic is required", ["topic"])
    topic = optional_string(body, "topic") or ""
    units = len(topic.encode(_UTF16, "surrogatepass")) // _UNIT_BYTES
    low, high = limits.RECOUP_TOPIC_UNITS_MIN, limits.RECOUP_TOPIC_UNITS
    if not low <= units <= high:
        raise FieldInvalid(f"topic must be between {low} and {high} characters", ["topic"])
    return chat_id, _checked(topic, "topic", limits.TITLE_CHARACTERS) or ""


async def read_room_id(request: Request) -> str:
    """The room of the body of `DELETE /api/chats`. Raises as `read_room`."""
    return _uuid(check_object(await lenient_value(request)), "id")


async def read_copy(request: Request) -> PostedCopy:
    """The body of a copy. Raises as `read_room`."""
    body = check_object(await lenient_value(request))
    target_id = _uuid(body, "targetChatId")
    is_clearing = body.get("clearExisting", True)
    if not isinstance(is_clearing, bool):
        raise FieldInvalid(f"Invalid input: expected boolean, received {kind_of(is_clearing)}", ["clearExisting"])
    return PostedCopy(target_id, is_clearing)


async def read_compaction(request: Request) -> PostedCompaction:
    """The body of `POST /api/chats/compact`. Raises as `read_room`."""
    body = check_object(await lenient_value(request))
    given = body.get("chatId")
    if not isinstance(given, list):
        raise FieldInvalid(f"Invalid input: expected array, received {_kind(body, 'chatId')}", ["chatId"])
    for at, one in enumerate(given):
        if not isinstance(one, str):
            raise FieldInvalid(f"Invalid input: expected string, received {kind_of(one)}", ["chatId", at])
        if not is_uuid(one):
            raise FieldInvalid("Each chatId must be a valid UUID", ["chatId", at])
    if not given:
        raise FieldInvalid("chatId array must contain at least one ID", ["chatId"])
    if len(given) > limits.RECOUP_COMPACTED_CHATS:
        raise FieldInvalid(f"Too big: expected array to have <={limits.RECOUP_COMPACTED_CHATS} items", ["chatId"])
    prompt = _checked(optional_string(body, "prompt"), "prompt", limits.TITLE_CHARACTERS)
    return PostedCompaction([one.lower() for one in given], prompt)


def _kind(body: dict[str, Any], field: str) -> str:
    return kind_of(body[field]) if field in body else "undefined"


def _uuid(body: dict[str, Any], field: str) -> str:
    """A UUID that must be there, in lowercase."""
    if field not in body:
        raise FieldInvalid("Invalid input: expected string, received undefined", [field])
    return (optional_uuid(body, field) or "").lower()


def _lowered(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _checked(text: str | None, field: str, characters_max: int) -> str | None:
    try:
        return None if text is None else check_text(text, field, characters_max)
    except InvalidInput as error:
        raise FieldInvalid(error.message, [field]) from None
