"""Recoup's words for changing and listing sessions and their chats."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from antiphon.api.recoup.wire import DateTime, Status
from antiphon.domain import sessions, times

LINES_MAX = 2**53 - 1
"""The largest whole number that JavaScript's numbers hold, and the highest that clients may send."""

Lines = Annotated[int, msgspec.Meta(ge=0, extra_json_schema={"maximum": LINES_MAX})]
Words = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": r"\S"})]


class UpdateSessionRequest(msgspec.Struct, rename="camel"):
    """The body of `PATCH /api/sessions/{sessionId}`; what is left out stays. A title is taken as it is."""

    title: str | msgspec.UnsetType = msgspec.UNSET
    status: Status | msgspec.UnsetType = msgspec.UNSET
    lines_added: Lines | msgspec.UnsetType = msgspec.UNSET
    lines_removed: Lines | msgspec.UnsetType = msgspec.UNSET


class UpdateSessionChatRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The body of `PATCH /api/sessions/{sessionId}/chats/{chatId}`: at least one of the two, and nothing else."""

    title: Words | msgspec.UnsetType = msgspec.UNSET
    model_id: Words | msgspec.UnsetType = msgspec.UNSET


class PathError(msgspec.Struct):
    """The envelope of a value that breaks a rule when a session is changed: the path of the value."""

    status: Literal["error"]
    path: list[str | int]
    error: str


class InvalidUpdateError(msgspec.Struct):
    """The same, or, without a path, that of a body that is no JSON."""

    status: Literal["error"]
    error: str
    path: list[str | int] | msgspec.UnsetType = msgspec.UNSET


class SessionItem(msgspec.Struct, rename="camel"):
    """A session in a list, with what is to be known of its chats."""

    id: str
    title: str
    status: Status
    repo_owner: str | None
    repo_name: str | None
    branch: str | None
    lines_added: int | None
    lines_removed: int | None
    created_at: DateTime
    last_activity_at: DateTime | None
    has_unread: bool
    has_streaming: bool
    latest_chat_id: str | None


class Pagination(msgspec.Struct, rename="camel"):
    """Which part of the list it is."""

    limit: int
    offset: int
    has_more: bool
    next_offset: int


class ListSessionsResponse(msgspec.Struct, rename="camel"):
    """The caller's sessions, newest first."""

    sessions: list[SessionItem]
    archived_count: int | msgspec.UnsetType = msgspec.UNSET
    pagination: Pagination | msgspec.UnsetType = msgspec.UNSET


class DeleteSessionResponse(msgspec.Struct):
    """The session is gone."""

    success: Literal[True]


def show_overview(found: sessions.Overview) -> SessionItem:
    """A session in a list."""
    session = found.session
    return SessionItem(
        id=session.id,
        title=session.title,
        status=session.status,
        repo_owner=None,
        repo_name=None,
        branch=None,
        lines_added=session.lines_added,
        lines_removed=session.lines_removed,
        created_at=times.text_of(session.created_at),
        last_activity_at=None if found.last_activity_at is None else times.text_of(found.last_activity_at),
        has_unread=found.is_unread,
        has_streaming=found.is_answering,
        latest_chat_id=found.latest_chat_id,
    )
