"""Faults: unforeseen exceptions, told without their words."""

from __future__ import annotations

import traceback


def describe(fault: BaseException) -> dict[str, str]:
    """The kind of an exception and the place where it arose, for a log: its text may hold what people wrote."""
    frames = traceback.extract_tb(fault.__traceback__)
    place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "unknown"
    return {"fault": type(fault).__name__, "place": place}
