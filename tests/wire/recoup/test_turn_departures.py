"""Clients that go away at every chunk of a stream: the answer is made and stored as if they were there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.api.server import Server
from antiphon.core.instance import Instance
from tests.unit.core.turn_stage import WHOLE, HaltingAgent, until
from tests.wire.recoup.caller import Caller
from tests.wire.recoup.turning import body_of, messages_of, opener, text_of, user

SAID_BEFORE = 48
"""Chunks that have been told when the agent comes to its last act: it waits there until the client is gone."""


@pytest.fixture
def agent() -> HaltingAgent:
    return HaltingAgent()


async def test_at_every_chunk(
    ann: Caller, server: Server, session: dict[str, Any], agent: HaltingAgent, instance: Instance
) -> None:
    open_call = opener(server)
    tasks = asyncio.all_tasks()
    for number in range(SAID_BEFORE):
        agent.set_up(number)
        call = await open_call(ann, "POST", "/api/chat", body_of(session, user("hello", f"u{number}"))).begin()
        assert call.status == 200
        await agent.halted.wait()
        other = await open_call(ann, "GET", f"/api/chat/{session['chat']['id']}/stream").begin()
        await call.leave()
        agent.go.set()
        assert (await other.rest())[-1]["type"] == "finish"
        assert text_of((await messages_of(ann, session))[-1]) == WHOLE
        await until(lambda: not asyncio.all_tasks() - tasks - {asyncio.current_task()})
    assert not instance.streams._own  # type: ignore[attr-defined]
    assert [message["role"] for message in await messages_of(ann, session)] == ["user", "assistant"] * SAID_BEFORE
