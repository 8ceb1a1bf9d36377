"""Rates: requests of a tenant per minute."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import msgspec

from antiphon.domain import limits
from antiphon.domain.errors import RateLimitExceeded
from antiphon.domain.ids import Uid

MINUTE_SECONDS = 60


class Standing(msgspec.Struct, frozen=True):
    """Where a tenant stands: its limit, what is left of it, and when the minute ends.

    `seconds` are until then, at least 1; `ends_at` is the same in Unix seconds.
    """

    limit: int
    remaining: int
    seconds: int
    ends_at: int


class _Window:
    """One tenant's minute: when it ends by the monotonic clock and in Unix seconds, and the requests in it."""

    __slots__ = ("ends_at", "limit", "reset", "used")

    def __init__(self, ends_at: float, reset: int) -> None:
        self.ends_at = ends_at
        self.reset = reset
        self.used = 0
        self.limit = 0


class RequestRates:
    """Counts the requests of each tenant in windows of a minute, beginning with the tenant's first request.

    Kept in this process's memory, for at most `tenants_max` tenants: beyond that the oldest window is forgotten, which
    is in that tenant's favour. `clock` tells monotonic seconds.
    """

    def __init__(
        self, tenants_max: int = limits.RATE_LIMITED_TENANTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tenants_max = tenants_max
        self._clock = clock
        self._windows: dict[Uid, _Window] = {}  # in the order in which they began

    def count(self, tenant_id: Uid, requests_max: int) -> None:
        """Count one request of at most so many a minute (0: no limit).

        Raises RateLimitExceeded when it is one too many; it is counted all the same.
        """
        if not requests_max:
            self._windows.pop(tenant_id, None)
            return
        window = self._windows.get(tenant_id)
        if window is None or window.ends_at <= self._clock():
            window = self._begin(tenant_id)
        window.used += 1
        window.limit = requests_max
        if window.used > requests_max:
            raise RateLimitExceeded(self._seconds_of(window), f"more than {requests_max} requests in a minute")

    def standing(self, tenant_id: Uid) -> Standing | None:
        """Where the tenant stands; None while there is no limit, or no request was counted."""
        window = self._windows.get(tenant_id)
        if window is None:
            return None
        left = max(0, window.limit - window.used)
        return Standing(window.limit, left, self._seconds_of(window), window.reset)

    def _seconds_of(self, window: _Window) -> int:
        return max(1, math.ceil(window.ends_at - self._clock()))

    def _begin(self, tenant_id: Uid) -> _Window:
        self._windows.pop(tenant_id, None)
        if len(self._windows) >= self._tenants_max:
            del self._windows[next(iter(self._windows))]
        reset = math.ceil(time.time() + MINUTE_SECONDS)
        window = self._windows[tenant_id] = _Window(self._clock() + MINUTE_SECONDS, reset)
        return window
