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

_RETRY = "Try again in a moment"
_FIX_INPUT = "Correct the request and send it again"
_FIX_KEY = "Send your tenant's key in the header X-API-Key"


class Answer(NamedTuple):
    """What an error is on this wire: HTTP status, code, remedy, and the code with which a socket closes (0: it stays)."""

    status: int
    error_code: str
    fix: str
    close_code: int = 1011


ANSWERS: dict[str, Answer] = {
    "error": Answer(500, "INTERNAL_ERROR", _RETRY),
    "invalid_input": Answer(400, "INVALID_REQUEST", _FIX_INPUT, 0),
    "malformed_body": Answer(400, "INVALID_REQUEST", "Send a JSON object in UTF-8", 0),
    "body_too_large": Answer(413, "INVALID_REQUEST", "Send less at once", 0),
    "authentication_failed": Answer(401, "AUTH_ERROR", _FIX_KEY, 4401),
    "access_denied": Answer(401, "AUTH_ERROR", "Use a key that reaches this user", 4401),
    "not_found": Answer(404, "NOT_FOUND", "Check the path"),
    "tenant_not_found": Answer(401, "AUTH_ERROR", _FIX_KEY, 4401),
    "participant_not_found": Answer(404, "USER_NOT_FOUND", "Check the user id, or create a chat for the user"),
    "session_not_found": Answer(404, "CHAT_NOT_FOUND", "Check the id, or create a chat first", 4404),
    "chat_not_found": Answer(404, "CHAT_NOT_FOUND", "Check the id, or create a chat first", 4404),
    "message_not_found": Answer(404, "NOT_FOUND", "Check the id"),
    "key_not_found": Answer(404, "NOT_FOUND", "Check the id"),
    "connection_not_found": Answer(500, "INTERNAL_ERROR", "Connect again", 1011),
    "conflict": Answer(409, "CONFLICT", _RETRY),
    "chat_id_taken": Answer(409, "CONFLICT", "Use another id"),
    "session_id_taken": Answer(409, "CONFLICT", "Use another id"),
    "tenant_name_taken": Answer(409, "CONFLICT", "Use another name"),
    "participant_name_taken": Answer(409, "CONFLICT", "Use another name"),
    "chat_is_last_of_session": Answer(409, "CHAT_IS_LAST_OF_SESSION", "Delete the session, or add a chat to it first"),
    "chat_has_active_connections": Answer(
        409, "CHAT_HAS_ACTIVE_CONNECTIONS", "Close the open sockets of the chat, then delete it again"
    ),
    "chat_has_active_turn": Answer(409, "CHAT_HAS_ACTIVE_TURN", "Wait for the answer, or stop it, then delete again"),
    "tenant_has_sessions": Answer(409, "CONFLICT", "Delete the sessions first"),
    "limit_exceeded": Answer(409, "LIMIT_EXCEEDED", "Delete what is not needed"),
    "rate_limit_exceeded": Answer(429, "RATE_LIMIT_EXCEEDED", "Wait, then go on more slowly", 0),
    "connection_limit_exceeded": Answer(429, "CONNECTION_LIMIT_EXCEEDED", "Close a socket first", 4429),
    "chat_full": Answer(409, "LIMIT_EXCEEDED", "Go on in another chat", 0),
    "agent_failed": Answer(502, "AI_ERROR", "Send the message again", 0),
    "store_error": Answer(500, "INTERNAL_ERROR", _RETRY),
    "store_unavailable": Answer(503, "STORE_UNAVAILABLE", _RETRY),
    "store_failed": Answer(500, "INTERNAL_ERROR", _RETRY),
    "store_too_new": Answer(500, "INTERNAL_ERROR", _RETRY),
    "internal_fault": Answer(500, "INTERNAL_ERROR", _RETRY),
    "route_not_found": Answer(404, "NOT_FOUND", "Check the path"),
    "method_not_allowed": Answer(405, "METHOD_NOT_ALLOWED", "Use another method"),
    "upgrade_required": Answer(426, "UPGRADE_REQUIRED", "Open a WebSocket on this path"),
}
"""What an error is on this wire, by its code."""


_SOCKET_CODES = {"INVALID_REQUEST": "INVALID_MESSAGE", "STORE_UNAVAILABLE": "INTERNAL_ERROR"}


def answer_of(error: AntiphonError) -> Answer:
    """The row of an error."""
    return ANSWERS.get(error.code, ANSWERS["error"])


def socket_code(error: AntiphonError) -> str:
    """The code of an error in a socket event: a frame is a message, and every fault is internal."""
    code = answer_of(error).error_code
    return _SOCKET_CODES.get(code, code)


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
        reply.headers = [*reply.headers, (b"retry-after", str(error.retry_after_seconds).encode())]
    return reply
