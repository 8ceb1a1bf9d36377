"""Whatever is done in whatever order: what the store shows is what a small model in memory says (promises 1 to 7).

The same few hundred steps every time. For a longer run with new ones each time:
`MODEL_EXAMPLES=2000 python -m pytest tests/crash/test_deletion_model.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from antiphon.core.deletion import worker
from antiphon.core.deletion.engine import Target
from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain import limits, times
from antiphon.domain.deletions import (
    AFTER,
    CANCEL,
    CHAT,
    DETACHING,
    DONE,
    PARTICIPANT,
    REFUSE,
    SESSION,
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
    StoreUnavailable,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import ASSISTANT, USER, Draft
from antiphon.domain.participants import PEER
from antiphon.domain.sessions import MULTI, SINGLE
from antiphon.domain.turns import RUNNING, TurnStart
from antiphon.stores.contract.worlds import add_chat, new_multi, new_single
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.streams.live import LiveStreams
from tests.crash.kill_points import let_leases_run_out
from tests.receipts import receipts_of
from tests.scripted_agent import ScriptedAgent
from tests.unit.core.watched_store import WatchedStore

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))
ALL = Slice(0, 1_000)
PEOPLE = ("ann", "ben")
PATIENCE_SECONDS = 30
SMALL = {
    "PURGE_ROWS": 5,
    "PURGE_ROWS_MIN": 1,
    "SILENCE_ROWS": 3,
    "SCRUB_GATHER_SECONDS": 0,
    "JOB_POLL_SECONDS": 0,
    "JOB_BLOCKED_SECONDS": 0,
}
"""Limits, so small that everything takes many steps and none waits."""

CLIENT_IDS = st.sampled_from((None, None, "x", "y"))
PASSES = 400
MODES = st.sampled_from((REFUSE, CANCEL, AFTER))
NUMBERS = st.integers(min_value=0, max_value=1_000)


class Said:
    """A message. One with `doomed_by` may go at any moment, and is gone once that deletion has taken hold."""

    def __init__(self, text: str, author_key: Uid, client_id: str | None) -> None:
        self.text, self.author_key, self.client_id = text, author_key, client_id
        self.doomed_by: Uid | None = None


class Room:
    """A chat: what was said, whose sockets are open, and the turn that runs."""

    def __init__(self, key: Uid, chat_id: str) -> None:
        self.key, self.id = key, chat_id
        self.said: list[Said] = []
        self.sockets: dict[Uid, Uid] = {}
        self.turn: Uid | None = None


class Home:
    """A session with its chats in order of making."""

    def __init__(self, key: Uid, session_id: str, shape: str, owner_key: Uid, room: Room) -> None:
        self.key, self.id, self.shape, self.owner_key, self.rooms = key, session_id, shape, owner_key, [room]


class Cut(dict[str, Any]):
    """What goes before every call to a store: a dead process's have no effect any more."""

    calls_left: int | None = None

    def get(self, _: object, default: object = None) -> Any:
        """The same for all."""
        return self._pass

    async def _pass(self, *_: object) -> None:
        if self.calls_left is not None:
            if self.calls_left <= 0:
                raise StoreUnavailable
            self.calls_left -= 1


T = TypeVar("T")


class Deleting(RuleBasedStateMachine):
    """One tenant at one process at a time, which now and then dies."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="antiphon-model-"))
        self.patch = pytest.MonkeyPatch()
        self.jump = 0
        real = times.now
        self.patch.setattr(times, "now", lambda: real() + self.jump)
        self.patch.setattr(worker, "backoff_seconds", lambda _: 0.001)
        for name, value in SMALL.items():
            self.patch.setattr(limits, name, value)
        self.numbers = itertools.count()
        self.homes: list[Home] = []
        self.gone: list[Uid] = []
        self.gone_people: set[Uid] = set()
        self.waiting: dict[Uid, tuple[str, Uid]] = {}
        self.stores: list[SqliteStore] = []
        self.tenant = b""

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Let it happen."""
        return self.runner.run(work)

    @property
    def rooms(self) -> list[Room]:
        return [room for home in self.homes for room in home.rooms]

    @initialize()
    def begin(self) -> None:
        """Two tenants with things of the same ids, of which one is never touched."""
        self.do(self._open())
        self.do(self._begin())

    async def _open(self) -> None:
        self.store = await SqliteStore.open(self.folder / "data")
        self.stores.append(self.store)
        line: Any = WatchedStore(self.store)
        line.before = self.cut = Cut()
        self.instance = Instance(
            line, ScriptedAgent(), len, "scripted", LiveStreams(line), receipts_of(line, self.folder)
        )
        await self.instance.receipts.start()

    async def _begin(self) -> None:
        self.tenant = (await self.instance.tenants.create("one")).id
        self.other = (await self.instance.tenants.create("other")).id
        _, chat = await new_single(self.store, self.other, "s0")
        await self.store.messages.append(self.other, chat.key, [Draft("ann", USER, "untouched")])

    # What clients do

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
    @rule(number=NUMBERS, mode=MODES)
    def delete_chat(self, number: int, mode: str) -> None:
        room = self.rooms[number % len(self.rooms)]
        self._delete(CHAT, room.id, room.key, mode)

    @precondition(lambda self: self.homes)
    @rule(number=NUMBERS, mode=MODES)
    def delete_session(self, number: int, mode: str) -> None:
        home = self.homes[number % len(self.homes)]
        self._delete(SESSION, home.id, home.key, mode)

    @rule(name=st.sampled_from(PEOPLE), mode=MODES)
    def delete_participant(self, name: str, mode: str) -> None:
        who = self.do(self.store.participants.find(self.tenant, PEER, name))
        if who is not None:
            self._delete(PARTICIPANT, name, who.id, mode)

    def _delete(self, kind: str, target_id: str, key: Uid, mode: str) -> None:
        sockets, turns, is_last = self._live(kind, key)
        try:
            order = Order(mode, inline_messages=3)
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
                self.waiting[deletion.id] = (kind, key)
            else:
                self._lose(kind, key, deletion.id)

    def _live(self, kind: str, key: Uid) -> tuple[int, int, bool]:
        """How many sockets and turns stand in the way of a deletion, and whether it is of a last chat."""
        rooms = self._rooms_of(kind, key)
        sockets, turns = sum(len(room.sockets) for room in rooms), sum(room.turn is not None for room in rooms)
        if kind == PARTICIPANT:
            sockets += sum(who == key for room in self.rooms if room not in rooms for who in room.sockets.values())
        is_last = kind == CHAT and any(
            home.shape == MULTI and [room.key for room in home.rooms] == [key] for home in self.homes
        )
        return sockets, turns, is_last

    def _key_of(self, name: str) -> Uid:
        """The participant of that name as it is now."""
        who = self.do(self.store.participants.find(self.tenant, PEER, name))
        assert who is not None
        return who.id

    def _rooms_of(self, kind: str, key: Uid) -> list[Room]:
        if kind == CHAT:
            return [room for room in self.rooms if room.key == key]
        homes = [home for home in self.homes if key in (home.key, home.owner_key)]
        return [room for home in homes for room in home.rooms]

    def _lose(self, kind: str, key: Uid, deletion_id: Uid) -> None:
        """The target is gone from here on."""
        lost = self._rooms_of(kind, key)
        self.gone += [room.key for room in lost]
        for home in list(self.homes):
            home.rooms = [room for room in home.rooms if room not in lost]
            if not home.rooms:
                self.homes.remove(home)
        if kind == PARTICIPANT:
            self.gone_people.add(key)
            for room in self.rooms:
                for said in room.said:
                    said.doomed_by = deletion_id if said.author_key == key else said.doomed_by
                room.sockets = {socket: who for socket, who in room.sockets.items() if who != key}

    # The worker, and what goes wrong

    @rule(passes=st.integers(1, 12))
    def work(self, passes: int) -> None:
        for _ in range(passes):
            self.do(self.instance.worker.run_once())
            self._see_who_waited()

    def _see_who_waited(self) -> None:
        """What has stopped waiting is gone now, and nothing of it was live."""
        for deletion_id, (kind, key) in list(self.waiting.items()):
            deletion = self.do(self.store.deletions.find(self.tenant, deletion_id))
            assert deletion is not None
            if deletion.state == WAITING:
                continue
            del self.waiting[deletion_id]
            is_there = key not in self.gone_people if kind == PARTICIPANT else bool(self._rooms_of(kind, key))
            if is_there:
                sockets, turns, is_last = self._live(kind, key)
                assert (sockets, turns, is_last) == (0, 0, False)
                self._lose(kind, key, deletion_id)

    @rule(calls=st.integers(0, 12))
    def crash(self, calls: int) -> None:
        """The process dies while its worker works; when the next one begins, its leases have run out."""
        self.cut.calls_left = calls
        self.do(self._work_until_cut())
        self.do(self._end_tasks())
        let_leases_run_out(self.folder, is_all=True)
        self.do(self._open())
        self._see_who_waited()
        for room in self.rooms:
            room.sockets.clear()
            room.turn = None

    async def _work_until_cut(self) -> None:
        try:
            for _ in range(12):
                await self.instance.worker.run_once()
        except StoreUnavailable:
            pass
        self.cut.calls_left = 0

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @rule(seconds=st.sampled_from((-7_200, -1, 1, 86_400)))
    def jump_in_time(self, seconds: int) -> None:
        self.jump += seconds * times.SECOND

    # What is always true

    @invariant()
    def what_is_shown_is_what_the_model_says(self) -> None:
        if self.tenant:
            self.do(self._check())

    async def _check(self) -> None:
        for shape in (MULTI, SINGLE):
            sessions, total = await self.store.sessions.list(self.tenant, shape, ALL)
            expected = [home.key for home in self.homes if home.shape == shape]
            assert ([session.key for session in sessions], total) == (expected, len(expected))
        for home in self.homes:
            chats = await self.store.chats.list_of_session(self.tenant, home.key)
            assert [(chat.key, chat.id) for chat in chats] == [(room.key, room.id) for room in home.rooms]
            assert chats, "a session without a chat"
        for room in self.rooms:
            await self._check_messages(room)
        for key in self.gone[-4:]:
            await self._check_gone(key)
        chat = await self.store.chats.find_of_single(self.other, "s0")
        assert chat is not None
        page = await self.store.messages.page(self.other, chat.key, ALL)
        assert [message.text for message in page.items] == ["untouched"]

    async def _check_messages(self, room: Room) -> None:
        page = await self.store.messages.page(self.tenant, room.key, ALL)
        assert [message.seq for message in page.items] == sorted({message.seq for message in page.items})
        assert page.total == len(page.items)
        assert await self.store.messages.latest(self.tenant, room.key, 1_000) == page.items
        shown = [message.text for message in page.items if message.role != ASSISTANT]
        for said in list(room.said):
            if said.doomed_by and (said.text not in shown or await self._has_taken_hold(said.doomed_by)):
                room.said.remove(said)
        assert shown == [said.text for said in room.said]

    async def _has_taken_hold(self, deletion_id: Uid) -> bool:
        deletion = await self.store.deletions.find(self.tenant, deletion_id)
        return deletion is None or deletion.state != DETACHING

    async def _check_gone(self, key: Uid) -> None:
        assert await self.store.chats.find_by_key(self.tenant, key) is None
        with pytest.raises(ChatNotFound):
            await self.store.messages.page(self.tenant, key, ALL)
        with pytest.raises(ChatNotFound):
            await self.instance.messages.append(self.tenant, key, [Draft("ben", USER, "late")])

    # The end

    def teardown(self) -> None:
        try:
            if self.tenant:
                self.disconnect_all()
                self.stop_turns()
                self._work_to_the_end()
                self.do(self._check())
                self.do(self._check_end())
        finally:
            self.do(self._end_tasks())
            for store in self.stores:
                self.do(store.close())
            self.runner.close()
            self.patch.undo()
            shutil.rmtree(self.folder)

    def _work_to_the_end(self) -> None:
        """Every deletion ends, or says what it waits for."""
        for _ in range(PASSES):
            if all(self._is_over_or_says_why(job) for job in self.do(self._jobs())):
                return
            self.do(self.instance.worker.run_once())
            self._see_who_waited()
        raise AssertionError(f"not over: {self.do(self._jobs())}")

    async def _jobs(self) -> list[Deletion]:
        return await self.store.deletions.list(self.tenant, [], None, 1_000, None)

    def _is_over_or_says_why(self, job: Deletion) -> bool:
        is_last = job.state == WAITING and self._live(job.kind, job.target_key)[2]
        return job.state == DONE or (is_last and job.last_error == ChatIsLastOfSession.code)

    async def _check_end(self) -> None:
        done = [job for job in await self._jobs() if job.state == DONE]
        receipts = await self.store.receipts.list(self.tenant, 0, 1_000)
        assert sorted(receipt.deletion_id for receipt in receipts) == sorted(job.id for job in done)
        verdict = await self.instance.receipts.verify(self.tenant)
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
