"""Who goes first: what somebody waits for and what is patient take turns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.domain import limits
from antiphon.stores.sqlite.lanes import Alone, Job, Lanes


def nothing(_: Any) -> None:
    """An operation."""


async def jobs(count: int, *, is_patient: bool = False) -> list[Job]:
    """Some that wait."""
    return [Job(nothing, asyncio.get_running_loop(), is_patient=is_patient) for _ in range(count)]


async def test_the_lanes_take_turns() -> None:
    """So a flood of the one does not keep the other away."""
    lanes = Lanes()
    prompt, patient = await jobs(2), await jobs(2, is_patient=True)
    lanes.put(patient[0])
    lanes.put(prompt[0])
    assert lanes.next_batch() == [prompt[0]]
    lanes.put(prompt[1])
    assert lanes.next_batch() == [patient[0]]
    lanes.put(patient[1])
    assert lanes.next_batch() == [prompt[1]]
    assert lanes.next_batch() == [patient[1]]
    assert len(lanes) == 0


async def test_a_lane_alone_waits_for_nobody() -> None:
    """And all that waits in it is one batch."""
    lanes = Lanes()
    patient = await jobs(3, is_patient=True)
    for number in range(2):
        lanes.put(patient[number])
    assert lanes.next_batch() == patient[:2]
    lanes.put(patient[2])
    assert lanes.next_batch() == patient[2:]


async def test_latecomers_are_those_who_do_not_like_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a batch has room for."""
    monkeypatch.setattr(limits, "WRITE_BATCH_OPERATIONS", 3)
    lanes = Lanes()
    prompt, patient = await jobs(5), await jobs(1, is_patient=True)
    for job in (*prompt[:1], *patient, *prompt[1:]):
        lanes.put(job)
    assert lanes.latecomers(1) == prompt[:2]
    assert lanes.latecomers(3) == []
    assert len(lanes) == 4
    assert lanes.next_batch() == prompt[2:]
    assert lanes.next_batch() == patient


async def test_what_wants_to_be_alone_is() -> None:
    """And keeps its place among those who are patient."""
    lanes = Lanes()
    (prompt,), patient = await jobs(1), await jobs(2, is_patient=True)
    alone = Alone(nothing, asyncio.get_running_loop(), is_patient=True)
    for job in (patient[0], alone, patient[1], prompt):
        lanes.put(job)
    batches = [lanes.next_batch() for _ in range(4)]
    assert batches == [[prompt], [patient[0]], [alone], [patient[1]]]


async def test_the_end_comes_when_all_is_done() -> None:
    """What was put before is given out first."""
    lanes = Lanes()
    waiting = [*await jobs(1), *await jobs(1, is_patient=True)]
    for job in waiting:
        lanes.put(job)
    lanes.close()
    assert [lanes.next_batch() for _ in range(4)] == [waiting[:1], waiting[1:], [], []]
