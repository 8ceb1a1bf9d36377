"""Searching what was said: whole texts and the forms of words, by reading the newest messages that may fit."""

from __future__ import annotations

import re

from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.filters import CONTAINS, All, FieldTest, Filter, Some
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message
from antiphon.domain.texts import storable

_WORD = re.compile(r"\w+")
_ENDINGS = ("ingly", "edly", "ings", "ing", "ies", "ied", "ers", "ed", "es", "er", "ly", "s", "y", "e")
_STEM_CHARACTERS = 3


def stem_of(word: str) -> str:
    """A word in lowercase without the commonest English ending, if enough of it is left: forms of one word meet."""
    word = word.lower()
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_CHARACTERS:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > _STEM_CHARACTERS and word[-1] == word[-2] else word  # running, runs


def rank_of(text: str, query: str) -> int:
    """How well a text fits: 2 when it holds the whole query, 1 when it has all its words in some form, else 0."""
    if query.lower() in text.lower():
        return 2
    words = _words(query)
    if not words:
        return 0
    stems = {stem_of(word) for word in _WORD.findall(text)}
    return 1 if all(stem_of(word) in stems for word in words) else 0


def _words(query: str) -> list[str]:
    """The words of a query; none when it has punctuation, which is then to stand in the text as it does there."""
    words = _WORD.findall(query)
    return words[: limits.HONCHO_SEARCH_WORDS] if " ".join(words) == " ".join(query.split()) else []


async def search_messages(
    store: Store, tenant_id: Uid, tenant_name: str, query: str, wanted: Filter, limit: int
) -> list[tuple[str, Message]]:
    """The messages of `single` sessions that fit, each with the public id of its session: the best first, then newest.

    Those that hold the query as it stands go before those that have its words in other forms; an empty query fits
    everything. Of what fits only the newest HONCHO_SEARCH_CANDIDATES are looked at.
    """
    query = storable(query).strip()
    may_fit: Filter = FieldTest("text", CONTAINS, (query,))
    if words := _words(query):
        may_fit = Some((may_fit, All(tuple(FieldTest("text", CONTAINS, (stem_of(word),)) for word in words))))
    found = await store.lists.newest_messages(
        tenant_id, tenant_name, All((wanted, may_fit)), limits.HONCHO_SEARCH_CANDIDATES
    )
    ranked = [(rank, hit) for hit in found if (rank := rank_of(hit[1].text, query))]
    ranked.sort(key=lambda pair: -pair[0])
    return [hit for _, hit in ranked[:limit]]
