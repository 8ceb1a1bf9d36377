"""What the core needs of the live streams: events of a turn, published once, followed by any number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from antiphon.domain.events import Event
from antiphon.domain.ids import Uid
from antiphon.domain.turns import Turn


class Record:
    """One event with its sequence. `frames` holds its wire forms once made: a thousand followers share one encoding."""

    __slots__ = ("event", "frames", "sequence")

    def __init__(self, sequence: int, event: Event) -> None:
        self.sequence = sequence
        self.event = event
        self.frames: dict[str, bytes] = {}


Write = Callable[[Sequence[Record]], bool]
"""Puts events (none: a sign of life) where they are sent from, without waiting; whether there is room for more."""


class Channel(Protocol):
    """Where the process that runs a turn publishes its events."""

    turn: Turn

    @property
    def count(self) -> int:
        """How many events have been published: the sequence of the next."""
        ...

    def publish(self, events: Sequence[Event]) -> None:
        """Hand the next events to all followers; never waits for any of them."""
        ...

    def confirm(self, count: int) -> None:
        """So many events, from the first on, are stored by now: those who want no others may have them."""
        ...

    def close(self) -> None:
        """No more events: followers end when they have had them all."""
        ...

    def lose(self, events: Sequence[Event], kept: int) -> None:
        """End with these events: nobody is given those before them any more, but for the first `kept`."""
        ...


class Follower(Protocol):
    """One who follows a turn: yields the events from its first on, some at a time, and ends after the turn's last.

    After FOLLOWER_SILENCE_SECONDS without an event it yields none, so that its wire can show that it lives. Raises
    FollowerTooSlow when it was cut off.
    """

    @property
    def turn(self) -> Turn:
        """The turn as it was when this process first saw it."""
        ...

    def __aiter__(self) -> AsyncIterator[Sequence[Record]]:
        """Itself."""
        ...

    async def __anext__(self) -> Sequence[Record]:
        """The next events, in order."""
        ...

    async def pump(self, write: Write, drained: Callable[[], Awaitable[None]]) -> None:
        """Write all events to the turn's last, as `__anext__` would give them, for who can take them without waiting.

        Mostly `write` is called by whoever publishes: nobody is woken for an event. When it says that there is no room,
        it is called again after `drained`. Raises FollowerTooSlow.
        """
        ...

    @property
    def tail(self) -> int:
        """The sequence of the newest event so far, -1 when there is none."""
        ...

    def let_go(self) -> None:
        """Let it end here, before the turn's last event: who follows may not do so any more."""
        ...

    def close(self) -> None:
        """Stop following; closing twice is no error."""
        ...


class Streams(Protocol):
    """The live streams of one process."""

    def open(self, turn: Turn) -> Channel:
        """The channel of a turn that this process runs."""
        ...

    async def follow(
        self, tenant_id: Uid, turn_id: Uid, first: int, on_cut: Callable[[], None], *, is_stored_only: bool = False
    ) -> Follower:
        """Follow a turn of any process from the event of the sequence `first` on.

        One that asks for more than an ended turn has is given its last event. `on_cut` is called when the follower is
        cut off for being slow: it must end whatever keeps it. With `is_stored_only` an event comes when it is stored,
        which is up to TURN_FLUSH_SECONDS later: no crash can then take back what the follower has. Raises TurnNotFound.
        """
        ...

    async def next_turn(self, tenant_id: Uid, chat_key: Uid, seen: Uid | None) -> Turn:
        """The newest turn of a chat as soon as it is another than `seen`, whichever process began it.

        Raises ChatNotFound as soon as the chat is gone.
        """
        ...

    def lose_chats(self, chat_keys: Sequence[Uid]) -> None:
        """End the streams of turns whose chats are gone: nobody is given another word."""
        ...

    def set_closer(self, close_dead: Callable[[Uid, Uid], Awaitable[None]]) -> None:
        """Say what closes a turn (tenant, turn) whose process is found dead."""
        ...

    async def keep_watch(self) -> None:
        """Until cancelled, cut off followers that are too slow and wake those that have heard nothing for long."""
        ...

    async def close(self) -> None:
        """Let go of everything, at the end of the process."""
        ...
