"""Fusing rankings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from antiphon.core.fusion import fuse

RANKINGS = some.lists(some.lists(some.integers(0, 20), unique=True), max_size=4)


def test_what_both_know_goes_before_what_one_knows() -> None:
    assert fuse([["a", "b", "c"], ["d", "c"]]) == ["c", "a", "d", "b"]


def test_one_ranking_stays_as_it_is_and_none_is_empty() -> None:
    assert fuse([["b", "a", "c"]]) == ["b", "a", "c"]
    assert fuse([["b", "a"], []]) == ["b", "a"]
    assert fuse([]) == []


def test_equal_ones_stay_in_the_order_in_which_they_came() -> None:
    assert fuse([["a", "b"], ["b", "a"]]) == ["a", "b"]
    assert fuse([["x"], ["y"], ["z"]]) == ["x", "y", "z"]


def test_a_small_k_favours_the_first_places() -> None:
    rankings = [["a", "b", "c"], ["d", "b", "c"]]
    assert fuse(rankings, k=60)[0] == "b"
    assert fuse([["a", "b"], ["c", "d", "e", "b"]], k=0)[0] == "a"


@given(RANKINGS)
def test_everything_comes_once_and_a_place_forward_never_harms(rankings: list[list[int]]) -> None:
    fused = fuse(rankings)
    assert sorted(fused) == sorted({key for ranking in rankings for key in ranking})
    for ranking in rankings:
        if len(ranking) > 1:
            better = [ranking[-1], *ranking[:-1]]
            others = [one for one in rankings if one is not ranking]
            again = fuse([better, *others])
            assert again.index(ranking[-1]) <= fuse([ranking, *others]).index(ranking[-1])
