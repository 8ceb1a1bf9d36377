"""The counting behind the limit of frames, with a clock of its own."""

from __future__ import annotations

import pytest

from antiphon.api.ws import FrameRate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_frames_are_counted_over_a_sliding_second() -> None:
    clock = Clock()
    rate = FrameRate(2, clock)
    assert [rate.take(), rate.take(), rate.take()] == [True, True, False]
    clock.now += 0.99
    assert not rate.take()
    clock.now += 0.01
    assert [rate.take(), rate.take(), rate.take()] == [True, True, False]


@pytest.mark.parametrize("count", [1, 50])
def test_frames_without_a_limit(count: int) -> None:
    rate = FrameRate(0, Clock())
    assert all(rate.take() for _ in range(count))
