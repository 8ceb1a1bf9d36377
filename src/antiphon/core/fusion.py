"""Several rankings of the same things made into one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

from antiphon.domain import limits

K = TypeVar("K", bound=Hashable)


def fuse(rankings: Sequence[Sequence[K]], k: int = limits.FUSION_K) -> list[K]:
    """All that stands in any of the rankings, each best first, once: the best of all first.

    Reciprocal Rank Fusion (Cormack, Clarke, Büttcher 2009): a place of a ranking counts 1 / (k + place), so that what
    several rankings know goes before what only one does, and no scores of different measures need to be compared. Equal
    ones stay in the order in which they came first.
    """
    scores: dict[K, float] = {}
    for ranking in rankings:
        for place, key in enumerate(dict.fromkeys(ranking), start=1):
            scores[key] = scores.get(key, 0.0) + 1 / (k + place)
    return sorted(scores, key=lambda key: -scores[key])
