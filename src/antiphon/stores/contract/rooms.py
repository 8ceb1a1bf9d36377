"""What one client changes, cuts, copies and lists: whole, counted, and nobody else's."""

from __future__ import annotations

import msgspec
import pytest

from antiphon.core.ports import Slice, Store
from antiphon.domain import limits
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.deletions import Order
from antiphon.domain.errors import (
    AccessDenied,
    AntiphonError,
    ChatFull,
    ChatHasActiveTurn,
    ChatNotFound,
    LimitExceeded,
    MessageNotFound,
    ParticipantNotFound,
    SandboxStopping,
    SessionIdTaken,
    SessionNotFound,
)
from antiphon.domain.ids import Uid, new_public_id, new_uid7
from antiphon.domain.messages import ASSISTANT, Message
from antiphon.domain.participants import PEER
from antiphon.domain.sandboxes import ACTIVE, PROVISIONING, Sandbox
from antiphon.domain.sandboxes import ARCHIVED as SANDBOX_ARCHIVED
from antiphon.domain.sessions import ARCHIVED, DEFAULT_STATUS, MULTI, SINGLE, SessionChange
from antiphon.domain.turns import COMPLETED, EventChunk, TurnEnding
from antiphon.stores.contract.turns import claim
from antiphon.stores.contract.worlds import (
    ALL,
    add_chat,
    detach,
    draft,
    losses,
    new_multi,
    new_single,
    new_tenant,
    race,
    reload_chat,
    say,
    texts_of,
    wins,
)

ARTIST = "0f0e0d0c-0b0a-4908-8706-050403020100"


async def account(store: Store, tenant_id: Uid, name: str = "ann") -> Uid:
    """The id of a participant of that name."""
    return (await store.participants.ensure(tenant_id, PEER, name))[0].id


async def room(store: Store, tenant_id: Uid, *said: str, owner: str = "ann") -> tuple[Chat, list[Message]]:
    """A room in which that was said."""
    chat = await store.chats.put_single(tenant_id, await account(store, tenant_id, owner), new_public_id(), None, None)
    messages = await say(store, tenant_id, chat, *said) if said else []
    return await reload_chat(store, chat, tenant_id), messages


class SessionChangeContract:
    """`core.ports.SessionStore.change`."""

    async def test_what_is_given_changes_and_the_rest_stays(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant, title="first")
        changed, sandbox, is_put_away = await store.sessions.change(
            tenant, session.key, SessionChange(title="", lines_added=2**53 - 1)
        )
        assert (changed.title, changed.status, changed.lines_added, changed.lines_removed) == (
            "",
            DEFAULT_STATUS,
            2**53 - 1,
            0,
        )
        assert changed.updated_at > session.updated_at
        assert changed.created_at == session.created_at
        assert (sandbox.state, is_put_away) == (PROVISIONING, False)
        assert await store.sessions.find(tenant, session.id) == changed
        again, _, _ = await store.sessions.change(tenant, session.key, SessionChange(status="failed", lines_removed=3))
        assert (again.title, again.status, again.lines_added, again.lines_removed) == ("", "failed", 2**53 - 1, 3)

    async def test_archiving_archives_the_sandbox_in_the_same_act(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        await store.sandboxes.change(tenant, session.key, _running)
        away, sandbox, is_put_away = await store.sessions.change(tenant, session.key, SessionChange(status=ARCHIVED))
        assert (away.status, sandbox.state, is_put_away) == (ARCHIVED, SANDBOX_ARCHIVED, True)
        assert (sandbox.expires_at, sandbox.hibernate_after, sandbox.error) == (None, None, None)
        found = await store.sandboxes.find(tenant, session.key)
        assert found is not None
        assert msgspec.structs.replace(found, touched_at=0) == msgspec.structs.replace(sandbox, touched_at=0)
        _, _, is_again = await store.sessions.change(tenant, session.key, SessionChange(status=ARCHIVED))
        assert not is_again
        back, sandbox, _ = await store.sessions.change(tenant, session.key, SessionChange(status=DEFAULT_STATUS))
        assert (back.status, sandbox.state) == (DEFAULT_STATUS, None)

    async def test_who_cannot_come_back_yet_stays_away_whole(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        await store.sessions.change(tenant, session.key, SessionChange(status=ARCHIVED))
        await store.sandboxes.change(tenant, session.key, _running)
        before = await store.sessions.find(tenant, session.id)
        with pytest.raises(SandboxStopping):
            await store.sessions.change(tenant, session.key, SessionChange(title="no", status=DEFAULT_STATUS))
        assert await store.sessions.find(tenant, session.id) == before

    async def test_a_single_and_a_deleted_session_are_not_there(self, store: Store) -> None:
        tenant = await new_tenant(store)
        single, _ = await new_single(store, tenant)
        gone, _ = await new_multi(store, tenant)
        await store.deletions.detach_session(tenant, gone.key, Order("cancel"))
        for session in (single, gone):
            with pytest.raises(SessionNotFound):
                await store.sessions.change(tenant, session.key, SessionChange(title="x"))

    async def test_changes_at_once_all_hold(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        changes = [SessionChange(title="t"), SessionChange(lines_added=5), SessionChange(lines_removed=6)]
        changes += [SessionChange(status=ARCHIVED)] * 5
        outcomes = wins(await race(*(store.sessions.change(tenant, session.key, change) for change in changes)))
        assert [is_put_away for _, _, is_put_away in outcomes].count(True) == 1
        found = await store.sessions.find(tenant, session.id)
        assert found is not None
        assert (found.title, found.status, found.lines_added, found.lines_removed) == ("t", ARCHIVED, 5, 6)


def _running(sandbox: Sandbox) -> Sandbox:
    return msgspec.structs.replace(
        sandbox, is_named=True, state=ACTIVE, expires_at=5, runtime_expires_at=5, hibernate_after=4, error="e"
    )


class OverviewContract:
    """`core.ports.SessionStore.overviews`."""

    async def test_an_owner_sees_his_own_newest_first(self, store: Store) -> None:
        tenant = await new_tenant(store)
        made = [(await new_multi(store, tenant, title=f"s{i}"))[0] for i in range(4)]
        await new_multi(store, tenant, owner="ben")
        await new_single(store, tenant)
        await store.sessions.change(tenant, made[1].key, SessionChange(status=ARCHIVED))
        ann = made[0].owner_id
        for part, is_archived, expected in [
            (ALL, None, ["s3", "s2", "s1", "s0"]),
            (ALL, False, ["s3", "s2", "s0"]),
            (ALL, True, ["s1"]),
            (Slice(1, 2), None, ["s2", "s1"]),
        ]:
            found, archived = await store.sessions.overviews(tenant, ann, part, is_archived=is_archived)
            assert ([one.session.title for one in found], archived) == (expected, 1)
            assert {one.session.shape for one in found} == {MULTI}

    async def test_it_tells_of_the_chats(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, first = await new_multi(store, tenant)
        other, _ = await add_chat(store, tenant, session, "other")

        async def look() -> tuple[str | None, bool, bool]:
            ((one,), _) = await store.sessions.overviews(tenant, session.owner_id, ALL, is_archived=None)
            newest = await store.chats.find(tenant, one.latest_chat_id or "")
            assert newest is not None
            assert one.last_activity_at == newest.updated_at
            return one.latest_chat_id, one.is_unread, one.is_answering

        assert await look() == ("other", False, False)
        await say(store, tenant, first, "hello")
        assert await look() == (first.id, False, False)
        await store.messages.append(tenant, other.key, [draft("hi", "assistant", role=ASSISTANT)])
        assert await look() == ("other", True, False)
        await store.chats.mark_read(tenant, other.key, session.owner_id)
        turn = await claim(store, tenant, first, new_uid7())
        assert await look() == (first.id, False, True)
        assert turn.chat_key == first.key


class ChatChangeContract:
    """`core.ports.ChatStore.change`, `put_single` and `list_said`."""

    async def test_a_chat_changes_where_it_is_told_to(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        named = await store.chats.change(tenant, chat.key, "named", None)
        assert (named.title, named.model) == ("named", None)
        modelled = await store.chats.change(tenant, chat.key, None, "m/x")
        assert (modelled.title, modelled.model) == ("named", "m/x")
        touched = await store.chats.change(tenant, chat.key, None, None)
        assert chat.updated_at < named.updated_at < modelled.updated_at < touched.updated_at
        assert await store.chats.find(tenant, chat.id) == touched

    async def test_a_deleted_chat_does_not_change(self, store: Store) -> None:
        tenant = await new_tenant(store)
        chat, _ = await room(store, tenant)
        await detach(store, tenant, chat)
        with pytest.raises(ChatNotFound):
            await store.chats.change(tenant, chat.key, "late", None)

    async def test_a_room_is_made_once_and_then_changed(self, store: Store) -> None:
        tenant, room_id = await new_tenant(store), new_public_id()
        ann = await account(store, tenant)
        chat = await store.chats.put_single(tenant, ann, room_id, None, ARTIST)
        assert (chat.id, chat.session_id, chat.session_shape, chat.title) == (room_id, room_id, SINGLE, DEFAULT_TITLE)
        assert (chat.owner_id, chat.owner_name) == (ann, "ann")
        assert await store.chats.find(tenant, room_id) == chat
        named = await store.chats.put_single(tenant, ann, room_id, "topic", None)
        assert (named.key, named.title) == (chat.key, "topic")
        session = await store.sessions.find(tenant, room_id)
        assert session is not None
        assert session.artist_id == ARTIST
        assert (await store.chats.list_of_owner(tenant, "ann", ALL))[1] == 1
        other = "11111111-2222-4333-8444-555555555555"
        await store.chats.put_single(tenant, ann, room_id, None, other)
        changed = await store.sessions.find(tenant, room_id)
        assert changed is not None
        assert changed.artist_id == other

    async def test_fifty_puts_of_an_id_make_one_room(self, store: Store) -> None:
        tenant, room_id = await new_tenant(store), new_public_id()
        ann = await account(store, tenant)
        outcomes = wins(await race(*(store.chats.put_single(tenant, ann, room_id, f"t{i}", None) for i in range(50))))
        assert len(outcomes) == 50
        assert len({chat.key for chat in outcomes}) == 1
        assert (await store.chats.list_of_owner(tenant, "ann", ALL))[1] == 1

    async def test_what_is_not_ones_own_room_is_refused(self, store: Store) -> None:
        tenant = await new_tenant(store)
        chat, _ = await room(store, tenant)
        session, of_session = await new_multi(store, tenant)
        ann, ben = session.owner_id, await account(store, tenant, "ben")
        refusals: list[tuple[Uid, str, type[AntiphonError]]] = [
            (ben, chat.id, AccessDenied),
            (ann, of_session.id, ChatNotFound),
            (ann, session.id, SessionIdTaken),
            (new_uid7(), new_public_id(), ParticipantNotFound),
        ]
        for who, chat_id, error in refusals:
            with pytest.raises(error):
                await store.chats.put_single(tenant, who, chat_id, "mine", ARTIST)
        assert await store.chats.find(tenant, chat.id) == chat

    async def test_the_list_of_what_was_said(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, first = await new_multi(store, tenant)
        ben_session, bens = await new_multi(store, tenant, owner="ben")
        ann = session.owner_id
        of_artist, sung = await store.sessions.create_multi(tenant, ann, "T", ARTIST.upper(), None)
        away, hidden = await new_multi(store, tenant)
        single, _ = await room(store, tenant, "in a room")
        await add_chat(store, tenant, session, "silent")
        for chat in (first, bens, hidden, sung):
            await say(store, tenant, chat, "a")
        await store.sessions.change(tenant, away.key, SessionChange(status=ARCHIVED))
        assert single.session_shape == SINGLE

        async def listed(owner: Uid | None, artist: str | None, limit: int = 10) -> list[tuple[str, str | None]]:
            return [(chat.id, of) for chat, of in await store.chats.list_said(tenant, owner, artist, limit)]

        mine = [(sung.id, ARTIST.upper()), (first.id, None)]
        assert await listed(ann, None) == mine
        assert await listed(ann, None, 1) == mine[:1]
        assert await listed(None, None) == [mine[0], (bens.id, None), mine[1]]
        assert await listed(None, ARTIST) == await listed(ann, ARTIST) == mine[:1]
        assert await listed(ben_session.owner_id, ARTIST) == []
        await say(store, tenant, first, "b")
        assert await listed(ann, None) == mine[::-1]
        assert of_artist.artist_id == ARTIST.upper()


class CutContract:
    """`core.ports.ChatStore.cut`."""

    async def test_a_message_goes_with_all_that_follow(self, store: Store) -> None:
        tenant = await new_tenant(store)
        chat, said = await room(store, tenant, "a", "b", "c", "d")
        assert await store.chats.cut(tenant, chat.key, said[2].id) == 2
        assert await texts_of(store, tenant, chat.key) == ["a", "b"]
        cut = await reload_chat(store, chat, tenant)
        assert (cut.message_count, cut.last_message_at) == (2, said[1].created_at)
        assert cut.updated_at > chat.updated_at
        assert await store.chats.cut(tenant, chat.key, said[1].id) == 1  # over the gap of the first cut
        (late,) = await say(store, tenant, chat, "e")
        assert late.seq > said[3].seq
        assert await store.chats.cut(tenant, chat.key, late.id) == 1
        assert await texts_of(store, tenant, chat.key) == ["a"]

    async def test_all_of_them_may_go(self, store: Store) -> None:
        tenant = await new_tenant(store)
        chat, said = await room(store, tenant, "a", "b")
        await store.messages.append(tenant, chat.key, [draft("hi", "assistant", role=ASSISTANT)])
        assert await store.chats.cut(tenant, chat.key, said[0].id) == 3
        empty = await reload_chat(store, chat, tenant)
        assert (empty.message_count, empty.last_message_at, empty.last_answer_at) == (0, None, None)
        page = await store.messages.page(tenant, chat.key, ALL)
        assert (page.items, page.total) == ([], 0)

    async def test_what_is_not_there_is_not_cut(self, store: Store) -> None:
        tenant = await new_tenant(store)
        chat, said = await room(store, tenant, "a")
        other, _ = await room(store, tenant, "b")
        for message_id in (new_uid7(), (await say(store, tenant, other, "c"))[0].id):
            with pytest.raises(MessageNotFound):
                await store.chats.cut(tenant, chat.key, message_id)
        await detach(store, tenant, chat)
        with pytest.raises(ChatNotFound):
            await store.chats.cut(tenant, chat.key, said[0].id)

    async def test_a_cut_has_a_limit(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "TURN_REWIND_MESSAGES", 2)
        tenant = await new_tenant(store)
        chat, said = await room(store, tenant, "a", "b", "c")
        with pytest.raises(LimitExceeded):
            await store.chats.cut(tenant, chat.key, said[0].id)
        assert await texts_of(store, tenant, chat.key) == ["a", "b", "c"]
        assert await store.chats.cut(tenant, chat.key, said[1].id) == 2

    async def test_no_cut_under_an_answer(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        chat, said = await room(store, tenant, "a", "b")
        turn = await claim(store, tenant, chat, node)
        with pytest.raises(ChatHasActiveTurn):
            await store.chats.cut(tenant, chat.key, said[0].id)
        await store.turns.append_events(tenant, turn.id, node, EventChunk(0, 1, '["said"]'))
        await store.turns.finish(tenant, turn.id, node, TurnEnding(COMPLETED, None, None, None))
        assert await store.chats.cut(tenant, chat.key, said[0].id) == 2
        assert (await store.turns.events(tenant, turn.id, 0, 10))[1] == []

    async def test_cuts_at_once_take_each_message_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        chat, said = await room(store, tenant, *"abcdefgh")
        outcomes = await race(*(store.chats.cut(tenant, chat.key, message.id) for message in said))
        assert sum(wins(outcomes)) == 8
        assert set(losses(outcomes)) <= {MessageNotFound}
        assert (await reload_chat(store, chat, tenant)).message_count == 0


class CopyContract:
    """`core.ports.ChatStore.copy`."""

    async def test_a_copy_is_the_same_under_other_ids(self, store: Store) -> None:
        tenant = await new_tenant(store)
        source, _ = await room(store, tenant)
        given = [
            draft("a", client_id="m1", parts='[{"type":"text","text":"a"}]', metadata='{"n":1}', created_at=1_000_000),
            draft("b", "assistant", role=ASSISTANT, token_count=7, created_at=2_000_000),
        ]
        said = await store.messages.append(tenant, source.key, given)
        target, _ = await room(store, tenant, "old", owner="ben")
        assert await store.chats.copy(tenant, source.key, target.key, is_clearing=True) == 2
        copied = (await store.messages.page(tenant, target.key, ALL)).items
        for one, other in zip(said, copied, strict=True):
            assert msgspec.structs.replace(one, id=other.id, seq=other.seq, client_id=None) == other
            assert one.id != other.id
        now = await reload_chat(store, target, tenant)
        assert (now.message_count, now.last_message_at, now.last_answer_at) == (2, 2_000_000, 2_000_000)
        assert (await store.messages.page(tenant, source.key, ALL)).items == said
        assert await store.chats.copy(tenant, source.key, target.key, is_clearing=False) == 2
        assert await texts_of(store, tenant, target.key) == ["a", "b", "a", "b"]

    async def test_an_empty_source_empties_the_target(self, store: Store) -> None:
        tenant = await new_tenant(store)
        source, _ = await room(store, tenant)
        target, _ = await room(store, tenant, "old")
        assert await store.chats.copy(tenant, source.key, target.key, is_clearing=False) == 0
        assert await texts_of(store, tenant, target.key) == ["old"]
        assert await store.chats.copy(tenant, source.key, target.key, is_clearing=True) == 0
        assert (await reload_chat(store, target, tenant)).message_count == 0

    async def test_what_is_gone_is_neither_read_nor_written(self, store: Store) -> None:
        tenant = await new_tenant(store)
        source, _ = await room(store, tenant, "a")
        gone, _ = await room(store, tenant, "b")
        await detach(store, tenant, gone)
        for one, other in ((source, gone), (gone, source)):
            with pytest.raises(ChatNotFound):
                await store.chats.copy(tenant, one.key, other.key, is_clearing=True)
        assert await texts_of(store, tenant, source.key) == ["a"]

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("MESSAGES_PER_COPY", 1, LimitExceeded),
            ("COPY_CHARACTERS", 3, LimitExceeded),
            ("TURN_REWIND_MESSAGES", 0, LimitExceeded),
            ("MESSAGES_PER_CHAT", 2, ChatFull),
        ],
    )
    async def test_a_copy_has_limits_and_is_whole(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, name: str, value: int, error: type[AntiphonError]
    ) -> None:
        tenant = await new_tenant(store)
        source, _ = await room(store, tenant, "a", "b")
        target, _ = await room(store, tenant, "old")
        monkeypatch.setattr(limits, name, value)
        with pytest.raises(error):
            await store.chats.copy(tenant, source.key, target.key, is_clearing=True)
        assert await texts_of(store, tenant, target.key) == ["old"]

    async def test_nothing_is_cleared_under_an_answer(self, store: Store) -> None:
        tenant = await new_tenant(store)
        source, _ = await room(store, tenant, "a")
        target, _ = await room(store, tenant, "old")
        await claim(store, tenant, target, new_uid7())
        with pytest.raises(ChatHasActiveTurn):
            await store.chats.copy(tenant, source.key, target.key, is_clearing=True)
        assert await store.chats.copy(tenant, source.key, target.key, is_clearing=False) == 1
        assert await texts_of(store, tenant, target.key) == ["old", "a"]

    async def test_a_copy_and_a_deletion_of_its_target(self, store: Store) -> None:
        tenant = await new_tenant(store)
        source, _ = await room(store, tenant, *"abc")
        for _ in range(10):
            target, _ = await room(store, tenant)
            outcomes = await race(
                store.chats.copy(tenant, source.key, target.key, is_clearing=True), detach(store, tenant, target)
            )
            assert set(losses(outcomes)) <= {ChatNotFound}
            assert await store.chats.find(tenant, target.id) is None
