"""Rates: requests per minute and tenant."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from antiphon.domain import limits
from antiphon.domain.errors import RateLimitExceeded
from antiphon.domain.ids import Uid

_MINUTE_SECONDS = 60

Headers = list[tuple[bytes, bytes]]


class _Window:
    """One tenant's minute: when it ends by the monotonic clock and in Unix seconds, and the requests in it."""

    __slots__ = ("ends_at", "reset", "used")

    def __init__(self, ends_at: float, reset: bytes) -> None:
        self.ends_at = ends_at
        self.reset = reset
        self.used = 0


class RequestRates:
    """Counts the requests of each tenant in windows of a minute, beginning with the tenant's first request.

    Kept in this process's memory, for at most `tenants_max` tenants: beyond that the oldest window is forgotten, which
    is in that tenant's favour. `requests_max` 0 means no limit. `clock` tells monotonic seconds.
    """

    def __init__(
        self,
        requests_max: int,
        tenants_max: int = limits.LEXICON_RATE_LIMITED_TENANTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max = requests_max
        self._tenants_max = tenants_max
        self._clock = clock
        self._windows: dict[Uid, _Window] = {}  # in the order in which they began

    def count(self, tenant_id: Uid) -> None:
        """Count one request. Raises RateLimitExceeded when it is one too many; it is counted all the same."""
        if not self._max:
            return
        now = self._clock()
        window = self._windows.get(tenant_id)
        if window is None or window.ends_at <= now:
            window = self._begin(tenant_id, now)
        window.used += 1
        if window.used > self._max:
            wait = max(1, math.ceil(window.ends_at - now))
            raise RateLimitExceeded(wait, f"more than {self._max} requests in a minute")

    def headers(self, tenant_id: Uid) -> Headers:
        """What tells the client where it stands: nothing while there is no limit, or no request was counted."""
        window = self._windows.get(tenant_id)
        if window is None:
            return []
        return [
            (b"x-ratelimit-limit", b"%d" % self._max),
            (b"x-ratelimit-remaining", b"%d" % max(0, self._max - window.used)),
            (b"x-ratelimit-reset", window.reset),
        ]

    def _begin(self, tenant_id: Uid, now: float) -> _Window:
        self._windows.pop(tenant_id, None)
        if len(self._windows) >= self._tenants_max:
            del self._windows[next(iter(self._windows))]
        reset = b"%d" % math.ceil(time.time() + _MINUTE_SECONDS)
        window = self._windows[tenant_id] = _Window(now + _MINUTE_SECONDS, reset)
        return window
