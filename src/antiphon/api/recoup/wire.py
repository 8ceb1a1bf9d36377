"""Recoup's words: what its clients read, and how our nouns are put into them.

The names of the structs are those of its documents. Every key is always there, in this order, unless it may be unset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from antiphon.api.http import json_text, raw_json
from antiphon.domain import chats, limits, messages, sandboxes, sessions, times, turns
from antiphon.domain.events import StepSummary
from antiphon.domain.ids import Uid, text_of

_CLONE_URL = "https://github.com/recoupable/{}"

DateTime = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})]
Status = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["running", "completed", "failed", "archived"]})]
Parts = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "array", "items": {"type": "object"}})]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
RunStatus = Annotated[
    str, msgspec.Meta(extra_json_schema={"enum": ["queued", "running", "completed", "failed", "cancelled"]})
]
UIMessageStream = Annotated[
    str, msgspec.Meta(description="Server-sent events: each `data:` is a chunk of the AI SDK's UI message stream.")
]
Metadata = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]


class SandboxState(msgspec.Struct, rename="camel"):
    """What is known of a session's sandbox."""

    type: Literal["vercel"]
    sandbox_name: str | msgspec.UnsetType = msgspec.UNSET
    expires_at: int | msgspec.UnsetType = msgspec.UNSET


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


class TurnContext(msgspec.Struct, rename="camel"):
    """Accepted for old clients' sake; means nothing here."""

    context_limit: int


class StartTurnRequest(msgspec.Struct, rename="camel"):
    """The body of `POST /api/chat`: `messages`, `chatId`, `sessionId`; or `id` and `message`, or `id` and `messages`.

    The elements are UI messages of the AI SDK; those that cannot be read are passed over.
    """

    messages: list[Any] | msgspec.UnsetType = msgspec.UNSET
    chat_id: NonEmpty | msgspec.UnsetType = msgspec.UNSET
    session_id: NonEmpty | msgspec.UnsetType = msgspec.UNSET
    id: NonEmpty | msgspec.UnsetType = msgspec.UNSET
    message: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    trigger: str | msgspec.UnsetType = msgspec.UNSET
    message_id: str | msgspec.UnsetType = msgspec.UNSET
    context: TurnContext | msgspec.UnsetType = msgspec.UNSET
    recoup_access_token: (
        Annotated[str, msgspec.Meta(min_length=1, max_length=limits.RECOUP_ACCESS_TOKEN_CHARACTERS)] | msgspec.UnsetType
    ) = msgspec.UNSET


class StopTurnResponse(msgspec.Struct):
    """Whether there was a turn to stop; it is over."""

    success: Literal[True]
    stopped: bool


class StartRunRequest(msgspec.Struct, rename="camel"):
    """The body of `POST /api/chat/runs`: exactly one of `prompt` and `messages` says what is to be done."""

    prompt: str | msgspec.UnsetType = msgspec.UNSET
    messages: list[Any] | msgspec.UnsetType = msgspec.UNSET
    artist_id: Uuid | msgspec.UnsetType = msgspec.UNSET
    model: str | msgspec.UnsetType = msgspec.UNSET
    account_id: str | msgspec.UnsetType = msgspec.UNSET
    organization_id: str | msgspec.UnsetType = msgspec.UNSET


class StartRunResponse(msgspec.Struct, rename="camel"):
    """A run that was started, and where its answer will stand."""

    run_id: str
    chat_id: str
    session_id: str


class GetRunResponse(msgspec.Struct, rename="camel"):
    """How a run is."""

    run_id: str
    status: RunStatus


class TokenDetails(msgspec.Struct, frozen=True):
    """What kinds of tokens: never known here, and always there, for clients that look into it."""


class Usage(msgspec.Struct, rename="camel"):
    """Tokens, where they are known."""

    input_tokens: int | msgspec.UnsetType = msgspec.UNSET
    output_tokens: int | msgspec.UnsetType = msgspec.UNSET
    total_tokens: int | msgspec.UnsetType = msgspec.UNSET
    input_token_details: TokenDetails = TokenDetails()
    output_token_details: TokenDetails = TokenDetails()


class MessageMetadata(msgspec.Struct, rename="camel"):
    """What is known of an answer: on the stream of its last step, in the stored message of all steps together."""

    model_id: str | msgspec.UnsetType = msgspec.UNSET
    last_step_finish_reason: str | msgspec.UnsetType = msgspec.UNSET
    last_step_usage: Usage | msgspec.UnsetType = msgspec.UNSET
    total_message_usage: Usage | msgspec.UnsetType = msgspec.UNSET


class Error(msgspec.Struct):
    """The envelope of nearly every error."""

    status: Literal["error"]
    error: str


class FieldError(msgspec.Struct):
    """The envelope of a value that breaks a rule: the path of the value, empty for the whole body."""

    status: Literal["error"]
    missing_fields: list[str | int]
    error: str


class InvalidBodyError(msgspec.Struct):
    """The envelope of a body that cannot be read, or of a value that breaks a rule; then with the path of the value."""

    status: Literal["error"]
    error: str
    missing_fields: list[str | int] | msgspec.UnsetType = msgspec.UNSET


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


def _sandbox_state(sandbox: sandboxes.Sandbox | None) -> SandboxState:
    if sandbox is None or sandbox.name is None:
        return SandboxState("vercel")
    end = sandbox.runtime_expires_at
    return SandboxState("vercel", sandbox.name, msgspec.UNSET if end is None else end * 1000 // times.SECOND)


def _optional_time(moment: int | None) -> str | None:
    return None if moment is None else times.text_of(moment)


def show_session(session: sessions.Session, sandbox: sandboxes.Sandbox | None = None) -> Session:
    """A session and its sandbox; without one, all that tells of it has the value it has at first."""
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
        sandbox_state=_sandbox_state(sandbox),
        lifecycle_state=sandbox.state if sandbox else sandboxes.PROVISIONING,
        lifecycle_version=sandbox.version if sandbox else 0,
        last_activity_at=_optional_time(sandbox.last_activity_at) if sandbox else None,
        sandbox_expires_at=_optional_time(sandbox.expires_at) if sandbox else None,
        hibernate_after=_optional_time(sandbox.hibernate_after) if sandbox else None,
        lifecycle_run_id=sandbox.run_id if sandbox else None,
        lifecycle_error=sandbox.error if sandbox else None,
        lines_added=session.lines_added,
        lines_removed=session.lines_removed,
        snapshot_url=None,
        snapshot_created_at=None,
        snapshot_size_bytes=None,
        cached_diff=None,
        cached_diff_updated_at=None,
        created_at=times.text_of(session.created_at),
        updated_at=times.text_of(session.updated_at),
    )


_RUN_STATES = {
    turns.RUNNING: "running",
    turns.COMPLETED: "completed",
    turns.FAILED: "failed",
    turns.INTERRUPTED: "failed",
    turns.STOPPED: "cancelled",
}


def show_run(turn: turns.Turn) -> GetRunResponse:
    """A turn as a run."""
    return GetRunResponse(run_id_of(turn.id), _RUN_STATES[turn.state])


_ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RUN_PREFIX = "wrun_"
_RUN_CHARACTERS = 26


def run_id_of(turn_id: Uid) -> str:
    """A turn's id as this wire names a run: its 128 bits in the form of a ULID (github.com/ulid/spec)."""
    number = int.from_bytes(turn_id, "big")
    return _RUN_PREFIX + "".join(_ULID_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))


def parse_run_id(text: str) -> Uid | None:
    """The turn's id of a run; None when the text is not of that form."""
    digits = text.removeprefix(_RUN_PREFIX)
    if digits == text or len(digits) != _RUN_CHARACTERS or not set(digits) <= set(_ULID_DIGITS) or digits[0] > "7":
        return None
    number = 0
    for digit in digits:
        number = number << 5 | _ULID_DIGITS.index(digit)
    return number.to_bytes(16, "big")


def _facts(chat: chats.Chat, default_model: str) -> dict[str, Any]:
    """What a chat and its summary have in common."""
    return {
        "id": chat.id,
        "session_id": chat.session_id,
        "title": chat.title,
        "model_id": chat.model or default_model,
        "active_stream_id": None if chat.active_turn is None else run_id_of(chat.active_turn),
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


def show_step(step: StepSummary) -> MessageMetadata:
    """What a step tells of its answer."""
    shown = MessageMetadata(step.model or msgspec.UNSET, step.reason)
    if step.input_tokens is not None or step.output_tokens is not None:
        shown.last_step_usage = Usage(
            _known(step.input_tokens),
            _known(step.output_tokens),
            (step.input_tokens or 0) + (step.output_tokens or 0),
        )
    return shown


def _known(number: int | None) -> int | msgspec.UnsetType:
    return msgspec.UNSET if number is None else number


_OURS = {"model", "tokens_used", "finish_reason"}


def _show_metadata(message: messages.Message) -> msgspec.Raw | msgspec.UnsetType:
    """A message's metadata: what this server noted with an answer is told in this wire's words, all else as it is."""
    if message.metadata == "{}":
        return msgspec.UNSET
    if message.role == messages.ASSISTANT:
        noted = msgspec.json.decode(message.metadata)
        if noted.keys() <= _OURS:
            return msgspec.Raw(msgspec.json.encode(_metadata_of(noted)))
    return raw_json(message.metadata)


def _metadata_of(noted: dict[str, Any]) -> MessageMetadata:
    shown = MessageMetadata(noted.get("model", msgspec.UNSET), noted.get("finish_reason", msgspec.UNSET))
    if "tokens_used" in noted:
        shown.total_message_usage = Usage(total_tokens=noted["tokens_used"])
    return shown


def _show_message(message: messages.Message) -> UIMessage:
    """A whole message; one that came without typed parts is one part of text. A client's own id stays as it was."""
    parts = message.parts or json_text([{"type": "text", "text": message.text}])
    return UIMessage(
        id=message.client_id or f"msg-{text_of(message.id)}",
        role="assistant" if message.role == messages.ASSISTANT else "user",
        parts=raw_json(parts),
        metadata=_show_metadata(message),
    )
