"""Turn: one run of the agent in a chat, held by a lease, and what it takes to start and to end one."""

from __future__ import annotations

import msgspec

from antiphon.domain.ids import Uid
from antiphon.domain.messages import Draft, Message

RUNNING, COMPLETED, FAILED, STOPPED, INTERRUPTED = "running", "completed", "failed", "stopped", "interrupted"
"""The states. `failed`: the model gave no usable end. `interrupted`: its process died or stopped. All but the first
are final."""


class Turn(msgspec.Struct, frozen=True):
    """A shared turn. `node` is the process that runs it; `event_count` how many of its events the store has.

    `reply_id` is the id of the message that it makes, or goes on with: `reply_parts` is what that message held before
    (a JSON array of parts), or None. `error` says in words fit for a reader why it failed. `is_live` says whether its
    lease holds (by the database's clock); a running turn that is not live belongs to a process that is dead.
    """

    id: Uid
    tenant_id: Uid
    chat_key: Uid
    state: str
    node: Uid
    reply_id: Uid
    reply_parts: str | None
    model: str | None
    agent_name: str
    is_stop_requested: bool
    event_count: int
    error: str | None
    started_at: int
    ended_at: int | None
    is_live: bool


class TurnStart(msgspec.Struct, frozen=True):
    """What is to be claimed: the chat's one slot, together with the message that asks.

    `message` is stored unless the chat has a message of its client id already. `rewind_to` names a stored message of
    the chat: it takes the content of `message` (if there is one), and everything after it is removed. `title` becomes
    the chat's when `message` is stored as the first of the chat. `reply_id` may be that of a stored message, which the
    turn then goes on with.
    """

    chat_key: Uid
    reply_id: Uid
    agent_name: str
    message: Draft | None = None
    rewind_to: Uid | None = None
    title: str | None = None
    model: str | None = None
    reply_parts: str | None = None


class Claimed(msgspec.Struct, frozen=True):
    """A turn that was claimed, and the message that was stored or got new content with it (None when none did)."""

    turn: Turn
    message: Message | None


class EventChunk(msgspec.Struct, frozen=True):
    """Some events of a turn in a row: the sequence of the first, how many, and themselves as a JSON array."""

    first: int
    count: int
    body: str


class TurnEnding(msgspec.Struct, frozen=True):
    """How a turn ends: its state, the last events, and the message that stays (None: nothing was said).

    The message's id is the turn's `reply_id`; a stored message of that id is replaced.
    """

    state: str
    events: EventChunk | None
    reply: Draft | None
    error: str | None = None
