"""Session: a conversation of one or more chats, with an owner."""

from __future__ import annotations

import msgspec

from antiphon.domain import sandboxes
from antiphon.domain.ids import Uid
from antiphon.domain.sandboxes import Sandbox

SINGLE = "single"
MULTI = "multi"
"""The shapes. A `single` session has exactly one chat, which lives and dies with it; a `multi` one has at least one."""

DEFAULT_TITLE = "New session"
DEFAULT_STATUS = "running"
ARCHIVED = "archived"
STATUSES = (DEFAULT_STATUS, "completed", "failed", ARCHIVED)


class Session(msgspec.Struct, frozen=True):
    """A session. `key` is its generation: an id that is used again names another key.

    `metadata` and `configuration` are JSON objects as text. `artist_id` is a UUID text or None. `lines_added` and
    `lines_removed` are what its clients say that the work in it has changed.
    """

    key: Uid
    id: str
    shape: str
    owner_id: Uid
    title: str
    status: str
    artist_id: str | None
    metadata: str
    configuration: str
    created_at: int
    updated_at: int
    lines_added: int = 0
    lines_removed: int = 0


class NewSession(msgspec.Struct, frozen=True):
    """What a session of either shape is made of, with its first chat; ids are the client's or new ones.

    `is_owner_implied`: nobody has named the owner, so one who is missing is made as implied, and one who is implied
    stays so.
    """

    shape: str
    id: str
    owner_name: str
    title: str
    chat_id: str
    chat_title: str
    is_owner_implied: bool = False


class SessionCard(msgspec.Struct, frozen=True):
    """A session with what a list shows beside it: its owner's name, and how many chats it has."""

    session: Session
    owner_name: str
    chat_count: int


class SessionChange(msgspec.Struct, frozen=True):
    """What is to be changed of a `multi` session; None leaves a thing as it is."""

    title: str | None = None
    status: str | None = None
    lines_added: int | None = None
    lines_removed: int | None = None


class Overview(msgspec.Struct, frozen=True):
    """A `multi` session and what its owner wants to know of its chats before looking into them.

    `last_activity_at` is when one of them changed last, and `latest_chat_id` which. One is unread when an answer came
    after its owner last read it, compared in milliseconds.
    """

    session: Session
    last_activity_at: int | None
    latest_chat_id: str | None
    is_unread: bool
    is_answering: bool


def sandbox_after(sandbox: Sandbox, before: str, after: str | None) -> Sandbox:
    """A session's sandbox when its status changes so (None: it does not). Raises SandboxStopping."""
    if after == ARCHIVED and before != ARCHIVED:
        return sandboxes.archived(sandbox)
    if after == DEFAULT_STATUS and before == ARCHIVED:
        return sandboxes.unarchived(sandbox)
    return sandbox
