"""How our errors read on our own wire: problem details (RFC 9457), from one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from antiphon.api.http import Reply, Request, encode
from antiphon.api.native.wire import Blocker, FieldError, Problem, show_turn_id
from antiphon.api.routing import Content, MethodNotAllowed
from antiphon.domain.errors import (
    AntiphonError,
    AuthenticationFailed,
    ChatHasActiveTurn,
    Conflict,
    InvalidInput,
    RateLimitExceeded,
    RequestInProgress,
    StoreUnavailable,
)

PROBLEM_TYPE = "application/problem+json"
PROBLEM = Content(Problem, PROBLEM_TYPE)

CLOSE_GOING_AWAY, CLOSE_RATE, CLOSE_FAULT, CLOSE_SLOW = 1001, 1008, 1011, 1013
CLOSE_INVALID, CLOSE_UNAUTHORIZED, CLOSE_DENIED, CLOSE_NOT_FOUND, CLOSE_TOO_MANY = 4400, 4401, 4403, 4404, 4429


class UnknownField(InvalidInput):
    """The request has a field that this wire does not know."""

    code = "unknown_field"


class InvalidCursor(InvalidInput):
    """The cursor is not of this list: of another tenant, with other filters, or made up."""

    code = "invalid_cursor"


class TooManyTargets(InvalidInput):
    """A request names more targets than one may."""

    code = "too_many_targets"


class TargetBusy(Conflict):
    """Something stands in the way of the deletion.

    `blocked_by` is what is there at this moment, as a plan shows it; none when it ended meanwhile.
    """

    code = "busy"

    def __init__(self, message: str, blocked_by: Sequence[Blocker]) -> None:
        super().__init__(message)
        self.blocked_by = list(blocked_by)


class Row(NamedTuple):
    """A line of the table: status, code and title of the problem, and how a socket ends for it."""

    status: int
    code: str
    title: str
    close_code: int = CLOSE_FAULT


def _conflict(code: str, title: str = "It does not fit the present state") -> Row:
    return Row(409, code, title)


_FAULT = Row(500, "internal", "Something went wrong here")
_INVALID = Row(400, "invalid_input", "The request is not valid", CLOSE_INVALID)
_NOT_FOUND = Row(404, "not_found", "There is nothing of that name", CLOSE_NOT_FOUND)

ROWS: dict[str, Row] = {
    "error": _FAULT,
    "internal_fault": _FAULT,
    "invalid_input": _INVALID,
    "unknown_field": _INVALID._replace(code="unknown_field", title="The request has a field that is not known"),
    "invalid_cursor": _INVALID._replace(code="invalid_cursor", title="The cursor is not of this list"),
    "too_many_targets": _INVALID._replace(code="too_many_targets", title="There are too many targets"),
    "malformed_body": _INVALID._replace(code="malformed_body", title="The body is not JSON in UTF-8"),
    "import_refused": _INVALID._replace(code="import_refused", title="A line of the file breaks a rule"),
    "import_foreign": _INVALID._replace(code="import_foreign", title="The file is not an export in JSON lines"),
    "import_version": _INVALID._replace(code="import_version", title="The file is of another version"),
    "import_cut": _INVALID._replace(code="import_cut", title="The file was cut"),
    "import_altered": _INVALID._replace(code="import_altered", title="The file is not what was written"),
    "body_too_large": Row(413, "body_too_large", "The body is too large", CLOSE_INVALID),
    "authentication_failed": Row(401, "authentication_failed", "A valid key is needed", CLOSE_UNAUTHORIZED),
    "access_denied": Row(403, "access_denied", "The key does not reach this far", CLOSE_DENIED),
    "not_found": _NOT_FOUND,
    "tenant_not_found": _NOT_FOUND,
    "participant_not_found": _NOT_FOUND,
    "session_not_found": _NOT_FOUND,
    "chat_not_found": _NOT_FOUND,
    "message_not_found": _NOT_FOUND,
    "key_not_found": _NOT_FOUND,
    "connection_not_found": _NOT_FOUND,
    "connection_dismissed": _NOT_FOUND,
    "deletion_not_found": _NOT_FOUND,
    "turn_not_found": _NOT_FOUND,
    "import_not_found": _NOT_FOUND,
    "route_not_found": Row(404, "route_not_found", "There is no such route"),
    "method_not_allowed": Row(405, "method_not_allowed", "The route does not have this method"),
    "conflict": _conflict("conflict"),
    "busy": _conflict("busy", "Something stands in the way"),
    "plan_changed": Row(412, "changed", "It is not what it was"),
    "version_changed": Row(412, "changed", "It is not what it was"),
    "import_id_taken": _conflict("id_taken", "Something of the file is there already"),
    "idempotency_key_reused": Row(422, "idempotency_key_reused", "The idempotency key came with another request"),
    "in_progress": _conflict("in_progress", "The same request is being worked on"),
    "undo_id_taken": _conflict("id_taken", "The id names something else by now"),
    "undo_parent_deleted": _conflict("parent_deleted", "What it belonged to has been deleted"),
    "undo_too_late": Row(410, "too_late", "It cannot be undone"),
    "chat_id_taken": _conflict("id_taken"),
    "session_id_taken": _conflict("id_taken"),
    "message_id_taken": _conflict("id_taken"),
    "tenant_name_taken": _conflict("name_taken"),
    "participant_name_taken": _conflict("name_taken"),
    "chat_is_last_of_session": _conflict("last_chat", "A session keeps at least one chat"),
    "chat_has_active_connections": _conflict("busy", "Something is live on it"),
    "chat_has_active_turn": _conflict("turn_running", "An answer is being made in the chat"),
    "turn_over": _conflict("turn_over", "The turn is over"),
    "turn_still_running": _conflict("turn_running", "The turn has not ended in time"),
    "tenant_has_sessions": _conflict("busy", "The tenant still has sessions"),
    "limit_exceeded": _conflict("limit_exceeded", "A limit is reached"),
    "chat_full": _conflict("chat_full", "The chat holds as many messages as a chat can hold"),
    "rate_limit_exceeded": Row(429, "rate_limited", "Too many requests", CLOSE_RATE),
    "connection_limit_exceeded": Row(429, "connection_limit_exceeded", "Too many streams and sockets", CLOSE_TOO_MANY),
    "sandbox_not_active": _conflict("sandbox_not_active", "The session has no sandbox at work"),
    "sandbox_stopping": _conflict("sandbox_stopping", "The sandbox is about to stop"),
    "sandbox_failed": Row(502, "sandbox_failed", "The sandbox did not do it"),
    "agent_failed": Row(502, "agent_failed", "The model gave no usable answer"),
    "tool_refused": Row(502, "tool_refused", "A tool gave no answer"),
    "follower_too_slow": Row(408, "follower_too_slow", "The stream was not read", CLOSE_SLOW),
    "store_error": _FAULT,
    "store_failed": _FAULT,
    "store_too_new": _FAULT,
    "store_unavailable": Row(503, "store_unavailable", "The store is busy or out of reach: try again"),
}
"""The whole table, by the code of the error. A test fails when an error of the core has no row."""


def row_of(error: AntiphonError) -> Row:
    """The row of an error."""
    return ROWS.get(error.code, _FAULT)


def problem_of(request: Request, error: AntiphonError) -> Problem:
    """An error as problem details; what is not there has one form, whatever and whose it is."""
    row = row_of(error)
    detail = row.title if row.code == "not_found" else error.message
    problem = Problem("about:blank", row.title, row.status, detail, row.code, request.id)
    if isinstance(error, InvalidInput) and error.field is not None:
        problem.errors = [FieldError(error.field, error.message)]
    if isinstance(error, ChatHasActiveTurn) and error.turn_id is not None:
        problem.turn = show_turn_id(error.turn_id)
    if isinstance(error, TargetBusy):
        problem.blocked_by = error.blocked_by
    return problem


def refuse(request: Request, error: AntiphonError) -> Reply:
    """The answer that tells of an error."""
    problem = problem_of(request, error)
    return Reply(problem.status, encode(problem), _headers(error))


def _headers(error: AntiphonError) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = [(b"content-type", PROBLEM_TYPE.encode()), (b"cache-control", b"no-store")]
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    if isinstance(error, AuthenticationFailed):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, StoreUnavailable | RateLimitExceeded):
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    if isinstance(error, RequestInProgress):
        headers.append((b"retry-after", b"1"))
    return headers


def refusals(*statuses: int) -> dict[int, Any]:
    """What a route may answer instead, for the document: those statuses, and what any route may answer."""
    return dict.fromkeys((400, 401, 403, 404, 429, 500, 503, *statuses), PROBLEM)
