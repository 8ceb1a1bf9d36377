"""Imports: nothing shows before the end, all of it from then on, and what is given up goes."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.core.ports import Store
from antiphon.domain import times
from antiphon.domain.deletions import CHAT, SESSION, Order
from antiphon.domain.errors import (
    AntiphonError,
    ImportIdTaken,
    ImportNotFound,
    MessageIdTaken,
    ParticipantNotFound,
    SessionNotFound,
    TenantNotFound,
    UndoTooLate,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.imports import (
    ABANDONED,
    DONE,
    FAILED,
    WRITING,
    Batch,
    Import,
    ImportedChat,
    ImportedMember,
    ImportedMessage,
    ImportedRead,
    ImportedSession,
    Opening,
)
from antiphon.domain.messages import ASSISTANT, USER, Draft
from antiphon.domain.participants import PEER, SCOPE
from antiphon.domain.sessions import MULTI, SINGLE
from antiphon.stores.contract.worlds import ALL, LONG_LEASE_SECONDS, new_multi, new_tenant, purge, say

NODE, OTHER_NODE = new_uid7(), new_uid7()
PAST = times.from_text("2024-03-01T10:00:00.123456Z")
CHAT_ID = "00000000-0000-4000-8000-00000000000a"
ANN = ImportedMember(PEER, "ann", '{"of":"ann"}', '{"x":1}', True, None, PAST, None)
BEN = ImportedMember(PEER, "ben", "{}", "{}", None, False, PAST + 1, PAST + 2)
CIRCLE = ImportedMember(SCOPE, "ann", "{}", "{}", None, None, PAST + 3, None)


def session_of(shape: str = MULTI, session_id: str = "s") -> ImportedSession:
    """A session as a file tells of it."""
    return ImportedSession(
        session_id, shape, "ann", "Harbour", "archived", None, '{"m":1}', '{"c":2}', 3, 4, PAST, PAST + 5
    )


def opening(digest: str = "d", kind: str = SESSION, session: ImportedSession | None = None, **more: Any) -> Opening:
    """The beginning of an import of one chat with three messages."""
    values: dict[str, Any] = {
        "chat_ids": (CHAT_ID,),
        "messages": 3,
        "cursor": 10,
        "participants": (ANN, BEN, CIRCLE),
    } | more
    return Opening(new_uid7(), digest, kind, session or session_of(), **values)


def said(seq: int, text: str, **more: Any) -> ImportedMessage:
    """A message in the file."""
    values: dict[str, Any] = {"author": "ann", "role": USER, "created_at": PAST + seq} | more
    return ImportedMessage(seq, Draft(text=text, **values))


HEAD = Batch(
    20,
    (ANN, BEN, CIRCLE),
    ImportedChat(CHAT_ID, "ann", "Tide", "gpt", '{"k":1}', PAST, PAST + 9),
    (ImportedRead("ben", PAST + 7),),
    (
        said(1, "one", client_id="c1", is_reasoned=True),
        said(3, "three", parts='[{"type":"x"}]', token_count=7, is_reasoned=False),
    ),
)
TAIL = Batch(30, messages=(said(4, "four", author="ben", role=ASSISTANT, metadata='{"a":[1]}'),))


async def begin(store: Store, tenant: Uid, new: Opening, node: Uid = NODE) -> Import:
    """Begin, and take the lease."""
    known, is_new = await store.imports.begin(tenant, new)
    assert (is_new, known.state) == (True, WRITING)
    claimed = await store.imports.claim(tenant, known.id, node, LONG_LEASE_SECONDS)
    assert claimed == known
    return known


async def write(store: Store, tenant: Uid, known: Import, batch: Batch) -> Import:
    """The next step."""
    return await store.imports.write(tenant, known.id, NODE, known.cursor, batch, LONG_LEASE_SECONDS)


async def is_clean(store: Store, tenant: Uid) -> bool:
    """Whether a purge leaves nothing that nobody can reach."""
    await purge(store, tenant)
    return not any((await store.orphans()).values())


class ImportContract:
    """What a store does for imports."""

    async def test_nothing_shows_before_the_end_and_all_of_it_from_then_on(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening())
        known = await write(store, tenant, known, HEAD)
        assert (known.done, known.total, known.cursor) == (2, 3, 20)
        assert await store.sessions.find(tenant, "s") is None
        assert await store.chats.find(tenant, CHAT_ID) is None
        assert await store.sessions.list(tenant, MULTI, ALL) == ([], 0)
        assert await store.deletions.list(tenant, (), None, 10, None) == []
        assert not any((await store.orphans()).values())
        known = await write(store, tenant, known, TAIL)
        done = await store.imports.finish(tenant, known.id, NODE)
        assert (done.state, done.done, done.last_error) == (DONE, 3, None)
        assert await store.imports.find(tenant, known.id) == done
        sessions, total = await store.sessions.list(tenant, MULTI, ALL)
        assert ([found.id for found in sessions], total) == (["s"], 1)
        assert (sessions[0].title, sessions[0].status, sessions[0].lines_removed) == ("Harbour", "archived", 4)
        assert (sessions[0].created_at, sessions[0].updated_at) == (PAST, PAST + 5)
        assert await store.deletions.list(tenant, (), None, 10, None) == []
        assert await is_clean(store, tenant)

    async def test_what_the_file_says_is_what_is_there(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening())
        known = await write(store, tenant, await write(store, tenant, known, HEAD), TAIL)
        await store.imports.finish(tenant, known.id, NODE)
        chat = await store.chats.find(tenant, CHAT_ID)
        assert chat is not None
        assert (chat.title, chat.model, chat.metadata, chat.owner_name) == ("Tide", "gpt", '{"k":1}', "ann")
        assert (chat.created_at, chat.updated_at, chat.last_message_at) == (PAST, PAST + 9, PAST + 4)
        assert (chat.last_answer_at, chat.message_count, chat.last_seq) == (PAST + 4, 3, 4)
        found = (await store.messages.page(tenant, chat.key, ALL)).items
        assert [(one.seq, one.text, one.author, one.role) for one in found] == [
            (1, "one", "ann", USER),
            (3, "three", "ann", USER),
            (4, "four", "ben", ASSISTANT),
        ]
        assert [(one.client_id, one.parts, one.token_count, one.created_at) for one in found] == [
            ("c1", None, None, PAST + 1),
            (None, '[{"type":"x"}]', 7, PAST + 3),
            (None, None, None, PAST + 4),
        ]
        marks = {found[0].id: True, found[1].id: False}
        assert await store.imports.marks(tenant, chat.key, [one.id for one in found]) == marks
        session = await store.sessions.find(tenant, "s")
        assert session is not None
        assert await store.imports.members(tenant, session.key, 0, 10) == [ANN, BEN, CIRCLE]
        assert await store.imports.members(tenant, session.key, 1, 1) == [BEN]
        assert await store.imports.reads(tenant, chat.key, 0, 10) == [ImportedRead("ben", PAST + 7)]
        assert (await store.chats.list_of_owner(tenant, "ann", ALL))[1] == 1
        await say(store, tenant, chat, "and on")
        assert (await store.messages.latest(tenant, chat.key, 1))[0].seq == 5

    async def test_the_same_file_twice_is_one_import(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening())
        again, is_new = await store.imports.begin(tenant, opening())
        assert (again.id, is_new) == (known.id, False)
        known = await write(store, tenant, known, HEAD)
        done = await store.imports.finish(tenant, known.id, NODE)
        assert await store.imports.begin(tenant, opening()) == (done, False)
        with pytest.raises(ImportIdTaken):
            await store.imports.begin(tenant, opening("another file of the same"))
        session = await store.sessions.find(tenant, "s")
        assert session is not None
        await store.deletions.detach_session(tenant, session.key, Order())
        _, is_new = await store.imports.begin(tenant, opening())
        assert is_new

    async def test_a_chat_goes_into_its_session_that_is_there(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        new = opening(kind=CHAT, session=session_of(session_id=session.id))
        known = await begin(store, tenant, new)
        known = await write(store, tenant, known, HEAD)
        assert len(await store.chats.list_of_session(tenant, session.key)) == 1
        await store.imports.finish(tenant, known.id, NODE)
        assert [chat.id for chat in await store.chats.list_of_session(tenant, session.key)][1:] == [CHAT_ID]
        assert (await store.sessions.list(tenant, MULTI, ALL))[1] == 1
        assert await is_clean(store, tenant)

    @pytest.mark.parametrize("shape", [MULTI, SINGLE])
    async def test_a_chat_gets_a_session_where_there_is_none(self, store: Store, shape: str) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening(kind=CHAT, session=session_of(shape)))
        await write(store, tenant, known, HEAD)
        await store.imports.finish(tenant, known.id, NODE)
        assert (await store.sessions.list(tenant, shape, ALL))[1] == 1
        assert await store.chats.find(tenant, CHAT_ID) is not None

    async def test_only_who_holds_it_goes_on_and_only_from_where_it_stands(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening())
        assert await store.imports.claim(tenant, known.id, OTHER_NODE, 10) is None
        with pytest.raises(ImportNotFound):
            await store.imports.write(tenant, known.id, OTHER_NODE, known.cursor, HEAD, 10)
        await write(store, tenant, known, HEAD)
        with pytest.raises(ImportNotFound):
            await write(store, tenant, known, HEAD)
        await store.imports.release(NODE)
        claimed = await store.imports.claim(tenant, known.id, OTHER_NODE, 10)
        assert claimed is not None
        assert (claimed.cursor, claimed.done) == (20, 2)
        with pytest.raises(ImportNotFound):
            await store.imports.finish(tenant, known.id, NODE)

    async def test_what_is_given_up_goes_like_anything_that_is_deleted(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening())
        await write(store, tenant, known, HEAD)
        await store.imports.give_up(tenant, known.id, "id_taken")
        found = await store.imports.find(tenant, known.id)
        assert found is not None
        assert (found.state, found.last_error) == (FAILED, "id_taken")
        assert await is_clean(store, tenant)
        (deletion,) = await store.deletions.list(tenant, (), None, 10, None)
        assert (deletion.mode, deletion.state, deletion.counts["messages"]) == ("import", "done", 2)
        assert (await store.imports.begin(tenant, opening()))[1]

    async def test_what_is_abandoned_is_given_up(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening())
        await write(store, tenant, known, HEAD)
        await store.imports.sweep(3600, 3600)
        assert (await store.imports.find(tenant, known.id)).state == WRITING  # type: ignore[union-attr]
        await store.imports.sweep(3600, -2 * LONG_LEASE_SECONDS)
        assert (await store.imports.find(tenant, known.id)).last_error == ABANDONED  # type: ignore[union-attr]
        assert await is_clean(store, tenant)
        await store.imports.sweep(-3600, 3600)
        assert await store.imports.find(tenant, known.id) is None

    async def test_an_id_that_is_taken_meanwhile_stays_with_who_has_it(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening())
        await write(store, tenant, known, HEAD)
        await store.sessions.put_single(tenant, "s", "ann", None, None, [])
        with pytest.raises(ImportIdTaken):
            await store.imports.finish(tenant, known.id, NODE)
        await store.imports.give_up(tenant, known.id, "import_id_taken")
        assert (await store.sessions.list(tenant, SINGLE, ALL))[1] == 1
        assert await is_clean(store, tenant)

    async def test_a_deleted_participant_ends_the_import_and_leaves_no_word(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening())
        known = await write(store, tenant, await write(store, tenant, known, HEAD), TAIL)
        ben = await store.participants.find(tenant, PEER, "ben")
        assert ben is not None
        await store.deletions.detach_participant(tenant, ben.id, Order())
        for attempt in (write(store, tenant, known, Batch(40)), store.imports.finish(tenant, known.id, NODE)):
            with pytest.raises(ParticipantNotFound):
                await attempt
        await purge(store, tenant)
        (deletion,) = await store.deletions.list(tenant, (), None, 10, None)
        assert (deletion.kind, deletion.counts["messages"]) == ("participant", 1)
        await store.imports.give_up(tenant, known.id, "participant_not_found")
        assert await is_clean(store, tenant)

    async def test_a_deleted_session_ends_the_import_of_its_chat(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        known = await begin(store, tenant, opening(kind=CHAT, session=session_of(session_id=session.id)))
        await write(store, tenant, known, HEAD)
        await store.deletions.detach_session(tenant, session.key, Order())
        with pytest.raises(AntiphonError):
            await store.imports.finish(tenant, known.id, NODE)
        await store.imports.give_up(tenant, known.id, "session_not_found")
        assert await is_clean(store, tenant)

    async def test_a_deleted_tenant_takes_its_imports_with_it(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening())
        await write(store, tenant, known, HEAD)
        await store.deletions.detach_tenant(tenant, with_sessions=True)
        with pytest.raises(TenantNotFound):
            await store.imports.begin(tenant, opening("later"))
        await purge(store, tenant)
        assert await store.imports.find(tenant, known.id) is None
        assert {name: count for name, count in (await store.orphans()).items() if count} == {}

    async def test_nobody_undoes_what_an_import_has_written(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await begin(store, tenant, opening())
        await write(store, tenant, known, HEAD)
        await store.imports.give_up(tenant, known.id, "gone")
        (lease,) = await store.deletions.claim(tenant, NODE, LONG_LEASE_SECONDS)
        with pytest.raises(UndoTooLate):
            await store.deletions.undo(tenant, lease.deletion_id)

    async def test_a_client_s_id_that_stands_twice_stores_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await write(store, tenant, await begin(store, tenant, opening()), HEAD)
        with pytest.raises(MessageIdTaken):
            await write(store, tenant, known, Batch(40, messages=(said(5, "five"), said(6, "six", client_id="c1"))))
        assert await store.imports.find(tenant, known.id) == known

    async def test_what_its_deletion_has_begun_to_take_is_not_written_to(self, store: Store) -> None:
        tenant = await new_tenant(store)
        known = await write(store, tenant, await begin(store, tenant, opening()), HEAD)
        await store.imports.give_up(tenant, known.id, "gone")
        with pytest.raises((ImportNotFound, SessionNotFound)):
            await write(store, tenant, known, TAIL)
