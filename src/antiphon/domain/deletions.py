"""Deletion: the job that removes something, from the request until nothing of it is left."""

from __future__ import annotations

import hashlib

import msgspec

from antiphon.domain.ids import Uid

CHAT, SESSION, PARTICIPANT, TENANT = "chat", "session", "participant", "tenant"
"""The kinds of target."""

REFUSE, CANCEL, AFTER = "refuse", "cancel", "after"
"""What to do about something live: refuse the deletion, end what is live, or wait until nothing is."""

WAITING, DETACHING, DETACHED = "waiting", "detaching", "detached"
PURGING, SCRUBBING, DONE, UNDONE = "purging", "scrubbing", "done", "undone"
"""The states, in order. `waiting`: mode `after`, and something is live. `detaching`: a participant whose words are
being taken out of other people's chats. `detached`: within an undo window. `purging`: its rows go. `scrubbing`: its
bytes go. There is no `failed`: what cannot go on has `last_error` and a time at which it is tried again."""

SANDBOX_FILES = "sandbox_files"
"""What the files of sandboxes are counted as, beside the tables."""

ERASED, REMOVED = "erased", "removed"
"""What became of the bytes: overwritten and checked, or rows gone (copies may remain in places of their own age)."""


class Deletion(msgspec.Struct, frozen=True):
    """A deletion. `counts` is what has been removed so far, by table; `total` about how many rows it had to remove.

    `target_id` is the public id of what is deleted, None once it is done: then only `target_digest` is left of it.
    """

    id: Uid
    tenant_id: Uid
    kind: str
    target_key: Uid
    target_id: str | None
    target_digest: str
    mode: str
    reason: str | None
    state: str
    requested_at: int
    detached_at: int | None
    undo_until: int | None
    purged_at: int | None
    scrubbed_at: int | None
    counts: dict[str, int]
    total: int
    attempts: int
    run_after: int
    last_error: str | None
    bytes: str | None
    receipt_id: Uid | None


class Order(msgspec.Struct, frozen=True):
    """How a deletion is to be done.

    Something of at most `inline_messages` messages is purged in the transaction of the detach (0: nothing is). With
    `if_digest` it is done only if the survey of the target still has that digest. `undo_seconds` is for how long it
    may be undone.
    """

    mode: str = REFUSE
    reason: str | None = None
    inline_messages: int = 0
    if_digest: str | None = None
    undo_seconds: float = 0


class Blocker(msgspec.Struct, frozen=True):
    """Something live that stands in the way: `kind` is connection, turn or last_chat; `until` when a lease ends."""

    kind: str
    id: str
    until: int | None


class ChatCount(msgspec.Struct, frozen=True):
    """A chat that would go: its id, its newest sequence, how many messages."""

    id: str
    last_seq: int
    message_count: int


class Survey(msgspec.Struct, frozen=True):
    """What a deletion would remove now: the target, its chats, rows by table (about), and what stands in the way."""

    kind: str
    id: str
    chats: tuple[ChatCount, ...]
    counts: dict[str, int]
    blocked_by: tuple[Blocker, ...]


class Step(msgspec.Struct, frozen=True):
    """What one bounded step did: rows removed by table, and the state that the deletion is in now.

    `is_blocked`: it waits for something live, which is no failure. `files` are sandboxes, as session and place, whose
    directories must be removed before any of their rows can be.
    """

    removed: dict[str, int]
    state: str
    is_blocked: bool = False
    files: tuple[tuple[Uid, str], ...] = ()

    @property
    def goes_on(self) -> bool:
        """Whether there are rows left that can be removed at once."""
        return self.state == PURGING and not self.is_blocked and not self.files

    def after(self, removed: dict[str, int]) -> Step:
        """This step with what those before it have removed."""
        tables = removed.keys() | self.removed.keys()
        return msgspec.structs.replace(
            self, removed={table: removed.get(table, 0) + self.removed.get(table, 0) for table in sorted(tables)}
        )

    @property
    def is_done(self) -> bool:
        """Whether no row is left: what remains are bytes, and the receipt."""
        return self.state in (SCRUBBING, DONE, UNDONE)


def digest_of_surveys(surveys: tuple[Survey, ...]) -> str:
    """What a plan is known by: it changes with every message, chat or row that comes or goes, not with what is live."""
    plain = [(survey.kind, survey.id, survey.chats, survey.counts) for survey in surveys]
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()
