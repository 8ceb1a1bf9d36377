"""`/api/chat/runs`: answers that nobody waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.api.recoup.wire import parse_run_id
from antiphon.core.instance import Instance
from antiphon.domain.errors import ChatHasActiveTurn
from antiphon.domain.ids import new_uid7
from antiphon.domain.turns import TurnStart
from tests.scripted_agent import ScriptedAgent
from tests.wire.recoup.caller import NOBODY, Caller, chat_path, expect, good, refused
from tests.wire.recoup.conftest import MakeCaller
from tests.wire.recoup.turning import ask, body_of, text_of, user

ONE_OF = "Exactly one of prompt or messages must be provided"


async def run(who: Caller, **body: Any) -> dict[str, Any]:
    answer = await who.post("/api/chat/runs", body)
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/chat/runs/{made['runId']}"
    return made


async def ended(who: Caller, made: dict[str, Any], instance: Instance) -> str:
    """The run's status once no turn runs."""
    while instance.turns.count:  # noqa: ASYNC110  there is nothing to wait for but the count itself
        await asyncio.sleep(0.01)
    found = good(await who.get(f"/api/chat/runs/{made['runId']}"))
    assert found["runId"] == made["runId"]
    status: str = found["status"]
    return status


async def test_a_run_makes_its_session_and_keeps_the_answer(
    ann: Caller, agent: ScriptedAgent, instance: Instance
) -> None:
    agent.gate = asyncio.Event()
    made = await run(ann, prompt="  Do it  ", model=" some/model ", artistId=NOBODY)
    session = good(await ann.get(f"/api/sessions/{made['sessionId']}"))["session"]
    assert (session["title"], session["userId"], session["artistId"]) == (
        "Scheduled generation",
        ann.account_id,
        NOBODY,
    )
    path = chat_path(session, made["chatId"])
    chat = good(await ann.get(path))["chat"]
    assert (chat["title"], chat["modelId"]) == ("Scheduled generation", "some/model")
    assert chat["activeStreamId"] == made["runId"]
    assert good(await ann.get(f"/api/chat/runs/{made['runId']}"))["status"] == "running"
    agent.gate.set()
    assert await ended(ann, made, instance) == "completed"
    found = good(await ann.get(path))
    assert [(message["role"], text_of(message)) for message in found["messages"]] == [("assistant", "You said: Do it")]
    assert found["messages"][0]["metadata"]["modelId"] == "some/model"
    assert found["chat"]["title"] == "Scheduled generation"
    assert found["chat"]["activeStreamId"] is None


async def test_messages_instead_of_a_prompt(ann: Caller, agent: ScriptedAgent, instance: Instance) -> None:
    said = {"role": "assistant", "parts": [{"type": "text", "text": "Hm"}]}
    made = await run(ann, prompt=" ", messages=[user("One"), said, None, user("Two")], model=" ")
    assert await ended(ann, made, instance) == "completed"
    assert [(one.role, one.text) for one in agent.heard[0]] == [("user", "One"), ("assistant", "Hm"), ("user", "Two")]
    chat = good(await ann.get(chat_path({"id": made["sessionId"]}, made["chatId"])))["chat"]
    assert chat["modelId"] == "scripted"


@pytest.mark.parametrize("body", [{}, {"prompt": " "}, {"messages": []}, {"prompt": "a", "messages": [1]}])
async def test_neither_or_both_is_400_before_the_credential(anybody: Caller, body: dict[str, Any]) -> None:
    refused(await anybody.post("/api/chat/runs", body), 400, ONE_OF)


FAULTS = [
    ({"prompt": 5}, "prompt", "Invalid input: expected string, received number"),
    ({"messages": {}}, "messages", "Invalid input: expected array, received object"),
    ({"prompt": "a", "artistId": "x"}, "artistId", "artistId must be a valid UUID"),
    ({"prompt": "a", "model": None}, "model", "Invalid input: expected string, received null"),
    ({"prompt": "a", "model": "x" * 513}, "model", "model is longer than 512 characters"),
    ({"prompt": "a", "model": "\x00"}, "model", "model holds a NUL character or a lone surrogate"),
    ({"prompt": "a", "accountId": 1}, "accountId", "Invalid input: expected string, received number"),
    ({"prompt": "a", "organizationId": 1}, "organizationId", "Invalid input: expected string, received number"),
]


@pytest.mark.parametrize(("body", "field", "text"), FAULTS)
async def test_the_first_fault_is_told(anybody: Caller, body: dict[str, Any], field: str, text: str) -> None:
    told = {"status": "error", "missing_fields": [field], "error": text}
    expect(await anybody.post("/api/chat/runs", body), 400, told)


async def test_who_may_run_for_whom(
    ann: Caller, bob: Caller, eve: Caller, anybody: Caller, caller: MakeCaller, instance: Instance
) -> None:
    manager = await caller("t1", None, "tenant")
    denied = "Access denied to specified account_id"
    refused(await anybody.post("/api/chat/runs", {"prompt": "a"}), 401,
            "Exactly one of x-api-key or Authorization must be provided")  # fmt: skip
    refused(await manager.post("/api/chat/runs", {"prompt": "a"}), 403, "Forbidden")
    refused(await bob.post("/api/chat/runs", {"prompt": "a", "accountId": ann.account_id}), 403, denied)
    refused(await manager.post("/api/chat/runs", {"prompt": "a", "accountId": eve.account_id}), 403, denied)
    refused(await ann.post("/api/chat/runs", {"prompt": "a", "organizationId": NOBODY}), 403,
            "Access denied to specified organization_id")  # fmt: skip
    made = await run(manager, prompt="a", accountId=ann.account_id, organizationId=ann.account_id)
    assert await ended(manager, made, instance) == "completed"
    assert good(await ann.get(f"/api/sessions/{made['sessionId']}"))["session"]["userId"] == ann.account_id


async def test_a_run_is_shown_to_its_tenant(ann: Caller, bob: Caller, eve: Caller, session: dict[str, Any]) -> None:
    await ask(ann, body_of(session, user("Hi")))
    run_id = (await ann.post("/api/chat", body_of(session, user("Again", "u2")))).headers["x-workflow-run-id"]
    path = f"/api/chat/runs/{run_id}"
    for who in (ann, bob):
        assert good(await who.get(path)) == {"runId": run_id, "status": "completed"}
    for unknown in (path.lower(), "/api/chat/runs/stream", "/api/chat/runs/wrun_01KVWZNM82NA7XKNEWWHG8VPHJ"):
        refused(await ann.get(unknown), 404, "Run not found")
    refused(await eve.get(path), 404, "Run not found")


async def test_a_failed_run_is_failed_and_that_of_a_deleted_chat_unknown(ann: Caller, session: dict[str, Any]) -> None:
    await ann.new_chat(session, "spare")
    run_id = (await ann.post("/api/chat", body_of(session, user("[[fail]]")))).headers["x-workflow-run-id"]
    assert good(await ann.get(f"/api/chat/runs/{run_id}"))["status"] == "failed"
    good(await ann.delete(chat_path(session, session["chat"]["id"])))
    refused(await ann.get(f"/api/chat/runs/{run_id}"), 404, "Run not found")


async def test_a_run_holds_the_slot_of_its_chat(ann: Caller, agent: ScriptedAgent, instance: Instance) -> None:
    agent.gate = asyncio.Event()
    made = await run(ann, prompt="a")
    chat = await instance.chats.get(ann.tenant_id, made["chatId"])
    assert chat.active_turn == parse_run_id(made["runId"])
    with pytest.raises(ChatHasActiveTurn):
        await instance.turns.start(ann.tenant_id, TurnStart(chat.key, new_uid7(), "assistant"))
    stopped = {"success": True, "stopped": True}
    expect(await ann.post(f"/api/chat/{made['chatId']}/stop"), 200, stopped)
    assert await ended(ann, made, instance) == "cancelled"
