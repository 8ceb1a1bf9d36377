"""One turn, followed at once on two wires: what Recoup's stream says is what the native events say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.streams.live import LiveStreams
from tests.conftest import MakeKey, build_server
from tests.receipts import receipts_of
from tests.scripted_agent import ScriptedAgent
from tests.wire.native.caller import PREFIX, Caller, events_path, good, read_events, text_of, turns_path


def parts_of(body: str) -> list[dict[str, Any]]:
    """The parts of a stream of the AI SDK."""
    lines = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def said_in(parts: list[dict[str, Any]]) -> str:
    return "".join(part["delta"] for part in parts if part["type"] == "text-delta")


@pytest.mark.parametrize("asked", ["[[tokens=40]]", "[[thinks]]a thought first", "[[tool=nothing args={}]]then this"])
async def test_both_say_the_same(
    http: httpx.AsyncClient, instance: Instance, make_key: MakeKey, agent: ScriptedAgent, asked: str
) -> None:
    key = await make_key("t1", "ann")
    tenant = await instance.tenants.get("t1")
    ann, _ = await instance.store.participants.ensure(tenant.id, "peer", "ann")
    _, chat = await instance.store.sessions.create_multi(tenant.id, ann.id, "T", None, None)
    ours = Caller(http, key)
    agent.gate = asyncio.Event()
    turn = good(await ours.ask("POST", turns_path(chat.id), json={"message": {"text": asked}}), 202)
    resumed = asyncio.create_task(http.get(f"/api/chat/{chat.id}/stream", headers={"x-api-key": key}))
    native = asyncio.create_task(http.get(f"{PREFIX}{events_path(chat.id)}", headers=ours.headers))
    done, _ = await asyncio.wait([resumed, native], timeout=0.3)
    assert done == set(), "the turn was over before both followed it"
    agent.gate.set()
    recoup, events = (await resumed), (await native)
    assert (recoup.status_code, events.status_code) == (200, 200)
    told = read_events(events.text)
    assert told[-1].data["state"] == "completed"
    stored = (await instance.messages.latest(tenant.id, chat.key, 1))[-1]
    assert said_in(parts_of(recoup.text)) == text_of(told) == stored.text != ""
    assert events.headers["antiphon-turn"] == turn["id"]


async def test_a_follower_goes_on_in_another_process(
    http: httpx.AsyncClient, instance: Instance, make_key: MakeKey, agent: ScriptedAgent, tmp_path: Path
) -> None:
    """With `Last-Event-ID`, while the turn runs in the first one and when it is over."""
    key = await make_key("t1")
    tenant = await instance.tenants.get("t1")
    chat, _ = await instance.chats.create_single(tenant.id, "ann", None, "{}")
    ours = Caller(http, key)
    store = instance.store
    elsewhere = Instance(store, agent, len, "scripted", LiveStreams(store), receipts_of(store, tmp_path / "other"))
    agent.gate = asyncio.Event()
    async with elsewhere.running():
        transport = httpx.ASGITransport(app=build_server(elsewhere, requests_per_minute=0))
        async with httpx.AsyncClient(transport=transport, base_url="http://antiphon.test") as other:
            there = Caller(other, key)
            good(await ours.ask("POST", turns_path(chat.id), json={"message": {"text": "[[tokens=40]]"}}), 202)
            live = asyncio.create_task(there.events(chat.id, headers={"last-event-id": "0"}))
            done, _ = await asyncio.wait([live], timeout=0.3)
            assert done == set(), "the turn was over before it was followed"
            agent.gate.set()
            whole = await ours.events(chat.id)
            assert await live == whole[1:]
            for at in (5, len(whole) - 2):
                assert await there.events(chat.id, headers={"last-event-id": str(at)}) == whole[at + 1 :]
