"""What each error is on Honcho's wire: one table from our codes to a status and a text."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from antiphon.api.honcho.wire import HTTPValidationError, Refusal
from antiphon.api.http import Reply, json_reply
from antiphon.api.routing import MethodNotAllowed
from antiphon.domain.errors import AntiphonError, InvalidInput, RateLimitExceeded, StoreUnavailable


class InvalidRequest(InvalidInput):
    """The request does not have the form that it must have.

    `entries` are this wire's `detail`: a list of objects with `type`, `loc`, `msg`, `input` and perhaps `ctx`.
    """

    code = "invalid_request"

    def __init__(self, entries: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self.entries = list(entries)


class AdminOnly(AntiphonError):
    """Only an administrator's key may do this."""

    code = "admin_only"


class TooLarge(InvalidInput):
    """The file, or its text, is larger than allowed."""

    code = "file_too_large"


class UnsupportedType(InvalidInput):
    """Files of that type are not read."""

    code = "unsupported_type"


_SESSION, _WORKSPACE = "Session not found", "Workspace not found"
_OUT_OF_REACH = "The token does not reach this far"

TABLE: dict[str, tuple[int, str | None]] = {
    "error": (500, "Internal Server Error"),
    "internal_fault": (500, "Internal Server Error"),
    "route_not_found": (404, "Not Found"),
    "method_not_allowed": (405, "Method Not Allowed"),
    "invalid_input": (422, None),
    "import_refused": (422, None),
    "import_foreign": (422, None),
    "import_version": (422, None),
    "import_cut": (422, None),
    "import_altered": (422, None),
    "invalid_request": (422, None),
    "malformed_body": (422, None),
    "body_too_large": (413, None),
    "file_too_large": (413, None),
    "unsupported_type": (415, None),
    "authentication_failed": (401, "A valid bearer token is needed"),
    "access_denied": (401, _OUT_OF_REACH),
    "admin_only": (401, None),
    "not_found": (404, None),
    "tenant_not_found": (404, _WORKSPACE),
    "participant_not_found": (404, "Peer not found"),
    "session_not_found": (404, _SESSION),
    "chat_not_found": (404, _SESSION),
    "message_not_found": (404, "Message not found"),
    "key_not_found": (404, "Key not found"),
    "connection_not_found": (404, "Connection not found"),
    "connection_dismissed": (404, "Connection not found"),
    "deletion_not_found": (404, "Deletion not found"),
    "import_not_found": (404, "Import not found"),
    "turn_not_found": (404, "Turn not found"),
    "conflict": (409, None),
    "chat_id_taken": (409, None),
    "session_id_taken": (409, "The id is in use by a session that this API does not show"),
    "tenant_name_taken": (409, "A workspace of that name exists already"),
    "participant_name_taken": (409, "A peer of that name exists already"),
    "message_id_taken": (409, "A message of that id exists already"),
    "chat_is_last_of_session": (409, None),
    "chat_has_active_connections": (409, None),
    "chat_has_active_turn": (409, None),
    "turn_over": (409, None),
    "turn_still_running": (504, None),
    "plan_changed": (409, None),
    "version_changed": (409, None),
    "import_id_taken": (409, None),
    "idempotency_key_reused": (422, None),
    "in_progress": (409, None),
    "undo_id_taken": (409, None),
    "undo_parent_deleted": (409, None),
    "undo_too_late": (409, None),
    "tenant_has_sessions": (409, "The workspace has active sessions: delete all sessions first"),
    "limit_exceeded": (400, None),
    "rate_limit_exceeded": (429, None),
    "connection_limit_exceeded": (409, None),
    "chat_full": (409, "The session holds as many messages as a session can hold"),
    "agent_failed": (502, None),
    "sandbox_not_active": (409, None),
    "sandbox_stopping": (409, None),
    "sandbox_failed": (502, None),
    "tool_refused": (422, None),
    "follower_too_slow": (429, None),
    "store_error": (500, "The store could not do it"),
    "store_unavailable": (503, "The store is busy or out of reach: try again"),
    "store_failed": (500, "The store failed: nothing has changed"),
    "store_too_new": (500, "The database was written by a newer version"),
}
"""Status and text by code; a text of None is the error's own message. Every refusal of a token is 401."""

REFUSALS: dict[int, type] = {401: Refusal, 422: HTTPValidationError, 500: Refusal, 503: Refusal}
"""What any route may answer instead, for the document."""

BODY_REFUSALS: dict[int, type] = {**REFUSALS, 413: Refusal}
"""The same for a route that takes a body."""


def refuse(error: AntiphonError) -> Reply:
    """The answer that tells of an error."""
    status, text = TABLE.get(error.code, TABLE["error"])
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    if isinstance(error, StoreUnavailable | RateLimitExceeded):
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    if isinstance(error, InvalidRequest):
        return json_reply(status, {"detail": error.entries}, headers)
    return json_reply(status, Refusal(text or error.message or HTTPStatus(status).phrase), headers)
