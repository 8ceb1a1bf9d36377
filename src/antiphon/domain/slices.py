"""Slice: which part of a list is asked for."""

from __future__ import annotations

import msgspec


class Slice(msgspec.Struct, frozen=True):
    """The part of a list that is asked for: `limit` items after the first `offset`, in either order of making."""

    offset: int
    limit: int
    is_reversed: bool = False
