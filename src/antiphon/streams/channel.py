"""The events of one turn in memory, and those who follow them.

A follower has a place in the one list, not a queue of its own: publishing costs nothing but waking those who wait, and
a slow follower holds back nobody. How much it takes at once is bounded, so that a late one does not fill its buffer
with a whole turn, and so is how long it may take nothing: a reader that is slow but reads is kept, since a place in
the list costs nothing, and one that has stopped is let go, the sooner the more has come meanwhile (`check`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from antiphon.core.ports.streams import Record, Write
from antiphon.domain import limits
from antiphon.domain.errors import FollowerTooSlow
from antiphon.domain.events import Event
from antiphon.domain.turns import Turn


class MemoryChannel:
    """`core.ports.streams.Channel`. `on_idle` is called when its last follower leaves."""

    def __init__(self, turn: Turn, on_idle: Callable[[], None] | None = None) -> None:
        self.turn = turn
        self.is_closed = False
        self.stored = 0
        self.records: list[Record] = []
        self.followers: set[MemoryFollower] = set()
        self.lost = range(0)
        self._on_idle = on_idle

    @property
    def count(self) -> int:
        """See the port."""
        return len(self.records)

    def publish(self, events: Sequence[Event]) -> None:
        """See the port; what comes after the end is not published."""
        if self.is_closed:
            return
        first = len(self.records)
        self.records += [Record(first + at, event) for at, event in enumerate(events)]
        self._wake()

    def confirm(self, count: int) -> None:
        """See the port."""
        self.stored = count
        self._wake()

    def close(self) -> None:
        """See the port; the end is told when it is stored, and everything before it is then."""
        self.is_closed = True
        self.stored = len(self.records)
        self._wake()

    def lose(self, events: Sequence[Event], kept: int) -> None:
        """See the port."""
        if not self.is_closed:
            self.lost = range(kept, len(self.records))
            self.publish(events)
            self.close()

    def _wake(self) -> None:
        for follower in self.followers:
            if follower.behind > 0 or self.is_closed:
                follower.wake()

    def join(self, first: int, on_cut: Callable[[], None], *, is_stored_only: bool = False) -> MemoryFollower:
        """A new follower from that sequence on."""
        follower = MemoryFollower(self, first, on_cut, is_stored_only)
        self.followers.add(follower)
        return follower

    def leave(self, follower: MemoryFollower) -> None:
        """Forget a follower; one that has left already leaves nothing behind that could be noted again."""
        if follower not in self.followers:
            return
        self.followers.remove(follower)
        if not self.followers and self._on_idle is not None:
            self._on_idle()

    def check(self, now: float) -> None:
        """Cut off who is too slow, and wake who has heard nothing for long. `now` is the loop's time in seconds."""
        for follower in list(self.followers):
            follower.check(now)


class MemoryFollower:
    """`core.ports.streams.Follower` over a channel."""

    def __init__(self, channel: MemoryChannel, first: int, on_cut: Callable[[], None], is_stored_only: bool) -> None:
        self._channel = channel
        self._next = first
        self._on_cut = on_cut
        self._is_stored_only = is_stored_only
        self._waiter: asyncio.Future[None] | None = None
        self._write: Write | None = None
        self._is_paused = False
        self._is_cut = False
        self._is_let_go = False
        self._has_ended = False
        self._is_silent = False
        self._took_at = asyncio.get_running_loop().time()

    @property
    def turn(self) -> Turn:
        """See the port."""
        return self._channel.turn

    @property
    def tail(self) -> int:
        """See the port."""
        return self._channel.count - 1

    @property
    def behind(self) -> int:
        """How many events it could take; less than none when it waits for a later one."""
        return (self._channel.stored if self._is_stored_only else self._channel.count) - self._next

    def close(self) -> None:
        """See the port."""
        self._channel.leave(self)

    def let_go(self) -> None:
        """See the port."""
        self._is_let_go = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> MemoryFollower:
        return self

    async def __anext__(self) -> Sequence[Record]:
        loop = asyncio.get_running_loop()
        while True:
            if self._is_cut:
                raise FollowerTooSlow
            self._took_at = loop.time()
            if self._is_let_go:
                raise StopAsyncIteration
            if records := self._take():
                return records
            if self._channel.is_closed:
                raise StopAsyncIteration
            if self._is_silent:
                self._is_silent = False
                return ()
            self._waiter = loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def pump(self, write: Write, drained: Callable[[], Awaitable[None]]) -> None:
        """See the port."""
        loop = asyncio.get_running_loop()
        while True:
            if self._is_paused:
                await drained()
                self._is_paused = False
            if self._is_cut:
                raise FollowerTooSlow
            self._took_at = loop.time()
            if self._is_let_go:
                return
            if (records := self._take()) or self._is_silent:
                self._is_silent = False
                self._is_paused = not write(records)
                if self.behind > 0:
                    await asyncio.sleep(0)  # a long turn that is told anew keeps nobody waiting
            elif self._channel.is_closed:
                return
            else:
                self._waiter, self._write = loop.create_future(), write
                try:
                    await self._waiter
                finally:
                    self._waiter = self._write = None

    def _take(self) -> Sequence[Record]:
        """The next events, FOLLOWER_EVENTS_TAKEN at most."""
        records = self._channel.records
        lost = self._channel.lost
        if self._next in lost:
            self._next = lost.stop
        stop = self._next + min(self.behind, limits.FOLLOWER_EVENTS_TAKEN)
        taken = records[self._next : max(0, min(stop, lost.start) if self._next < lost.start else stop)]
        if not taken and self._channel.is_closed and records and not self._has_ended and self._next > len(records):
            taken = records[-1:]  # it asked for what was lost in a crash: the end is what it has not had
        if taken:
            self._next = taken[-1].sequence + 1
            self._has_ended = self._channel.is_closed and self._next == len(records)
        return taken

    def wake(self) -> None:
        """There is something new: written at once by who can, else the follower's task is told."""
        if self._waiter is None or self._waiter.done():
            return
        write = None if self._is_paused or self._is_let_go or self._channel.is_closed else self._write
        if write is not None and (records := self._take()):
            self._took_at = asyncio.get_running_loop().time()
            try:
                self._is_paused = not write(records)
            except Exception as fault:  # noqa: BLE001  it is this follower's, not the turn's nor the others'
                self._waiter.set_exception(fault)
                return
            if not self._is_paused and self.behind <= 0:
                return
        self._waiter.set_result(None)

    def check(self, now: float) -> None:
        """See the channel."""
        idle = now - self._took_at
        if self._waiter is not None:
            if idle >= limits.FOLLOWER_SILENCE_SECONDS:
                self._is_silent = True
                self.wake()
            return
        is_far_behind = self.behind > limits.FOLLOWER_EVENTS_BEHIND
        if idle >= (limits.FOLLOWER_LAG_SECONDS if is_far_behind else limits.FOLLOWER_STALL_SECONDS):
            self._is_cut = True
            self.close()  # whoever keeps it may never come back to do that
            self._on_cut()
