"""Lexicon's words: what its clients read, over REST and over the socket.

Each view of a chat has exactly the fields that it has there: a strict client refuses a chat with one too many.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from antiphon.domain import limits, times
from antiphon.domain.chats import Chat
from antiphon.domain.ids import Uid, text_of
from antiphon.domain.messages import Message

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Count = Annotated[int, Meta(ge=0)]
MESSAGE_ID_PATTERN = r"^msg-[0-9a-f-]{36}$"

_NO_METADATA = msgspec.Raw(b"{}")


class NewChat(msgspec.Struct):
    """The body of a create, for the document; what is wrong with a body is said field by field (see `bodies`)."""

    user_id: Annotated[str, Meta(min_length=1, max_length=limits.LEXICON_USER_ID_CHARACTERS)]
    title: Annotated[str, Meta(max_length=limits.LEXICON_TITLE_CHARACTERS)] | None = None
    metadata: dict[str, Any] | None = None


class Config(msgspec.Struct):
    """What was given with a chat when it was made."""

    metadata: dict[str, Any]


class CreatedChat(msgspec.Struct, kw_only=True):
    """A chat that was made just now."""

    id: Uuid
    user_id: str
    tenant_id: Uuid
    title: str
    config: Config
    created_at: Moment
    updated_at: Moment
    last_message_at: Moment | None


class ListedChat(CreatedChat, kw_only=True):
    """A chat in a list."""

    message_count: Count


class FullChat(ListedChat, kw_only=True):
    """A chat by itself."""

    status: Literal["active", "closed"]


class WireMessage(msgspec.Struct, gc=False):
    """A message."""

    id: Annotated[str, Meta(pattern=MESSAGE_ID_PATTERN)]
    content: str
    sender_role: Literal["user", "assistant"]
    media_type: str | None
    media_url: str | None
    created_at: Moment
    metadata: dict[str, Any]


class ChatPage(msgspec.Struct):
    """A page of a user's chats."""

    chats: list[ListedChat]
    total: Count
    offset: Count
    limit: Count
    has_more: bool


class MessagePage(msgspec.Struct):
    """A page of a chat's messages."""

    messages: list[WireMessage]
    total: Count
    offset: Count
    limit: Count
    has_more: bool


class ChatDeleted(msgspec.Struct):
    """A chat is gone for good."""

    deleted_at: Moment
    success: Literal[True] = True
    message: Literal["Chat deleted successfully"] = "Chat deleted successfully"


class Error(msgspec.Struct):
    """Every error over REST; `detail` repeats the message for clients that look for it there."""

    error_code: str
    error_message: str
    details: dict[str, Any]
    detail: str
    success: Literal[False] = False


def chat_fields(chat: Chat, tenant_id: Uid) -> dict[str, Any]:
    """The fields that every view of a chat has. On this wire a chat is updated when something is said in it."""
    said_at = chat.last_message_at
    return {
        "id": chat.id,
        "user_id": chat.owner_name,
        "tenant_id": text_of(tenant_id),
        "title": chat.title,
        "config": Config(stored_object(chat.metadata)),
        "created_at": times.text_of(chat.created_at),
        "updated_at": times.text_of(said_at if said_at is not None else chat.created_at),
        "last_message_at": None if said_at is None else times.text_of(said_at),
    }


def show_created(chat: Chat, tenant_id: Uid) -> CreatedChat:
    """A chat that was made just now."""
    return CreatedChat(**chat_fields(chat, tenant_id))


def show_listed(chat: Chat, tenant_id: Uid) -> ListedChat:
    """A chat in a list."""
    return ListedChat(**chat_fields(chat, tenant_id), message_count=chat.message_count)


def show_chat(chat: Chat, tenant_id: Uid) -> FullChat:
    """A chat by itself. Nothing on this wire closes a chat."""
    return FullChat(**chat_fields(chat, tenant_id), message_count=chat.message_count, status="active")


def message_id(message: Message) -> str:
    """A message's id on this wire, for both roles and everywhere."""
    return f"msg-{text_of(message.id)}"


def show_message(message: Message) -> WireMessage:
    """A message; nothing that this wire takes in has media."""
    role: Any = message.role
    return WireMessage(
        message_id(message),
        message.text,
        role,
        None,
        None,
        times.text_of(message.created_at),
        stored_object(message.metadata),
    )


def stored_object(text: str) -> Any:
    """A stored JSON object, which goes into the answer as the text that it is."""
    return _NO_METADATA if text == "{}" else msgspec.Raw(text.encode())
