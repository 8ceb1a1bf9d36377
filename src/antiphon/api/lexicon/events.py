"""What the socket says and takes, as types: they are what is sent, and the AsyncAPI document is made from them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from antiphon.api.lexicon.wire import MESSAGE_ID_PATTERN, Moment, Uuid
from antiphon.domain import limits, times

MessageId = Annotated[str, Meta(pattern=MESSAGE_ID_PATTERN)]


class Frame(msgspec.Struct):
    """What a client says; other fields are ignored. What is wrong with a frame is said in words (see `bodies`)."""

    content: Annotated[str, Meta(pattern=r"\S", max_length=limits.LEXICON_CONTENT_CHARACTERS)]
    metadata: dict[str, Any] | None = None


class Event(msgspec.Struct, kw_only=True, tag_field="event_type"):
    """Something that the server tells; `timestamp` is the moment of sending."""

    timestamp: Moment = msgspec.field(default_factory=lambda: times.text_of(times.now()))


class ConnectionEstablished(Event, kw_only=True, tag="connection_established"):
    """The first event of a socket that was let in."""

    user_id: str
    chat_id: Uuid
    tenant_id: Uuid


class UserCreated(Event, kw_only=True, tag="user_created"):
    """The second one, when the connection has made the user."""

    user_id: str


class MessageReceived(Event, kw_only=True, tag="message_received"):
    """What the client said is stored under this id."""

    message_id: MessageId
    chat_id: Uuid
    user_id: str
    content: str


class StreamStarted(Event, kw_only=True, tag="message_stream_started"):
    """The answer is being made."""

    chat_id: Uuid
    user_id: str


class StreamToken(Event, kw_only=True, tag="message_stream_token"):
    """A piece of the answer; all of them joined, with nothing in between, are the answer."""

    chat_id: Uuid
    token: Annotated[str, Meta(min_length=1)]


class StreamEnded(Event, kw_only=True, tag="message_stream_ended"):
    """The answer is stored, whole, under this id."""

    message_id: MessageId
    chat_id: Uuid
    user_id: str
    content: str


class Failed(Event, kw_only=True, tag="error"):
    """Something went wrong: with a frame, with its answer, or so that the socket closes right after."""

    error_code: str
    error_message: str
    details: dict[str, Any]


EVENTS: tuple[type[Event], ...] = (
    ConnectionEstablished,
    UserCreated,
    MessageReceived,
    StreamStarted,
    StreamToken,
    StreamEnded,
    Failed,
)
"""All that the server ever sends, in the order in which a client meets them."""

_encode = msgspec.json.Encoder().encode


def text_of(event: Event) -> str:
    """The event as one JSON object."""
    return _encode(event).decode()
