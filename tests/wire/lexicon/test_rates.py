"""The counting behind the limits, with a clock of its own."""

from __future__ import annotations

import pytest

from antiphon.api.lexicon.rates import RequestRates
from antiphon.api.ws import FrameRate
from antiphon.domain.errors import RateLimitExceeded

OURS, THEIRS = b"o" * 16, b"t" * 16


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(rates: RequestRates, tenant: bytes = OURS) -> int:
    """The seconds to wait; 0 when the request is within the limit."""
    try:
        rates.count(tenant)
    except RateLimitExceeded as error:
        return error.retry_after_seconds
    return 0


def remaining(rates: RequestRates) -> bytes:
    return dict(rates.headers(OURS))[b"x-ratelimit-remaining"]


def test_a_window_begins_with_the_first_request_and_lasts_a_minute() -> None:
    clock = Clock()
    rates = RequestRates(2, clock=clock)
    assert (refused(rates), remaining(rates)) == (0, b"1")
    clock.now += 30.5
    assert (refused(rates), remaining(rates)) == (0, b"0")
    assert (refused(rates), remaining(rates)) == (30, b"0")
    clock.now += 29.4
    assert refused(rates) == 1
    clock.now += 0.1
    assert (refused(rates), remaining(rates)) == (0, b"1")


def test_tenants_do_not_share_a_window() -> None:
    rates = RequestRates(1, clock=Clock())
    assert refused(rates) == 0
    assert refused(rates) == 60
    assert refused(rates, THEIRS) == 0


def test_zero_is_no_limit() -> None:
    rates = RequestRates(0)
    assert [refused(rates) for _ in range(1000)] == [0] * 1000
    assert rates.headers(OURS) == []


def test_the_oldest_window_makes_room() -> None:
    clock = Clock()
    rates = RequestRates(1, tenants_max=2, clock=clock)
    tenants = [bytes([i]) * 16 for i in range(3)]
    assert [refused(rates, tenant) for tenant in tenants] == [0, 0, 0]
    assert rates.headers(tenants[0]) == []
    assert refused(rates, tenants[2]) == 60
    assert refused(rates, tenants[1]) == 60
    assert refused(rates, tenants[0]) == 0


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
