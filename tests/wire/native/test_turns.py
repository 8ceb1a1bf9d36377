"""Turns: begun with a message or without, looked at, stopped; one at a time in a chat."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from tests.scripted_agent import ScriptedAgent
from tests.wire.native.caller import NEVER, Caller, chat_path, good, problem, text_of, turns_path
from tests.wire.native.conftest import MakeCaller


async def stored(instance: Instance, chat_id: str) -> list[tuple[str, str, str]]:
    """Role, author and text of all messages of a chat of `t1`."""
    tenant = await instance.tenants.get("t1")
    chat = await instance.chats.get(tenant.id, chat_id)
    return [(m.role, m.author, m.text) for m in await instance.messages.all(tenant.id, chat.key)]


async def test_a_turn_stores_the_message_and_the_answer(ours: Caller, chat: str, instance: Instance) -> None:
    turn = await ours.start(chat, "hello there")
    assert (turn["chat"], turn["state"], turn["error"], turn["ended_at"]) == (chat, "running", None, None)
    told = await ours.events(chat)
    assert text_of(told) == "You said: hello there"
    assert told[0].data["message_id"] == turn["message_id"]
    over = good(await ours.ask("GET", f"/turns/{turn['id']}"))
    assert over == {**turn, "state": "completed", "ended_at": over["ended_at"]}
    assert over["ended_at"] > over["started_at"]
    assert await stored(instance, chat) == [
        ("user", "ann", "hello there"),
        ("assistant", "assistant", "You said: hello there"),
    ]


async def test_a_turn_without_a_message_answers_what_stands_there(
    ours: Caller, chat: str, instance: Instance, agent: ScriptedAgent
) -> None:
    await ours.start(chat, "first")
    await ours.events(chat)
    good(await ours.ask("POST", turns_path(chat)), 202)
    await ours.events(chat)
    assert [one.text for one in agent.heard[-1]] == ["first", "You said: first"]
    assert len(await stored(instance, chat)) == 3


async def test_an_empty_chat_has_nothing_to_answer(ours: Caller, chat: str) -> None:
    body = problem(await ours.ask("POST", turns_path(chat), json={}), 400, "invalid_input")
    assert [error["field"] for error in body["errors"]] == ["message"]


async def test_one_turn_at_a_time(ours: Caller, chat: str, agent: ScriptedAgent) -> None:
    """The refusal names the turn that is in the way, and so does the chat."""
    agent.gate = asyncio.Event()
    turn = await ours.start(chat)
    refused = problem(
        await ours.ask("POST", turns_path(chat), json={"message": {"text": "again"}}), 409, "turn_running"
    )
    assert refused["turn"] == turn["id"] == good(await ours.ask("GET", chat_path(chat)))["active_turn"]
    agent.gate.set()
    await ours.events(chat)
    assert good(await ours.ask("GET", chat_path(chat)))["active_turn"] is None
    await ours.start(chat, "again")


async def test_a_stop_keeps_what_was_said(ours: Caller, chat: str, instance: Instance) -> None:
    turn = await ours.start(chat, "[[hang]] now")
    async for told in live(chat, instance):
        if told == "text-added":
            break
    stop = f"/turns/{turn['id']}/stop"
    assert good(await ours.ask("POST", stop)) == {"state": "stopped", "stopped": True}
    assert good(await ours.ask("POST", stop)) == {"state": "stopped", "stopped": True}
    assert (await stored(instance, chat))[-1] == ("assistant", "assistant", "You")
    assert [told.event for told in await ours.events(chat)][-2:] == ["turn-stopped", "turn-ended"]


async def live(chat_id: str, instance: Instance) -> Any:
    """The names of the events of a chat of `t1` as they come."""
    tenant = await instance.tenants.get("t1")
    chat = await instance.chats.get(tenant.id, chat_id)
    turn = await instance.streams.next_turn(tenant.id, chat.key, None)
    follower = await instance.turns.follow(tenant.id, turn.id, 0, lambda: None)
    try:
        async for records in follower:
            for record in records:
                yield str(type(record.event).__struct_config__.tag)
    finally:
        follower.close()


async def test_a_stop_of_a_turn_that_is_over_says_how_it_ended(ours: Caller, chat: str) -> None:
    turn = await ours.start(chat)
    await ours.events(chat)
    assert good(await ours.ask("POST", f"/turns/{turn['id']}/stop")) == {"state": "completed", "stopped": False}


async def test_a_stop_that_takes_long_is_202(
    ours: Caller, chat: str, agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.gate = asyncio.Event()
    turn = await ours.start(chat)
    monkeypatch.setattr(limits, "TURN_STOP_SECONDS", 0)
    assert good(await ours.ask("POST", f"/turns/{turn['id']}/stop"), 202) == {"state": "running", "stopped": False}


async def test_a_failed_turn_says_why(ours: Caller, chat: str) -> None:
    turn = await ours.start(chat, "[[fail]]")
    assert "turn-failed" in [told.event for told in await ours.events(chat)]
    over = good(await ours.ask("GET", f"/turns/{turn['id']}"))
    assert (over["state"], over["error"]) == ("failed", "The model failed, timed out, or produced no text.")


async def test_a_message_in_parts_with_all_that_it_may_have(ours: Caller, chat: str, instance: Instance) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "file", "url": "x:y"}, {"type": "text", "text": "two"}]
    message = {"parts": parts, "client_id": "c/1", "participant": "bob", "metadata": {"mood": "good"}}
    answer = await ours.ask("POST", turns_path(chat), json={"message": message, "model": "m-1"})
    assert good(answer, 202)["model"] == "m-1"
    await ours.events(chat)
    assert (await stored(instance, chat))[0] == ("user", "bob", "one\n\ntwo")
    tenant = await instance.tenants.get("t1")
    kept = (await instance.messages.all(tenant.id, (await instance.chats.get(tenant.id, chat)).key))[0]
    assert (kept.client_id, kept.metadata) == ("c/1", '{"mood":"good"}')


async def test_a_message_may_say_its_role(ours: Caller, chat: str, instance: Instance) -> None:
    """As one that is stored without a turn must."""
    for role in ("user", "assistant"):
        await ours.start(chat, "hello", role=role)
        await ours.events(chat)
    assert [role for role, _, _ in await stored(instance, chat)] == ["user", "assistant", "assistant", "assistant"]


async def test_the_same_client_id_is_stored_once(ours: Caller, chat: str, instance: Instance) -> None:
    for _ in range(2):
        await ours.start(chat, "hello", client_id="c-1")
        await ours.events(chat)
    assert [role for role, _, _ in await stored(instance, chat)] == ["user", "assistant", "assistant"]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"mesage": {"text": "x"}}, "unknown_field", "mesage"),
        ({"message": {"text": "x", "rol": "user"}}, "unknown_field", "message.rol"),
        ({"message": {}}, "invalid_input", "message"),
        ({"message": {"role": "assistant", "text": "x", "participant": "ann"}}, "invalid_input", "message.role"),
        ({"message": {"role": "system", "text": "x"}}, "invalid_input", "message.role"),
        ({"message": {"text": "x", "parts": []}}, "invalid_input", "message"),
        ({"message": {"text": ""}}, "invalid_input", "message.text"),
        ({"message": {"text": "a\0b"}}, "invalid_input", "message.text"),
        ({"message": {"text": 1}}, "invalid_input", "message.text"),
        ({"message": {"parts": []}}, "invalid_input", "message.parts"),
        ({"message": {"parts": [{"text": "x"}]}}, "invalid_input", "message.parts"),
        ({"message": {"parts": ["x"]}}, "invalid_input", "message.parts[0]"),
        ({"message": {"text": "x", "client_id": ""}}, "invalid_input", "message.client_id"),
        ({"message": {"text": "x", "participant": ""}}, "invalid_input", "message.participant"),
        ({"message": {"text": "x", "participant": "p" * 513}}, "invalid_input", "message.participant"),
        ({"message": {"text": "x", "metadata": []}}, "invalid_input", "message.metadata"),
        ({"message": {"text": "x", "metadata": {"m": "x" * 65536}}}, "invalid_input", "message.metadata"),
        ({"message": {"text": "x"}, "model": ""}, "invalid_input", "model"),
        ([], "invalid_input", None),
    ],
)
async def test_what_is_wrong_is_named(ours: Caller, chat: str, body: Any, code: str, field: str | None) -> None:
    refused = problem(await ours.ask("POST", turns_path(chat), json=body), 400, code)
    assert [error["field"] for error in refused.get("errors", [])] == ([field] if field else [])
    assert good(await ours.ask("GET", chat_path(chat)))["message_count"] == 0


async def test_bodies_that_cannot_be_read(ours: Caller, chat: str) -> None:
    path = turns_path(chat)
    json_type = {"content-type": "application/json"}
    problem(await ours.ask("POST", path, content=b"{", headers=json_type), 400, "malformed_body")
    problem(await ours.ask("POST", path, content=b"\xff", headers=json_type), 400, "malformed_body")
    problem(await ours.ask("POST", path, content=b"a=1", headers={"content-type": "text/plain"}), 400, "malformed_body")
    large = b" " * (limits.BODY_BYTES + 1)
    problem(await ours.ask("POST", path, content=large, headers=json_type), 413, "body_too_large")


@pytest.mark.parametrize("name", ["trn_", "x", NEVER.upper(), NEVER.removeprefix("trn_"), f"{NEVER}0", NEVER])
async def test_what_is_no_turn_is_not_found(ours: Caller, name: str) -> None:
    problem(await ours.ask("GET", f"/turns/{name}"), 404, "not_found")
    problem(await ours.ask("POST", f"/turns/{name}/stop"), 404, "not_found")


async def test_a_participant_speaks_only_as_itself(caller: MakeCaller, chat: str) -> None:
    ann = await caller("t1", "ann")
    answer = await ann.ask("POST", turns_path(chat), json={"message": {"text": "x", "participant": "bob"}})
    problem(answer, 403, "access_denied")
    await ann.start(chat, "x", participant="ann")


async def test_a_server_that_stops_takes_no_turn(ours: Caller, chat: str, instance: Instance) -> None:
    await instance.turns.close()
    answer = await ours.ask("POST", turns_path(chat), json={"message": {"text": "x"}})
    problem(answer, 503, "store_unavailable")
    assert answer.headers["retry-after"] == "1"
