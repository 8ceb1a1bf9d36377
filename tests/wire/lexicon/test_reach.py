"""Who sees what: tenants do not know of each other, and a participant's key sees its own chats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from antiphon.core.instance import Instance
from antiphon.domain.ids import new_public_id
from antiphon.domain.messages import USER, Draft
from tests.wire.lexicon.caller import CHATS, NEVER, Caller, Exchange, check_error

MakeCaller = Callable[..., Awaitable[Caller]]


async def answers_about(caller: Caller, chat_id: str) -> list[tuple[int, bytes]]:
    """What a caller is told of a chat."""
    answers = [await caller.get(chat_id), await caller.messages(chat_id), await caller.delete(chat_id)]
    return [(answer.status_code, answer.content) for answer in answers]


async def test_a_foreign_chat_is_byte_for_byte_an_unknown_one(ours: Caller, theirs: Caller) -> None:
    chat = await ours.create("mara")
    about = await answers_about(theirs, chat["id"])
    assert about == await answers_about(theirs, NEVER)
    assert [status for status, _ in about] == [404, 404, 404]
    assert (await theirs.chats_of("mara")).content == (await theirs.chats_of("never seen")).content
    assert (await ours.get(chat["id"])).status_code == 200


async def test_a_foreign_chat_with_an_open_socket_is_404_and_not_409(
    ours: Caller, theirs: Caller, exchange: Exchange
) -> None:
    chat = await ours.create("mara")
    async with exchange.join(ours.key, chat) as phone:
        unknown = await theirs.delete(NEVER)
        foreign = await theirs.delete(chat["id"])
        assert (foreign.status_code, foreign.content) == (404, unknown.content)
        assert (await phone.exchange("still here"))[-1]["content"] == "You said: still here"


async def test_a_foreign_chat_on_the_socket_is_an_unknown_one(ours: Caller, theirs: Caller, exchange: Exchange) -> None:
    chat = await ours.create("mara")
    told = []
    for chat_id in (chat["id"], NEVER):
        async with exchange.dial(api_key=theirs.key or "", user_id="mara", chat_id=chat_id) as phone:
            event = await phone.error("CHAT_NOT_FOUND")
            await phone.closed(4404, "CHAT_NOT_FOUND")
            event.pop("timestamp")
            told.append(str(event).replace(chat_id, "the id"))
    assert told[0] == told[1]


async def test_the_same_user_id_in_two_tenants_is_two_users(ours: Caller, theirs: Caller) -> None:
    mine, other = await ours.create("mara"), await theirs.create("mara")
    assert mine["tenant_id"] != other["tenant_id"]
    assert [chat["id"] for chat in (await ours.chats_of("mara")).json()["chats"]] == [mine["id"]]


async def test_every_key_of_a_tenant_sees_every_chat(ours: Caller, caller: MakeCaller) -> None:
    chat = await ours.create("mara")
    for who in [("t1",), ("t1", "zoe", "tenant"), ("t1", None, "admin")]:
        assert (await (await caller(*who)).get(chat["id"])).status_code == 200


async def test_an_administrator_has_no_more_than_its_home_tenant(theirs: Caller, caller: MakeCaller) -> None:
    admin = await caller("t1", None, "admin")
    chat = await theirs.create()
    check_error(await admin.get(chat["id"]), 404, "CHAT_NOT_FOUND")


# A participant's key


@pytest.fixture
async def mara(caller: MakeCaller) -> Caller:
    return await caller("t1", "mara")


async def test_a_participants_key_sees_its_own_chats(mara: Caller, ours: Caller) -> None:
    chat = await ours.create("mara")
    own = await mara.create("mara")
    assert (await mara.get(chat["id"])).status_code == 200
    assert (await mara.messages(chat["id"])).status_code == 200
    assert (await mara.chats_of("mara")).json()["total"] == 2
    assert (await mara.delete(own["id"])).status_code == 200


async def test_a_participants_key_does_not_know_of_others(mara: Caller, ours: Caller) -> None:
    chat = await ours.create("zoe")
    assert await answers_about(mara, chat["id"]) == await answers_about(mara, NEVER)
    assert (await mara.chats_of("zoe")).content == (await mara.chats_of("never seen")).content
    check_error(await mara.chats_of("zoe"), 404, "USER_NOT_FOUND")
    check_error(await mara.chats_of("zoe", limit=0), 400, "INVALID_REQUEST")
    assert (await ours.get(chat["id"])).status_code == 200


async def test_a_participants_key_makes_chats_for_itself_only(mara: Caller, ours: Caller) -> None:
    check_error(await mara.ask("POST", f"{CHATS}/", json={"user_id": "zoe"}), 401, "AUTH_ERROR")
    check_error(await ours.chats_of("zoe"), 404, "USER_NOT_FOUND")
    check_error(await mara.ask("POST", f"{CHATS}/", json={"user_id": ""}), 400, "INVALID_REQUEST")


async def test_a_participants_key_connects_under_its_own_name(mara: Caller, ours: Caller, exchange: Exchange) -> None:
    key, own, foreign = mara.key or "", await ours.create("mara"), await ours.create("zoe")
    async with exchange.join(key, own) as phone:
        await phone.exchange("hello")
    for chat_id in (own["id"], NEVER):  # the name is looked at before the chat
        async with exchange.dial(api_key=key, user_id="zoe", chat_id=chat_id) as phone:
            assert "user_id" in (await phone.error("AUTH_ERROR"))["error_message"]
            await phone.closed(4401, "AUTH_ERROR")
    async with exchange.dial(api_key=key, user_id="mara", chat_id=foreign["id"]) as phone:
        await phone.error("CHAT_NOT_FOUND")
        await phone.closed(4404, "CHAT_NOT_FOUND")


async def test_a_sessions_key_is_no_key_here(ours: Caller, caller: MakeCaller, exchange: Exchange) -> None:
    chat = await ours.create("mara")
    narrow = await caller("t1", "mara", "session", session_id=chat["id"])
    check_error(await narrow.get(chat["id"]), 401, "AUTH_ERROR")
    async with exchange.dial(api_key=narrow.key or "", user_id="mara", chat_id=chat["id"]) as phone:
        await phone.error("AUTH_ERROR")
        await phone.closed(4401, "AUTH_ERROR")


# Chats that other wires made


async def test_chats_of_other_wires_are_served_when_their_id_is_a_uuid(ours: Caller, instance: Instance) -> None:
    tenant_id = (await instance.tenants.get("t1")).id
    owner, _ = await instance.participants.put(tenant_id, "mara")
    session, first = await instance.sessions.create(tenant_id, owner.id, "a title")
    named, _ = await instance.chats.create(tenant_id, session, "not-a-uuid")
    loud, _ = await instance.chats.create(tenant_id, session, new_public_id().upper())
    await instance.messages.append(tenant_id, first.key, [Draft("mara", USER, "hi", client_id="own-id")])
    shown = (await ours.get(first.id)).json()
    assert (shown["user_id"], shown["title"], shown["message_count"]) == ("mara", first.title, 1)
    assert (await ours.messages(first.id)).json()["messages"][0]["id"].startswith("msg-")
    for other in (named, loud):
        check_error(await ours.get(other.id), 404, "CHAT_NOT_FOUND")
    assert [chat["id"] for chat in (await ours.chats_of("mara")).json()["chats"]] == [first.id]
