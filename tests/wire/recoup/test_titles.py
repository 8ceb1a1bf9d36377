"""Names for sessions that got none."""

from __future__ import annotations

from antiphon.api.recoup.titles import CITIES, free_title


def test_the_list_has_many_different_names() -> None:
    assert len(CITIES) >= 180
    assert len({city.casefold() for city in CITIES}) == len(CITIES)
    assert all(city == city.strip() and city and not city[-1].isdigit() for city in CITIES)


def test_a_free_name_is_chosen_by_chance() -> None:
    seen = {free_title(set()) for _ in range(200)}
    assert len(seen) > 50
    assert seen <= set(CITIES)


def test_only_free_names_are_chosen() -> None:
    taken = set(CITIES[1:])
    assert {free_title(taken) for _ in range(20)} == {CITIES[0]}


def test_when_all_are_taken_the_smallest_free_number_is_added() -> None:
    assert free_title({"Tokyo"}, ["Tokyo"]) == "Tokyo 2"
    assert free_title({"Tokyo", "Tokyo 2", "Tokyo 4"}, ["Tokyo"]) == "Tokyo 3"
    assert free_title({"Tokyo", "Tokyo 3"}, ["Tokyo"]) == "Tokyo 2"
