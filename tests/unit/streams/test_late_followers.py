"""Followers of a turn that has said much already: they take it piece by piece, and trouble nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from antiphon.core.ports.streams import Record
from antiphon.domain import limits
from antiphon.domain.errors import FollowerTooSlow
from antiphon.streams.channel import MemoryChannel
from tests.unit.streams.test_channel import TURN, Wire, never, piece

MANY = 20


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> MemoryChannel:
    """A turn that has said much, of which four events are taken at a time."""
    monkeypatch.setattr(limits, "FOLLOWER_EVENTS_TAKEN", 4)
    monkeypatch.setattr(limits, "FOLLOWER_EVENTS_BEHIND", 6)
    channel = MemoryChannel(TURN)
    channel.publish([piece(number) for number in range(MANY)])
    return channel


async def test_so_many_are_taken_at_a_time(channel: MemoryChannel) -> None:
    follower = channel.join(1, never)
    assert [record.sequence for record in await anext(follower)] == [1, 2, 3, 4]
    channel.close()
    rest = [record.sequence async for records in follower for record in records]
    assert rest == list(range(5, MANY))


async def test_who_reads_slowly_is_kept_and_who_stops_is_not(channel: MemoryChannel) -> None:
    """No more is written than there is room for, however far behind it is; what counts is when it took something."""
    cut: list[bool] = []
    wire = Wire(room=1)
    pumping = asyncio.create_task(channel.join(0, lambda: cut.append(True)).pump(wire.write, wire.drained))
    await asyncio.sleep(0)
    assert wire.written == ["0", "1", "2", "3"]
    channel.check(asyncio.get_running_loop().time())
    assert not cut
    channel.check(asyncio.get_running_loop().time() + limits.FOLLOWER_LAG_SECONDS)
    assert cut == [True]
    wire.empty.set()
    with pytest.raises(FollowerTooSlow):
        await pumping
    assert len(wire.written) == 4


async def test_a_turn_that_is_read_from_the_store_was_said_before(channel: MemoryChannel) -> None:
    """Its events come into the channel piece by piece, faster than they can be written."""
    mirror, wire = MemoryChannel(msgspec.structs.replace(TURN, event_count=MANY)), Wire(room=1)
    pumping = asyncio.create_task(mirror.join(0, never).pump(wire.write, wire.drained))
    await asyncio.sleep(0)
    for record in channel.records:
        mirror.publish([record.event])
        await asyncio.sleep(0)
    assert wire.written == ["0"]
    wire.empty.set()
    mirror.close()
    await pumping
    assert wire.written == [str(number) for number in range(MANY)]


async def test_a_whole_turn_is_written_with_pauses_for_others(channel: MemoryChannel) -> None:
    wire = Wire()
    pumping = asyncio.create_task(channel.join(0, never).pump(wire.write, wire.drained))
    await asyncio.sleep(0)
    assert len(wire.written) == 4
    channel.check(asyncio.get_running_loop().time())
    channel.close()
    await pumping
    assert wire.written == [str(number) for number in range(MANY)]


async def test_many_events_at_once_reach_who_waits(channel: MemoryChannel) -> None:
    """Not only as many as the publisher writes."""
    wire = Wire()
    pumping = asyncio.create_task(channel.join(MANY, never).pump(wire.write, wire.drained))
    await asyncio.sleep(0)
    channel.publish([piece(number) for number in range(MANY)])
    channel.check(asyncio.get_running_loop().time())
    async with asyncio.timeout(10):
        while len(wire.written) < MANY:  # noqa: ASYNC110  there is nothing to wait for but the count itself
            await asyncio.sleep(0)
    channel.publish([piece(0)])
    channel.close()
    await pumping
    assert wire.written == [str(number) for number in range(MANY, 2 * MANY + 1)]


async def test_who_cannot_be_written_to_is_alone_with_that() -> None:
    """Neither the publisher nor the others notice."""

    def broken(_: Sequence[Record]) -> bool:
        raise RuntimeError("the wire is gone")

    channel, wire = MemoryChannel(TURN), Wire()
    pumps = [
        asyncio.create_task(channel.join(0, never).pump(write, wire.drained)) for write in (broken, wire.write, broken)
    ]
    await asyncio.sleep(0)
    channel.publish([piece(0)])
    channel.close()
    first, healthy, second = await asyncio.gather(*pumps, return_exceptions=True)
    assert wire.written == ["0"]
    assert healthy is None
    assert isinstance(first, RuntimeError)
    assert isinstance(second, RuntimeError)


async def test_who_has_left_takes_nobody_along() -> None:
    """Closing twice is no error, and whatever is kept for others by then stays."""
    left: list[bool] = []
    channel = MemoryChannel(TURN, lambda: left.append(True))
    follower = channel.join(0, never)
    follower.close()
    follower.close()
    assert left == [True]
