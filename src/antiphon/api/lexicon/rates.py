"""Rates: requests per minute and tenant, frames per second and socket."""

from __future__ import annotations

import math
import time
from collections import deque

from antiphon.domain import limits
from antiphon.domain.errors import RateLimitExceeded
from antiphon.domain.ids import Uid

_WINDOW_SECONDS = 60


class RequestRates:
    """Counts the requests of each tenant in windows of a minute, beginning with the tenant's first request.

    Kept in this process's memory. `requests_max` 0 means no limit.
    """

    def __init__(self, requests_max: int) -> None:
        self._max = requests_max
        self._windows: dict[Uid, tuple[float, int]] = {}

    def count(self, tenant_id: Uid) -> list[tuple[bytes, bytes]]:
        """Count one request; the headers that tell the client where it stands. Never refuses (see `check`)."""
        now = time.time()
        began, used = self._windows.get(tenant_id, (now, 0))
        if now - began >= _WINDOW_SECONDS:
            began, used = now, 0
        if len(self._windows) >= limits.LEXICON_RATE_LIMITED_TENANTS and tenant_id not in self._windows:
            self._windows.clear()
        self._windows[tenant_id] = (began, used + 1)
        return [
            (b"x-ratelimit-limit", str(self._max).encode()),
            (b"x-ratelimit-remaining", str(max(0, self._max - used - 1)).encode()),
            (b"x-ratelimit-reset", str(math.ceil(began + _WINDOW_SECONDS)).encode()),
        ]

    def check(self, tenant_id: Uid) -> None:
        """Raises RateLimitExceeded when the tenant has made more requests than it may in this window."""
        began, used = self._windows.get(tenant_id, (0.0, 0))
        if self._max and used > self._max:
            raise RateLimitExceeded(
                max(1, math.ceil(began + _WINDOW_SECONDS - time.time())),
                f"more than {self._max} requests in a minute",
            )


class FrameRate:
    """Counts the frames of one socket over the last second."""

    def __init__(self, frames_max: int = limits.SOCKET_FRAMES_PER_SECOND) -> None:
        self._max = frames_max
        self._times: deque[float] = deque()

    def take(self) -> bool:
        """Count a frame that has arrived; whether it is within the limit. One that is not still counts as arrived."""
        now = time.monotonic()
        while self._times and now - self._times[0] >= 1:
            self._times.popleft()
        if self._max and len(self._times) >= self._max:
            return False
        self._times.append(now)
        return True
