"""The orderly end of a server: sockets get 1001, exchanges that are under way a bounded time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.api.lexicon.socket import ChatSocket
from antiphon.core.instance import Instance
from tests.scripted_agent import ScriptedAgent
from tests.wire.lexicon.caller import Caller, Exchange


@pytest.fixture
async def chat(ours: Caller) -> dict[str, Any]:
    return await ours.create("mara")


async def test_idle_sockets_are_closed_at_once(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, sockets: ChatSocket, instance: Instance
) -> None:
    async with exchange.join(ours.key, chat) as one, exchange.join(ours.key, chat) as two:
        async with asyncio.timeout(5):
            await sockets.close_all(60)
        assert instance.connections.count == 0
        await one.closed(1001, "")
        await two.closed(1001, "")
    assert (await ours.delete(chat["id"])).status_code == 200


async def test_an_exchange_may_end_and_the_next_does_not_begin(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, sockets: ChatSocket, agent: ScriptedAgent
) -> None:
    agent.gate = asyncio.Event()
    async with exchange.join(ours.key, chat) as phone:
        await phone.say("[[text=to the end]]")
        await phone.until("message_stream_started")
        await phone.say("never begun")
        closing = asyncio.create_task(sockets.close_all(60))
        await asyncio.sleep(0)
        assert not closing.done()
        agent.gate.set()
        assert (await phone.until("message_stream_ended"))["content"] == "to the end"
        await phone.closed(1001, "")
        await closing
    assert [text for _, text in await ours.said(chat["id"])] == ["[[text=to the end]]", "to the end"]


async def test_an_exchange_that_takes_too_long_is_broken_off(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, sockets: ChatSocket, agent: ScriptedAgent
) -> None:
    async with exchange.join(ours.key, chat) as phone:
        await phone.say("[[hang]]")
        await phone.until("message_stream_token")
        async with asyncio.timeout(1.5):
            await sockets.close_all(1.1)
        await phone.closed(1001, "")
    assert agent.closed_early == 1
    assert await ours.said(chat["id"]) == [("user", "[[hang]]")]
    assert (await ours.delete(chat["id"])).status_code == 200


async def test_who_comes_later_is_closed_too(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, sockets: ChatSocket, instance: Instance
) -> None:
    await sockets.close_all(1)
    async with exchange.dial(api_key=ours.key or "", user_id="mara", chat_id=chat["id"]) as phone:
        await phone.closed(1001, "")
    assert instance.connections.count == 0
