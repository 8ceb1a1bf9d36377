"""The error tree: every way in which an operation can end other than well.

A class has a stable `code` (snake_case, part of the public reference), says whether the same call may succeed when
repeated (`is_retryable`), and carries data as attributes; its docstring's first sentence is the default message.
There is no HTTP status and no wire text here: each dialect has one table from `code` to its own answer.

    AntiphonError
    ├── InvalidInput                 a value breaks a rule; `field` names it
    │   ├── MalformedBody            the body is not what its media type says
    │   ├── ImportRefused            a file is not a whole export that can be taken
    │   │   ├── ImportForeign        it was not written by an export
    │   │   ├── ImportVersion        it was written by another version
    │   │   ├── ImportCut            its end is missing
    │   │   └── ImportAltered        it is not what was written
    │   └── BodyTooLarge
    ├── AuthenticationFailed         no usable credential
    ├── AccessDenied                 a good credential that does not reach this far
    ├── NotFound
    │   ├── TenantNotFound
    │   ├── ParticipantNotFound
    │   ├── SessionNotFound
    │   ├── ChatNotFound
    │   ├── MessageNotFound
    │   ├── KeyNotFound
    │   ├── ConnectionNotFound       the lease of a live socket is gone
    │   │   └── ConnectionDismissed  somebody who may has closed it
    │   ├── DeletionNotFound
    │   ├── ImportNotFound
    │   └── TurnNotFound
    ├── Conflict
    │   ├── ChatIdTaken              the id names a chat of another session
    │   ├── SessionIdTaken           the id names a chat or session that this call may not use
    │   ├── TenantNameTaken
    │   ├── ParticipantNameTaken
    │   ├── MessageIdTaken           the chat has a message of that client's id
    │   ├── ChatIsLastOfSession
    │   ├── ChatHasActiveConnections
    │   ├── ChatHasActiveTurn
    │   ├── PlanChanged              what a plan spoke of is not what is there now
    │   ├── VersionChanged           a thing is not any more as the request says that it is
    │   ├── IdempotencyKeyReused     the key of an answer that is kept came with another request
    │   ├── RequestInProgress        the same request is being worked on
    │   ├── ImportIdTaken            an id of the file names something that is there
    │   ├── UndoIdTaken              an id of what is to be put back names something else by now
    │   ├── UndoParentDeleted        what it belonged to has been deleted since
    │   ├── UndoTooLate              the deletion is not, or no longer, within its window
    │   ├── TurnOver                 the turn has ended, or its chat is gone: nothing may be added
    │   ├── TurnStillRunning         the turn was told to stop and has not ended in time
    │   ├── SandboxNotActive         what is asked for needs one, and the session has none
    │   ├── SandboxStopping          the session's sandbox is on its way out
    │   └── TenantHasSessions
    ├── LimitExceeded                a named limit is reached
    │   ├── RateLimitExceeded
    │   ├── ConnectionLimitExceeded
    │   └── ChatFull
    ├── AgentFailed                  the model gave no usable answer
    ├── ToolRefused                  a tool cannot do what the model asked of it
    ├── SandboxFailed                the provider of sandboxes could not do it, and says why
    ├── FollowerTooSlow              a stream is cut off: its reader does not keep up
    └── StoreError
        ├── StoreUnavailable         passes by itself: busy, disk full, out of reach
        ├── StoreFailed              anything else; nothing has changed
        └── StoreTooNew              the database was written by a newer Antiphon
"""

from __future__ import annotations

from typing import ClassVar


class AntiphonError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").split("\n", 1)[0]
        super().__init__(self.message)


class InvalidInput(AntiphonError):
    """A value in the request is not allowed.

    `field` is the name of the offending value as the client wrote it, dotted for nested ones, or None for the whole.
    """

    code = "invalid_input"

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class MalformedBody(InvalidInput):
    """The request body cannot be read as JSON in UTF-8."""

    code = "malformed_body"


class ImportRefused(InvalidInput):
    """A line of the file breaks a rule."""

    code = "import_refused"


class ImportForeign(ImportRefused):
    """The file is not an export in JSON lines."""

    code = "import_foreign"


class ImportVersion(ImportRefused):
    """The file was written by another version of Antiphon."""

    code = "import_version"


class ImportCut(ImportRefused):
    """The file has no last line: it was cut."""

    code = "import_cut"


class ImportAltered(ImportRefused):
    """The file is not what was written: its checksum does not fit."""

    code = "import_altered"


class BodyTooLarge(InvalidInput):
    """The request body is larger than allowed."""

    code = "body_too_large"


class AuthenticationFailed(AntiphonError):
    """The credential is missing, unknown, expired or revoked."""

    code = "authentication_failed"


class AccessDenied(AntiphonError):
    """The credential does not reach this far."""

    code = "access_denied"


class NotFound(AntiphonError):
    """There is nothing of that name here."""

    code = "not_found"


class TenantNotFound(NotFound):
    """There is no such tenant."""

    code = "tenant_not_found"


class ParticipantNotFound(NotFound):
    """There is no such participant in this tenant."""

    code = "participant_not_found"


class SessionNotFound(NotFound):
    """There is no such session in this tenant."""

    code = "session_not_found"


class ChatNotFound(NotFound):
    """There is no such chat in this tenant."""

    code = "chat_not_found"


class MessageNotFound(NotFound):
    """There is no such message in this chat."""

    code = "message_not_found"


class KeyNotFound(NotFound):
    """There is no such key."""

    code = "key_not_found"


class ConnectionNotFound(NotFound):
    """The connection is not registered any more."""

    code = "connection_not_found"


class ConnectionDismissed(ConnectionNotFound):
    """The connection was closed by the operator."""

    code = "connection_dismissed"


class DeletionNotFound(NotFound):
    """There is no such deletion in this tenant."""

    code = "deletion_not_found"


class ImportNotFound(NotFound):
    """There is no such import in this tenant."""

    code = "import_not_found"


class TurnNotFound(NotFound):
    """There is no such turn in this tenant."""

    code = "turn_not_found"


class Conflict(AntiphonError):
    """The request does not fit the present state."""

    code = "conflict"


class ChatIdTaken(Conflict):
    """A chat of that id exists in another session."""

    code = "chat_id_taken"


class SessionIdTaken(Conflict):
    """The id is in use by something that this request may not touch."""

    code = "session_id_taken"


class TenantNameTaken(Conflict):
    """A tenant of that name exists already."""

    code = "tenant_name_taken"


class ParticipantNameTaken(Conflict):
    """A participant of that name exists already."""

    code = "participant_name_taken"


class MessageIdTaken(Conflict):
    """A message of that id exists already in the chat."""

    code = "message_id_taken"


class ChatIsLastOfSession(Conflict):
    """A session keeps at least one chat, and this is its last."""

    code = "chat_is_last_of_session"


class ChatHasActiveConnections(Conflict):
    """Sockets are open on the chat.

    `count` is how many there are (>= 1); `until` the moment (microseconds, see `times`) when the last of them stops
    counting if its process is dead.
    """

    code = "chat_has_active_connections"

    def __init__(self, count: int, until: int) -> None:
        super().__init__()
        self.count = count
        self.until = until


class ChatHasActiveTurn(Conflict):
    """An answer is being made in the chat.

    `turn_id` names it (16 bytes) where that is known; `is_expired` says that its process is dead and only its slot is
    left.
    """

    code = "chat_has_active_turn"

    def __init__(self, turn_id: bytes | None = None, *, is_expired: bool = False) -> None:
        super().__init__()
        self.turn_id = turn_id
        self.is_expired = is_expired


class PlanChanged(Conflict):
    """What would be deleted is not what the plan said."""

    code = "plan_changed"


class VersionChanged(Conflict):
    """It has changed since it was looked at."""

    code = "version_changed"


class IdempotencyKeyReused(Conflict):
    """The idempotency key has been used for another request."""

    code = "idempotency_key_reused"


class RequestInProgress(Conflict):
    """The same request is being worked on; its answer is not there yet."""

    code = "in_progress"
    is_retryable = True


class ImportIdTaken(Conflict):
    """A session or chat of the file is there already."""

    code = "import_id_taken"


class UndoIdTaken(Conflict):
    """An id of what was deleted has been taken since."""

    code = "undo_id_taken"


class UndoParentDeleted(Conflict):
    """What it belonged to has been deleted since: undo that first."""

    code = "undo_parent_deleted"


class UndoTooLate(Conflict):
    """The deletion is final, or cannot be undone."""

    code = "undo_too_late"


class TurnOver(Conflict):
    """The turn is over."""

    code = "turn_over"


class TurnStillRunning(Conflict):
    """The turn did not end in time."""

    code = "turn_still_running"
    is_retryable = True


class SandboxNotActive(Conflict):
    """The session has no active sandbox."""

    code = "sandbox_not_active"


class SandboxStopping(Conflict):
    """The session's sandbox is still being stopped."""

    code = "sandbox_stopping"
    is_retryable = True


class TenantHasSessions(Conflict):
    """The tenant still has active sessions; delete all sessions first."""

    code = "tenant_has_sessions"


class LimitExceeded(AntiphonError):
    """A limit is reached."""

    code = "limit_exceeded"


class RateLimitExceeded(LimitExceeded):
    """Too many requests in too short a time.

    `retry_after_seconds` says when the next one may succeed.
    """

    code = "rate_limit_exceeded"
    is_retryable = True

    def __init__(self, retry_after_seconds: int, message: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ConnectionLimitExceeded(LimitExceeded):
    """The tenant has as many open sockets as it may have."""

    code = "connection_limit_exceeded"
    is_retryable = True


class ChatFull(LimitExceeded):
    """The chat holds as many messages as a chat can hold."""

    code = "chat_full"


class AgentFailed(AntiphonError):
    """The model failed, timed out, or produced no text."""

    code = "agent_failed"
    is_retryable = True


class ToolRefused(AntiphonError):
    """The tool cannot do that."""

    code = "tool_refused"


class SandboxFailed(AntiphonError):
    """The sandbox could not be made, found or used.

    `is_gone` says that there is nothing left to come back to; otherwise the next attempt may succeed.
    """

    code = "sandbox_failed"
    is_retryable = True

    def __init__(self, message: str | None = None, *, is_gone: bool = False) -> None:
        super().__init__(message)
        self.is_gone = is_gone


class FollowerTooSlow(AntiphonError):
    """The stream was cut off because its reader did not keep up."""

    code = "follower_too_slow"


class StoreError(AntiphonError):
    """The store could not do it."""

    code = "store_error"


class StoreUnavailable(StoreError):
    """The store is busy, full or out of reach; try again.

    Nothing has changed, unless the way to a database broke while it was committing: then nobody knows.

    `retry_after_seconds` is a hint for the caller.
    """

    code = "store_unavailable"
    is_retryable = True
    retry_after_seconds: ClassVar[int] = 1


class StoreFailed(StoreError):
    """The store failed; nothing has changed."""

    code = "store_failed"


class StoreTooNew(StoreError):
    """The database was written by a newer version of Antiphon."""

    code = "store_too_new"
