"""How our errors read on Recoup's wire: one table, from the error's code to its status and text."""

from __future__ import annotations

from typing import Any

from antiphon.api.http import Reply, json_reply
from antiphon.api.recoup import wire
from antiphon.domain.errors import AntiphonError, InvalidInput, RateLimitExceeded, StoreUnavailable

INVALID_CHAT_ID = "Invalid chat id"
CHAT_ID_CONFLICT = "Chat ID conflict"
NO_CREDENTIAL = "Exactly one of x-api-key or Authorization must be provided"
NOT_BEARER = "Authorization header with Bearer token required"
UNAUTHORIZED = "Unauthorized"
FORBIDDEN = "Forbidden"
FOREIGN_ORGANIZATION = "Access denied to specified organization_id"
INTERNAL = "Internal server error"
BUSY = "The server is busy, try again in a moment"

STATUS_OF: dict[str, tuple[int, str]] = {
    "error": (500, INTERNAL),
    "invalid_input": (400, ""),
    "malformed_body": (400, "Invalid JSON body"),
    "body_too_large": (413, "Request body too large"),
    "authentication_failed": (401, UNAUTHORIZED),
    "access_denied": (403, FORBIDDEN),
    "not_found": (404, "Not found"),
    "tenant_not_found": (401, UNAUTHORIZED),
    "participant_not_found": (403, FORBIDDEN),
    "session_not_found": (404, "Session not found"),
    "chat_not_found": (404, "Chat not found"),
    "message_not_found": (404, "Message not found"),
    "key_not_found": (404, "Not found"),
    "connection_not_found": (404, "Not found"),
    "conflict": (409, "Conflict"),
    "chat_id_taken": (409, CHAT_ID_CONFLICT),
    "session_id_taken": (409, "Conflict"),
    "tenant_name_taken": (409, "Conflict"),
    "participant_name_taken": (409, "Conflict"),
    "chat_is_last_of_session": (400, "Cannot delete the only chat in a session"),
    "chat_has_active_connections": (409, "Chat is in use"),
    "chat_has_active_turn": (409, "Another workflow is already running for this chat"),
    "tenant_has_sessions": (409, "Conflict"),
    "limit_exceeded": (409, ""),
    "rate_limit_exceeded": (429, "Too many requests"),
    "connection_limit_exceeded": (429, "Too many connections"),
    "chat_full": (409, ""),
    "agent_failed": (502, "The model failed"),
    "store_error": (500, INTERNAL),
    "store_unavailable": (503, BUSY),
    "store_failed": (500, INTERNAL),
    "store_too_new": (500, INTERNAL),
    "internal_fault": (500, INTERNAL),
    "route_not_found": (404, "Not found"),
    "method_not_allowed": (405, "Method not allowed"),
}
"""Status and text by code; an empty text means the error's own."""


class FieldInvalid(InvalidInput):
    """A value breaks a rule of this wire; `path` says which, and is empty for the whole body."""

    code = "invalid_input"

    def __init__(self, text: str, path: list[str | int]) -> None:
        super().__init__(text)
        self.path = path


def refuse(error: AntiphonError) -> Reply:
    """The answer that tells of an error, in the envelope that belongs to it."""
    status, text = STATUS_OF.get(error.code, (500, INTERNAL))
    text = text or error.message
    body: Any = wire.Error(text)
    if isinstance(error, FieldInvalid):
        body = wire.FieldError(error.path, text)
    elif error.code == "chat_id_taken":
        body = wire.BareError(text)
    elif status == 401:
        body = wire.AuthenticationError(text, text) if text == UNAUTHORIZED else wire.Error(text)
    reply = json_reply(status, body)
    if isinstance(error, StoreUnavailable | RateLimitExceeded):
        reply.headers = [*reply.headers, (b"retry-after", str(error.retry_after_seconds).encode())]
    return reply
