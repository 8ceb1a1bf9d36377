"""Deletion: the job that removes something, from the request until nothing of it is left."""

from __future__ import annotations

import msgspec

from antiphon.domain.ids import Uid

CHAT, SESSION, TENANT = "chat", "session", "tenant"
"""The kinds of target."""

REFUSE, CANCEL = "refuse", "cancel"
"""What to do about something live: refuse the deletion, or end what is live."""

PURGING, DONE = "purging", "done"
"""The states. There is no `failed`: what cannot go on has `last_error` and a time at which it is tried again."""


class Deletion(msgspec.Struct, frozen=True):
    """A deletion. `counts` is what has been removed so far, by table."""

    id: Uid
    tenant_id: Uid
    kind: str
    target_key: Uid
    mode: str
    state: str
    requested_at: int
    detached_at: int
    purged_at: int | None
    counts: dict[str, int]
    attempts: int
    run_after: int
    last_error: str | None


class PurgeStep(msgspec.Struct, frozen=True):
    """What one bounded step of a purge did: rows removed by table, and whether nothing is left."""

    removed: dict[str, int]
    is_done: bool
