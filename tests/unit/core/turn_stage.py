"""A stage for faults of turns: an agent that halts where it is told, followers that note all, a store that can be held.

What is asserted at the end of every scene is the same: no turn runs, no task is left, followers have had an end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from antiphon.core.instance import Instance
from antiphon.core.ports import AgentEvent, Finished, StepBegan, StepDone, TextDelta, Tool, Utterance
from antiphon.core.turns import Turns
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import CANCEL
from antiphon.domain.events import Event, TextAdded, TurnEnded, TurnFailed
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import USER, Draft, Message
from antiphon.domain.sessions import Session
from antiphon.domain.turns import Turn, TurnStart
from tests.unit.core.watched_store import WatchedStore

PIECES = 44
ACTS: list[AgentEvent] = [
    StepBegan(),
    *(TextDelta(f"t{number} ") for number in range(PIECES)),
    StepDone("stop", "scripted", 1, 2),
    Finished("scripted", 2, "stop"),
]
"""What the agent does: with the turn's own, an answer of fifty events."""

WHOLE = "".join(act.text for act in ACTS if isinstance(act, TextDelta))
PATIENCE_SECONDS = 20


class HaltingAgent:
    """An agent that does ACTS, and waits for `go` before that of the number `halt_at` (None: never).

    `pace` is awaited before each of them.
    """

    def __init__(self) -> None:
        self.halt_at: int | None = None
        self.halted = asyncio.Event()
        self.go = asyncio.Event()
        self.at_work = 0
        self.pace: Callable[[], Awaitable[None]] | None = None

    def set_up(self, halt_at: int | None) -> None:
        """For the next turn."""
        self.halt_at = halt_at
        self.halted, self.go = asyncio.Event(), asyncio.Event()

    async def run_turn(
        self, history: Sequence[Utterance], tools: Sequence[Tool] = (), model: str | None = None
    ) -> AsyncGenerator[AgentEvent, None]:
        """See the port."""
        del history, tools, model
        halt_at, halted, go = self.halt_at, self.halted, self.go
        self.at_work += 1
        try:
            for number, act in enumerate(ACTS):
                if number == halt_at:
                    halted.set()
                    await go.wait()
                if self.pace is not None:
                    await self.pace()
                await asyncio.sleep(0)  # so that a follower sees one event at a time
                yield act
            if halt_at == len(ACTS):
                halted.set()
                await go.wait()
        finally:
            self.at_work -= 1

    async def close(self) -> None:
        """See the port."""


class Hearing:
    """A follower that notes what it is given, in a task of its own."""

    def __init__(self, follower: Any) -> None:
        self.events: list[Event] = []
        self.follower = follower
        self.task = asyncio.create_task(self._hear(), name="hearing")

    async def _hear(self) -> None:
        try:
            async for records in self.follower:
                for record in records:
                    if not isinstance(record.event, TurnEnded | TurnFailed):  # before an end something may be lost
                        assert record.sequence == len(self.events)
                    self.events.append(record.event)
        finally:
            self.follower.close()

    @property
    def text(self) -> str:
        """What it was told of the answer."""
        return "".join(event.text for event in self.events if isinstance(event, TextAdded))

    async def leave(self) -> None:
        """Vanish."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.follower.close()  # a task that is cancelled before it begins does nothing

    async def end(self) -> str:
        """How the turn ended, as it was told: nothing comes after that."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.task
        ends = [event for event in self.events if isinstance(event, TurnEnded)]
        assert ends == self.events[-1:], self.events[-3:]
        return ends[0].state


class Scene:
    """One turn that has come to where the agent halts, with a follower of all and one of what is stored."""

    def __init__(self, stage: Stage, chat: Chat, turn: Turn, live: Hearing, durable: Hearing) -> None:
        self.stage, self.chat, self.turn, self.live, self.durable = stage, chat, turn, live, durable

    async def messages(self) -> list[Message]:
        """The chat's messages."""
        return await self.stage.instance.messages.all(self.stage.tenant_id, self.chat.key)


class Stage:
    """A session with chats of its own tenant, and what happens in them."""

    def __init__(self, instance: Instance, tenant_id: Uid, session: Session, data_dir: Path) -> None:
        self.instance, self.tenant_id, self.session = instance, tenant_id, session
        self.agent = cast("HaltingAgent", instance.agent)
        self.store = cast("WatchedStore", instance.store)
        self.tasks = asyncio.all_tasks()
        self._path = data_dir / "antiphon.db"

    @property
    def turns(self) -> Turns:
        """The verbs."""
        return self.instance.turns

    async def new_chat(self) -> Chat:
        """Another chat."""
        chat, _ = await self.instance.chats.create(self.tenant_id, self.session, None)
        return chat

    def question(self, chat: Chat, text: str = "hello") -> TurnStart:
        """A turn that somebody asks for."""
        return TurnStart(chat.key, new_uid7(), "assistant", message=Draft(author="ann", role=USER, text=text))

    async def follow(self, turn: Turn, turns: Turns | None = None, *, is_stored_only: bool = False) -> Hearing:
        """Somebody who follows from the first event on."""
        follower = await (turns or self.turns).follow(
            self.tenant_id, turn.id, 0, _not_slow, is_stored_only=is_stored_only
        )
        return Hearing(follower)

    async def begin(self, halt_at: int | None, chat: Chat) -> Scene:
        """A turn that has come to its halt; with None it has come to its end."""
        self.agent.set_up(halt_at)
        turn = (await self.turns.start(self.tenant_id, self.question(chat))).turn
        scene = Scene(self, chat, turn, await self.follow(turn), await self.follow(turn, is_stored_only=True))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await (self.agent.halted.wait() if halt_at is not None else scene.live.task)
        return scene

    def write_each_event(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the agent wait with each act until the one before it has gone to the store."""
        monkeypatch.setattr(limits, "TURN_FLUSH_EVENTS", 1)

        seen = self.store.count("turns.append_events")

        async def written() -> None:
            nonlocal seen
            await until(lambda: self.store.count("turns.append_events") > seen)
            seen += 1

        self.agent.pace = written

    async def delete(self, chat: Chat) -> None:
        """Delete a chat whatever it does."""
        await self.instance.deletions.delete_chat(self.tenant_id, chat, CANCEL)

    async def settle(self) -> None:
        """Return when nothing of turns goes on; AssertionError when it does not end."""
        self.agent.go.set()
        await until(lambda: self.turns.count == 0 and not self.agent.at_work)
        await until(lambda: not self.loose_tasks())

    def loose_tasks(self) -> list[str]:
        """The names of tasks that were not there in the beginning."""
        return [task.get_name() for task in asyncio.all_tasks() - self.tasks - {_this_task()}]

    def count(self, table: str, where: str = "true") -> int:
        """How many rows a table has, looked at from outside."""
        connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            (count,) = next(iter(connection.execute(f"SELECT count(*) FROM {table} WHERE {where}")))
            return int(count)
        finally:
            connection.close()

    def rows(self) -> list[int]:
        """How many messages, turns and chunks of events there are, and turns that run."""
        return [*map(self.count, ("messages", "turns", "turn_events")), self.count("turns", "state = 'running'")]

    async def is_bare(self) -> bool:
        """Whether nothing was ever said here; waits for the purge, which comes after the answer to a deletion."""
        await until(lambda: not any(self.rows()))
        await self.settle()
        return not any(self.rows())


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _not_slow() -> None:
    raise AssertionError("nobody here is slow")


async def until(is_met: Callable[[], bool]) -> None:
    """Ask until it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_met():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.002)


class Hold:
    """Calls of a store that wait before they are made, or before their caller hears of it; from the `nth` on."""

    def __init__(self, store: WatchedStore, name: str, *, is_after: bool, nth: int = 1) -> None:
        self.reached = asyncio.Event()
        self.release = asyncio.Event()
        self._left = nth
        (store.after if is_after else store.before)[name] = self._wait

    async def _wait(self, *_: object) -> None:
        self._left -= 1
        if self._left <= 0:
            self.reached.set()
            await self.release.wait()


async def outcome(work: Awaitable[Any]) -> Any:
    """What it gives or raises."""
    try:
        return await work
    except Exception as fault:  # noqa: BLE001  it is looked at by who asked
        return fault
