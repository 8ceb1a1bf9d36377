"""Attended turns: what was said is kept, what was not finished is not, and nothing is written after the end."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from antiphon.core.messages import Messages
from antiphon.core.replies import Replies
from antiphon.domain import limits
from antiphon.domain.connections import Connection
from antiphon.domain.errors import AgentFailed, ChatNotFound, ConnectionNotFound
from antiphon.domain.ids import new_uid7
from antiphon.domain.messages import ASSISTANT, USER, Message
from antiphon.stores.contract.worlds import connect, detach, new_chats, new_tenant, texts_of
from tests.scripted_agent import ScriptedAgent


@pytest.fixture
def replies(watched: Any, agent: ScriptedAgent) -> Replies:
    return Replies(watched, Messages(watched, lambda text: len(text.split())), agent, silence_seconds=0.5)


@pytest.fixture
async def connection(watched: Any) -> Connection:
    tenant = await new_tenant(watched)
    _, chats = await new_chats(watched, tenant, 2)
    return await connect(watched, tenant, chats[0], new_uid7(), who="ann")


async def said(watched: Any, connection: Connection) -> list[str]:
    return await texts_of(watched, connection.tenant_id, connection.chat_key)


async def answered(replies: Replies, connection: Connection) -> tuple[list[str], Message]:
    """The pieces of an answer, and the stored message."""
    *pieces, message = [event async for event in replies.answer(connection)]
    assert isinstance(message, Message)
    return [str(piece) for piece in pieces], message


async def test_a_question_is_stored_under_its_lease(replies: Replies, watched: Any, connection: Connection) -> None:
    stored = await replies.ask(connection, "how are you", '{"a":1}')
    assert (stored.author, stored.role, stored.text) == ("ann", USER, "how are you")
    assert (stored.metadata, stored.token_count) == ('{"a":1}', 3)
    assert await said(watched, connection) == ["how are you"]
    await watched.connections.close(connection.tenant_id, connection.id)
    with pytest.raises(ConnectionNotFound):
        await replies.ask(connection, "late", "{}")
    assert await said(watched, connection) == ["how are you"]


async def test_an_answer_comes_in_pieces_and_is_stored_at_its_end(
    replies: Replies, watched: Any, connection: Connection
) -> None:
    await replies.ask(connection, "[[tokens=4]]", "{}")
    pieces, message = await answered(replies, connection)
    assert pieces == ["t0", " t1", " t2", " t3"]
    assert (message.text, message.author, message.role) == ("t0 t1 t2 t3", "assistant", ASSISTANT)
    assert msgspec.json.decode(message.metadata) == {"model": "scripted", "tokens_used": 3}
    assert message.token_count == 4
    assert await said(watched, connection) == ["[[tokens=4]]", "t0 t1 t2 t3"]


async def test_the_agent_hears_the_newest_of_the_chat(
    replies: Replies, agent: ScriptedAgent, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HISTORY_MESSAGES", 3)
    for i in range(3):
        await replies.ask(connection, f"q{i} [[text=a{i}]]", "{}")
        await answered(replies, connection)
    assert [(said.role, said.text) for said in agent.heard[-1]] == [
        (USER, "q1 [[text=a1]]"),
        (ASSISTANT, "a1"),
        (USER, "q2 [[text=a2]]"),
    ]


@pytest.mark.parametrize("text", ["[[fail]]", "[[break]] one two", "[[tokens=0]]", "[[text=   ]]"])
async def test_an_answer_that_fails_is_not_stored(
    replies: Replies, watched: Any, connection: Connection, text: str
) -> None:
    await replies.ask(connection, text, "{}")
    with pytest.raises(AgentFailed):
        await answered(replies, connection)
    assert await said(watched, connection) == [text]


async def test_an_agent_that_falls_silent_has_failed(
    watched: Any, agent: ScriptedAgent, connection: Connection
) -> None:
    replies = Replies(watched, Messages(watched, len), agent, silence_seconds=0.02)
    await replies.ask(connection, "[[hang]] one two", "{}")
    with pytest.raises(AgentFailed):
        await answered(replies, connection)
    assert await said(watched, connection) == ["[[hang]] one two"]
    assert agent.closed_early == 1


async def test_who_leaves_early_stops_the_model_and_stores_nothing(
    replies: Replies, watched: Any, agent: ScriptedAgent, connection: Connection
) -> None:
    await replies.ask(connection, "[[tokens=5]]", "{}")
    answer = replies.answer(connection)
    assert [await anext(answer), await anext(answer)] == ["t0", " t1"]
    await answer.aclose()
    assert agent.closed_early == 1
    assert await said(watched, connection) == ["[[tokens=5]]"]


async def test_a_chat_that_goes_meanwhile_gets_no_answer(
    replies: Replies, watched: Any, connection: Connection
) -> None:
    await replies.ask(connection, "[[tokens=3]]", "{}")
    answer = replies.answer(connection)
    await anext(answer)
    chat = await watched.chats.find_by_key(connection.tenant_id, connection.chat_key)
    await detach(watched, connection.tenant_id, chat, "cancel")
    with pytest.raises(ChatNotFound):
        [event async for event in answer]
    with pytest.raises(ChatNotFound):
        await answered(replies, connection)


async def test_a_lease_that_goes_meanwhile_ends_the_answer(
    replies: Replies, watched: Any, connection: Connection
) -> None:
    await replies.ask(connection, "[[tokens=3]]", "{}")
    answer = replies.answer(connection)
    await anext(answer)
    await watched.connections.close(connection.tenant_id, connection.id)
    with pytest.raises(ConnectionNotFound):
        [event async for event in answer]
    assert await said(watched, connection) == ["[[tokens=3]]"]


@pytest.mark.parametrize("text", ["a\x00b c", "\x00 b", "a\ud800 b"])
async def test_what_no_store_keeps_is_left_out(
    replies: Replies, watched: Any, connection: Connection, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("tests.scripted_agent._pieces", lambda _: [text, "", "!"])
    await replies.ask(connection, "say it", "{}")
    pieces, message = await answered(replies, connection)
    assert all(pieces)
    assert "".join(pieces) == message.text == text.replace("\x00", "").replace("\ud800", "") + "!"
    assert await said(watched, connection) == ["say it", message.text]


async def test_cancelled_work_writes_no_more_once_it_has_ended(
    replies: Replies, watched: Any, connection: Connection
) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def hold(*_: object) -> None:
        entered.set()
        await go_on.wait()

    watched.before["messages.append"] = hold
    task = asyncio.create_task(replies.ask(connection, "cut off", "{}"))
    await entered.wait()
    task.cancel()
    _, pending = await asyncio.wait([task], timeout=0.02)
    assert pending == {task}, "it ended while its write was still under way"
    go_on.set()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    assert await said(watched, connection) == ["cut off"]
