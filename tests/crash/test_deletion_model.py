"""Whatever is done in whatever order: what the store shows is what a small model in memory says (promises 1 to 7).

The same few hundred steps every time. For a longer run with new ones each time:
`MODEL_EXAMPLES=2000 python -m pytest tests/crash/test_deletion_model.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from antiphon.core.deletion.engine import Target
from antiphon.core.ports import Slice
from antiphon.domain import times
from antiphon.domain.deletions import (
    AFTER,
    CANCEL,
    CHAT,
    DETACHED,
    DETACHING,
    DONE,
    PARTICIPANT,
    REFUSE,
    SESSION,
    TENANT,
    UNDONE,
    WAITING,
    Deletion,
    Order,
)
from antiphon.domain.errors import (
    ChatHasActiveConnections,
    ChatHasActiveTurn,
    ChatIsLastOfSession,
    ChatNotFound,
    MessageIdTaken,
    UndoIdTaken,
    UndoParentDeleted,
    UndoTooLate,
)
from antiphon.domain.ids import Uid, new_uid7, text_of
from antiphon.domain.messages import ASSISTANT, USER, Draft
from antiphon.domain.participants import PEER
from antiphon.domain.sessions import MULTI, SINGLE
from antiphon.domain.turns import RUNNING, TurnStart
from antiphon.stores.contract.worlds import add_chat, new_multi, new_single
from tests.crash.deletion_model import Home, Land, Lost, Room, Said
from tests.crash.mortal import Mortal

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))
ALL = Slice(0, 1_000)
PEOPLE = ("ann", "ben")
PATIENCE_SECONDS = 30
CLIENT_IDS = st.sampled_from((None, None, "x", "y"))
PASSES = 400
MODES = st.sampled_from((REFUSE, CANCEL, AFTER))
NUMBERS = st.integers(min_value=0, max_value=1_000)
NAMES = ("one", "two")
WINDOW_SECONDS = 3_600.0


class Deleting(Mortal, RuleBasedStateMachine):
    """Tenants at one process at a time, which now and then dies; what is done is done in one of them, `land`."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count()
        self.lands: list[Land] = []

    @property
    def tenant(self) -> Uid:
        return self.land.key

    @property
    def homes(self) -> list[Home]:
        return self.land.homes

    @property
    def rooms(self) -> list[Room]:
        return self.land.rooms

    @initialize()
    def begin(self) -> None:
        """Two tenants with things of the same ids, of which one is never touched."""
        self.do(self.open())
        self.do(self._begin())

    async def _begin(self) -> None:
        await self._settle(NAMES[0])
        self.other = (await self.instance.tenants.create("other")).id
        _, chat = await new_single(self.store, self.other, "s0")
        await self.store.messages.append(self.other, chat.key, [Draft("ann", USER, "untouched")])

    async def _settle(self, name: str) -> None:
        """Go to the tenant of that name; it is made when there is none."""
        there = [land for land in self.lands if land.is_there and land.name == name]
        if not there:
            there = [Land((await self.instance.tenants.create(name)).id, name)]
            self.lands += there
        self.land = there[0]

    # What clients do

    @rule(name=st.sampled_from(NAMES))
    def settle(self, name: str) -> None:
        self.do(self._settle(name))

    @rule(owner=st.sampled_from(PEOPLE))
    def make_multi(self, owner: str) -> None:
        session, chat = self.do(new_multi(self.store, self.tenant, owner))
        self.homes.append(Home(session.key, session.id, MULTI, session.owner_id, Room(chat.key, chat.id)))

    @rule(owner=st.sampled_from(PEOPLE), session_id=st.sampled_from(("s0", "s1")))
    def make_single(self, owner: str, session_id: str) -> None:
        there = [home for home in self.homes if home.id == session_id]
        session, chat = self.do(new_single(self.store, self.tenant, session_id, owner))
        if there:
            assert session.key == there[0].key
        else:
            self.homes.append(Home(session.key, session.id, SINGLE, session.owner_id, Room(chat.key, chat.id)))

    @rule(number=NUMBERS, chat_id=st.sampled_from(("c0", "c1")))
    def make_chat(self, number: int, chat_id: str) -> None:
        homes = [home for home in self.homes if home.shape == MULTI]
        if not homes or any(room.id == chat_id for room in self.rooms):
            return
        home = homes[number % len(homes)]
        session = self.do(self.store.sessions.find(self.tenant, home.id))
        assert session is not None
        chat, is_new = self.do(add_chat(self.store, self.tenant, session, chat_id))
        assert is_new
        home.rooms.append(Room(chat.key, chat.id))

    @precondition(lambda self: self.homes)
    @rule(number=NUMBERS, author=st.sampled_from(PEOPLE), count=st.integers(1, 4), client_id=CLIENT_IDS)
    def say(self, number: int, author: str, count: int, client_id: str | None) -> None:
        room = self.rooms[number % len(self.rooms)]
        texts = [f"m{next(self.numbers)}" for _ in range(count)]
        drafts = [Draft(author, USER, text, client_id=client_id if text == texts[0] else None) for text in texts]
        same = [said for said in room.said if client_id is not None and said.client_id == client_id]
        try:
            self.do(self.instance.messages.append(self.tenant, room.key, drafts))
        except MessageIdTaken:
            assert same
            return
        assert all(said.doomed_by for said in same), "an id was taken twice"
        for said in same:
            room.said.remove(said)
        key = self._key_of(author)
        room.said += [Said(draft.text, key, draft.client_id) for draft in drafts]

    @precondition(lambda self: self.homes)
    @rule(number=NUMBERS, who=st.sampled_from(PEOPLE))
    def connect(self, number: int, who: str) -> None:
        room = self.rooms[number % len(self.rooms)]
        connection = self.do(self.instance.connections.open(self.tenant, room.key, who, lambda _: None))
        room.sockets[connection.id] = self._key_of(who)

    @rule()
    def disconnect_all(self) -> None:
        for room in self.rooms:
            for socket in room.sockets:
                self.do(self.store.connections.close(self.tenant, socket))
            room.sockets.clear()

    @precondition(lambda self: self.homes)
    @rule(number=NUMBERS, text=st.sampled_from(("[[hang]]", "[[tokens=2]]")))
    def start_turn(self, number: int, text: str) -> None:
        room = self.rooms[number % len(self.rooms)]
        text = f"{text} m{next(self.numbers)}"
        start = TurnStart(room.key, new_uid7(), "assistant", Draft("ann", USER, text))
        try:
            turn = self.do(self.instance.turns.start(self.tenant, start)).turn
        except ChatHasActiveTurn:
            assert room.turn is not None
            return
        assert room.turn is None
        room.said.append(Said(text, self._key_of("ann"), None))
        room.turn = turn.id
        if "hang" not in text:
            self.do(self._await_end(turn.id))
            room.turn = None

    async def _await_end(self, turn_id: Uid) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self.instance.turns.get(self.tenant, turn_id)).state == RUNNING:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.001)

    @rule()
    def stop_turns(self) -> None:
        for room in self.rooms:
            if room.turn is not None:
                self.do(self.instance.turns.stop(self.tenant, room.turn))
                room.turn = None

    # Deleting

    @precondition(lambda self: self.homes)
    @rule(number=NUMBERS, mode=MODES, has_window=st.booleans())
    def delete_chat(self, number: int, mode: str, has_window: bool) -> None:
        room = self.rooms[number % len(self.rooms)]
        self._delete(CHAT, room.id, room.key, mode, has_window)

    @precondition(lambda self: self.homes)
    @rule(number=NUMBERS, mode=MODES, has_window=st.booleans())
    def delete_session(self, number: int, mode: str, has_window: bool) -> None:
        home = self.homes[number % len(self.homes)]
        self._delete(SESSION, home.id, home.key, mode, has_window)

    @rule(name=st.sampled_from(PEOPLE), mode=MODES, has_window=st.booleans())
    def delete_participant(self, name: str, mode: str, has_window: bool) -> None:
        who = self.do(self.store.participants.find(self.tenant, PEER, name))
        if who is not None:
            self._delete(PARTICIPANT, name, who.id, mode, has_window)

    @rule(mode=MODES, has_window=st.booleans(), name=st.sampled_from(NAMES))
    def delete_tenant(self, mode: str, has_window: bool, name: str) -> None:
        self._delete(TENANT, text_of(self.tenant), self.tenant, mode, has_window)
        self._leave(name)

    def _leave(self, name: str) -> None:
        if not self.land.is_there:
            self.do(self._settle(name))

    def _delete(self, kind: str, target_id: str, key: Uid, mode: str, has_window: bool) -> None:
        sockets, turns, is_last = self.land.live(kind, key)
        order = Order(mode, inline_messages=3, undo_seconds=WINDOW_SECONDS if has_window and not turns else 0)
        try:
            deletion = self.do(self.instance.deletions.delete(self.tenant, Target(kind, target_id), order))
        except ChatIsLastOfSession:
            assert is_last
        except ChatHasActiveConnections:
            assert (mode, sockets > 0) == (REFUSE, True)
        except ChatHasActiveTurn:
            assert (mode, sockets, turns > 0) == (REFUSE, 0, True)
        else:
            assert not is_last
            assert mode != REFUSE or not sockets + turns
            if mode == AFTER and sockets + turns:
                assert deletion.state == WAITING
                self.land.waiting[deletion.id] = (kind, key)
            else:
                self._lose(self.land, kind, key, deletion)

    def _lose(self, land: Land, kind: str, key: Uid, deletion: Deletion) -> None:
        """The target is gone from here on; within its window it can be had back."""
        name = land.name if kind == TENANT else deletion.target_id or ""
        lost = land.lose(kind, key, deletion.id, name)
        if deletion.state == DETACHED:
            land.lost[deletion.id] = lost

    def _key_of(self, name: str) -> Uid:
        """The participant of that name as it is now."""
        who = self.do(self.store.participants.find(self.tenant, PEER, name))
        assert who is not None
        return who.id

    @precondition(lambda self: any(land.waiting for land in self.lands))
    @rule(number=NUMBERS)
    def call_off(self, number: int) -> None:
        waiting = [(land, deletion_id) for land in self.lands for deletion_id in land.waiting]
        land, deletion_id = waiting[number % len(waiting)]
        assert self.do(self.instance.deletions.undo(land.key, deletion_id)).state == UNDONE
        del land.waiting[deletion_id]

    @precondition(lambda self: any(land.lost for land in self.lands))
    @rule(number=NUMBERS)
    def undo(self, number: int) -> None:
        undoable = [(land, deletion_id) for land in self.lands for deletion_id in land.lost]
        land, deletion_id = undoable[number % len(undoable)]
        lost = land.lost[deletion_id]
        can_be = self.do(self._can_have_back(land, lost))
        try:
            undone = self.do(self.instance.deletions.undo(land.key, deletion_id))
        except (UndoIdTaken, UndoParentDeleted, UndoTooLate):
            assert not can_be
            return
        assert (undone.state, can_be) == (UNDONE, True)
        del land.lost[deletion_id]
        land.have_back(lost, deletion_id)

    async def _can_have_back(self, land: Land, lost: Lost) -> bool:
        if lost.kind == TENANT:
            return await self.store.tenants.find_by_name(lost.name) is None
        if lost.kind == PARTICIPANT and await self.store.participants.find(land.key, PEER, lost.name) is not None:
            return False
        return land.can_have_back(lost)

    @rule()
    def let_windows_end(self) -> None:
        self.end_windows()
        for land in self.lands:
            land.lost.clear()

    # The worker, and what goes wrong

    @rule(passes=st.integers(1, 12))
    def work(self, passes: int) -> None:
        for _ in range(passes):
            self.do(self.instance.worker.run_once())
            self._see_who_waited()

    def _see_who_waited(self) -> None:
        """What has stopped waiting is gone now, and nothing of it was live."""
        for land in self.lands:
            for deletion_id, (kind, key) in list(land.waiting.items()):
                deletion = self.do(self.store.deletions.find(land.key, deletion_id))
                assert deletion is not None
                if deletion.state == WAITING:
                    continue
                del land.waiting[deletion_id]
                if land.has(kind, key):
                    assert land.live(kind, key) == (0, 0, False)
                    self._lose(land, kind, key, deletion)
        self._leave(NAMES[1])

    @rule(calls=st.integers(0, 12))
    def crash(self, calls: int) -> None:
        """The process dies while its worker works; when the next one begins, its leases have run out."""
        self.die(calls)
        self._see_who_waited()
        for room in (room for land in self.lands for room in land.rooms):
            room.sockets.clear()
            room.turn = None

    @rule(seconds=st.sampled_from((-7_200, -1, 1, 86_400)))
    def jump_in_time(self, seconds: int) -> None:
        self.jump += seconds * times.SECOND

    # What is always true

    @invariant()
    def what_is_shown_is_what_the_model_says(self) -> None:
        if self.lands:
            self.do(self._check())

    async def _check(self) -> None:
        for land in self.lands:
            if land.is_there:
                await self._check_land(land)
            else:
                await self._check_gone_land(land)
            for job in await self._jobs_of(land):
                assert job.state != DONE or not land.has(job.kind, job.target_key), f"deleted, they say: {job}"
        chat = await self.store.chats.find_of_single(self.other, "s0")
        assert chat is not None
        page = await self.store.messages.page(self.other, chat.key, ALL)
        assert [message.text for message in page.items] == ["untouched"]

    async def _check_land(self, land: Land) -> None:
        named = await self.store.tenants.find_by_name(land.name)
        assert named is not None
        assert named.id == land.key
        for shape in (MULTI, SINGLE):
            sessions, total = await self.store.sessions.list(land.key, shape, ALL)
            expected = [home.key for home in land.homes if home.shape == shape]
            assert ([session.key for session in sessions], total) == (expected, len(expected))
        for home in land.homes:
            chats = await self.store.chats.list_of_session(land.key, home.key)
            assert [(chat.key, chat.id) for chat in chats] == [(room.key, room.id) for room in home.rooms]
            assert chats, "a session without a chat"
        for room in land.rooms:
            await self._check_messages(land, room)
        for key in land.gone[-4:]:
            await self._check_gone(land, key)

    async def _check_gone_land(self, land: Land) -> None:
        assert await self.store.tenants.find(land.key) is None
        for shape in (MULTI, SINGLE):
            assert await self.store.sessions.list(land.key, shape, ALL) == ([], 0)
        for room in land.rooms[-4:]:
            await self._check_gone(land, room.key)

    async def _check_messages(self, land: Land, room: Room) -> None:
        page = await self.store.messages.page(land.key, room.key, ALL)
        assert [message.seq for message in page.items] == sorted({message.seq for message in page.items})
        assert page.total == len(page.items)
        assert await self.store.messages.latest(land.key, room.key, 1_000) == page.items
        shown = [message.text for message in page.items if message.role != ASSISTANT]
        for said in list(room.said):
            if said.doomed_by and (said.text not in shown or await self._has_taken_hold(land, said.doomed_by)):
                room.said.remove(said)
        assert shown == [said.text for said in room.said]

    async def _has_taken_hold(self, land: Land, deletion_id: Uid) -> bool:
        deletion = await self.store.deletions.find(land.key, deletion_id)
        return deletion is None or deletion.state not in (DETACHED, DETACHING)

    async def _check_gone(self, land: Land, key: Uid) -> None:
        assert await self.store.chats.find_by_key(land.key, key) is None
        with pytest.raises(ChatNotFound):
            await self.store.messages.page(land.key, key, ALL)
        with pytest.raises(ChatNotFound):
            await self.instance.messages.append(land.key, key, [Draft("ben", USER, "late")])

    # The end

    def teardown(self) -> None:
        try:
            if self.lands:
                self._calm_down()
                self._work_to_the_end()
                self.do(self._check())
                self.do(self._check_end())
        finally:
            self.end()

    def _calm_down(self) -> None:
        for land in [land for land in self.lands if land.is_there]:
            self.land = land
            self.disconnect_all()
            self.stop_turns()
        self.let_windows_end()

    def _work_to_the_end(self) -> None:
        """Every deletion ends, or says what it waits for."""
        for _ in range(PASSES):
            self.let_windows_end()  # of those that have only now stopped to wait
            if all(self.do(self._are_over(land)) for land in self.lands):
                return
            self.do(self.instance.worker.run_once())
            self._see_who_waited()
        raise AssertionError(f"not over: {[self.do(self._jobs_of(land)) for land in self.lands]}")

    async def _jobs_of(self, land: Land) -> list[Deletion]:
        return await self.store.deletions.list(land.key, [], None, 1_000, None)

    async def _are_over(self, land: Land) -> bool:
        return all(self._is_over_or_says_why(land, job) for job in await self._jobs_of(land))

    def _is_over_or_says_why(self, land: Land, job: Deletion) -> bool:
        is_last = job.state == WAITING and land.live(job.kind, job.target_key)[2]
        return job.state in (DONE, UNDONE) or (is_last and job.last_error == ChatIsLastOfSession.code)

    async def _check_end(self) -> None:
        for land in self.lands:
            done = [job for job in await self._jobs_of(land) if job.state == DONE]
            receipts = await self.store.receipts.list(land.key, 0, 1_000)
            assert sorted(receipt.deletion_id for receipt in receipts) == sorted(job.id for job in done)
            verdict = await self.instance.receipts.verify(land.key)
            assert verdict.ok, verdict
        assert set((await self.store.orphans()).values()) == {0}
        assert await self.store.check_integrity() == []


TestDeleting = Deleting.TestCase
TestDeleting.settings = settings(
    max_examples=EXAMPLES or 60,
    stateful_step_count=40,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
