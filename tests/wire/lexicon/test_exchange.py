"""W1, after the handshake: frames, events, what is stored when, and what a fault does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import deletions, limits, times
from antiphon.domain.deletions import Order
from antiphon.domain.errors import StoreFailed, StoreUnavailable
from tests.scripted_agent import ScriptedAgent
from tests.wire.lexicon.caller import Caller, Exchange, Phone
from tests.wire.lexicon.conftest import Serve


@pytest.fixture
async def chat(ours: Caller) -> dict[str, Any]:
    return await ours.create("mara")


@pytest.fixture
async def phone(ours: Caller, chat: dict[str, Any], exchange: Exchange) -> AsyncIterator[Phone]:
    """A connected socket."""
    async with exchange.join(ours.key, chat) as joined:
        yield joined


async def test_an_exchange_has_four_steps(ours: Caller, chat: dict[str, Any], phone: Phone) -> None:
    events = await phone.exchange("Tray  two is stuck ", metadata={"page": "status"})
    stamps = [times.from_text(event.pop("timestamp")) for event in events]
    messages = (await ours.messages(chat["id"])).json()["messages"]
    about = {"chat_id": chat["id"], "user_id": "mara"}
    assert stamps == sorted(stamps)
    assert events[0] == {
        "event_type": "message_received",
        "message_id": messages[0]["id"],
        **about,
        "content": "Tray  two is stuck ",
    }
    assert events[1] == {"event_type": "message_stream_started", **about}
    assert events[-1] == {
        "event_type": "message_stream_ended",
        "message_id": messages[1]["id"],
        **about,
        "content": "You said: Tray two is stuck",
    }
    tokens = events[2:-1]
    assert len(tokens) > 1
    for token in tokens:
        assert set(token) == {"event_type", "chat_id", "token"}
        assert (token["event_type"], token["chat_id"]) == ("message_stream_token", chat["id"])
        assert token["token"]
    assert "".join(token["token"] for token in tokens) == "You said: Tray two is stuck"
    assert [(m["sender_role"], m["content"]) for m in messages] == [
        ("user", "Tray  two is stuck "),
        ("assistant", "You said: Tray two is stuck"),
    ]
    assert messages[0]["metadata"] == {"page": "status"}
    assert messages[1]["metadata"] == {"model": "scripted", "tokens_used": 3}


@pytest.mark.parametrize("text", ["Grüße, 世界! 😀", '{"a": [1, 2]}', "a  b   c", " lead and trail "])
async def test_the_tokens_joined_are_the_content(ours: Caller, chat: dict[str, Any], phone: Phone, text: str) -> None:
    events = await phone.exchange(f"[[text={text}]]")
    assert "".join(event["token"] for event in events[2:-1]) == text == events[-1]["content"]
    assert (await ours.said(chat["id"]))[1] == ("assistant", text)


async def test_the_model_hears_what_was_said_before(phone: Phone, agent: ScriptedAgent) -> None:
    await phone.exchange("one")
    await phone.exchange("two")
    assert [(said.role, said.text) for said in agent.heard[1]] == [
        ("user", "one"),
        ("assistant", "You said: one"),
        ("user", "two"),
    ]


async def test_what_was_said_is_stored_before_it_is_confirmed(
    ours: Caller, chat: dict[str, Any], phone: Phone, agent: ScriptedAgent
) -> None:
    agent.gate = asyncio.Event()
    await phone.say("slow")
    received = await phone.until("message_received")
    messages = (await ours.messages(chat["id"])).json()["messages"]
    assert [message["id"] for message in messages] == [received["message_id"]]
    assert (await ours.get(chat["id"])).json()["message_count"] == 1
    agent.gate.set()
    ended = await phone.until("message_stream_ended")
    messages = (await ours.messages(chat["id"])).json()["messages"]
    assert [message["id"] for message in messages] == [received["message_id"], ended["message_id"]]


async def test_tokens_come_while_the_model_still_speaks(phone: Phone) -> None:
    await phone.say("[[hang]]")
    assert (await phone.until("message_stream_token"))["token"] == "You"


async def test_frames_are_answered_one_after_the_other(
    ours: Caller, chat: dict[str, Any], phone: Phone, agent: ScriptedAgent
) -> None:
    agent.gate = asyncio.Event()
    await phone.say("[[text=first]]")
    await phone.until("message_stream_started")
    await phone.say("[[text=second]]")
    await phone.raw.send("nonsense")
    await phone.say("[[text=third]]")
    agent.gate.set()
    kinds = []
    while (event := await phone.next())["event_type"] != "message_stream_ended" or event["content"] != "third":
        kinds.append(event.get("error_code") or event["event_type"].removeprefix("message_"))
    one = ["received", "stream_started", "stream_token", "stream_ended"]
    assert kinds == [*one[2:], *one, "INVALID_MESSAGE", *one[:3]]
    assert [text for role, text in await ours.said(chat["id"]) if role == "assistant"] == ["first", "second", "third"]


BAD_FRAMES: list[str | bytes] = [
    "",
    "not json",
    "[]",
    "{}",
    "null",
    '"x"',
    '{"content":""}',
    '{"content":"  \\n"}',
    '{"content":5}',
    '{"content":null}',
    '{"content":["a"]}',
    '{"type":"ping"}',
    '{"content":"x","metadata":"m"}',
    '{"content":"x","metadata":[]}',
    '{"content":"x","metadata":{"a":"\\u0000"}}',
    '{"content":"x","metadata":{"a":"' + "y" * limits.METADATA_BYTES + '"}}',
    '{"content":"x","metadata":{"a":' + "[" * 101 + "]" * 101 + "}}",
    '{"content":' + "[" * 100_000 + "]" * 100_000 + "}",
    '{"content":"a\\u0000b"}',
    '{"content":"\\ud800"}',
    '{"content":"' + "x" * (limits.LEXICON_CONTENT_CHARACTERS + 1) + '"}',
    '{"content":"x"} {"content":"y"}',
    b"\x01",
    b'{"content":"x"}',
]


async def test_a_bad_frame_is_refused_and_the_socket_stays(ours: Caller, chat: dict[str, Any], serve: Serve) -> None:
    exchange = await serve(frames_per_second=0)
    async with exchange.join(ours.key, chat) as phone:
        for frame in BAD_FRAMES:
            await phone.raw.send(frame)
            assert (await phone.next()).get("error_code") == "INVALID_MESSAGE", frame[:40]
        assert await ours.said(chat["id"]) == []
        await phone.say(5)
        assert [each["field"] for each in (await phone.error("INVALID_MESSAGE"))["details"]["errors"]] == ["content"]
        assert (await phone.exchange("still here"))[-1]["content"] == "You said: still here"


async def test_the_longest_content_is_taken(ours: Caller, chat: dict[str, Any], phone: Phone) -> None:
    text = "😀" * limits.LEXICON_CONTENT_CHARACTERS
    await phone.say(text, metadata=None, unknown="ignored")
    assert (await phone.until("message_received"))["content"] == text
    await phone.until("message_stream_ended")
    assert (await ours.said(chat["id"]))[0] == ("user", text)


async def test_too_large_a_frame_ends_the_socket(ours: Caller, chat: dict[str, Any], exchange: Exchange) -> None:
    async with exchange.join(ours.key, chat) as phone:
        await phone.raw.send("x" * (limits.FRAME_BYTES + 1))
        assert (await phone.next())["code"] == 1009
    await freed(ours, chat)


# The model fails


@pytest.mark.parametrize("said", ["[[fail]]", "[[break]]", "[[tokens=0]]", "[[text=   ]]"])
async def test_a_model_that_fails_is_an_ai_error(ours: Caller, chat: dict[str, Any], phone: Phone, said: str) -> None:
    await phone.say(said)
    assert (await phone.next())["event_type"] == "message_received"
    assert (await phone.next())["event_type"] == "message_stream_started"
    await phone.error("AI_ERROR")
    assert await ours.said(chat["id"]) == [("user", said)]
    assert (await phone.exchange("again"))[-1]["content"] == "You said: again"


async def test_a_model_that_falls_silent_is_an_ai_error(
    ours: Caller,
    chat: dict[str, Any],
    phone: Phone,
    instance: Instance,
    agent: ScriptedAgent,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(instance.replies, "_silence_seconds", 0.05)
    await phone.say("[[hang]]")
    await phone.error("AI_ERROR")
    assert agent.closed_early == 1
    assert await ours.said(chat["id"]) == [("user", "[[hang]]")]


# The store fails


@pytest.mark.parametrize("fault", [StoreUnavailable(), StoreFailed(), RuntimeError("what people wrote")], ids=repr)
async def test_a_fault_in_one_frame_is_not_the_next_ones(
    ours: Caller,
    chat: dict[str, Any],
    phone: Phone,
    instance: Instance,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
) -> None:
    async def fail(*_: Any) -> Any:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(instance.store.messages, "append", fail)
        await phone.say("lost")
        event = await phone.error("INTERNAL_ERROR")
    assert "what people wrote" not in str(event) + caplog.text
    assert "lost" not in caplog.text
    await phone.exchange("kept")
    assert [text for _, text in await ours.said(chat["id"])] == ["kept", "You said: kept"]


# Too much


async def test_more_than_ten_frames_in_a_second_are_refused(ours: Caller, chat: dict[str, Any], phone: Phone) -> None:
    for i in range(30):
        await (phone.raw.send("invalid") if i % 2 else phone.say(f"[[text=r{i}]]"))
    outcomes: list[str] = []
    while len(outcomes) < 30:
        event = await phone.next()
        if event["event_type"] in {"message_stream_ended", "error"}:
            outcomes.append(event.get("content") or event["error_code"])
    assert outcomes.count("RATE_LIMIT_EXCEEDED") == 20
    assert outcomes.count("INVALID_MESSAGE") == 5  # they count as well
    assert [text for text in outcomes if text.startswith("r")] == ["r0", "r2", "r4", "r6", "r8"]
    assert (await ours.messages(chat["id"])).json()["total"] == 10


async def test_more_than_32_frames_waiting_are_refused(
    ours: Caller, chat: dict[str, Any], serve: Serve, agent: ScriptedAgent
) -> None:
    agent.gate = asyncio.Event()
    exchange = await serve(frames_per_second=0)
    async with exchange.join(ours.key, chat) as phone:
        await phone.say("[[text=-1]]")
        await phone.until("message_stream_started")
        for i in range(limits.SOCKET_FRAMES_WAITING + 1):
            await phone.say(f"[[text={i}]]")
        await phone.error("RATE_LIMIT_EXCEEDED")
        agent.gate.set()
        for i in range(-1, limits.SOCKET_FRAMES_WAITING):
            assert (await phone.until("message_stream_ended"))["content"] == str(i)


async def test_a_client_that_does_not_read_is_let_go(
    ours: Caller, chat: dict[str, Any], serve: Serve, agent: ScriptedAgent
) -> None:
    exchange = await serve(send_seconds=0.2)
    async with exchange.join(ours.key, chat) as phone:
        await phone.say("[[tokens=150000]]")  # more than the buffers between the two ends hold
        await freed(ours, chat, seconds=20)
        assert agent.closed_early == 1
        phone.raw.transport.abort()


# Several sockets


async def test_events_go_to_the_socket_that_asked(ours: Caller, chat: dict[str, Any], exchange: Exchange) -> None:
    async with exchange.join(ours.key, chat) as mine, exchange.join(ours.key, chat, "zoe") as hers:
        await mine.exchange("from mara")
        events = await hers.exchange("from zoe")
        assert [event["user_id"] for event in events if "user_id" in event] == ["zoe"] * 3
        assert "from mara" not in json.dumps(events[0])
    assert [text for role, text in await ours.said(chat["id"]) if role == "user"] == ["from mara", "from zoe"]


async def test_sockets_are_answered_side_by_side(ours: Caller, chat: dict[str, Any], exchange: Exchange) -> None:
    async with exchange.join(ours.key, chat) as mine, exchange.join(ours.key, chat) as other:
        await mine.say("[[hang]]")
        await mine.until("message_stream_token")
        assert (await other.exchange("quick"))[-1]["content"] == "You said: quick"


# The client leaves


@pytest.mark.parametrize("is_rude", [False, True])
async def test_leaving_in_mid_stream_stops_the_model_and_keeps_nothing_unfinished(
    ours: Caller,
    chat: dict[str, Any],
    exchange: Exchange,
    instance: Instance,
    agent: ScriptedAgent,
    is_rude: bool,
) -> None:
    async with exchange.join(ours.key, chat) as phone:
        await phone.say("[[hang]]")
        await phone.say("never answered")
        await phone.until("message_stream_token")
        if is_rude:
            phone.raw.transport.abort()
    await let_go(instance)
    assert agent.closed_early == 1
    assert len(agent.heard) == 1
    assert await ours.said(chat["id"]) == [("user", "[[hang]]")]


async def test_the_registration_outlasts_the_cancelled_work(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, gate = asyncio.Event(), asyncio.Event()
    really_append = instance.store.messages.append

    async def append_slowly(*given: Any) -> Any:
        began.set()
        await gate.wait()
        return await really_append(*given)

    monkeypatch.setattr(instance.store.messages, "append", append_slowly)
    async with exchange.join(ours.key, chat) as phone:
        await phone.say("on its way")
        await began.wait()
    assert (await ours.delete(chat["id"])).status_code == 409
    gate.set()
    await let_go(instance)
    assert await ours.said(chat["id"]) == [("user", "on its way")]


# The chat, or the registration, goes


async def test_a_chat_that_is_deleted_elsewhere_ends_its_sockets(
    chat: dict[str, Any], phone: Phone, instance: Instance, agent: ScriptedAgent
) -> None:
    await phone.say("[[hang]]")
    await phone.until("message_stream_token")
    tenant_id = (await instance.tenants.get("t1")).id
    session = await instance.sessions.get(tenant_id, chat["id"])
    await instance.deletions.delete_session(tenant_id, session, deletions.CANCEL)
    assert chat["id"] in (await phone.error("CHAT_NOT_FOUND"))["error_message"]
    await phone.closed(4404, "CHAT_NOT_FOUND")
    assert agent.closed_early == 1


async def test_a_chat_that_another_process_deleted_is_noticed_at_the_next_frame(
    chat: dict[str, Any], phone: Phone, instance: Instance
) -> None:
    tenant_id = (await instance.tenants.get("t1")).id
    stored = await instance.chats.get(tenant_id, chat["id"])
    await instance.store.deletions.detach_chat(tenant_id, stored.key, Order(deletions.CANCEL))
    await phone.say("too late")
    assert chat["id"] in (await phone.error("CHAT_NOT_FOUND"))["error_message"]
    await phone.closed(4404, "CHAT_NOT_FOUND")


@pytest.mark.parametrize("is_noticed_by_renewal", [False, True])
async def test_a_lost_registration_is_1011(
    ours: Caller, chat: dict[str, Any], phone: Phone, instance: Instance, is_noticed_by_renewal: bool
) -> None:
    await instance.store.connections.close_node(instance.connections.node)
    if is_noticed_by_renewal:
        await instance.connections.renew()
    else:
        await phone.say("not to be stored")
    await phone.error("INTERNAL_ERROR")
    await phone.closed(1011, "INTERNAL_ERROR")
    assert await ours.said(chat["id"]) == []


async def freed(ours: Caller, chat: dict[str, Any], seconds: float = 1) -> None:
    """The chat can be deleted within that time, and is."""
    deadline = asyncio.get_running_loop().time() + seconds
    while (answer := await ours.delete(chat["id"])).status_code != 200:
        assert (answer.status_code, asyncio.get_running_loop().time() < deadline) == (409, True), answer.text
        await asyncio.sleep(0.01)


async def let_go(instance: Instance) -> None:
    """Within a second no socket is held any more: the work of each has ended then."""
    deadline = asyncio.get_running_loop().time() + 1
    while instance.connections.count:
        assert asyncio.get_running_loop().time() < deadline, "a socket is still held"
        await asyncio.sleep(0.01)
