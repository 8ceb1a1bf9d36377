"""Titles for sessions that got none: the name of a city that the account has not used yet."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from importlib.resources import files

CITIES = tuple(files("antiphon.api.recoup").joinpath("city_names.txt").read_text(encoding="utf-8").splitlines())


def free_title(taken: Collection[str], cities: Sequence[str] = CITIES) -> str:
    """A city that is not taken; when all are, one with the smallest number from 2 that makes it free (`Tokyo 2`)."""
    free = [city for city in cities if city not in taken]
    if free:
        return random.choice(free)  # noqa: S311  a name, not a secret
    city = random.choice(cities)  # noqa: S311  likewise
    number = 2
    while f"{city} {number}" in taken:
        number += 1
    return f"{city} {number}"
