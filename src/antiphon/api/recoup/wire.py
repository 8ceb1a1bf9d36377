"""Recoup's words: what its clients read and how our nouns are put into them.

Every key is always there, in this order; what may be absent in their documents is null here.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from antiphon.domain import times
from antiphon.domain.chats import Chat
from antiphon.domain.ids import text_of
from antiphon.domain.messages import Message
from antiphon.domain.sessions import Session

CLONE_URL = "https://github.com/recoupable/{}"


class SandboxState(msgspec.Struct):
    """What is known of a session's sandbox."""

    type: Literal["vercel"] = "vercel"


class WireSession(msgspec.Struct, rename="camel"):
    """A session. Until a session has a sandbox, all that tells of one has the value it has at first."""

    id: str
    user_id: str
    artist_id: str | None
    title: str
    status: str
    repo_owner: str | None
    repo_name: str | None
    branch: str | None
    clone_url: str | None
    is_new_branch: bool
    global_skill_refs: list[dict[str, Any]]
    sandbox_state: SandboxState | None
    lifecycle_state: str | None
    lifecycle_version: int
    last_activity_at: str | None
    sandbox_expires_at: str | None
    hibernate_after: str | None
    lifecycle_run_id: str | None
    lifecycle_error: str | None
    lines_added: int | None
    lines_removed: int | None
    snapshot_url: str | None
    snapshot_created_at: str | None
    snapshot_size_bytes: int | None
    cached_diff: dict[str, Any] | None
    cached_diff_updated_at: str | None
    created_at: str
    updated_at: str


class WireChat(msgspec.Struct, rename="camel"):
    """A chat."""

    id: str
    session_id: str
    title: str
    model_id: str
    active_stream_id: str | None
    last_assistant_message_at: str | None
    created_at: str
    updated_at: str


class WireChatSummary(WireChat, rename="camel"):
    """A chat in a list, with what the caller has not read yet."""

    has_unread: bool
    is_streaming: bool


class SessionCreated(msgspec.Struct):
    """The answer to `POST /api/sessions`."""

    session: WireSession
    chat: WireChat


class SessionAnswer(msgspec.Struct):
    """The answer to `GET /api/sessions/{sessionId}`."""

    session: WireSession


class ChatAnswer(msgspec.Struct):
    """The answer to `POST /api/sessions/{sessionId}/chats`."""

    chat: WireChat


class ChatListAnswer(msgspec.Struct, rename="camel"):
    """The answer to `GET /api/sessions/{sessionId}/chats`."""

    chats: list[WireChatSummary]
    default_model_id: str


class ChatDetailAnswer(msgspec.Struct, rename="camel"):
    """The answer to `GET /api/sessions/{sessionId}/chats/{chatId}`; each message is a whole UI message."""

    chat: WireChat
    is_streaming: bool
    messages: list[msgspec.Raw]


class WireUiMessage(msgspec.Struct):
    """A message as the AI SDK's clients keep it."""

    id: str
    role: Literal["user", "assistant"]
    parts: list[dict[str, Any]]
    metadata: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class ChatDetailDocument(msgspec.Struct, rename="camel"):
    """The same as `ChatDetailAnswer`, with the messages described for the document."""

    chat: WireChat
    is_streaming: bool
    messages: list[WireUiMessage]


class Success(msgspec.Struct):
    """Done."""

    success: Literal[True] = True


class CreateSession(msgspec.Struct, rename="camel"):
    """The body of `POST /api/sessions`; all of it may be absent."""

    title: str | msgspec.UnsetType = msgspec.UNSET
    organization_id: str | msgspec.UnsetType = msgspec.UNSET
    artist_id: str | msgspec.UnsetType = msgspec.UNSET


class CreateSessionChat(msgspec.Struct):
    """The body of `POST /api/sessions/{sessionId}/chats`; all of it may be absent."""

    id: str | msgspec.UnsetType = msgspec.UNSET


class Error(msgspec.Struct):
    """The envelope of nearly every error."""

    error: str
    status: Literal["error"] = "error"


class FieldError(msgspec.Struct):
    """The envelope of a value that breaks a rule: the path of the value, empty for the whole body."""

    missing_fields: list[str | int]
    error: str
    status: Literal["error"] = "error"


class BareError(msgspec.Struct):
    """The envelope of two answers of one route: nothing but the text."""

    error: str


class AuthenticationError(msgspec.Struct):
    """The envelope of a refused credential: old clients look for `message`, others for `error`."""

    error: str
    message: str
    status: Literal["error"] = "error"


def moment(value: int | None) -> str | None:
    """A moment as text, or null."""
    return None if value is None else times.text_of(value)


def show_session(session: Session, account: str) -> WireSession:
    """A session; `account` is its owner's id, or its organisation's."""
    return WireSession(
        id=session.id,
        user_id=text_of(session.owner_id),
        artist_id=session.artist_id,
        title=session.title,
        status=session.status,
        repo_owner=None,
        repo_name=None,
        branch=None,
        clone_url=CLONE_URL.format(account),
        is_new_branch=False,
        global_skill_refs=[],
        sandbox_state=SandboxState(),
        lifecycle_state="provisioning",
        lifecycle_version=0,
        last_activity_at=None,
        sandbox_expires_at=None,
        hibernate_after=None,
        lifecycle_run_id=None,
        lifecycle_error=None,
        lines_added=0,
        lines_removed=0,
        snapshot_url=None,
        snapshot_created_at=None,
        snapshot_size_bytes=None,
        cached_diff=None,
        cached_diff_updated_at=None,
        created_at=times.text_of(session.created_at),
        updated_at=times.text_of(session.updated_at),
    )


def show_chat(chat: Chat, default_model: str) -> WireChat:
    """A chat; one without a model of its own shows the server's default."""
    return WireChat(
        id=chat.id,
        session_id=chat.session_id,
        title=chat.title,
        model_id=chat.model or default_model,
        active_stream_id=chat.active_turn,
        last_assistant_message_at=moment(chat.last_answer_at),
        created_at=times.text_of(chat.created_at),
        updated_at=times.text_of(chat.updated_at),
    )


def show_summary(chat: Chat, default_model: str, read_at: int | None) -> WireChatSummary:
    """A chat in a list. It is unread when an answer came after the caller last read it (compared in milliseconds)."""
    answered = chat.last_answer_at
    return WireChatSummary(
        **msgspec.structs.asdict(show_chat(chat, default_model)),
        has_unread=answered is not None and (read_at is None or answered // 1000 > read_at // 1000),
        is_streaming=chat.active_turn is not None,
    )


def show_message(message: Message) -> msgspec.Raw:
    """A message as a whole UI message. One stored through another wire is text; its metadata stays where it came from."""
    parts = msgspec.Raw(message.parts.encode()) if message.parts else [{"type": "text", "text": message.text}]
    shown: dict[str, Any] = {
        "id": message.client_id or f"msg-{text_of(message.id)}",
        "role": message.role,
        "parts": parts,
    }
    if message.metadata != "{}":
        shown["metadata"] = msgspec.Raw(message.metadata.encode())
    return msgspec.Raw(msgspec.json.encode(shown))
