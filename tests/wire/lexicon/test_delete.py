"""E5: deleting a chat, and what stands in the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import times
from antiphon.domain.errors import ChatHasActiveTurn
from antiphon.domain.messages import USER, Draft
from tests.scripted_agent import ScriptedAgent
from tests.wire.lexicon.caller import NEVER, Caller, Exchange, check_error
from tests.wire.lexicon.test_exchange import freed


async def test_the_answer_has_exactly_three_keys(ours: Caller) -> None:
    before = times.now()
    answer = await ours.delete((await ours.create())["id"])
    body = answer.json()
    assert (answer.status_code, set(body)) == (200, {"success", "message", "deleted_at"})
    assert (body["success"], body["message"]) == (True, "Chat deleted successfully")
    assert before <= times.from_text(body["deleted_at"]) <= times.now()
    assert body["deleted_at"].endswith("Z")


async def test_afterwards_nothing_shows_it(ours: Caller, exchange: Exchange) -> None:
    chat, other = await ours.create("mara"), await ours.create("mara")
    async with exchange.join(ours.key, chat) as phone:
        await phone.exchange("hello")
    await freed(ours, chat)
    for answer in (await ours.get(chat["id"]), await ours.messages(chat["id"]), await ours.delete(chat["id"])):
        check_error(answer, 404, "CHAT_NOT_FOUND")
    listed = (await ours.chats_of("mara")).json()
    assert ([found["id"] for found in listed["chats"]], listed["total"]) == ([other["id"]], 1)


async def test_a_body_and_a_query_are_not_looked_at(ours: Caller) -> None:
    chat = await ours.create()
    answer = await ours.ask(
        "DELETE", f"/api/v1/chats/{chat['id']}?limit=x", content=b"{bad", headers={"content-type": "text/x"}
    )
    assert answer.status_code == 200


async def test_an_open_socket_is_409_and_is_not_disturbed(ours: Caller, exchange: Exchange) -> None:
    chat = await ours.create("mara")
    async with exchange.join(ours.key, chat) as phone, exchange.join(ours.key, chat, "zoe"):
        before = times.now()
        details = check_error(await ours.delete(chat["id"]), 409, "CHAT_HAS_ACTIVE_CONNECTIONS")["details"]
        assert details["active_connections"] == 2
        assert before < times.from_text(details["until"]) <= times.now() + 30 * times.SECOND
        assert details["until"].endswith("Z")
        assert (await ours.get(chat["id"])).status_code == 200
        await phone.exchange("undisturbed")
    await freed(ours, chat)


async def test_a_stream_goes_on_over_a_refused_delete(ours: Caller, exchange: Exchange, agent: ScriptedAgent) -> None:
    chat = await ours.create("mara")
    agent.gate = asyncio.Event()
    async with exchange.join(ours.key, chat) as phone:
        await phone.say("[[text=all of it]]")
        await phone.until("message_stream_started")
        check_error(await ours.delete(chat["id"]), 409, "CHAT_HAS_ACTIVE_CONNECTIONS")
        agent.gate.set()
        assert (await phone.until("message_stream_ended"))["content"] == "all of it"


async def test_sockets_are_let_go_one_by_one(ours: Caller, exchange: Exchange) -> None:
    chat = await ours.create("mara")
    async with exchange.join(ours.key, chat):
        async with exchange.join(ours.key, chat):
            pass
        deadline = asyncio.get_running_loop().time() + 1
        while True:
            body = check_error(await ours.delete(chat["id"]), 409, "CHAT_HAS_ACTIVE_CONNECTIONS")
            if body["details"]["active_connections"] == 1:
                break
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)
    await freed(ours, chat)


async def test_a_socket_on_another_chat_does_not_matter(ours: Caller, exchange: Exchange) -> None:
    chat, other = await ours.create("mara"), await ours.create("mara")
    async with exchange.join(ours.key, other) as phone:
        assert (await ours.delete(chat["id"])).status_code == 200
        await phone.exchange("unharmed")


async def test_a_socket_whose_process_is_dead_stops_counting(ours: Caller, instance: Instance) -> None:
    chat = await ours.create("mara")
    tenant_id = (await instance.tenants.get("t1")).id
    stored = await instance.chats.get(tenant_id, chat["id"])
    await instance.store.connections.open(tenant_id, stored.key, "mara", b"n" * 16, 0, 0.2)
    check_error(await ours.delete(chat["id"]), 409, "CHAT_HAS_ACTIVE_CONNECTIONS")
    await freed(ours, chat)


async def test_the_last_chat_of_a_session_is_409(ours: Caller, instance: Instance) -> None:
    tenant_id = (await instance.tenants.get("t1")).id
    owner, _ = await instance.participants.put(tenant_id, "mara")
    session, first = await instance.sessions.create(tenant_id, owner.id, "a title")
    second, _ = await instance.chats.create(tenant_id, session)
    assert (await ours.delete(second.id)).status_code == 200
    check_error(await ours.delete(first.id), 409, "CHAT_IS_LAST_OF_SESSION")
    assert (await ours.get(first.id)).status_code == 200


async def test_a_running_turn_is_409(ours: Caller, instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = await ours.create()

    async def refuse(*_: Any) -> Any:
        raise ChatHasActiveTurn

    with monkeypatch.context() as patch:
        patch.setattr(instance.store.deletions, "detach_chat", refuse)
        check_error(await ours.delete(chat["id"]), 409, "CHAT_HAS_ACTIVE_TURN")
    assert (await ours.delete(chat["id"])).status_code == 200


async def test_of_many_deletes_exactly_one_succeeds(ours: Caller) -> None:
    chat = await ours.create()
    answers = await asyncio.gather(*(ours.delete(chat["id"]) for _ in range(20)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 404: 19}


async def test_many_chats_deleted_at_once_stand_alone(ours: Caller, theirs: Caller, exchange: Exchange) -> None:
    chats = [await ours.create("mara") for _ in range(9)]
    foreign = await theirs.create()
    async with exchange.join(ours.key, chats[0]):
        ids = [*(chat["id"] for chat in chats), foreign["id"], NEVER]
        answers = await asyncio.gather(*(ours.delete(chat_id) for chat_id in ids))
    assert [answer.status_code for answer in answers] == [409, *[200] * 8, 404, 404]
    assert [answer.json()["success"] for answer in answers] == [answer.status_code == 200 for answer in answers]
    assert (await theirs.get(foreign["id"])).status_code == 200


async def test_a_read_beside_a_delete_is_whole_or_404(ours: Caller, instance: Instance) -> None:
    chat = await ours.create("mara")
    tenant_id = (await instance.tenants.get("t1")).id
    stored = await instance.chats.get(tenant_id, chat["id"])
    await instance.messages.append(tenant_id, stored.key, [Draft("mara", USER, f"m{i}") for i in range(40)])
    reads = [ours.messages(chat["id"], limit=100) for _ in range(10)]
    *before, gone = await asyncio.gather(*reads, ours.delete(chat["id"]))
    after = await asyncio.gather(*(ours.messages(chat["id"], limit=100) for _ in range(3)))
    assert gone.status_code == 200
    for answer in before:
        body = answer.json()
        assert answer.status_code == 404 or (body["total"], len(body["messages"])) == (40, 40)
    assert {answer.status_code for answer in after} == {404}


async def test_a_delete_and_a_connect_exclude_each_other(ours: Caller, exchange: Exchange) -> None:
    """Started at the same moment, in either order: never both a 200 and a socket that is connected."""
    outcomes: Counter[tuple[int, str]] = Counter()
    for i in range(20):
        chat = await ours.create("mara")
        async with exchange.dial(api_key=ours.key or "", user_id="mara", chat_id=chat["id"]) as phone:
            if i % 2:
                first = await phone.next()
                answer = await ours.delete(chat["id"])
            else:
                answer, first = await asyncio.gather(ours.delete(chat["id"]), phone.next())
            if answer.status_code == 200:
                assert first["error_code"] == "CHAT_NOT_FOUND"
                await phone.closed(4404, "CHAT_NOT_FOUND")
            else:
                check_error(answer, 409, "CHAT_HAS_ACTIVE_CONNECTIONS")
                assert first["event_type"] == "connection_established"
                await phone.exchange("usable")
        outcomes[answer.status_code, first["event_type"]] += 1
    assert set(outcomes) <= {(200, "error"), (409, "connection_established")}
    assert outcomes[409, "connection_established"] >= 10
