"""How often, and after which wait, a request is made again whose answer has not begun."""

from __future__ import annotations

import random
from collections.abc import Iterator

from antiphon.domain import limits

PASSING = frozenset({429, 502, 503})
"""The statuses of a server that may well answer in a moment."""


def waits(first_seconds: float) -> Iterator[float | None]:
    """The wait in seconds after each attempt, growing, a quarter to a half of it random; None after the last."""
    for attempt in range(limits.MODEL_ATTEMPTS - 1):
        yield first_seconds * 2**attempt * (0.5 + random.random() / 2)  # noqa: S311  jitter, not a secret
    yield None


def asked_for(told: float | None, otherwise: float) -> float:
    """The wait that a server asked for, MODEL_RETRY_AFTER_SECONDS at most."""
    return otherwise if told is None else min(max(told, 0), limits.MODEL_RETRY_AFTER_SECONDS)
