"""The contract of searching what was said: the same hits in the same order, indexed or not yet."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from antiphon.core.indexing import Indexing
from antiphon.core.ports import Store
from antiphon.core.ports.indexing import TEXT, IndexWork
from antiphon.core.search import rank_of, search_texts
from antiphon.domain import limits
from antiphon.domain.deletions import CANCEL, CHAT, PARTICIPANT, SESSION, TENANT, Order
from antiphon.domain.filters import EQ, EVERYTHING, All, FieldTest, Filter, Not
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import Message
from antiphon.domain.texts import storable
from antiphon.domain.turns import TurnStart
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    draft,
    new_multi,
    new_single,
    new_tenant,
    purge,
    say,
)

NAME = "t"
TURNS = 100

TEXTS = (
    "Running along the river",
    "She runs every day.",
    "A runner's high",
    "He ran",
    "rhythm & blues",
    "It costs $4.50 (about 4,20 €)",
    "ÉTÉ à la plage",
    "été indien",
    "ΟΔΟΣ Αθηνών",
    "Straße, STRASSE, straße",
    "İstanbul'da",
    "日本語のテストです",
    "語の順序",
    "🦜🦜🦜 parrots 🦜",
    'say "hello" NEAR(the, door)',
    "a* OR b AND NOT c",
    "--drop; 100% sure_thing \\ {col} : ^x",
    "UPPER lower MiXeD",
    "go",
    "I",
    "",
    "   ",
    "tab\tand\nnewline",
    "\ue000\ue001\ue002 private",
    "x" * 5_000 + " needle " + "y" * 5_000,
    "Kelvin 300 \u212a",
    "e\u0301te\u0301 in parts",
)

QUERIES = (
    "run",
    "RUNNING",
    "runner's",
    "run river",
    "river run",
    "along the",
    "hm & bl",
    "$4.50",
    "4,20 €",
    "été",
    "ÉTÉ",
    "éTé",
    "É",
    "οδος",
    "ΟΔΟΣ",
    "αθηνών",
    "straße",
    "STRASSE",
    "istanbul",
    "İstanbul",
    "本語の",
    "語の",
    "語",
    "🦜🦜🦜",
    "🦜",
    '"hello"',
    "NEAR(the",
    "NEAR",
    "a* OR",
    "*",
    "-",
    "--drop",
    "100%",
    "sure_thing",
    "\\ {col}",
    "^x",
    "mixed",
    "go",
    "i",
    "",
    "  ",
    "tab and",
    "and\nnew",
    "needle",
    "x" * 4_000,
    "needle " + "z" * 10_000,
    "\x00run",
    "ru\x00n",
    "\ue000\ue001\ue002",
    "\u212a",
    "k",
    "e\u0301te\u0301",
    "zzzzzz",
    "texts : run",
    "whose : run",
)


def expected(messages: Sequence[Message], query: str) -> list[str]:
    """What a search must find, by the definition: the best first, of equals the newest."""
    asked = storable(query).strip()
    ranked = [(rank, message.id, message.text) for message in messages if (rank := rank_of(message.text, asked))]
    return [text for _, _, text in sorted(ranked, reverse=True)]


async def found(store: Store, tenant_id: Uid, query: str, wanted: Filter = EVERYTHING) -> list[str]:
    """The texts that a search finds."""
    return [message.text for _, message in await search_texts(store, tenant_id, NAME, query, wanted)]


async def index(store: Store, *works: IndexWork) -> Indexing:
    """Do all that waits for some kinds of work, or for the index of texts."""
    indexing = Indexing(store, works or [store.search])
    await indexing.catch_up()
    return indexing


def only(session_id: str) -> Filter:
    """The messages of one session."""
    return FieldTest("session", EQ, (session_id,))


class SearchContract:
    """Searches: what the definition says, whatever the index has."""

    async def test_every_query_finds_the_same_before_and_after_indexing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        stored: list[Message] = []
        for name in ("s", "r"):
            _, chat = await new_single(store, tenant, name)
            stored += await say(store, tenant, chat, *TEXTS)
        wanted = {query: expected(stored, query) for query in QUERIES}
        assert {query: await found(store, tenant, query) for query in QUERIES} == wanted
        await index(store)
        assert (await store.indexing.backlog(TEXT)).messages == 0
        assert {query: await found(store, tenant, query) for query in QUERIES} == wanted
        one = {query: expected(stored[: len(TEXTS)], query) for query in QUERIES}
        assert {query: await found(store, tenant, query, only("s")) for query in QUERIES} == one

    async def test_the_index_narrows_what_is_read(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        await say(store, tenant, chat, "a needle", "hay", "straw")
        ask = (tenant, NAME, None, EVERYTHING)
        seen = await store.search.candidates(*ask, ["needle"], 10)
        assert seen is not None
        assert len(seen) == 3, "what is not indexed is read"
        await index(store)
        seen = await store.search.candidates(*ask, ["needle"], 10)
        assert seen is not None
        assert [(at, message.text) for at, message in seen] == [("s", "a needle")]
        assert await store.search.candidates(*ask, ["ne"], 10) is None
        assert await store.search.candidates(*ask, [], 10) is None
        (more,) = await say(store, tenant, chat, "one more")
        seen = await store.search.candidates(*ask, ["needle"], 10)
        assert seen is not None
        assert [message.text for _, message in seen] == ["one more", "a needle"]
        assert more.seq == 4

    async def test_what_too_many_have_is_found_by_reading_back(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "INDEX_HITS", 5)
        monkeypatch.setattr(limits, "HONCHO_SEARCH_CANDIDATES", 3)
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        await say(store, tenant, chat, *(f"word {i}" for i in range(6)), "rare bird")
        await index(store)
        assert await store.search.candidates(tenant, NAME, None, EVERYTHING, ["word"], 3) is None
        newest = ["word 5", "word 4", "word 3"]
        assert await found(store, tenant, "word") == newest
        assert await found(store, tenant, "words", only("s")) == newest
        assert await found(store, tenant, "rare") == ["rare bird"]

    async def test_the_whole_query_goes_before_its_words(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        await say(store, tenant, chat, "the whole phrase", "a phrase, whole and new", "whole", "the whole phrase again")
        best = ["the whole phrase again", "the whole phrase", "a phrase, whole and new"]
        for _ in range(2):
            assert await found(store, tenant, "whole phrase") == best
            await index(store)

    async def test_filters_hold_for_what_is_indexed_and_what_is_not(self, store: Store) -> None:
        tenant = await new_tenant(store)
        for name in ("s", "r"):
            _, chat = await new_single(store, tenant, name)
            await store.messages.append(tenant, chat.key, [draft(f"ann in {name}"), draft(f"bob in {name}", "bob")])
        author = FieldTest("author", EQ, ("bob",))
        for _ in range(2):
            assert await found(store, tenant, "in", author) == ["bob in r", "bob in s"]
            assert await found(store, tenant, "bob in", author) == ["bob in r", "bob in s"]
            assert await found(store, tenant, "bob in", only("r")) == ["bob in r"]
            assert await found(store, tenant, "bob in", All((only("s"), author))) == ["bob in s"]
            assert await found(store, tenant, "bob in", only("nowhere")) == []
            assert await found(store, tenant, "bob in", Not(only("s"))) == ["bob in r"]
            await index(store)

    async def test_only_single_sessions_of_the_tenant_are_searched(self, store: Store) -> None:
        tenants = [await new_tenant(store) for _ in range(3)]
        for tenant in tenants[:2]:
            _, chat = await new_single(store, tenant, "s")
            await say(store, tenant, chat, "a shared word", "another")
        _, room = await new_multi(store, tenants[2])
        await say(store, tenants[2], room, "a shared word")
        for _ in range(2):
            assert await found(store, tenants[0], "shared word") == ["a shared word"]
            assert await found(store, tenants[1], "shared word", only("s")) == ["a shared word"]
            assert await found(store, tenants[2], "shared word") == []
            await index(store)

    async def test_what_is_deleted_is_not_found_before_and_after_the_purge(self, store: Store) -> None:
        for kind in (CHAT, SESSION, PARTICIPANT, TENANT):
            tenant = await new_tenant(store)
            session, chat = await new_single(store, tenant, "s")
            _, other = await new_single(store, tenant, "kept", owner="bob")
            await store.messages.append(tenant, chat.key, [draft("forget these words"), draft("and these words")])
            kept = [draft("keep these words", "bob"), draft("never these words"), draft("hold these words", "bob")]
            await store.messages.append(tenant, other.key, kept)
            await index(store)
            await say(store, tenant, chat, "late these words")
            if kind == CHAT:
                await store.deletions.detach_chat(tenant, chat.key, Order(CANCEL))
            elif kind == SESSION:
                await store.deletions.detach_session(tenant, session.key, Order(CANCEL))
            elif kind == PARTICIPANT:
                await store.deletions.detach_participant(tenant, session.owner_id, Order(CANCEL))
            else:
                await store.deletions.detach_tenant(tenant, Order(CANCEL), with_sessions=True)
            left = {"keep these words", "hold these words", "never these words"} if kind != TENANT else set()
            assert set(await found(store, tenant, "these words")) == left, kind
            await purge(store, tenant)
            left -= {"never these words"} if kind == PARTICIPANT else set()
            assert set(await found(store, tenant, "these words")) == left, kind
            assert not any((await store.orphans()).values()), kind
            await store.scrub()
            assert set(await found(store, tenant, "these words")) == left, kind
            assert await store.check_integrity() == []

    async def test_what_is_cut_off_is_not_found_and_its_place_is_free_for_new_words(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        stored = await say(store, tenant, chat, "first words", "second words", "third words")
        await index(store)
        assert await store.chats.cut(tenant, chat.key, stored[1].id) == 2
        assert await found(store, tenant, "words") == ["first words"]
        assert (await store.orphans())["texts.seq"] == 0
        await say(store, tenant, chat, "other words")
        await index(store)
        assert await found(store, tenant, "words") == ["other words", "first words"]

    async def test_a_message_that_changes_is_found_by_what_it_says_now(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        stored = await say(store, tenant, chat, "zero", "the old words", "last")
        await index(store)
        start = TurnStart(chat.key, new_uid7(), "assistant", draft("the new saying"), rewind_to=stored[1].id)
        await store.turns.claim(tenant, new_uid7(), start, new_uid7(), TURNS, LONG_LEASE_SECONDS)
        for _ in range(2):
            assert await found(store, tenant, "new saying") == ["the new saying"]
            assert await found(store, tenant, "old words") == []
            assert await found(store, tenant, "zero") == ["zero"]
            await index(store)
        assert (await store.indexing.backlog(TEXT)).chats == 0

    async def test_what_an_undo_brings_back_is_found(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant, "s")
        await say(store, tenant, chat, "indexed words")
        await index(store)
        await say(store, tenant, chat, "late words")
        order = Order(CANCEL, undo_seconds=60)
        job = (await store.deletions.detach_session(tenant, session.key, order)).deletion
        assert await found(store, tenant, "words") == []
        await index(store)
        await store.deletions.undo(tenant, job.id)
        assert await found(store, tenant, "words") == ["late words", "indexed words"]
        await index(store)
        assert await found(store, tenant, "words") == ["late words", "indexed words"]

    async def test_a_copy_is_found_too(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        _, target = await new_single(store, tenant, "copy")
        await say(store, tenant, chat, "copied words")
        await index(store)
        await store.chats.copy(tenant, chat.key, target.key, is_clearing=False)
        for _ in range(2):
            assert await found(store, tenant, "copied words") == ["copied words"] * 2
            assert await found(store, tenant, "copied words", only("copy")) == ["copied words"]
            await index(store)

    async def test_long_messages_are_indexed_one_at_a_time(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "INDEX_CHARACTERS", 10)
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        texts = ["a" * 11, "b" * 5, "c" * 5, "d" * 5, "e" * 30, ""]
        await say(store, tenant, chat, *texts)
        cursors = [0]
        while cursors[-1] < len(texts):
            cursors.append(await store.search.advance(tenant, chat.key, cursors[-1], len(texts)))
        assert cursors == [0, 1, 3, 4, 5, 6]
        for text in texts[:-1]:
            assert await found(store, tenant, text) == [text]
