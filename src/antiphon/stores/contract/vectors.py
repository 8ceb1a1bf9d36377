"""The contract of vectors: what is near is found, and nothing outlives what it was made of."""

from __future__ import annotations

import asyncio
import math
from array import array

import pytest

from antiphon.core.ports import Store
from antiphon.core.ports.embeddings import Said, Vector
from antiphon.core.ports.indexing import VECTORS, Behind
from antiphon.domain.chats import Chat
from antiphon.domain.conclusions import Conclusion, ConclusionDraft
from antiphon.domain.deletions import CANCEL, Order
from antiphon.domain.filters import EQ, EVERYTHING, FieldTest
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER
from antiphon.domain.turns import TurnStart
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    detach,
    draft,
    new_multi,
    new_single,
    new_tenant,
    purge,
    race,
    say,
)

MODEL, OTHER = "model-1", "model-2"
NORTH = 0.0
MANY = 100


def heading(degrees: float, *more: float) -> Vector:
    """A vector of two dimensions (or more) of length one, so many degrees east of north."""
    return array("f", [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), *more]).tobytes()


async def keep(store: Store, tenant: Uid, chat: Chat, *degrees: float, cursor: int = 0, model: str = MODEL) -> bool:
    """Store the vectors of the next messages of a chat, as if it had been asked for what they say."""
    upto = cursor + len(degrees)
    texts = await store.vectors.texts(tenant, chat.key, cursor, upto)
    vectors = [(said, heading(degrees[said.seq - cursor - 1])) for said in texts]
    return await store.vectors.keep(tenant, chat.key, cursor, upto, model, vectors)


async def near(store: Store, tenant: Uid, degrees: float = NORTH, model: str = MODEL, limit: int = MANY) -> list[str]:
    """The texts that are nearest to a direction."""
    found = await store.vectors.nearest_messages(tenant, "t", EVERYTHING, model, heading(degrees), limit)
    return [message.text for _, message, _ in found]


async def concluded(store: Store, tenant: Uid, *contents: str, session_id: str | None = None) -> list[Conclusion]:
    """Conclusions of ann on ben."""
    for name in ("ann", "ben"):
        await store.participants.ensure(tenant, PEER, name)
    drafts = [ConclusionDraft(content, "ann", "ben", session_id) for content in contents]
    return await store.conclusions.create(tenant, drafts)


async def waiting(store: Store) -> set[str]:
    """What conclusions have no vector yet."""
    return {noted.text for _, some in await store.vectors.conclusions_without(MANY) for noted in some}


class VectorContract:
    """`core.ports.embeddings.VectorStore`, of messages."""

    async def test_the_nearest_come_first_with_their_distance(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant)
        stored = await say(store, tenant, chat, "east", "south", "north", "north-east")
        assert await keep(store, tenant, chat, 90, 180, 0, 45)
        found = await store.vectors.nearest_messages(tenant, "t", EVERYTHING, MODEL, heading(0), MANY)
        assert [(at, message) for at, message, _ in found] == [(session.id, stored[i]) for i in (2, 3, 0, 1)]
        assert [distance for *_, distance in found] == pytest.approx([0, 1 - math.sqrt(0.5), 1, 2], abs=1e-6)
        assert await near(store, tenant, 180, limit=2) == ["south", "east"]

    async def test_a_filter_a_tenant_and_a_shape_bound_it(self, store: Store) -> None:
        tenant, other = await new_tenant(store), await new_tenant(store)
        _, chat = await new_single(store, tenant)
        await store.messages.append(tenant, chat.key, [draft("a", "ann"), draft("b", "ben")])
        assert await keep(store, tenant, chat, 0, 1)
        _, theirs = await new_single(store, other)
        await say(store, other, theirs, "theirs")
        assert await keep(store, other, theirs, 0)
        _, multi = await new_multi(store, tenant)
        await say(store, tenant, multi, "of Recoup")
        assert await keep(store, tenant, multi, 0)
        wanted = FieldTest("author", EQ, ("ben",))
        found = await store.vectors.nearest_messages(tenant, "t", wanted, MODEL, heading(0), MANY)
        assert [message.text for _, message, _ in found] == ["b"]
        assert await near(store, tenant) == ["a", "b"]
        assert await near(store, other) == ["theirs"]

    async def test_only_one_model_and_one_number_of_dimensions_is_compared(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant)
        await say(store, tenant, chat, "one", "two", "three")
        assert await keep(store, tenant, chat, 0)
        assert await keep(store, tenant, chat, 0, cursor=1, model=OTHER)
        assert await store.vectors.keep(tenant, chat.key, 2, 3, MODEL, [(Said(3, "three"), heading(0, 0.0))])
        assert await near(store, tenant) == ["one"]
        assert await near(store, tenant, model=OTHER) == ["two"]

    async def test_what_has_no_text_is_not_read_and_the_cursor_goes_on(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant)
        await say(store, tenant, chat, "a", "", " \n", "b", "c")
        assert await store.vectors.texts(tenant, chat.key, 0, 4) == [Said(1, "a"), Said(4, "b")]
        assert await store.vectors.texts(tenant, chat.key, 1, 3) == []
        assert await keep(store, tenant, chat, 0, 0, 0, 0)
        assert await store.indexing.chats_behind(VECTORS, tenant, MANY) == [Behind(chat.key, 4, 5)]
        assert await keep(store, tenant, chat, 0, cursor=4)
        assert await store.indexing.chats_behind(VECTORS, tenant, MANY) == []
        assert not await keep(store, tenant, chat, 0, cursor=4), "the cursor is elsewhere by now"

    async def test_a_late_writer_finds_no_chat(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant)
        await say(store, tenant, chat, "a", "b")
        assert await keep(store, tenant, chat, 0)
        read = await store.vectors.texts(tenant, chat.key, 1, 2)
        await store.deletions.detach_session(tenant, session.key, Order(CANCEL))
        assert not await store.vectors.keep(tenant, chat.key, 1, 2, MODEL, [(read[0], heading(0))])
        assert await store.vectors.texts(tenant, chat.key, 0, 2) == []
        assert await near(store, tenant) == []
        await purge(store, tenant)
        assert not await store.vectors.keep(tenant, chat.key, 1, 2, MODEL, [(read[0], heading(0))])
        _, again = await new_single(store, tenant)
        await say(store, tenant, again, "new")
        assert await near(store, tenant) == []
        assert not any((await store.orphans()).values())

    async def test_a_writer_and_a_deletion_at_once_leave_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        for _ in range(10):
            session, chat = await new_single(store, tenant)
            await say(store, tenant, chat, *"abcde")
            read = await store.vectors.texts(tenant, chat.key, 0, 5)
            vectors = [(said, heading(said.seq)) for said in read]
            deletion = store.deletions.detach_session(tenant, session.key, Order(CANCEL))
            await race(store.vectors.keep(tenant, chat.key, 0, 5, MODEL, vectors), deletion)
            await purge(store, tenant)
            assert await near(store, tenant) == []
            assert not any((await store.orphans()).values())

    async def test_what_was_changed_meanwhile_is_read_again(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant)
        (asked,) = await say(store, tenant, chat, "old")
        read = await store.vectors.texts(tenant, chat.key, 0, 1)
        start = TurnStart(chat.key, new_uid7(), "assistant", draft("new"), asked.id)
        await store.turns.claim(tenant, new_uid7(), start, new_uid7(), MANY, LONG_LEASE_SECONDS)
        assert not await store.vectors.keep(tenant, chat.key, 0, 1, MODEL, [(read[0], heading(0))])
        (behind,) = await store.indexing.chats_behind(VECTORS, tenant, MANY)
        again = await store.vectors.texts(tenant, chat.key, behind.cursor, behind.last_seq)
        vectors = [(said, heading(0)) for said in again]
        assert await store.vectors.keep(tenant, chat.key, behind.cursor, 1, MODEL, vectors)
        assert await near(store, tenant) == ["new"]

    async def test_what_a_turn_goes_back_over_loses_its_vectors(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant)
        asked, *_ = await say(store, tenant, chat, "a", "b", "c")
        assert await keep(store, tenant, chat, 0, 1, 2)
        start = TurnStart(chat.key, new_uid7(), "assistant", None, asked.id)
        await store.turns.claim(tenant, new_uid7(), start, new_uid7(), MANY, LONG_LEASE_SECONDS)
        assert await near(store, tenant) == ["a"]
        assert not any((await store.orphans()).values())

    async def test_a_participants_words_go_with_their_vectors(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, owner="ann")
        await store.messages.append(tenant, chat.key, [draft(str(i), ("ann", "ben")[i % 2]) for i in range(6)])
        assert await keep(store, tenant, chat, *range(6))
        ben, _ = await store.participants.ensure(tenant, PEER, "ben")
        await store.deletions.detach_participant(tenant, ben.id, Order(CANCEL))
        await purge(store, tenant, rows_max=2)
        assert await near(store, tenant) == ["0", "2", "4"]
        assert not any((await store.orphans()).values())

    async def test_a_message_that_went_meanwhile_is_left_out(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, owner="ann")
        await store.messages.append(tenant, chat.key, [draft("a", "ann"), draft("b", "ben"), draft("c", "ann")])
        read = await store.vectors.texts(tenant, chat.key, 0, 3)
        ben, _ = await store.participants.ensure(tenant, PEER, "ben")
        await store.deletions.detach_participant(tenant, ben.id, Order(CANCEL))
        await purge(store, tenant)
        assert await store.vectors.keep(tenant, chat.key, 0, 3, MODEL, [(said, heading(0)) for said in read])
        assert sorted(await near(store, tenant)) == ["a", "c"]
        assert not any((await store.orphans()).values())

    @pytest.mark.parametrize("what", ["chat", "session", "tenant"])
    async def test_what_is_deleted_goes_with_its_vectors(self, store: Store, what: str) -> None:
        tenant, other = await new_tenant(store), await new_tenant(store)
        kept: dict[Uid, list[str]] = {}
        for whose in (other, tenant):
            session, single = await new_single(store, whose)
            _, multi = await new_multi(store, whose)
            for chat in (single, multi):
                await say(store, whose, chat, "a", "b", "c")
                assert await keep(store, whose, chat, 0, 1, 2)
            kept[whose] = await near(store, whose)
        if what == "chat":
            await detach(store, tenant, single)
        elif what == "session":
            await store.deletions.detach_session(tenant, session.key, Order(CANCEL))
        else:
            await store.deletions.detach_tenant(tenant, Order(CANCEL), with_sessions=True)
        assert await near(store, tenant) == [], "at once"
        await purge(store, tenant, rows_max=2)
        assert await near(store, other) == kept[other]
        assert not any((await store.orphans()).values())

    async def test_another_model_reads_everything_again(self, store: Store) -> None:
        tenant = await new_tenant(store)
        chats = [(await new_single(store, tenant, name))[1] for name in ("s1", "s2", "s3")]
        for chat, model in zip(chats, (MODEL, OTHER, MODEL), strict=True):
            await say(store, tenant, chat, "a", "b")
            assert await keep(store, tenant, chat, 0, 1, model=model)
        (made,) = await concluded(store, tenant, "tea")
        await store.vectors.keep_conclusions(tenant, MODEL, [(made.id, heading(0))])
        for _ in range(5):
            if not await store.vectors.forget_others(OTHER, 1):
                break
        else:
            raise AssertionError("there is always more to forget")
        assert await near(store, tenant) == []
        assert await near(store, tenant, model=OTHER) == ["a", "b"]
        behind = await store.indexing.chats_behind(VECTORS, tenant, MANY)
        assert {one.chat_key for one in behind} == {chats[0].key, chats[2].key}
        assert all((one.cursor, one.last_seq) == (0, 2) for one in behind)
        assert await waiting(store) == {"tea"}
        assert await keep(store, tenant, chats[0], 0, 1, model=OTHER)
        assert await near(store, tenant, model=OTHER) == ["a", "a", "b", "b"]

    async def test_appends_and_vectors_do_not_wait_for_one_another_for_ever(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant)
        await say(store, tenant, chat, "0")

        async def embed() -> None:
            cursor = 0
            while cursor < 21:
                found = await store.indexing.chats_behind(VECTORS, tenant, MANY)
                for behind in found:
                    degrees = [0.0] * (behind.last_seq - behind.cursor)
                    assert await keep(store, tenant, chat, *degrees, cursor=behind.cursor)
                    cursor = behind.last_seq
                await asyncio.sleep(0)

        async def speak() -> None:
            for number in range(1, 21):
                await say(store, tenant, chat, str(number))

        async with asyncio.timeout(30):
            await asyncio.gather(embed(), speak())
        assert sorted(await near(store, tenant)) == sorted(map(str, range(21)))


class ConclusionVectorContract:
    """`core.ports.embeddings.VectorStore`, of conclusions."""

    async def test_each_waits_until_it_has_one_and_is_found_by_it(self, store: Store) -> None:
        tenant = await new_tenant(store)
        made = await concluded(store, tenant, "tea", "cake", "")
        assert await waiting(store) >= {"tea", "cake", ""}
        vectors = [(made[0].id, heading(90)), (made[1].id, heading(10)), (made[2].id, None)]
        await store.vectors.keep_conclusions(tenant, MODEL, [*vectors, ("nobody", heading(0))])
        assert await waiting(store) & {"tea", "cake", ""} == set()
        found = await store.vectors.nearest_conclusions(tenant, "t", EVERYTHING, MODEL, heading(0), MANY)
        assert [one for one, _ in found] == [made[1], made[0]]
        assert [distance for _, distance in found] == pytest.approx([1 - math.cos(math.radians(10)), 1], abs=1e-6)
        wanted = FieldTest("content", EQ, ("tea",))
        only = await store.vectors.nearest_conclusions(tenant, "t", wanted, MODEL, heading(0), MANY)
        assert [one for one, _ in only] == [made[0]]
        assert await store.vectors.nearest_conclusions(tenant, "t", EVERYTHING, OTHER, heading(0), MANY) == []

    async def test_it_goes_with_the_conclusion(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_single(store, tenant)
        (free,) = await concluded(store, tenant, "free")
        (bound,) = await concluded(store, tenant, "bound", session_id="s")
        await store.vectors.keep_conclusions(tenant, MODEL, [(free.id, heading(0)), (bound.id, heading(1))])

        async def found() -> list[str]:
            hits = await store.vectors.nearest_conclusions(tenant, "t", EVERYTHING, MODEL, heading(0), MANY)
            return [one.content for one, _ in hits]

        assert await found() == ["free", "bound"]
        await store.deletions.detach_session(tenant, session.key, Order(CANCEL))
        assert await found() == ["free"]
        await purge(store, tenant)
        assert await store.conclusions.delete(tenant, free.id)
        await store.vectors.keep_conclusions(tenant, MODEL, [(free.id, heading(0)), (bound.id, heading(1))])
        assert await found() == []
        assert not any((await store.orphans()).values())
