"""Shared turns: one at a time, followed by any number, stopped when told, and never left running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from antiphon.core.instance import Instance
from antiphon.core.turns import Turns
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import CANCEL
from antiphon.domain.errors import ChatHasActiveTurn, TurnNotFound
from antiphon.domain.events import Event, TextAdded, ToolFailed, TurnEnded, TurnFailed, TurnStarted, TurnStopped
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import USER, Draft, Message
from antiphon.domain.participants import PEER
from antiphon.domain.sessions import Session
from antiphon.domain.turns import COMPLETED, FAILED, INTERRUPTED, RUNNING, STOPPED, Turn, TurnStart
from antiphon.streams.live import LiveStreams
from tests.scripted_agent import ScriptedAgent


class Room:
    """A chat of its own tenant, with what tests do in it."""

    def __init__(self, instance: Instance, tenant_id: Uid, chat: Chat) -> None:
        self.instance = instance
        self.tenant_id = tenant_id
        self.chat = chat

    def question(self, text: str, client_id: str | None = None) -> TurnStart:
        """A turn that somebody asks for."""
        message = Draft(author="ann", role=USER, text=text, client_id=client_id)
        return TurnStart(self.chat.key, new_uid7(), "assistant", message=message)

    async def start(self, text: str, turns: Turns | None = None) -> Turn:
        """A running turn."""
        return (await (turns or self.instance.turns).start(self.tenant_id, self.question(text))).turn

    async def events(self, turn: Turn, first: int = 0, turns: Turns | None = None) -> list[Event]:
        """All events of a turn to its end."""
        follower = await (turns or self.instance.turns).follow(self.tenant_id, turn.id, first, never)
        try:
            return [record.event async for records in follower for record in records]
        finally:
            follower.close()

    async def messages(self) -> list[Message]:
        """The chat's messages in order."""
        return await self.instance.messages.all(self.tenant_id, self.chat.key)

    async def ended(self, turn: Turn) -> Turn:
        """The turn, once it is over."""
        await until(lambda: self._is_over(turn))
        return await self.instance.turns.get(self.tenant_id, turn.id)

    async def _is_over(self, turn: Turn) -> bool:
        return (await self.instance.turns.get(self.tenant_id, turn.id)).state != RUNNING

    async def reload(self) -> Chat:
        """The chat as it is now."""
        return await self.instance.chats.get(self.tenant_id, self.chat.id)


def never() -> None:
    """Nobody here is slow."""
    pytest.fail("cut off")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it holds; ten seconds at most."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110  the store has no event to wait for
            await asyncio.sleep(0.005)


def text_of(events: list[Event]) -> str:
    """What was said."""
    return "".join(event.text for event in events if isinstance(event, TextAdded))


@pytest.fixture
async def room(instance: Instance) -> Room:
    """A chat of a session of several."""
    tenant = await instance.tenants.create("t1")
    owner, _ = await instance.store.participants.ensure(tenant.id, PEER, "ann")
    _, chat = await instance.store.sessions.create_multi(tenant.id, owner.id, "Talk", None, None)
    return Room(instance, tenant.id, chat)


@pytest.fixture
def gate(agent: ScriptedAgent) -> asyncio.Event:
    """The agent says nothing until it is set."""
    agent.gate = asyncio.Event()
    return agent.gate


async def test_an_answer_is_followed_and_stored(room: Room) -> None:
    """Events are numbered from the start to the end; the message has what was said; the slot is free."""
    turn = await room.start("hello")
    assert (await room.reload()).active_turn == turn.id
    events = await room.events(turn)
    assert isinstance(events[0], TurnStarted)
    assert events[-1] == TurnEnded(COMPLETED)
    assert text_of(events) == "You said: hello"
    assert [(message.role, message.text) for message in await room.messages()] == [
        ("user", "hello"),
        ("assistant", "You said: hello"),
    ]
    assert (await room.messages())[1].id == turn.reply_id
    assert (await room.reload()).active_turn is None


async def test_the_end_is_told_when_the_slot_is_free(room: Room) -> None:
    """Who hears of it may ask again at once."""
    for number in range(20):
        turn = await room.start(f"number {number}")
        await room.events(turn)
    assert len(await room.messages()) == 40


async def test_a_replay_equals_what_was_live(room: Room) -> None:
    """From memory, from the store, and from the middle."""
    turn = await room.start("[[tokens=30]]")
    live = await room.events(turn)
    stored = await room.events(turn)
    assert stored == live
    assert await room.events(turn, 7) == live[7:]


async def test_of_fifty_at_once_one_wins(room: Room, gate: asyncio.Event) -> None:
    """The others are told so, and their questions are not stored."""
    tries = [room.start(f"number {number}") for number in range(50)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    winners = [outcome for outcome in outcomes if isinstance(outcome, Turn)]
    assert len(winners) == 1
    assert {type(outcome) for outcome in outcomes if not isinstance(outcome, Turn)} == {ChatHasActiveTurn}
    gate.set()
    await room.ended(winners[0])
    assert [message.role for message in await room.messages()] == ["user", "assistant"]


async def test_a_stop_keeps_what_was_said(room: Room, agent: ScriptedAgent) -> None:
    """The model is cut off, followers get the end, and no token comes after it."""
    turn = await room.start("[[hang]]")
    follower = await room.instance.turns.follow(room.tenant_id, turn.id, 0, never)
    seen: list[Event] = []
    async for records in follower:
        seen += [record.event for record in records]
        if any(isinstance(event, TextAdded) for event in seen):
            break
    stopped = await room.instance.turns.stop(room.tenant_id, turn.id)
    assert stopped.state == STOPPED
    assert agent.closed_early == 1
    async for records in follower:
        seen += [record.event for record in records]
    assert seen[-2:] == [TurnStopped(), TurnEnded(STOPPED)]
    assert (await room.messages())[1].text == text_of(seen) != ""
    assert (await room.reload()).active_turn is None
    again = await room.instance.turns.stop(room.tenant_id, turn.id)
    assert again.state == STOPPED


async def test_a_stop_before_the_first_token_leaves_no_message(room: Room, gate: asyncio.Event) -> None:
    """Nothing was said, so nothing is kept of it."""
    turn = await room.start("hello")
    assert (await room.instance.turns.stop(room.tenant_id, turn.id)).state == STOPPED
    assert [message.role for message in await room.messages()] == ["user"]
    assert not gate.is_set()


async def test_a_model_that_fails_ends_the_turn(room: Room) -> None:
    """What it said until then stays; followers are told why."""
    turn = await room.start("[[break]]")
    events = await room.events(turn)
    assert any(isinstance(event, TurnFailed) and event.error for event in events)
    assert events[-1] == TurnEnded(FAILED)
    ended = await room.instance.turns.get(room.tenant_id, turn.id)
    assert (ended.state, bool(ended.error)) == (FAILED, True)
    assert (await room.messages())[-1].text == text_of(events) != ""
    assert (await room.reload()).active_turn is None


async def test_a_deleted_chat_ends_its_turn(room: Room, agent: ScriptedAgent, gate: asyncio.Event) -> None:
    """Followers hear of it, the model is cut off, nothing is written."""
    turn = await room.start("[[tokens=5]]")
    following = asyncio.create_task(room.events(turn))
    other = await room.instance.chats.create(room.tenant_id, await session_of(room), None)
    await room.instance.deletions.delete_chat(room.tenant_id, room.chat, CANCEL)
    assert (await following)[-1] == TurnEnded("deleted")
    with pytest.raises(TurnNotFound):
        await room.instance.turns.get(room.tenant_id, turn.id)
    await until(lambda: settled(room.instance.turns))
    assert agent.closed_early == 1
    assert not gate.is_set()
    assert (await room.instance.chats.get(room.tenant_id, other[0].id)).message_count == 0


async def session_of(room: Room) -> Session:
    """The session of the room's chat."""
    return await room.instance.sessions.get(room.tenant_id, room.chat.session_id)


async def settled(turns: Turns) -> bool:
    """Whether no turn runs in this process."""
    return turns.count == 0


async def test_a_turn_of_another_process_is_followed_and_stopped(room: Room, gate: asyncio.Event) -> None:
    """Through the store: its events come in chunks, its stop by a column."""
    instance = room.instance
    streams = LiveStreams(instance.store)
    elsewhere = Turns(instance.store, instance.messages, instance.agent, streams, lambda *_: ())
    gate.set()
    turn = await room.start("[[hang]]")
    following = asyncio.create_task(room.events(turn, turns=elsewhere))
    stopped = await elsewhere.stop(room.tenant_id, turn.id)
    assert stopped.state == STOPPED
    events = await following
    assert events[-1] == TurnEnded(STOPPED)
    assert events == await room.events(turn)
    await streams.close()


async def test_a_dead_process_leaves_its_text(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever meets the slot closes it; what was stored of the answer becomes the message."""
    instance = room.instance
    monkeypatch.setattr(limits, "TURN_LEASE_SECONDS", 0)
    dead = Turns(instance.store, instance.messages, instance.agent, LiveStreams(instance.store), lambda *_: ())
    turn = await room.start("[[hang]]", dead)
    await until(lambda: has_events(room, turn))
    for task in list(dead._tasks):  # as SIGKILL would: nothing is told to the store
        task.cancel()
    monkeypatch.undo()
    following = asyncio.create_task(room.events(turn))
    again = await room.start("and now?")
    events = await following
    assert events[-1] == TurnEnded(INTERRUPTED)
    await room.ended(again)
    assert [message.role for message in await room.messages()] == ["user", "assistant", "user", "assistant"]
    assert (await instance.turns.get(room.tenant_id, turn.id)).state == INTERRUPTED


async def has_events(room: Room, turn: Turn) -> bool:
    """Whether the store has some of the text."""
    _, chunks = await room.instance.store.turns.events(room.tenant_id, turn.id, 0, 10)
    return any("text-added" in chunk.body for chunk in chunks)


async def test_an_orderly_end_keeps_the_text(room: Room) -> None:
    """The turn ends as interrupted, and none begins any more."""
    turn = await room.start("[[hang]]")
    await until(lambda: has_events(room, turn))
    following = asyncio.create_task(room.events(turn))
    await room.instance.turns.close()
    assert (await following)[-1] == TurnEnded(INTERRUPTED)
    assert [message.role for message in await room.messages()] == ["user", "assistant"]


async def test_a_question_that_is_there_is_not_stored_again(room: Room) -> None:
    """The client's own id tells."""
    question = room.question("hello", "m-1")
    for _ in range(2):
        claimed = await room.instance.turns.start(room.tenant_id, question)
        await room.ended(claimed.turn)
        question = msgspec.structs.replace(question, reply_id=new_uid7())
    assert [message.client_id for message in await room.messages()] == ["m-1", None, None]


async def test_a_tool_that_is_not_there_does_not_end_the_turn(room: Room) -> None:
    """The call stands in the message as failed, and the model goes on."""
    turn = await room.start("[[tool=current_time args={}]] what time is it?")
    events = await room.events(turn)
    assert events[-1] == TurnEnded(COMPLETED)
    assert any(isinstance(event, ToolFailed) for event in events)
    parts = msgspec.json.decode((await room.messages())[-1].parts or "[]")
    assert [part.get("state") for part in parts if part["type"] == "tool-current_time"] == ["output-error"]
    assert text_of(events) == (await room.messages())[-1].text != ""


async def test_no_turn_is_left_by_one_that_was_asked_for_in_vain(room: Room, gate: asyncio.Event) -> None:
    """Who is cancelled while asking leaves either no turn or one that runs to its end."""
    asking = asyncio.create_task(room.start("hello"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    gate.set()
    await until(lambda: settled(room.instance.turns))
    assert (await room.reload()).active_turn is None
    assert len(await room.messages()) in (0, 2)
