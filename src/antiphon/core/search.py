"""Searching what was said: whole texts and the forms of words, by the index of texts where that narrows anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from antiphon.core.embeddings import Embeddings
from antiphon.core.fusion import fuse
from antiphon.core.ports import Slice, Store
from antiphon.domain import limits
from antiphon.domain.filters import CONTAINS, EQ, All, FieldTest, Filter
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
    return ranking_by(query)(text)


def ranking_by(query: str) -> Callable[[str], int]:
    """`rank_of` for many texts: what there is to find out of the query is found out once."""
    whole = query.lower()
    stems = tuple({stem_of(word) for word in _words(query)})

    def rank(text: str) -> int:
        if whole in text.lower():
            return 2
        missing = set(stems)
        for word in _WORD.findall(text):
            if missing and word.lower().startswith(stems):  # a stem is the beginning of each of its forms
                missing.discard(stem_of(word))
        return 1 if stems and not missing else 0

    return rank


def _words(query: str) -> list[str]:
    """The words of a query; none when it has punctuation, which is then to stand in the text as it does there."""
    words = _WORD.findall(query)
    return words[: limits.HONCHO_SEARCH_WORDS] if " ".join(words) == " ".join(query.split()) else []


def has_meaning(query: str) -> bool:
    """Whether there is a word in it without a digit: ids, numbers and signs mean this one, and nothing that is like it.

    To a model they all mean much the same, so that any of them would be near any other.
    """
    return any(any(map(str.isalpha, word)) and not any(map(str.isdigit, word)) for word in query.split())


async def search_messages(
    store: Store, embeddings: Embeddings, tenant_id: Uid, tenant_name: str, query: str, wanted: Filter, limit: int
) -> list[tuple[str, Message]]:
    """The messages of `single` sessions that fit best, each with the public id of its session.

    Without embeddings those of `search_texts`; with them what means nearly the same is found too, and the best are
    those of both rankings together (`core.fusion`). What has no meaning is only looked for as it stands.
    """
    said = await search_texts(store, tenant_id, tenant_name, query, wanted)
    near: list[tuple[str, Message]] = []
    if has_meaning(query):
        near = await embeddings.messages(tenant_id, tenant_name, wanted, storable(query).strip(), limits.VECTOR_HITS)
    hits = {hit[1].id: hit for hit in (*near, *said)}
    best = fuse([[hit[1].id for hit in said], [hit[1].id for hit in near]])
    return [hits[key] for key in best[:limit]]


async def search_texts(
    store: Store, tenant_id: Uid, tenant_name: str, query: str, wanted: Filter
) -> list[tuple[str, Message]]:
    """The messages of `single` sessions that say it, each with the id of its session: the best first, then newest.

    Those that hold the query as it stands go before those that have its words in other forms; an empty query fits
    everything. Of what fits only the newest HONCHO_SEARCH_CANDIDATES are looked at. What was acknowledged is found,
    whether it is indexed yet or not.
    """
    query = storable(query).strip()
    # What has the whole query has the beginnings of its words, too. The longest is the rarest: it is asked for first.
    pieces = sorted({stem_of(word) for word in _words(query)}, key=len, reverse=True) or [query.lower()]
    may_fit = All(tuple(FieldTest("text", CONTAINS, (piece,)) for piece in pieces))
    found = await _newest(store, tenant_id, tenant_name, All((wanted, may_fit)), pieces, _only_session(wanted))
    rank_by = ranking_by(query)
    ranked = [(rank, hit) for hit in found if (rank := rank_by(hit[1].text))]
    ranked.sort(key=lambda pair: (pair[0], pair[1][1].id), reverse=True)
    return [hit for _, hit in ranked]


async def _newest(
    store: Store, tenant_id: Uid, tenant_name: str, wanted: Filter, pieces: Sequence[str], session_id: str | None
) -> list[tuple[str, Message]]:
    """The newest candidates: by the index, or where that is of no help by reading back from the end."""
    count = limits.HONCHO_SEARCH_CANDIDATES
    chat = None
    if session_id is not None:
        chat = await store.chats.find_of_single(tenant_id, session_id)
        if chat is None:
            return []
    key = chat.key if chat else None
    found = await store.search.candidates(tenant_id, tenant_name, key, wanted, pieces, count)
    if found is not None:
        return found
    if chat is None:
        return await store.lists.newest_messages(tenant_id, tenant_name, wanted, count)
    page = await store.lists.messages(tenant_id, tenant_name, chat.key, wanted, Slice(0, count, is_reversed=True))
    return [(chat.session_id, message) for message in page.items]


def _only_session(wanted: Filter) -> str | None:
    """The id of the one session that a filter lets through, if it says so."""
    if isinstance(wanted, All):
        return next((found for part in wanted.parts if (found := _only_session(part)) is not None), None)
    if isinstance(wanted, FieldTest) and wanted.field == "session" and wanted.operator == EQ:
        return str(wanted.values[0])
    return None
