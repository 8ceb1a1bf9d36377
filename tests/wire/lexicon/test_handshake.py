"""W1, the handshake: the values, the order of the checks, the verdicts and the close codes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain import limits, times
from antiphon.domain.errors import StoreFailed, StoreUnavailable
from tests.wire.lexicon.caller import CLOSED, NEVER, Caller, Exchange
from tests.wire.lexicon.conftest import Serve

BLANK = "  "


@pytest.fixture
async def chat(ours: Caller) -> dict[str, Any]:
    return await ours.create("mara")


def values(ours: Caller, chat: dict[str, Any], **other: str) -> dict[str, str]:
    """The three values, some of them changed."""
    return {"api_key": ours.key or "", "user_id": "mara", "chat_id": chat["id"], **other}


def without(given: dict[str, str], name: str) -> dict[str, str]:
    return {each: value for each, value in given.items() if each != name}


async def names_of(instance: Instance) -> set[str]:
    people, _ = await instance.participants.list((await instance.tenants.get("t1")).id, Slice(0, 100))
    return {person.name for person in people}


async def test_the_owner_is_connected(ours: Caller, chat: dict[str, Any], exchange: Exchange) -> None:
    async with exchange.dial(**values(ours, chat)) as phone:
        event = await phone.next()
        assert abs(times.from_text(event.pop("timestamp")) - times.now()) < 60 * times.SECOND
        assert event == {
            "event_type": "connection_established",
            "user_id": "mara",
            "chat_id": chat["id"],
            "tenant_id": chat["tenant_id"],
        }
        events = await phone.exchange("hello")  # no user_created came between
        assert events[0]["event_type"] == "message_received"


async def test_a_new_user_is_announced_once(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, instance: Instance
) -> None:
    for is_new in (True, False):
        async with exchange.dial(**values(ours, chat, user_id="zoe")) as phone:
            assert (await phone.next())["event_type"] == "connection_established"
            await phone.raw.send("{}")
            event = await phone.next()
            if is_new:
                assert event.pop("timestamp")
                assert event == {"event_type": "user_created", "user_id": "zoe"}
            else:
                assert event["error_code"] == "INVALID_MESSAGE"
    assert "zoe" in await names_of(instance)
    assert (await ours.chats_of("zoe")).status_code == 404  # she owns none


async def test_headers_will_do(ours: Caller, chat: dict[str, Any], exchange: Exchange) -> None:
    headers = {"X-API-Key": ours.key or "", "x-user-id": "mara", "X-CHAT-ID": chat["id"]}
    async with exchange.dial(headers) as phone:
        assert (await phone.next())["user_id"] == "mara"


async def test_each_value_goes_its_own_way(ours: Caller, chat: dict[str, Any], exchange: Exchange) -> None:
    headers = {"X-API-Key": ours.key or "", "X-User-ID": "from-the-header", "X-Chat-ID": NEVER}
    async with exchange.dial(headers, api_key=BLANK, user_id="mara", chat_id=chat["id"]) as phone:
        event = await phone.next()
        assert (event["user_id"], event["chat_id"]) == ("mara", chat["id"])


async def test_a_wrong_key_in_the_query_is_not_helped_by_the_header(
    ours: Caller, chat: dict[str, Any], exchange: Exchange
) -> None:
    async with exchange.dial({"X-API-Key": ours.key or ""}, **values(ours, chat, api_key="wrong")) as phone:
        await phone.error("AUTH_ERROR")


@pytest.mark.parametrize("user_id", ["ü@b/c +%&=#", "😀", " a ", "x" * limits.LEXICON_USER_ID_CHARACTERS])
async def test_odd_users_arrive_unchanged(ours: Caller, chat: dict[str, Any], exchange: Exchange, user_id: str) -> None:
    async with exchange.dial(**values(ours, chat, user_id=user_id)) as phone:
        assert (await phone.next())["user_id"] == user_id
        assert (await phone.next())["user_id"] == user_id


@pytest.mark.parametrize(("text", "encoding"), [("Zoë", "utf-8"), ("Zoë", "latin-1")])
async def test_a_header_is_utf8_or_else_latin1(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, text: str, encoding: str
) -> None:
    as_the_client_writes_it = text.encode(encoding).decode("latin-1")
    given = without(values(ours, chat), "user_id")
    async with exchange.dial({"X-User-ID": as_the_client_writes_it}, **given) as phone:
        assert (await phone.next())["user_id"] == text


async def test_ids_are_taken_in_any_case(ours: Caller, chat: dict[str, Any], exchange: Exchange) -> None:
    async with exchange.dial(**values(ours, chat, chat_id=chat["id"].upper())) as phone:
        assert (await phone.next())["chat_id"] == chat["id"]


@pytest.mark.parametrize("missing", ["api_key", "user_id", "chat_id"])
@pytest.mark.parametrize("is_blank", [False, True])
async def test_a_missing_value_is_named(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, missing: str, is_blank: bool
) -> None:
    given = values(ours, chat, **({missing: BLANK} if is_blank else {}))
    async with exchange.dial(**(given if is_blank else without(given, missing))) as phone:
        event = await phone.error("AUTH_ERROR")
        assert missing in event["error_message"]
        assert [name for name in given if name in event["error_message"]] == [missing]
        await phone.closed(4401, "AUTH_ERROR")


VERDICTS = [
    ({}, "AUTH_ERROR", "api_key"),
    ({"api_key": "wrong"}, "AUTH_ERROR", "Invalid API key"),
    ({"api_key": "wrong", "chat_id": "x"}, "AUTH_ERROR", "Invalid API key"),
    ({"api_key": "good"}, "AUTH_ERROR", "user_id"),
    ({"api_key": "good", "chat_id": "x"}, "AUTH_ERROR", "user_id"),
    ({"api_key": "good", "user_id": "u"}, "AUTH_ERROR", "chat_id"),
    ({"api_key": "good", "user_id": "u", "chat_id": NEVER}, "CHAT_NOT_FOUND", NEVER),
    ({"api_key": "good", "user_id": "u", "chat_id": "no uuid"}, "CHAT_NOT_FOUND", "no uuid"),
]


@pytest.mark.parametrize(("given", "code", "text"), VERDICTS)
async def test_the_first_failure_is_the_verdict(
    ours: Caller, exchange: Exchange, instance: Instance, given: dict[str, str], code: str, text: str
) -> None:
    key = {"api_key": ours.key or ""} if given.get("api_key") == "good" else {}
    async with exchange.dial(**given | key) as phone:
        assert text in (await phone.error(code))["error_message"]
        await phone.closed(4404 if code == "CHAT_NOT_FOUND" else 4401, code)
    assert "u" not in await names_of(instance)
    assert instance.connections.count == 0


@pytest.mark.parametrize("user_id", ["x" * (limits.LEXICON_USER_ID_CHARACTERS + 1), "a\x00b"])
async def test_an_impossible_user_is_an_auth_error(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, user_id: str
) -> None:
    async with exchange.dial(**values(ours, chat, user_id=user_id)) as phone:
        assert "user_id" in (await phone.error("AUTH_ERROR"))["error_message"]
        await phone.closed(4401, "AUTH_ERROR")


@pytest.mark.parametrize(("name", "code"), [("user_id", "AUTH_ERROR"), ("chat_id", "CHAT_NOT_FOUND")])
async def test_a_value_that_is_no_utf8(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, name: str, code: str
) -> None:
    given = without(values(ours, chat), name)
    query = "&".join(f"{each}={value}" for each, value in given.items())
    async with connect(f"ws://{exchange.address}/ws/chat?{query}&{name}=%ff%ED%A0%80", proxy=None) as raw:
        assert code in str(await raw.recv())


async def test_a_deleted_chat_is_not_found(ours: Caller, chat: dict[str, Any], exchange: Exchange) -> None:
    assert (await ours.delete(chat["id"])).status_code == 200
    async with exchange.dial(**values(ours, chat, user_id="zoe")) as phone:
        assert chat["id"] in (await phone.error("CHAT_NOT_FOUND"))["error_message"]
        await phone.closed(4404, "CHAT_NOT_FOUND")


async def test_without_authentication_no_key_is_asked_for(
    chat: dict[str, Any], exchange: Exchange, instance: Instance
) -> None:
    instance.everybody = await instance.keys.open_principal()
    async with exchange.dial(user_id="mara", chat_id=chat["id"]) as phone:
        assert (await phone.next())["event_type"] == "connection_established"


async def test_the_51st_socket_of_a_tenant_is_refused(
    ours: Caller, theirs: Caller, chat: dict[str, Any], exchange: Exchange, instance: Instance
) -> None:
    stored = await instance.chats.get((await instance.tenants.get("t1")).id, chat["id"])
    tenant_id = (await instance.tenants.get("t1")).id
    held = [
        await instance.connections.open(tenant_id, stored.key, "mara", lambda _: None)
        for _ in range(limits.SOCKETS_PER_TENANT)
    ]
    async with exchange.dial(**values(ours, chat, user_id="new")) as phone:
        await phone.error("CONNECTION_LIMIT_EXCEEDED")
        await phone.closed(4429, "CONNECTION_LIMIT_EXCEEDED")
    assert "new" not in await names_of(instance)
    async with exchange.join(theirs.key, await theirs.create()):
        pass
    await instance.connections.close(held[0])
    async with exchange.join(ours.key, chat):
        pass


@pytest.mark.parametrize("fault", [StoreUnavailable(), StoreFailed(), RuntimeError("what people wrote")], ids=repr)
async def test_a_fault_at_the_handshake_is_1011(
    ours: Caller,
    chat: dict[str, Any],
    exchange: Exchange,
    instance: Instance,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
) -> None:
    async def fail(*_: Any) -> Any:
        raise fault

    monkeypatch.setattr(instance.store.connections, "open", fail)
    async with exchange.dial(**values(ours, chat)) as phone:
        event = await phone.error("INTERNAL_ERROR")
        assert "what people wrote" not in str(event) + caplog.text
        await phone.closed(1011, "INTERNAL_ERROR")


async def test_the_verdict_does_not_wait_for_ever_and_leaves_nothing(
    ours: Caller, chat: dict[str, Any], serve: Serve, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, gate = asyncio.Event(), asyncio.Event()
    really_open = instance.store.connections.open

    async def open_slowly(*given: Any) -> Any:
        await gate.wait()
        connection = await really_open(*given)
        opened.set()
        return connection

    monkeypatch.setattr(instance.store.connections, "open", open_slowly)
    exchange = await serve(handshake_seconds=0.05)
    async with exchange.dial(**values(ours, chat)) as phone:
        await phone.error("INTERNAL_ERROR")
        await phone.closed(1011, "INTERNAL_ERROR")
        gate.set()
        await opened.wait()
    while (answer := await ours.delete(chat["id"])).status_code != 200:  # freed as soon as the store has done both
        assert answer.status_code == 409
        await asyncio.sleep(0)
    assert instance.connections.count == 0


async def test_the_key_reaches_no_log_and_no_event(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for chat_id in (chat["id"], NEVER):
            async with exchange.dial(**values(ours, chat, chat_id=chat_id)) as phone:
                told = str(await phone.next())
                assert (ours.key or "") not in told
    assert any("accepted" in record.getMessage() for record in caplog.records)  # the line that would hold it
    assert (ours.key or "") not in caplog.text


async def test_another_path_is_no_socket(exchange: Exchange) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(f"ws://{exchange.address}/ws/other", proxy=None):
            pass


async def test_a_client_that_leaves_at_once_leaves_nothing(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, instance: Instance
) -> None:
    for _ in range(5):
        async with exchange.dial(**values(ours, chat)) as phone:
            phone.raw.transport.abort()
    deadline = asyncio.get_running_loop().time() + 5
    while (answer := await ours.delete(chat["id"])).status_code != 200:
        assert (answer.status_code, asyncio.get_running_loop().time() < deadline) == (409, True)
        await asyncio.sleep(0.01)
    assert instance.connections.count == 0


async def test_frames_sent_before_the_verdict_are_handled_after_it(
    ours: Caller, chat: dict[str, Any], exchange: Exchange
) -> None:
    async with exchange.dial(**values(ours, chat)) as phone:
        await phone.say("early")
        events = [await phone.next()]
        while events[-1]["event_type"] not in {"message_stream_ended", CLOSED}:
            events.append(await phone.next())
    assert [event["event_type"] for event in events[:2]] == ["connection_established", "message_received"]
    assert events[-1]["content"] == "You said: early"
