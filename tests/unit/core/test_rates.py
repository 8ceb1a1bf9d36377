"""The counting behind the limits of requests, with a clock of its own."""

from __future__ import annotations

from antiphon.core.rates import RequestRates
from antiphon.domain.errors import RateLimitExceeded

OURS, THEIRS = b"o" * 16, b"t" * 16


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(rates: RequestRates, limit: int, tenant: bytes = OURS) -> int:
    """The seconds to wait; 0 when the request is within the limit."""
    try:
        rates.count(tenant, limit)
    except RateLimitExceeded as error:
        return error.retry_after_seconds
    return 0


def remaining(rates: RequestRates) -> int:
    standing = rates.standing(OURS)
    assert standing is not None
    return standing.remaining


def test_a_window_begins_with_the_first_request_and_lasts_a_minute() -> None:
    clock = Clock()
    rates = RequestRates(clock=clock)
    assert (refused(rates, 2), remaining(rates)) == (0, 1)
    clock.now += 30.5
    assert (refused(rates, 2), remaining(rates)) == (0, 0)
    assert (refused(rates, 2), remaining(rates)) == (30, 0)
    clock.now += 29.4
    assert refused(rates, 2) == 1
    clock.now += 0.1
    assert (refused(rates, 2), remaining(rates)) == (0, 1)


def test_a_changed_limit_holds_at_once() -> None:
    rates = RequestRates(clock=Clock())
    assert [refused(rates, 2) for _ in range(3)] == [0, 0, 60]
    assert (refused(rates, 5), remaining(rates)) == (0, 1)
    assert refused(rates, 1) == 60
    assert (refused(rates, 0), rates.standing(OURS)) == (0, None)
    assert refused(rates, 1) == 0


def test_tenants_do_not_share_a_window() -> None:
    rates = RequestRates(clock=Clock())
    assert refused(rates, 1) == 0
    assert refused(rates, 1) == 60
    assert refused(rates, 1, THEIRS) == 0


def test_zero_is_no_limit() -> None:
    rates = RequestRates()
    assert [refused(rates, 0) for _ in range(1000)] == [0] * 1000
    assert rates.standing(OURS) is None


def test_the_oldest_window_makes_room() -> None:
    rates = RequestRates(tenants_max=2, clock=Clock())
    tenants = [bytes([i]) * 16 for i in range(3)]
    assert [refused(rates, 1, tenant) for tenant in tenants] == [0, 0, 0]
    assert rates.standing(tenants[0]) is None
    assert refused(rates, 1, tenants[2]) == 60
    assert refused(rates, 1, tenants[1]) == 60
    assert refused(rates, 1, tenants[0]) == 0
