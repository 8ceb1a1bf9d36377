"""The events of a turn in memory: everybody gets all of them in order, and nobody waits for anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from antiphon.core.ports.streams import Record
from antiphon.domain import limits
from antiphon.domain.errors import FollowerTooSlow
from antiphon.domain.events import Event, TextAdded
from antiphon.domain.ids import new_uid7
from antiphon.domain.turns import RUNNING, Turn
from antiphon.streams.channel import MemoryChannel, MemoryFollower

TURN = Turn(
    id=new_uid7(),
    tenant_id=new_uid7(),
    chat_key=new_uid7(),
    state=RUNNING,
    node=new_uid7(),
    reply_id=new_uid7(),
    reply_parts=None,
    model=None,
    agent_name="assistant",
    is_stop_requested=False,
    event_count=0,
    error=None,
    started_at=0,
    ended_at=None,
    is_live=True,
)


def piece(number: int) -> Event:
    """An event that can be told from the others."""
    return TextAdded("txt-0", str(number))


def never() -> None:
    """Who is not slow is never cut off."""
    pytest.fail("cut off")


async def read(follower: MemoryFollower) -> list[str]:
    """What a follower gets, to the end."""
    return [
        record.event.text async for records in follower for record in records if isinstance(record.event, TextAdded)
    ]


async def test_all_followers_get_all_events_in_order() -> None:
    """Whether they come before, in the middle or at the end."""
    channel = MemoryChannel(TURN)
    early = asyncio.create_task(read(channel.join(0, never)))
    await asyncio.sleep(0)
    channel.publish([piece(0), piece(1)])
    middle = asyncio.create_task(read(channel.join(0, never)))
    await asyncio.sleep(0)
    channel.publish([piece(2)])
    channel.close()
    late = channel.join(0, never)
    assert await early == await middle == await read(late) == ["0", "1", "2"]


async def test_one_may_begin_in_the_middle_or_ahead() -> None:
    """An index beyond the newest event is waited for."""
    channel = MemoryChannel(TURN)
    channel.publish([piece(0), piece(1)])
    middle, ahead = channel.join(1, never), asyncio.create_task(read(channel.join(3, never)))
    await asyncio.sleep(0)
    channel.publish([piece(2), piece(3)])
    channel.close()
    assert await read(middle) == ["1", "2", "3"]
    assert await ahead == ["3"]


async def test_who_asks_for_more_than_an_ended_turn_has_gets_its_end() -> None:
    """What was lost in a crash cannot be asked for; that it is over must be heard."""
    channel = MemoryChannel(TURN)
    channel.publish([piece(0), piece(1)])
    channel.close()
    assert await read(channel.join(9, never)) == ["1"]
    assert await read(channel.join(2, never)) == []


async def test_nothing_follows_the_end() -> None:
    """A late event is not published."""
    channel = MemoryChannel(TURN)
    channel.close()
    channel.publish([piece(0)])
    assert await read(channel.join(0, never)) == []


async def test_who_is_far_behind_is_cut_off_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishing does not wait for it; the others have everything."""
    monkeypatch.setattr(limits, "FOLLOWER_EVENTS_BEHIND", 2)
    cut: list[str] = []
    channel = MemoryChannel(TURN)
    stuck, lively = channel.join(0, lambda: cut.append("stuck")), channel.join(0, never)
    channel.publish([piece(0)])
    await anext(stuck)  # and never comes back for more
    channel.publish([piece(1), piece(2), piece(3)])
    reading = asyncio.create_task(read(lively))
    await asyncio.sleep(0)
    now = asyncio.get_running_loop().time()
    channel.check(now + limits.FOLLOWER_LAG_SECONDS - 1)
    assert cut == []
    channel.check(now + limits.FOLLOWER_LAG_SECONDS)
    channel.close()
    assert cut == ["stuck"]
    assert await reading == ["0", "1", "2", "3"]
    with pytest.raises(FollowerTooSlow):
        await anext(stuck)


async def test_who_takes_nothing_for_long_is_cut_off() -> None:
    """Even when little waits for it: its connection is dead, or as good as."""
    cut: list[bool] = []
    channel = MemoryChannel(TURN)
    stuck = channel.join(0, lambda: cut.append(True))
    channel.publish([piece(0)])
    await anext(stuck)
    now = asyncio.get_running_loop().time()
    channel.check(now + limits.FOLLOWER_STALL_SECONDS - 1)
    assert not cut
    channel.check(now + limits.FOLLOWER_STALL_SECONDS + 1)
    assert cut == [True]


async def test_silence_wakes_with_nothing() -> None:
    """So that a wire can show that it lives; then the next event comes as ever."""
    channel = MemoryChannel(TURN)
    follower = channel.join(0, never)
    waiting = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    channel.check(asyncio.get_running_loop().time() + limits.FOLLOWER_SILENCE_SECONDS + 1)
    assert await waiting == ()
    channel.publish([piece(0)])
    assert [record.sequence for record in await anext(follower)] == [0]


async def test_the_last_who_leaves_is_noted() -> None:
    """What is kept for followers only may go then."""
    left: list[bool] = []
    channel = MemoryChannel(TURN, lambda: left.append(True))
    one, other = channel.join(0, never), channel.join(0, never)
    one.close()
    one.close()
    assert not left
    other.close()
    assert left == [True]


async def test_who_is_cancelled_while_waiting_takes_nobody_along() -> None:
    """Each waits for itself."""
    channel = MemoryChannel(TURN)
    leaving = asyncio.ensure_future(anext(channel.join(0, never)))
    staying = asyncio.ensure_future(anext(channel.join(0, never)))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    channel.publish([piece(0)])
    assert [record.sequence for record in await staying] == [0]


class Wire:
    """Where a pumped follower writes: `room` is how many writes it has room for before it must be drained."""

    def __init__(self, room: int = 1_000) -> None:
        self.room = room
        self.written: list[str] = []
        self.empty = asyncio.Event()

    def write(self, records: Sequence[Record]) -> bool:
        """Note the events."""
        self.written += [str(record.sequence) for record in records] or ["alive"]
        self.room -= 1
        return self.room > 0

    async def drained(self) -> None:
        """Room again, once the test says so."""
        await self.empty.wait()
        self.empty.clear()
        self.room = 1_000


async def test_who_can_write_is_written_to_by_the_publisher() -> None:
    """What was there before, then each event as it is published, without a turn of the loop in between."""
    channel, wire = MemoryChannel(TURN), Wire()
    channel.publish([piece(0)])
    pumping = asyncio.create_task(channel.join(0, never).pump(wire.write, wire.drained))
    await asyncio.sleep(0)
    assert wire.written == ["0"]
    channel.publish([piece(1), piece(2)])
    assert wire.written == ["0", "1", "2"]
    channel.publish([piece(3)])
    channel.close()
    await pumping
    assert wire.written == ["0", "1", "2", "3"]


async def test_who_has_no_room_is_left_alone_and_gets_the_rest_later() -> None:
    """Nothing is written to it meanwhile, and nothing is lost or said twice."""
    channel, wire = MemoryChannel(TURN), Wire(room=2)
    pumping = asyncio.create_task(channel.join(0, never).pump(wire.write, wire.drained))
    await asyncio.sleep(0)
    for number in range(5):
        channel.publish([piece(number)])
    assert wire.written == ["0", "1"]
    wire.empty.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert wire.written == ["0", "1", "2", "3", "4"]
    channel.publish([piece(5)])
    channel.close()
    await pumping
    assert wire.written == ["0", "1", "2", "3", "4", "5"]


async def test_who_is_written_to_and_takes_nothing_is_cut_off() -> None:
    """Also while its task waits for room."""
    cut: list[bool] = []
    channel, wire = MemoryChannel(TURN), Wire(room=1)
    pumping = asyncio.create_task(channel.join(0, lambda: cut.append(True)).pump(wire.write, wire.drained))
    await asyncio.sleep(0)
    channel.publish([piece(0)])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    channel.publish([piece(1)])
    channel.check(asyncio.get_running_loop().time() + limits.FOLLOWER_STALL_SECONDS + 1)
    assert cut == [True]
    wire.empty.set()
    with pytest.raises(FollowerTooSlow):
        await pumping
    assert wire.written == ["0"]


async def test_silence_is_told_to_who_is_written_to() -> None:
    """A sign of life, and then the next event as ever."""
    channel, wire = MemoryChannel(TURN), Wire()
    pumping = asyncio.create_task(channel.join(0, never).pump(wire.write, wire.drained))
    await asyncio.sleep(0)
    channel.check(asyncio.get_running_loop().time() + limits.FOLLOWER_SILENCE_SECONDS + 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.written == ["alive"]
    channel.publish([piece(0)])
    channel.close()
    await pumping
    assert wire.written == ["alive", "0"]
