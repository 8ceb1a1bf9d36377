"""The one form of a vector: float32 of length one, in the order of bytes of the machine, which is little-endian."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

from antiphon.core.ports.embeddings import Vector
from antiphon.domain import limits


def pack(numbers: Iterable[float]) -> Vector:
    """The vector of that direction. Raises ValueError for one without a direction, or with too many dimensions."""
    given = list(numbers)
    length = math.sqrt(sum(number * number for number in given))
    if not given or len(given) > limits.EMBEDDING_DIMENSIONS or not math.isfinite(length) or length == 0:
        raise ValueError("not a vector with a direction")
    return array("f", (number / length for number in given)).tobytes()
