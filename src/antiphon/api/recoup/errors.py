"""How our errors read on Recoup's wire: one table, from the error's code to its status and its envelope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from antiphon.api.http import Reply, json_reply
from antiphon.api.recoup import wire
from antiphon.domain.errors import (
    AccessDenied,
    AntiphonError,
    AuthenticationFailed,
    InvalidInput,
    NotFound,
    RateLimitExceeded,
    StoreUnavailable,
)

Envelope = Callable[[str], Any]
"""What makes the body of an error from its text."""


class NoCredential(AuthenticationFailed):
    """Neither or both of the two credentials are there."""

    code = "no_credential"


class NotBearer(AuthenticationFailed):
    """The header `Authorization` is of another scheme."""

    code = "not_bearer"


class ForeignOrganization(AccessDenied):
    """The organisation is not the caller's tenant."""

    code = "foreign_organization"


class ForeignAccount(AccessDenied):
    """The caller may not act for that account."""

    code = "foreign_account"


class FieldInvalid(InvalidInput):
    """A value breaks a rule of this wire; `path` says which, and is empty for the whole body."""

    code = "field_invalid"

    def __init__(self, text: str, path: list[str | int]) -> None:
        super().__init__(text)
        self.path = path


class ChatIdInvalid(InvalidInput):
    """The id of a new chat is no id."""

    code = "chat_id_invalid"


class RoomNotFound(NotFound):
    """There is no such room."""

    code = "room_not_found"


class RoomDenied(AccessDenied):
    """The room is somebody else's."""

    code = "room_denied"


def _plain(text: str) -> Any:
    return wire.Error("error", text)


def _with_message(text: str) -> Any:
    return wire.CredentialError("error", text, text)


class Row(msgspec.Struct, frozen=True):
    """A line of the table; an empty text means the error's own."""

    status: int
    text: str = ""
    envelope: Envelope = _plain


_UNAUTHORIZED = Row(401, "Unauthorized", _with_message)
_FORBIDDEN = Row(403, "Forbidden")
_INTERNAL = Row(500, "Internal server error")

ROWS: dict[str, Row] = {
    "error": _INTERNAL,
    "invalid_input": Row(400),
    "import_refused": Row(400),
    "import_foreign": Row(400),
    "import_version": Row(400),
    "import_cut": Row(400),
    "import_altered": Row(400),
    "malformed_body": Row(400, "Invalid JSON body"),
    "field_invalid": Row(400),
    "chat_id_invalid": Row(400, "Invalid chat id", wire.InvalidChatIdError),
    "body_too_large": Row(413, "Request body too large"),
    "authentication_failed": _UNAUTHORIZED,
    "no_credential": Row(401, "Exactly one of x-api-key or Authorization must be provided"),
    "not_bearer": Row(401, "Authorization header with Bearer token required", _with_message),
    "access_denied": _FORBIDDEN,
    "foreign_account": Row(403, "Access denied to specified account_id"),
    "foreign_organization": Row(403, "Access denied to specified organization_id"),
    "room_denied": Row(403, "Access denied to this chat"),
    "room_not_found": Row(404, "Chat room not found"),
    "not_found": Row(404, "Not found"),
    "route_not_found": Row(404, "Not found"),
    "method_not_allowed": Row(405, "Method not allowed"),
    "tenant_not_found": _UNAUTHORIZED,
    "participant_not_found": _FORBIDDEN,
    "session_not_found": Row(404, "Session not found"),
    "chat_not_found": Row(404, "Chat not found"),
    "message_not_found": Row(404, "Message not found"),
    "key_not_found": Row(404, "Not found"),
    "connection_not_found": Row(404, "Not found"),
    "connection_dismissed": Row(404, "Not found"),
    "deletion_not_found": Row(404, "Not found"),
    "import_not_found": Row(404, "Not found"),
    "turn_not_found": Row(404, "Run not found"),
    "conflict": Row(409, "Conflict"),
    "chat_id_taken": Row(409, "Chat ID conflict", wire.ChatIdConflictError),
    "session_id_taken": Row(409, "Conflict"),
    "message_id_taken": Row(409, "Conflict"),
    "tenant_name_taken": Row(409, "Conflict"),
    "participant_name_taken": Row(409, "Conflict"),
    "chat_is_last_of_session": Row(400, "Cannot delete the only chat in a session"),
    "chat_has_active_connections": Row(409, "Chat is in use"),
    "chat_has_active_turn": Row(409, "Another workflow is already running for this chat"),
    "turn_over": Row(409, "Conflict"),
    "turn_still_running": Row(504, "Workflow did not terminate in time"),
    "plan_changed": Row(409, "Conflict"),
    "version_changed": Row(409, "Conflict"),
    "import_id_taken": Row(409, "Conflict"),
    "idempotency_key_reused": Row(422),
    "in_progress": Row(409, "Conflict"),
    "undo_id_taken": Row(409, "Conflict"),
    "undo_parent_deleted": Row(409, "Conflict"),
    "undo_too_late": Row(409, "Conflict"),
    "tenant_has_sessions": Row(409, "Conflict"),
    "limit_exceeded": Row(422),
    "chat_full": Row(422),
    "rate_limit_exceeded": Row(429, "Too many requests"),
    "connection_limit_exceeded": Row(429, "Too many connections"),
    "agent_failed": Row(502, "The model gave no answer"),
    "tool_refused": Row(422),
    "sandbox_not_active": Row(400, "Sandbox not initialized"),
    "sandbox_stopping": Row(409, "Sandbox is still being paused, try again in a few seconds."),
    "sandbox_failed": Row(502, "Failed to provision sandbox"),
    "follower_too_slow": Row(429, "Too slow"),
    "store_error": _INTERNAL,
    "store_failed": _INTERNAL,
    "store_too_new": _INTERNAL,
    "store_unavailable": Row(503, "The server is busy, try again in a moment"),
    "internal_fault": _INTERNAL,
}
"""The whole table, by code. A test fails when an error has no row."""


def refuse(error: AntiphonError) -> Reply:
    """The answer that tells of an error, in the envelope that belongs to it; never raises."""
    row = ROWS.get(error.code, _INTERNAL)
    text = row.text or error.message
    if isinstance(error, FieldInvalid):
        body: Any = wire.FieldError("error", error.path, text)
    else:
        body = row.envelope(text)
    reply = json_reply(row.status, body)
    if isinstance(error, StoreUnavailable | RateLimitExceeded):
        reply.headers.append((b"retry-after", str(error.retry_after_seconds).encode()))
    return reply


def failed(text: str, status: int = 500) -> Reply:
    """The answer to a failure where a route has words of its own for it."""
    return json_reply(status, _plain(text))
