"""The stream of a chat: the running turn or the last, continued where the client was, with ids that a crash keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from tests.scripted_agent import ScriptedAgent
from tests.wire.native.caller import PREFIX, Caller, Told, events_path, good, problem, read_events, text_of, turns_path


@asynccontextmanager
async def following(address: str, caller: Caller, chat: str, query: str = "") -> AsyncIterator[AsyncIterator[Told]]:
    """The events of a chat as they come from a real server."""
    async with (
        httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as http,
        http.stream("GET", f"{PREFIX}{events_path(chat)}{query}", headers=caller.headers) as answer,
    ):
        assert answer.status_code == 200

        async def events() -> AsyncIterator[Told]:
            block = ""
            async for line in answer.aiter_lines():
                block += f"{line}\n"
                if not line:
                    for told in read_events(block):
                        yield told
                    block = ""

        yield events()


async def test_a_whole_turn(ours: Caller, chat: str) -> None:
    """Numbered from 0 without gaps; the name of an event is its type."""
    turn = await ours.start(chat, "[[tokens=5]]")
    answer = await ours.ask("GET", events_path(chat))
    told = read_events(answer.text)
    assert answer.headers["antiphon-turn"] == turn["id"]
    assert [one.id for one in told] == [str(number) for number in range(len(told))]
    assert all(one.event == one.data["type"] for one in told)
    assert (told[0].event, told[-1].event, told[-1].data["state"]) == ("turn-started", "turn-ended", "completed")
    assert text_of(told) == "t0 t1 t2 t3 t4"


@pytest.mark.parametrize("by", ["header", "query", "both"])
async def test_it_goes_on_at_any_place(ours: Caller, chat: str, by: str) -> None:
    """The header, which a browser keeps up to date, goes before the query."""
    await ours.start(chat, "[[tokens=5]]")
    whole = await ours.events(chat)
    for at in range(len(whole) - 1):
        headers = {} if by == "query" else {"last-event-id": str(at)}
        params = {} if by == "header" else {"after": str(0 if by == "both" else at)}
        assert await ours.events(chat, headers=headers, params=params) == whole[at + 1 :]


async def test_nothing_is_left(ours: Caller, chat: str) -> None:
    """No turn yet; all of the last; another turn than the last."""
    assert (await ours.ask("GET", events_path(chat))).status_code == 204
    first = await ours.start(chat)
    told = await ours.events(chat)
    for after in (told[-1].id, "1000"):
        answer = await ours.ask("GET", events_path(chat), headers={"last-event-id": str(after)})
        assert (answer.status_code, answer.content) == (204, b"")
    second = await ours.start(chat)
    assert len(await ours.events(chat, params={"turn": second["id"], "after": "3"})) == len(told) - 4
    gone = await ours.ask("GET", events_path(chat), params={"turn": first["id"], "after": "3"})
    assert gone.status_code == 204


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=x", "after"),
        ("after=-1", "after"),
        ("after=1234567890123456", "after"),
        ("turn=x", "turn"),
        ("live=1", "live"),
    ],
)
async def test_queries_that_mean_nothing(ours: Caller, chat: str, query: str, field: str) -> None:
    body = problem(await ours.ask("GET", f"{events_path(chat)}?{query}"), 400, "invalid_input")
    assert [error["field"] for error in body["errors"]] == [field]


async def test_a_last_event_id_that_means_nothing(ours: Caller, chat: str) -> None:
    answer = await ours.ask("GET", events_path(chat), headers={"last-event-id": "x"})
    assert problem(answer, 400, "invalid_input")["errors"][0]["field"] == "Last-Event-ID"


async def test_what_has_an_id_is_stored(
    ours: Caller, chat: str, agent: ScriptedAgent, address: str, instance: Instance
) -> None:
    """At the moment when a follower has it: no crash takes it back."""
    agent.gate = asyncio.Event()
    turn = await ours.start(chat, "[[tokens=40]]")
    async with following(address, ours, chat) as events:
        agent.gate.set()
        async for told in events:
            tenant = await instance.tenants.get("t1")
            last = await instance.turns.find_last(tenant.id, await instance.chats.get(tenant.id, chat))
            assert last is not None
            assert told.id is not None
            assert last.event_count > int(told.id)
    assert told.event == "turn-ended"
    assert turn["state"] == "running"


async def test_live_comes_at_once_and_without_ids(
    ours: Caller, chat: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when nothing of it is stored."""
    monkeypatch.setattr(limits, "TURN_FLUSH_SECONDS", 1000)
    turn = await ours.start(chat, "[[hang]] [[tokens=1]]")
    async with following(address, ours, chat, "?live=true") as events:
        begun = [await anext(events) for _ in range(4)]
        assert [one.event for one in begun] == ["turn-started", "step-started", "text-started", "text-added"]
        await ours.ask("POST", f"/turns/{turn['id']}/stop")
        rest = [one async for one in events]
    assert rest[-1].data["state"] == "stopped"
    assert {one.id for one in [*begun, *rest]} == {None}


async def test_a_deletion_ends_the_stream(ours: Caller, chat: str, address: str, instance: Instance) -> None:
    await ours.start(chat, "[[hang]]")
    async with following(address, ours, chat) as events:
        assert (await anext(events)).event == "turn-started"
        tenant = await instance.tenants.get("t1")
        await instance.deletions.delete_chat(tenant.id, await instance.chats.get(tenant.id, chat), "cancel")
        assert [one async for one in events][-1].data["state"] == "deleted"
    problem(await ours.ask("GET", events_path(chat)), 404, "not_found")


async def test_silence_is_a_comment_without_an_id(
    ours: Caller, chat: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOLLOWER_SILENCE_SECONDS", 0)
    turn = await ours.start(chat, "[[hang]]")
    async with (
        httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as http,
        http.stream("GET", f"{PREFIX}{events_path(chat)}", headers=ours.headers) as answer,
    ):
        lines = answer.aiter_lines()
        while not (line := await anext(lines)).startswith(":"):
            pass
        assert (line, await anext(lines)) == (": alive", "")
        await ours.ask("POST", f"/turns/{turn['id']}/stop")
        assert 'data: {"type":"turn-ended","state":"stopped"}' in [line async for line in lines]


async def test_a_tenant_has_so_many_followers(
    ours: Caller, chat: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOLLOWERS_PER_TENANT", 1)
    turn = await ours.start(chat, "[[hang]]")
    async with following(address, ours, chat) as events:
        await anext(events)
        url = f"http://{address}{PREFIX}{events_path(chat)}"
        async with httpx.AsyncClient() as http:
            problem(await http.get(url, headers=ours.headers), 429, "connection_limit_exceeded")
        await ours.ask("POST", f"/turns/{turn['id']}/stop")
        assert [one async for one in events]
    async with following(address, ours, chat) as events:
        assert (await anext(events)).event == "turn-started"


async def test_head_follows_nothing(ours: Caller, chat: str, instance: Instance) -> None:
    turn = await ours.start(chat, "[[hang]]")
    answer = await ours.ask("HEAD", events_path(chat))
    assert (answer.status_code, answer.headers["antiphon-turn"]) == (200, turn["id"])
    assert not any(channel.followers for channel in instance.streams._own.values())  # type: ignore[attr-defined]
    assert (await ours.ask("POST", turns_path(chat))).status_code == 409


@pytest.mark.parametrize("query", ["", "?live=true"])
async def test_it_ends_with_its_key(ours: Caller, chat: str, address: str, query: str) -> None:
    """At once when it is ended here, as if there were no more; the turn goes on, for others too."""
    made = good(await ours.ask("POST", "/keys", json={}), 201)
    turn = await ours.start(chat, "[[hang]]")
    other_key = Caller(ours._http, made["key"])
    async with following(address, other_key, chat, query) as ended, following(address, ours, chat, query) as others:
        assert (await anext(ended)).event == (await anext(others)).event == "turn-started"
        assert (await ours.ask("DELETE", f"/keys/{made['id']}")).status_code == 204
        async with asyncio.timeout(5):
            assert "turn-ended" not in [one.event async for one in ended]
        good(await ours.ask("POST", f"/turns/{turn['id']}/stop"))
        assert [one.event async for one in others][-1] == "turn-ended"
