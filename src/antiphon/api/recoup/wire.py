"""Recoup's words: what its clients read, and how our nouns are put into them.

The names of the structs are those of its documents. Every key is always there, in this order, unless it may be unset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from antiphon.api.http import json_text, raw_json
from antiphon.domain import chats, messages, sessions, times
from antiphon.domain.ids import text_of

_CLONE_URL = "https://github.com/recoupable/{}"

DateTime = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})]
Status = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["running", "completed", "failed", "archived"]})]
Parts = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "array", "items": {"type": "object"}})]
Metadata = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]


class SandboxState(msgspec.Struct):
    """What is known of a session's sandbox."""

    type: Literal["vercel"]


class Session(msgspec.Struct, rename="camel"):
    """A session."""

    id: str
    user_id: Uuid
    artist_id: Uuid | None
    title: str
    status: Status
    repo_owner: str | None
    repo_name: str | None
    branch: str | None
    clone_url: str | None
    is_new_branch: bool
    global_skill_refs: list[dict[str, Any]]
    sandbox_state: SandboxState | None
    lifecycle_state: str | None
    lifecycle_version: int
    last_activity_at: DateTime | None
    sandbox_expires_at: DateTime | None
    hibernate_after: DateTime | None
    lifecycle_run_id: str | None
    lifecycle_error: str | None
    lines_added: int | None
    lines_removed: int | None
    snapshot_url: str | None
    snapshot_created_at: DateTime | None
    snapshot_size_bytes: int | None
    cached_diff: dict[str, Any] | None
    cached_diff_updated_at: DateTime | None
    created_at: DateTime
    updated_at: DateTime


class Chat(msgspec.Struct, rename="camel"):
    """A chat; one without a model of its own has the server's default."""

    id: str
    session_id: str
    title: str
    model_id: str
    active_stream_id: str | None
    last_assistant_message_at: DateTime | None
    created_at: DateTime
    updated_at: DateTime


class ChatSummary(Chat, rename="camel"):
    """A chat in a list, as the caller has it before them."""

    has_unread: bool
    is_streaming: bool


class UIMessage(msgspec.Struct):
    """A message as the AI SDK's clients keep it."""

    id: str
    role: Literal["user", "assistant"]
    parts: Parts
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET


class CreateSessionRequest(msgspec.Struct, rename="camel"):
    """The body of `POST /api/sessions`; a blank title is as good as none."""

    title: str | msgspec.UnsetType = msgspec.UNSET
    organization_id: Uuid | msgspec.UnsetType = msgspec.UNSET
    artist_id: Uuid | msgspec.UnsetType = msgspec.UNSET


class CreateSessionResponse(msgspec.Struct):
    """A new session and its first chat."""

    session: Session
    chat: Chat


class GetSessionResponse(msgspec.Struct):
    """A session."""

    session: Session


class CreateSessionChatRequest(msgspec.Struct):
    """The body of `POST /api/sessions/{sessionId}/chats`; without an id the server makes one."""

    id: Annotated[str, msgspec.Meta(min_length=1)] | msgspec.UnsetType = msgspec.UNSET


class CreateSessionChatResponse(msgspec.Struct):
    """The chat of that id, new or not."""

    chat: Chat


class ListSessionChatsResponse(msgspec.Struct, rename="camel"):
    """All chats of a session, oldest first, and the model of chats without one of their own."""

    chats: list[ChatSummary]
    default_model_id: str


class GetSessionChatResponse(msgspec.Struct, rename="camel"):
    """A chat with its messages, whether it is being answered or not."""

    chat: Chat
    is_streaming: bool
    messages: list[UIMessage]


class DeleteSessionChatResponse(msgspec.Struct):
    """The chat is gone."""

    success: Literal[True]


class MarkSessionChatReadResponse(msgspec.Struct):
    """The chat is read."""

    success: Literal[True]


class Error(msgspec.Struct):
    """The envelope of nearly every error."""

    status: Literal["error"]
    error: str


class FieldError(msgspec.Struct):
    """The envelope of a value that breaks a rule: the path of the value, empty for the whole body."""

    status: Literal["error"]
    missing_fields: list[str | int]
    error: str


class CredentialError(msgspec.Struct):
    """The envelope of a refused credential: some clients look for `message`, others for `error`."""

    status: Literal["error"]
    error: str
    message: str


class InvalidChatIdError(msgspec.Struct):
    """The id of a new chat is no id."""

    error: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["Invalid chat id"]})]


class ChatIdConflictError(msgspec.Struct):
    """The id of a new chat is that of a chat in another session."""

    error: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["Chat ID conflict"]})]


COMMON_ERRORS: Mapping[int, Any] = {401: Error, 403: Error, 500: Error, 503: Error}
"""What every operation may answer besides its own."""

NAMED_ERRORS: Mapping[int, Any] = {**COMMON_ERRORS, 404: Error}
"""The same for an operation whose path names something."""


def keep_organization(organization: str | None) -> str:
    """The metadata of a session that was made for an organisation, as JSON; `_organization` is the way back."""
    return json_text({"organizationId": organization}) if organization else "{}"


def _organization(session: sessions.Session) -> str | None:
    found = msgspec.json.decode(session.metadata).get("organizationId") if session.metadata != "{}" else None
    return found if isinstance(found, str) else None


def show_session(session: sessions.Session) -> Session:
    """A session. Until it has a sandbox, all that tells of one has the value it has at first."""
    return Session(
        id=session.id,
        user_id=text_of(session.owner_id),
        artist_id=session.artist_id,
        title=session.title,
        status=session.status,
        repo_owner=None,
        repo_name=None,
        branch=None,
        clone_url=_CLONE_URL.format(_organization(session) or text_of(session.owner_id)),
        is_new_branch=False,
        global_skill_refs=[],
        sandbox_state=SandboxState("vercel"),
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


def _facts(chat: chats.Chat, default_model: str) -> dict[str, Any]:
    """What a chat and its summary have in common."""
    return {
        "id": chat.id,
        "session_id": chat.session_id,
        "title": chat.title,
        "model_id": chat.model or default_model,
        "active_stream_id": chat.active_turn,
        "last_assistant_message_at": None if chat.last_answer_at is None else times.text_of(chat.last_answer_at),
        "created_at": times.text_of(chat.created_at),
        "updated_at": times.text_of(chat.updated_at),
    }


def show_chat(chat: chats.Chat, default_model: str) -> Chat:
    """A chat."""
    return Chat(**_facts(chat, default_model))


def show_summary(chat: chats.Chat, default_model: str, read_at: int | None) -> ChatSummary:
    """A chat in a list. It is unread when an answer came after the caller last read it (compared in milliseconds)."""
    answered = chat.last_answer_at
    return ChatSummary(
        **_facts(chat, default_model),
        has_unread=answered is not None and (read_at is None or answered // 1000 > read_at // 1000),
        is_streaming=chat.active_turn is not None,
    )


def show_detail(chat: chats.Chat, default_model: str, history: Sequence[messages.Message]) -> GetSessionChatResponse:
    """A chat with its messages."""
    return GetSessionChatResponse(
        show_chat(chat, default_model), chat.active_turn is not None, [_show_message(message) for message in history]
    )


def _show_message(message: messages.Message) -> UIMessage:
    """A whole message; one that came without typed parts is one part of text. A client's own id stays as it was."""
    parts = message.parts or json_text([{"type": "text", "text": message.text}])
    return UIMessage(
        id=message.client_id or f"msg-{text_of(message.id)}",
        role="assistant" if message.role == messages.ASSISTANT else "user",
        parts=raw_json(parts),
        metadata=msgspec.UNSET if message.metadata == "{}" else raw_json(message.metadata),
    )
