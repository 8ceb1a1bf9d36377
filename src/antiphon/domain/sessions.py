"""Session: a conversation of one or more chats, with an owner."""

from __future__ import annotations

import msgspec

from antiphon.domain.ids import Uid

SINGLE = "single"
MULTI = "multi"
"""The shapes. A `single` session has exactly one chat, which lives and dies with it; a `multi` one has at least one."""

DEFAULT_STATUS = "running"


class Session(msgspec.Struct, frozen=True):
    """A session. `key` is its generation: an id that is used again names another key.

    `metadata` and `configuration` are JSON objects as text. `artist_id` is a UUID text or None.
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
