"""An answer while it is made: followed, resumed, stopped, left alone, and taken away with its chat."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.api.server import Server
from antiphon.core.instance import Instance
from antiphon.core.turns import Turns
from antiphon.domain import limits
from antiphon.domain.errors import StoreFailed, StoreUnavailable, TurnStillRunning
from antiphon.streams.live import LiveStreams
from tests.conftest import MakeKey
from tests.scripted_agent import ScriptedAgent
from tests.wire.recoup.caller import NOBODY, Caller, chat_path, expect, good, refused
from tests.wire.recoup.conftest import MakeCaller
from tests.wire.recoup.live import LiveCall
from tests.wire.recoup.turning import Open, ask, body_of, messages_of, opener, shown, text_of, user
from tests.wire.recoup.ui_schema import Reader

STOPPED = {"success": True, "stopped": True}
IDLE = {"success": True, "stopped": False}


@pytest.fixture
def open_call(server: Server) -> Open:
    return opener(server)


@pytest.fixture
def gate(agent: ScriptedAgent) -> asyncio.Event:
    """While it is closed the agent begins, and says nothing."""
    agent.gate = asyncio.Event()
    return agent.gate


def stream_of(session: dict[str, Any], query: str = "") -> str:
    return f"/api/chat/{session['chat']['id']}/stream{query}"


def stop_of(session: dict[str, Any], query: str = "") -> str:
    return f"/api/chat/{session['chat']['id']}/stop{query}"


async def begun(open_call: Open, who: Caller, session: dict[str, Any], text: str) -> LiveCall:
    """A turn whose answer has begun."""
    call = await open_call(who, "POST", "/api/chat", body_of(session, user(text))).begin()
    assert call.status == 200
    return call


async def finish(instance: Instance) -> None:
    """Wait until no turn runs."""
    while instance.turns.count:  # noqa: ASYNC110  there is nothing to wait for but the count itself
        await asyncio.sleep(0.01)


async def test_nothing_to_resume_is_204_and_nothing_to_stop_no_error(ann: Caller, session: dict[str, Any]) -> None:
    answer = await ann.get(stream_of(session))
    assert (answer.status_code, answer.content, "content-length" in answer.headers) == (204, b"", False)
    expect(await ann.post(stop_of(session)), 200, IDLE)
    await ask(ann, body_of(session, user("Hi")))
    assert (await ann.get(stream_of(session, "?startIndex=3"))).status_code == 204
    expect(await ann.post(stop_of(session), content=b"{garbage"), 200, IDLE)


async def test_a_running_chat_says_so_and_takes_no_other_message(
    ann: Caller, open_call: Open, gate: asyncio.Event, session: dict[str, Any]
) -> None:
    call = await begun(open_call, ann, session, "[[tokens=3]]")
    found = await shown(ann, session)
    assert found["isStreaming"] is True
    assert found["chat"]["activeStreamId"] == call.headers["x-workflow-run-id"]
    run = good(await ann.get(f"/api/chat/runs/{call.headers['x-workflow-run-id']}"))
    assert run["status"] == "running"
    answer = await ann.post("/api/chat", body_of(session, user("Too soon", "u2")))
    refused(answer, 409, "Another workflow is already running for this chat")
    gate.set()
    assert Reader().read(await call.rest()).text == "t0 t1 t2"
    assert [message["role"] for message in await messages_of(ann, session)] == ["user", "assistant"]


@pytest.mark.parametrize("start", [None, 0, 1, 4, 9])
async def test_a_replay_is_the_stream_byte_for_byte(
    ann: Caller, open_call: Open, gate: asyncio.Event, session: dict[str, Any], start: int | None
) -> None:
    first = await begun(open_call, ann, session, "[[thinks]][[tokens=4]]")
    head = await first.take(4)
    query = "" if start is None else f"?startIndex={start}"
    second = await open_call(ann, "GET", stream_of(session, query)).begin()
    assert second.status == 200
    assert second.headers["x-workflow-run-id"] == first.headers["x-workflow-run-id"]
    assert second.headers["x-workflow-stream-tail-index"] == "3"
    gate.set()
    chunks = [*head, *await first.rest()]
    assert await second.rest() == chunks[start or 0 :]
    frames = first.read_so_far.split(b"\n\n")
    assert second.read_so_far == b"\n\n".join(frames[start or 0 :])
    assert second.read_so_far.endswith(b"data: [DONE]\n\n")


async def test_who_has_had_more_than_there_is_waits_for_it(
    ann: Caller, open_call: Open, gate: asyncio.Event, session: dict[str, Any]
) -> None:
    first = await begun(open_call, ann, session, "[[tokens=20]]")
    late = await open_call(ann, "GET", stream_of(session, "?startIndex=15")).begin()
    gate.set()
    chunks = await first.rest()
    assert await late.rest() == chunks[15:]


async def test_another_process_streams_the_same(
    ann: Caller, open_call: Open, instance: Instance, gate: asyncio.Event, session: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    first = await begun(open_call, ann, session, "[[tokens=3]]")
    elsewhere = LiveStreams(instance.store)
    with monkeypatch.context() as patch:
        patch.setattr(instance.turns, "_streams", elsewhere)
        second = await open_call(ann, "GET", stream_of(session)).begin()
    gate.set()
    await first.rest()
    await second.rest()
    assert second.read_so_far == first.read_so_far
    await elsewhere.close()


async def test_a_client_that_leaves_does_not_end_the_turn(
    ann: Caller, open_call: Open, instance: Instance, agent: ScriptedAgent, gate: asyncio.Event,
    session: dict[str, Any],
) -> None:  # fmt: skip
    first = await begun(open_call, ann, session, "[[tokens=5]]")
    await first.take(2)
    await first.leave()
    assert instance.turns.count == 1
    second = await open_call(ann, "GET", stream_of(session, "?startIndex=2")).begin()
    await second.leave()
    gate.set()
    await finish(instance)
    assert agent.closed_early == 0
    assert text_of((await messages_of(ann, session))[1]) == "t0 t1 t2 t3 t4"


async def test_head_has_the_head_and_keeps_nothing(
    ann: Caller, open_call: Open, instance: Instance, gate: asyncio.Event, session: dict[str, Any]
) -> None:
    first = await begun(open_call, ann, session, "[[tokens=2]]")
    answer = await ann.call("HEAD", stream_of(session))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/event-stream"
    gate.set()
    await first.rest()
    await finish(instance)
    assert isinstance(instance.streams, LiveStreams)
    assert instance.streams._own == {}


async def test_a_tenant_has_so_many_streams(
    ann: Caller, open_call: Open, instance: Instance, gate: asyncio.Event, session: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Who is refused has begun nothing; a place is free again when its stream is over."""
    monkeypatch.setattr(limits, "FOLLOWERS_PER_TENANT", 1)
    other = good(await ann.post("/api/sessions", {}))
    await ann.post("/api/sandbox", {"sessionId": other["session"]["id"]})
    first = await begun(open_call, ann, session, "[[tokens=1]]")
    refused(await ann.get(stream_of(session)), 429, "Too many connections")
    chat_id = other["chat"]["id"]
    refused(await ann.post("/api/chat", {"id": chat_id, "messages": [user("Hi")]}), 429, "Too many connections")
    assert instance.turns.count == 1
    gate.set()
    await first.rest()
    await finish(instance)
    assert (await ask(ann, {"id": chat_id, "messages": [user("Hi")]})).text == "You said: Hi"


async def test_silence_is_told_by_a_comment(
    ann: Caller, open_call: Open, gate: asyncio.Event, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOLLOWER_SILENCE_SECONDS", 0)
    call = await begun(open_call, ann, session, "[[tokens=1]]")
    await call.take(2)
    await call.comment()
    gate.set()
    assert Reader().read(await call.rest()).text == "t0"


async def test_stop_keeps_what_was_said(
    ann: Caller, open_call: Open, agent: ScriptedAgent, session: dict[str, Any]
) -> None:
    call = await begun(open_call, ann, session, "[[hang]] for ever")
    seen = await call.until("text-delta")
    expect(await ann.post(stop_of(session)), 200, STOPPED)
    found = await shown(ann, session)
    assert found["chat"]["activeStreamId"] is None
    assert (await ann.get(stream_of(session))).status_code == 204
    rest = await call.rest()
    assert [chunk["type"] for chunk in rest] == ["text-end", "abort", "finish"]
    assert call.read_so_far.endswith(b"data: [DONE]\n\n")
    assert agent.closed_early == 1
    read = Reader().read([*seen, *rest])
    stored = found["messages"][1]
    assert (stored["id"], stored["parts"]) == (read.message_id, read.parts)
    assert text_of(stored) == "You"
    run = good(await ann.get(f"/api/chat/runs/{call.headers['x-workflow-run-id']}"))
    assert run["status"] == "cancelled"
    expect(await ann.post(stop_of(session)), 200, IDLE)
    assert (await ask(ann, body_of(session, user("Again", "u2")))).text == "You said: Again"


async def test_stop_before_the_first_word_keeps_no_message(
    ann: Caller, open_call: Open, gate: asyncio.Event, session: dict[str, Any]
) -> None:
    call = await begun(open_call, ann, session, "[[tokens=3]]")
    answers = await asyncio.gather(ann.post(stop_of(session)), ann.post(stop_of(session)))
    assert [answer.json() for answer in answers] == [STOPPED, STOPPED]
    assert [chunk["type"] for chunk in await call.rest()][-2:] == ["abort", "finish"]
    assert [message["role"] for message in await messages_of(ann, session)] == ["user"]
    assert not gate.is_set()


async def test_a_stopped_answer_is_unread(ann: Caller, open_call: Open, session: dict[str, Any]) -> None:
    call = await begun(open_call, ann, session, "[[hang]]")
    await call.until("text-delta")
    await ann.post(stop_of(session))
    await call.rest()
    assert (await ann.listed(session))[0]["hasUnread"] is True


async def test_a_chat_deleted_under_its_turn_ends_the_streams_and_nothing_is_written(
    ann: Caller, open_call: Open, instance: Instance, agent: ScriptedAgent, session: dict[str, Any]
) -> None:
    await ann.new_chat(session, "spare")
    first = await begun(open_call, ann, session, "[[hang]]")
    await first.until("text-delta")
    second = await open_call(ann, "GET", stream_of(session)).begin()
    good(await ann.delete(chat_path(session, session["chat"]["id"])))
    for call in (first, second):
        assert [chunk["type"] for chunk in await call.rest()][-2:] == ["abort", "finish"]
    await finish(instance)
    assert agent.closed_early == 1
    refused(await ann.get(stream_of(session)), 404, "Chat not found")
    refused(await ann.post(stop_of(session)), 404, "Chat not found")
    good(await ann.post(f"/api/sessions/{session['id']}/chats", {"id": session["chat"]["id"]}))
    assert await messages_of(ann, session) == []


async def test_foreign_chats_are_neither_followed_nor_stopped(
    ann: Caller, bob: Caller, eve: Caller, anybody: Caller, open_call: Open, gate: asyncio.Event,
    session: dict[str, Any],
) -> None:  # fmt: skip
    call = await begun(open_call, ann, session, "[[tokens=2]]")
    missing = "Exactly one of x-api-key or Authorization must be provided"
    for method, path in (("GET", stream_of(session)), ("POST", stop_of(session))):
        refused(await bob.call(method, path), 403, "Forbidden")
        refused(await eve.call(method, path), 404, "Chat not found")
        refused(await anybody.call(method, path), 401, missing)
    refused(await bob.post("/api/chat", body_of(session, user("Hi"))), 403, "Forbidden")
    gate.set()
    assert Reader().read(await call.rest()).text == "t0 t1"


NO_UUIDS = ["not-a-uuid", "11111111-1111-1111-1111-111111111111", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"]


@pytest.mark.parametrize("chat_id", NO_UUIDS)
async def test_a_chat_id_that_is_no_uuid_is_400(ann: Caller, session: dict[str, Any], chat_id: str) -> None:
    told = {"status": "error", "missing_fields": [], "error": "chatId must be a valid UUID"}
    expect(await ann.get(f"/api/chat/{chat_id}/stream?startIndex=x"), 400, told)
    expect(await ann.post(f"/api/chat/{chat_id}/stop"), 400, told)
    refused(await ann.get(f"/api/chat/{NOBODY}/stream?startIndex=x"), 404, "Chat not found")
    assert session["chat"]["id"] != chat_id


@pytest.mark.parametrize("given", ["", "-1", "1.5", "abc", "1e2", "%205", "+5", "٣", "9" * 16])
async def test_a_start_that_is_no_index_is_400(ann: Caller, bob: Caller, session: dict[str, Any], given: str) -> None:
    text = "startIndex must be a non-negative integer"
    answer = await ann.get(stream_of(session, f"?startIndex={given}"))
    expect(answer, 400, {"status": "error", "missing_fields": ["startIndex"], "error": text})
    refused(await bob.get(stream_of(session, f"?startIndex={given}")), 403, "Forbidden")


async def test_who_may_act_for_whom(
    ann: Caller, bob: Caller, eve: Caller, caller: MakeCaller, session: dict[str, Any]
) -> None:
    manager = await caller("t1", None, "tenant")
    named = f"?account_id={ann.account_id}"
    for query in ("", "?account_id=", named, named.upper().replace("?ACCOUNT_ID", "?account_id")):
        expect(await ann.post(stop_of(session, query)), 200, IDLE)
    expect(await manager.post(stop_of(session, named)), 200, IDLE)
    assert (await manager.get(stream_of(session, named))).status_code == 204
    refused(await manager.post(stop_of(session)), 403, "Forbidden")
    refused(await manager.post(stop_of(session, f"?account_id={bob.account_id}")), 403, "Forbidden")
    denied = "Access denied to specified account_id"
    for query in (f"?account_id={eve.account_id}", f"?account_id={NOBODY}", "?account_id=x"):
        refused(await manager.post(stop_of(session, query)), 403, denied)
        refused(await ann.get(stream_of(session, query)), 403, denied)
    refused(await bob.post(stop_of(session, named)), 403, denied)
    refused(await bob.get("/api/chat/x/stream" + named), 403, denied)


async def test_a_key_without_a_participant_asks_nothing(caller: MakeCaller, ann: Caller) -> None:
    session = await ann.new_session()
    manager = await caller("t1", None, "tenant")
    refused(await manager.post("/api/chat", body_of(session, user("Hi"))), 403, "Forbidden")
    refused(await (await caller("t1", "ann", "session", session_id=session["id"])).get("/api/chat/runs/x"), 403,
            "Forbidden")  # fmt: skip
    refused(await manager.get("/api/chat/runs/x"), 404, "Run not found")


async def fail_with(error: Exception) -> None:
    raise error


async def test_what_cannot_be_found_out_is_502_and_a_store_that_is_away_503(
    ann: Caller, open_call: Open, gate: asyncio.Event, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await begun(open_call, ann, session, "[[tokens=1]]")
    busy = "The server is busy, try again in a moment"
    cases = [
        ("find_running", "GET", stream_of(session), StoreFailed(), 502, "Failed to read the workflow run"),
        ("find_running", "GET", stream_of(session), StoreUnavailable(), 503, busy),
        ("stop", "POST", stop_of(session), StoreFailed(), 502, "Failed to stop the workflow"),
        ("stop", "POST", stop_of(session), StoreUnavailable(), 503, busy),
        ("stop", "POST", stop_of(session), TurnStillRunning(), 504, "Workflow did not terminate in time"),
    ]
    for name, method, path, error, status, text in cases:
        with monkeypatch.context() as patch:
            patch.setattr(Turns, name, lambda *_, error=error: fail_with(error))
            refused(await ann.call(method, path), status, text)
    gate.set()
    assert Reader().read(await call.rest()).text == "t0"


async def test_every_answer_may_be_read_from_anywhere(
    ann: Caller, open_call: Open, session: dict[str, Any], make_key: MakeKey
) -> None:
    call = await begun(open_call, ann, session, "Hi")
    assert call.headers["access-control-allow-origin"] == "*"
    assert call.headers["access-control-expose-headers"] == "x-workflow-run-id, x-workflow-stream-tail-index"
    await call.rest()
    for path in ("/api/chat", stream_of(session), stop_of(session), "/api/chat/runs/x"):
        answer = await ann.call("OPTIONS", path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert await make_key()
