"""What clients post to have an answer made, and what becomes of it: a message to store, a title, a history.

Two kinds of clients post here: Recoup's own, with `sessionId`, `chatId` and the whole history, and other apps made with
the AI SDK, with the chat's `id` and the whole history or the newest message. Elements of `messages` are not validated:
what cannot be read is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.api.http import decode_json, json_text
from antiphon.api.recoup.bodies import check_object, kind_of, optional_string, optional_uuid
from antiphon.api.recoup.errors import FieldInvalid
from antiphon.core.history import utterances_of_parts
from antiphon.core.ports import Utterance
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.domain.messages import ASSISTANT, USER, Draft
from antiphon.domain.texts import check_text, is_client_id, storable

_SYSTEM = "system"
_REGENERATE = "regenerate-message"
_ELLIPSIS = "…"
_UTF16 = "utf-16-le"
_UNIT_BYTES = 2


class Posted(msgspec.Struct, frozen=True):
    """A body of `POST /api/chat`.

    `session_id` None means the chat's own session. `is_whole` says that `messages` are the whole history, as the model
    is to see it; otherwise they are the newest message alone. `edited_id` is the `messageId` of an ordinary submission:
    it is an edit if it names a message of a user.
    """

    chat_id: str
    session_id: str | None
    messages: list[Any]
    is_whole: bool
    is_regeneration: bool
    edited_id: str | None

    @property
    def last(self) -> dict[str, Any]:
        """The last message; an empty one when there is none that can be read."""
        found = self.messages[-1] if self.messages else None
        return found if isinstance(found, dict) else {}

    @property
    def last_of_user(self) -> dict[str, Any] | None:
        """The last message of the role user."""
        return next((one for one in reversed(self.messages) if isinstance(one, dict) and one.get("role") == USER), None)


class PostedRun(msgspec.Struct, frozen=True):
    """A body of `POST /api/chat/runs`."""

    messages: list[Any]
    artist_id: str | None
    model: str | None
    account_id: str | None
    organization_id: str | None


def read_posted(raw: bytes) -> Posted:
    """The body of `POST /api/chat`. Raises MalformedBody, InvalidInput, and FieldInvalid for the first fault."""
    body = check_object(decode_json(raw))
    if "id" in body and "chatId" not in body and "sessionId" not in body:
        is_whole = "messages" in body or "message" not in body
        messages = _array(body, "messages") if is_whole else [_object(body, "message")]
        chat_id, session_id = _id(body, "id"), None
    else:
        is_whole, messages = True, _array(body, "messages")
        chat_id, session_id = _id(body, "chatId"), _id(body, "sessionId")
    _check_context(body)
    _check_token(body)
    message_id = body.get("messageId")
    return Posted(
        chat_id=chat_id,
        session_id=session_id,
        messages=messages,
        is_whole=is_whole,
        is_regeneration=body.get("trigger") == _REGENERATE,
        edited_id=message_id if isinstance(message_id, str) else None,
    )


def read_run(raw: bytes) -> PostedRun:
    """The body of `POST /api/chat/runs`. Raises as `read_posted`."""
    body = check_object(decode_json(raw))
    prompt = (optional_string(body, "prompt") or "").strip()
    messages = _array(body, "messages") if "messages" in body else []
    artist, model = optional_uuid(body, "artistId"), _model(body)
    account, organization = optional_string(body, "accountId"), optional_string(body, "organizationId")
    if bool(prompt) == bool(messages):
        raise InvalidInput("Exactly one of prompt or messages must be provided")
    if prompt:
        messages = [{"role": USER, "parts": [{"type": "text", "text": prompt}]}]
    return PostedRun(messages, artist, model, account, organization)


def _model(body: dict[str, Any]) -> str | None:
    given = (optional_string(body, "model") or "").strip()
    try:
        return check_text(given, "model", limits.NAME_CHARACTERS) or None
    except InvalidInput as error:
        raise FieldInvalid(error.message, ["model"]) from None


def _wrong(expected: str, body: dict[str, Any], field: str) -> FieldInvalid:
    received = kind_of(body[field]) if field in body else "undefined"
    return FieldInvalid(f"Invalid input: expected {expected}, received {received}", [field])


def _array(body: dict[str, Any], field: str) -> list[Any]:
    value = body.get(field)
    if not isinstance(value, list):
        raise _wrong("array", body, field)
    return value


def _object(body: dict[str, Any], field: str) -> dict[str, Any]:
    value = body.get(field)
    if not isinstance(value, dict):
        raise _wrong("object", body, field)
    return value


def _id(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str):
        raise _wrong("string", body, field)
    if not value:
        raise FieldInvalid(f"{field} is required", [field])
    return value


def _check_context(body: dict[str, Any]) -> None:
    """It means nothing here, and must be well-formed all the same."""
    if "context" not in body:
        return
    limit = _object(body, "context").get("contextLimit")
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit != int(limit):
        raise FieldInvalid("contextLimit must be an integer", ["context", "contextLimit"])


def _check_token(body: dict[str, Any]) -> None:
    """Likewise."""
    token, longest = optional_string(body, "recoupAccessToken"), limits.RECOUP_ACCESS_TOKEN_CHARACTERS
    if token == "":
        raise FieldInvalid("Too small: expected string to have >=1 characters", ["recoupAccessToken"])
    if token is not None and len(token) > longest:
        raise FieldInvalid(f"Too big: expected string to have <={longest} characters", ["recoupAccessToken"])


def draft_of(message: dict[str, Any], author: str) -> Draft:
    """A posted message of a user, to be stored as it was sent: its id, its parts, its metadata.

    An id that is none is left out: the message gets one of ours. Raises InvalidInput for metadata that are too large.
    """
    message_id, metadata, parts = message.get("id"), message.get("metadata"), _parts_of(message)
    kept = json_text(metadata) if isinstance(metadata, dict) else "{}"
    if len(kept.encode()) > limits.METADATA_BYTES:
        raise InvalidInput(f"metadata is larger than {limits.METADATA_BYTES} bytes", field="metadata")
    return Draft(
        author=author,
        role=USER,
        text=storable(utterances_of_parts(USER, parts)[0].text),
        parts=json_text(parts),
        metadata=kept,
        client_id=message_id if isinstance(message_id, str) and is_client_id(message_id) else None,
    )


def title_of(message: dict[str, Any]) -> str | None:
    """The title of a chat that begins with this message: its words, shortened; None when it has none."""
    texts = (part.get("text") for part in _parts_of(message) if part.get("type") == "text")
    title = storable(" ".join(text for text in texts if isinstance(text, str))).strip()
    units = title.encode(_UTF16)
    if len(units) > limits.RECOUP_NEW_TITLE_UNITS * _UNIT_BYTES:
        room = (limits.RECOUP_NEW_TITLE_UNITS - len(_ELLIPSIS)) * _UNIT_BYTES
        title = units[:room].decode(_UTF16, "ignore") + _ELLIPSIS  # half a surrogate pair is left out
    return title or None


def reply_parts_of(message: dict[str, Any]) -> str:
    """The parts of a posted answer that the agent is to go on with, as a JSON array."""
    return json_text(_parts_of(message))


def history_of(messages: Sequence[Any]) -> list[Utterance]:
    """Posted messages as the model is to see them."""
    said: list[Utterance] = []
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        if role in (USER, ASSISTANT, _SYSTEM):  # a tuple: what a client sends may have no hash
            said += utterances_of_parts(role, _parts_of(message))
    return said


def _parts_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts that are objects; everything that a client may send is JSON, and nothing more is known."""
    parts = message.get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
