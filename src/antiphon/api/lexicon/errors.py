"""How our errors read on Lexicon's wire: one table, for REST and for the socket."""

from __future__ import annotations

from typing import Any, NamedTuple

from antiphon.api.http import Reply, json_reply
from antiphon.api.lexicon.wire import Error
from antiphon.domain import times
from antiphon.domain.errors import (
    AntiphonError,
    ChatHasActiveConnections,
    InvalidInput,
    RateLimitExceeded,
    StoreUnavailable,
)

INTERNAL = "INTERNAL_ERROR"
CLOSE_INTERNAL, CLOSE_UNAUTHORIZED, CLOSE_DISMISSED, CLOSE_NOT_FOUND, CLOSE_TOO_MANY = 1011, 4401, 4403, 4404, 4429

_AGAIN = "Try again in a moment"
_INPUT = "Correct what details.errors names, or the whole, and send it again"
_KEY = "Use a valid key of the tenant: the header X-API-Key, or on the socket api_key beside user_id and chat_id"
_CHAT = "Check the id, or create a chat over REST first"
_NAME = "Use another name or id"


class Answer(NamedTuple):
    """What an error is on this wire.

    `status`, `error_code` and `fix` are for REST. In a socket event the code is `event_code`; when the error ends the
    socket, at the handshake or later, it closes with `close_code`, the reason being the code. With a `close_reason`
    that is the reason, and no event comes before it.
    """

    status: int
    error_code: str
    fix: str
    event_code: str = INTERNAL
    close_code: int = CLOSE_INTERNAL
    close_reason: str | None = None


_FAULT = Answer(500, INTERNAL, _AGAIN)
_UNAUTHORIZED = Answer(401, "AUTH_ERROR", _KEY, "AUTH_ERROR", CLOSE_UNAUTHORIZED)
_NO_CHAT = Answer(404, "CHAT_NOT_FOUND", _CHAT, "CHAT_NOT_FOUND", CLOSE_NOT_FOUND)

ANSWERS: dict[str, Answer] = {
    "error": _FAULT,
    "invalid_input": Answer(400, "INVALID_REQUEST", _INPUT, "INVALID_MESSAGE"),
    "import_refused": Answer(400, "INVALID_REQUEST", _INPUT, "INVALID_MESSAGE"),
    "import_foreign": Answer(400, "INVALID_REQUEST", _INPUT, "INVALID_MESSAGE"),
    "import_version": Answer(400, "INVALID_REQUEST", _INPUT, "INVALID_MESSAGE"),
    "import_cut": Answer(400, "INVALID_REQUEST", _INPUT, "INVALID_MESSAGE"),
    "import_altered": Answer(400, "INVALID_REQUEST", _INPUT, "INVALID_MESSAGE"),
    "malformed_body": Answer(400, "INVALID_REQUEST", "Send one JSON object in UTF-8", "INVALID_MESSAGE"),
    "body_too_large": Answer(413, "INVALID_REQUEST", "Send less at once", "INVALID_MESSAGE"),
    "authentication_failed": _UNAUTHORIZED,
    "access_denied": _UNAUTHORIZED._replace(fix="Use a key that reaches this user"),
    "not_found": Answer(404, "NOT_FOUND", "Check the path"),
    "tenant_not_found": _UNAUTHORIZED,
    "participant_not_found": Answer(404, "USER_NOT_FOUND", "Check the user id, or create a chat for the user first"),
    "session_not_found": _NO_CHAT,
    "chat_not_found": _NO_CHAT,
    "message_not_found": Answer(404, "NOT_FOUND", "Check the id"),
    "key_not_found": _UNAUTHORIZED,
    "connection_not_found": Answer(500, INTERNAL, "Connect again"),
    "connection_dismissed": Answer(
        409, "CONFLICT", "Ask who runs the server", INTERNAL, CLOSE_DISMISSED, "closed by the operator"
    ),
    "deletion_not_found": Answer(404, "NOT_FOUND", "Check the id"),
    "import_not_found": Answer(404, "NOT_FOUND", "Check the id"),
    "turn_not_found": Answer(404, "NOT_FOUND", "Check the id"),
    "conflict": Answer(409, "CONFLICT", _AGAIN),
    "chat_id_taken": Answer(409, "CONFLICT", _NAME),
    "session_id_taken": Answer(409, "CONFLICT", _NAME),
    "tenant_name_taken": Answer(409, "CONFLICT", _NAME),
    "participant_name_taken": Answer(409, "CONFLICT", _NAME),
    "message_id_taken": Answer(409, "CONFLICT", _NAME),
    "chat_is_last_of_session": Answer(
        409, "CHAT_IS_LAST_OF_SESSION", "Delete the chat's session instead, or add another chat to it first"
    ),
    "chat_has_active_connections": Answer(
        409, "CHAT_HAS_ACTIVE_CONNECTIONS", "Close every socket that is open on the chat, then delete it again"
    ),
    "chat_has_active_turn": Answer(
        409, "CHAT_HAS_ACTIVE_TURN", "Wait until the answer has ended, or stop it, then delete the chat again"
    ),
    "turn_over": Answer(409, "CONFLICT", "Send the message again to start another answer"),
    "turn_still_running": Answer(504, "CONFLICT", _AGAIN),
    "version_changed": Answer(409, "CONFLICT", "Look at it again"),
    "plan_changed": Answer(409, "CONFLICT", "Look again at what would be deleted"),
    "import_id_taken": Answer(409, "CONFLICT", "It names something else by now"),
    "idempotency_key_reused": Answer(409, "CONFLICT", "Take another key"),
    "in_progress": Answer(409, "CONFLICT", _AGAIN),
    "undo_id_taken": Answer(409, "CONFLICT", "It names something else by now"),
    "undo_parent_deleted": Answer(409, "CONFLICT", "Undo that deletion first"),
    "undo_too_late": Answer(409, "CONFLICT", "It cannot be undone any more"),
    "tenant_has_sessions": Answer(409, "CONFLICT", "Delete the tenant's sessions first"),
    "limit_exceeded": Answer(409, "LIMIT_EXCEEDED", "Delete what is not needed any more"),
    "rate_limit_exceeded": Answer(
        429, "RATE_LIMIT_EXCEEDED", "Wait a moment, then go on more slowly", "RATE_LIMIT_EXCEEDED"
    ),
    "connection_limit_exceeded": Answer(
        429,
        "CONNECTION_LIMIT_EXCEEDED",
        "Close another socket of the tenant first",
        "CONNECTION_LIMIT_EXCEEDED",
        CLOSE_TOO_MANY,
    ),
    "chat_full": Answer(409, "LIMIT_EXCEEDED", "Go on in another chat", "INVALID_MESSAGE"),
    "agent_failed": Answer(502, "AI_ERROR", "Send the message again", "AI_ERROR"),
    "sandbox_not_active": Answer(409, "CONFLICT", "Make a sandbox first"),
    "sandbox_stopping": Answer(409, "CONFLICT", _AGAIN),
    "sandbox_failed": Answer(502, "INTERNAL_ERROR", _AGAIN),
    "tool_refused": Answer(502, "AI_ERROR", "Send the message again", "AI_ERROR"),
    "follower_too_slow": Answer(429, "RATE_LIMIT_EXCEEDED", "Connect again and read faster"),
    "store_error": _FAULT,
    "store_unavailable": Answer(503, "STORE_UNAVAILABLE", _AGAIN),
    "store_failed": _FAULT,
    "store_too_new": _FAULT,
    "internal_fault": _FAULT,
    "route_not_found": Answer(404, "NOT_FOUND", "Check the path"),
    "method_not_allowed": Answer(405, "METHOD_NOT_ALLOWED", "Use a method that the header Allow names"),
    "upgrade_required": Answer(426, "UPGRADE_REQUIRED", "Open a WebSocket on this path"),
}
"""What an error is on this wire, by its code."""


class UpgradeRequired(AntiphonError):
    """This path is for WebSockets."""

    code = "upgrade_required"


def answer_of(error: AntiphonError) -> Answer:
    """The row of an error."""
    return ANSWERS.get(error.code, _FAULT)


def details_of(error: AntiphonError) -> dict[str, Any]:
    """What helps to go on: a remedy, and what the error knows."""
    details: dict[str, Any] = {"fix": answer_of(error).fix}
    if isinstance(error, ChatHasActiveConnections):
        details["active_connections"] = error.count
        details["until"] = times.text_of(error.until)
    if isinstance(error, InvalidInput) and error.field is not None:
        details["errors"] = [{"field": error.field, "message": error.message}]
    return details


def refuse(error: AntiphonError) -> Reply:
    """The answer over REST."""
    row = answer_of(error)
    reply = json_reply(row.status, Error(row.error_code, error.message, details_of(error), error.message))
    if isinstance(error, StoreUnavailable | RateLimitExceeded):
        reply.headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    return reply
