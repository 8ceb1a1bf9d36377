"""Recoup's words for rooms, and for the chats of all sessions in one list. Rooms say things in snake_case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from antiphon.api.http import json_text, raw_json
from antiphon.api.recoup.wire import DateTime, Parts, Uuid
from antiphon.domain import chats, limits, messages, times
from antiphon.domain.ids import text_of

Topic = Annotated[str, msgspec.Meta(min_length=limits.RECOUP_TOPIC_UNITS_MIN, max_length=limits.RECOUP_TOPIC_UNITS)]
Success = Literal["success"]


class ListedChat(msgspec.Struct, rename="camel"):
    """A chat of a session, in the list of all of them."""

    id: str
    title: str
    account_id: Uuid
    session_id: str
    updated_at: DateTime
    artist_id: str | None


class ListChatsResponse(msgspec.Struct):
    """The last changed chats in which something was said."""

    status: Success
    chats: list[ListedChat]


class Room(msgspec.Struct):
    """A chat that has a session of its own."""

    id: Uuid
    account_id: Uuid
    artist_id: str | None
    topic: str
    updated_at: DateTime


class RoomResponse(msgspec.Struct):
    """A room."""

    status: Success
    chat: Room


class PutRoomRequest(msgspec.Struct, rename="camel"):
    """The body of `POST /api/chats`: without an id the server makes one, without a topic the first message gives it."""

    artist_id: Uuid | msgspec.UnsetType = msgspec.UNSET
    chat_id: Uuid | msgspec.UnsetType = msgspec.UNSET
    account_id: Uuid | msgspec.UnsetType = msgspec.UNSET
    first_message: str | msgspec.UnsetType = msgspec.UNSET
    topic: str | msgspec.UnsetType = msgspec.UNSET


class UpdateRoomRequest(msgspec.Struct, rename="camel"):
    """The body of `PATCH /api/chats`."""

    chat_id: Uuid
    topic: Topic


class DeleteRoomRequest(msgspec.Struct):
    """The body of `DELETE /api/chats`."""

    id: Uuid


class DeleteRoomResponse(msgspec.Struct):
    """The room is gone."""

    status: Success
    id: Uuid
    message: str


class Content(msgspec.Struct):
    """What was said: typed parts, and the text alone."""

    role: Literal["user", "assistant"]
    parts: Parts
    content: str


class Memory(msgspec.Struct):
    """A message of a room."""

    id: Uuid
    room_id: Uuid
    content: Content
    updated_at: DateTime


class ListMemoriesResponse(msgspec.Struct):
    """All messages of a room, in order."""

    data: list[Memory]


class DeleteTrailingResponse(msgspec.Struct):
    """That message and all after it are gone."""

    status: Success
    chat_id: Uuid
    from_message_id: Uuid


class CopyMessagesRequest(msgspec.Struct, rename="camel"):
    """The body of a copy; the target is emptied first, unless it says otherwise."""

    target_chat_id: Uuid
    clear_existing: bool = True


class CopyMessagesResponse(msgspec.Struct):
    """How many messages were copied."""

    status: Success
    source_chat_id: Uuid
    target_chat_id: Uuid
    copied_count: int
    cleared_existing: bool


class CompactRequest(msgspec.Struct, rename="camel"):
    """The body of `POST /api/chats/compact`: which rooms, and how they are to be put in short."""

    chat_id: Annotated[list[Uuid], msgspec.Meta(min_length=1, max_length=limits.RECOUP_COMPACTED_CHATS)]
    prompt: str | msgspec.UnsetType = msgspec.UNSET


class Compacted(msgspec.Struct, rename="camel"):
    """A room in short; an empty one has no words."""

    chat_id: Uuid
    compacted: str


class CompactResponse(msgspec.Struct):
    """The rooms in short, in the order in which they were named."""

    chats: list[Compacted]


class RoomArtistResponse(msgspec.Struct):
    """The artist of a room, and whether there is an account of that id."""

    status: Success
    room_id: Uuid
    artist_id: str | None
    artist_exists: bool


class NumberedError(msgspec.Struct):
    """The envelope of errors of `POST /api/chats/compact`."""

    error: int
    message: str


class MessageError(msgspec.Struct):
    """The envelope of a room that could not be stored."""

    status: Literal["error"]
    message: str


def show_listed(chat: chats.Chat, artist_id: str | None) -> ListedChat:
    """A chat in the list of all."""
    return ListedChat(
        chat.id, chat.title, text_of(chat.owner_id), chat.session_id, times.text_of(chat.updated_at), artist_id
    )


def show_room(chat: chats.Chat, artist_id: str | None) -> Room:
    """A room; its topic is the chat's title."""
    return Room(chat.id, text_of(chat.owner_id), artist_id, chat.title, times.text_of(chat.updated_at))


def show_memories(chat: chats.Chat, history: Sequence[messages.Message]) -> ListMemoriesResponse:
    """The messages of a room; one that came without typed parts is one part of text."""
    return ListMemoriesResponse(
        [
            Memory(
                text_of(message.id),
                chat.id,
                Content(
                    "assistant" if message.role == messages.ASSISTANT else "user",
                    raw_json(message.parts or json_text([{"type": "text", "text": message.text}])),
                    message.text,
                ),
                times.text_of(message.created_at),
            )
            for message in history
        ]
    )
