"""Messages on our own wire: read in pages from either end, and appended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from antiphon.api.http import Reply, Request, encode, json_reply, raw_json
from antiphon.api.native.bodies import check_message, check_metadata, read_body
from antiphon.api.native.errors import refusals
from antiphon.api.native.participants import JsonObject
from antiphon.api.native.queries import (
    PAGE,
    list_name,
    make_cursor,
    read_choice,
    read_limit,
    read_sequence_cursor,
)
from antiphon.api.native.reach import Reach, check_role, default_speaker, may_speak_as
from antiphon.api.native.wire import NewMessage, show_time
from antiphon.api.routing import Query, Route
from antiphon.core.instance import Instance
from antiphon.domain import limits, messages
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AccessDenied, InvalidInput
from antiphon.domain.ids import text_of
from antiphon.domain.keys import Principal
from antiphon.domain.messages import Draft

Parts = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "array", "items": {"type": "object"}})]
"""Stored parts, shown as they are."""

_ASC, _DESC = "asc", "desc"
_ORDER = Query("order", {"enum": [_ASC, _DESC], "default": _ASC}, "The oldest first, or the newest.")


class SaidMessage(NewMessage, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message that is to be stored: `assistant` is the role of the tenant's agent, `user` that of all others.

    `text`, or `parts` in the form of the AI SDK. `participant` is who says it.
    """

    role: Literal["user", "assistant"]


class NewMessages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Messages that are to be stored in this order, all or none."""

    messages: list[SaidMessage]


class Message(msgspec.Struct, frozen=True):
    """A message. `seq` is its place in the chat, `participant` the name of who said it."""

    id: str
    client_id: str | None
    seq: int
    role: str
    participant: str
    parts: Parts
    metadata: JsonObject
    created_at: str


class StoredMessage(Message, frozen=True):
    """A message; `created` says whether it was stored now, or was there already under its client's id."""

    created: bool


class StoredMessages(msgspec.Struct, frozen=True):
    """The messages of a request, in its order."""

    messages: list[StoredMessage]


class MessageList(msgspec.Struct, frozen=True):
    """Some messages in the order that was asked for, and where the next are."""

    items: list[Message]
    next: str | None


class Messages:
    """The routes of messages."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        path = f"{prefix}/chats/{{chat_id}}/messages"
        stored = {201: StoredMessages, **refusals(409, 413)}
        listed = {200: MessageList, **refusals()}
        return [
            Route("GET", path, self.list, "List the messages of a chat.", listed, query=(_ORDER, *PAGE)),
            Route("POST", path, self.append, "Append messages, all or none.", stored, body=NewMessages),
        ]

    async def append(self, request: Request) -> Reply:
        """POST /chats/{chat_id}/messages: 201, durable, also when all of them were there already."""
        principal = await self._reach.caller(request)
        chat = await self._reach.chat(principal, request.params["chat_id"])
        said = (await read_body(request, NewMessages)).messages
        if not 0 < len(said) <= limits.MESSAGES_PER_APPEND:
            raise InvalidInput(f"1 to {limits.MESSAGES_PER_APPEND} messages at a time", field="messages")
        _check_client_ids(said)
        drafts = [_draft(principal, chat, message, f"messages[{at}]") for at, message in enumerate(said)]
        stored = await self._instance.messages.append_new(principal.tenant_id, chat.key, drafts)
        return json_reply(201, StoredMessages([_show_stored(message, is_new) for message, is_new in stored]))

    async def list(self, request: Request) -> Reply:
        """GET /chats/{chat_id}/messages: at most `limit`, and fewer when they are long."""
        principal = await self._reach.caller(request)
        chat = await self._reach.chat(principal, request.params["chat_id"])
        order = read_choice(request, _ORDER.name, (_ASC, _DESC)) or _ASC
        limit, of_list = read_limit(request), list_name("messages", principal.tenant_id, text_of(chat.key), order)
        place = read_sequence_cursor(of_list, request)
        found = await self._span(principal, chat, order, place, limit)
        following = None
        if found and await self._span(principal, chat, order, found[-1].seq, 1):
            following = make_cursor(of_list, found[-1].seq)
        return json_reply(200, MessageList([show_message(message) for message in found], following))

    async def _span(
        self, principal: Principal, chat: Chat, order: str, place: int | None, limit: int
    ) -> Sequence[messages.Message]:
        """The messages behind a place in that order, or (None) from the beginning of it."""
        is_reversed = order == _DESC
        first, last = 1, limits.MESSAGES_PER_CHAT
        if place is not None:
            first, last = (1, place - 1) if is_reversed else (place + 1, last)
        if first > min(last, chat.last_seq if not is_reversed else last):
            return []
        return await self._instance.messages.span(
            principal.tenant_id, chat.key, first, last, limit, is_reversed=is_reversed
        )


def _check_client_ids(said: Sequence[SaidMessage]) -> None:
    """Raise InvalidInput when two messages of a request have one client's id: only one of them could be it."""
    seen = set()
    for at, message in enumerate(said):
        if message.client_id is not None and message.client_id in seen:
            raise InvalidInput("two messages have this client's id", field=f"messages[{at}].client_id")
        seen.add(message.client_id)


def _draft(principal: Principal, chat: Chat, message: SaidMessage, at: str) -> Draft:
    """The message as it is to be stored, said by whom it names, else as `default_speaker`."""
    text, parts = check_message(message, at)
    author = message.participant or default_speaker(principal, chat, message.role)
    if not may_speak_as(principal, author):
        raise AccessDenied
    role = check_role(principal, author, message.role, at)
    metadata = check_metadata(message.metadata, at)
    return Draft(author, role, text, parts, metadata, message.client_id)


def _parts_of(message: messages.Message) -> str:
    """The parts as JSON; of a message that is a text alone, that text."""
    if message.parts is not None:
        return message.parts
    only: list[dict[str, Any]] = [{"type": "text", "text": message.text}]
    return encode(only).decode()


def show_message(message: messages.Message) -> Message:
    """A message."""
    return Message(
        f"msg-{text_of(message.id)}",
        message.client_id,
        message.seq,
        message.role,
        message.author,
        raw_json(_parts_of(message)),
        raw_json(message.metadata),
        show_time(message.created_at),
    )


def _show_stored(message: messages.Message, is_new: bool) -> StoredMessage:
    return StoredMessage(**msgspec.structs.asdict(show_message(message)), created=is_new)
