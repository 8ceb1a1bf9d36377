"""Listing, getting, reading and deleting the chats of a session."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from antiphon.api.recoup import wire
from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AntiphonError, ChatNotFound
from antiphon.domain.ids import new_uid7, text_of
from antiphon.domain.messages import ASSISTANT, USER, Draft, Message
from tests.wire.recoup.caller import NOBODY, Caller, chat_path, chats_of, expect, good, refused, session_path

ONLY_CHAT = "Cannot delete the only chat in a session"


@pytest.fixture
async def chat(ann: Caller, instance: Instance, session: dict[str, Any]) -> Chat:
    """The first chat of ann's session, as the store has it."""
    return await instance.chats.get(ann.tenant_id, session["chat"]["id"])


async def say(instance: Instance, caller: Caller, chat: Chat, *drafts: Draft) -> list[Message]:
    return await instance.messages.append(caller.tenant_id, chat.key, drafts)


def answer_of(text: str) -> Draft:
    return Draft("assistant", ASSISTANT, text)


# List


async def test_a_list_has_every_chat_oldest_first(ann: Caller, instance: Instance, session: dict[str, Any]) -> None:
    made = [session["chat"]] + [await ann.new_chat(session, chat_id) for chat_id in ("z", "a", "m", "0")]
    body = good(await ann.get(chats_of(session)))
    assert list(body) == ["chats", "defaultModelId"]
    assert body["defaultModelId"] == instance.default_model
    assert body["chats"] == [{**chat, "hasUnread": False, "isStreaming": False} for chat in made]
    assert list(body["chats"][0]) == [*made[0], "hasUnread", "isStreaming"]


async def test_a_list_is_not_cut_into_pages(ann: Caller, instance: Instance, session: dict[str, Any]) -> None:
    whole = await instance.sessions.get(ann.tenant_id, session["id"])
    for number in range(limits.PAGE_ITEMS + 20):
        await instance.chats.create(ann.tenant_id, whole, f"c{number}")
    assert (await ann.chat_ids(session))[1:] == [f"c{number}" for number in range(limits.PAGE_ITEMS + 20)]


async def test_unread_is_what_came_after_the_caller_read(
    ann: Caller, instance: Instance, session: dict[str, Any], chat: Chat
) -> None:
    async def unread() -> bool:
        return bool((await ann.listed(session))[0]["hasUnread"])

    await say(instance, ann, chat, Draft("ann", USER, "Hi"))
    assert not await unread()
    await say(instance, ann, chat, answer_of("Hello"))
    assert await unread()
    good(await ann.get(chat_path(session, chat.id)))
    assert await unread()
    for _ in range(2):
        expect(await ann.post(chat_path(session, chat.id) + "/read"), 200, {"success": True})
        assert not await unread()
    await later(instance, ann, chat)
    assert await unread()


async def later(instance: Instance, caller: Caller, chat: Chat) -> None:
    """One more answer, in a later millisecond than anything before it."""
    await asyncio.sleep(0.002)
    await say(instance, caller, chat, answer_of("And again"))


async def test_reading_does_not_touch_the_chat(
    ann: Caller, instance: Instance, session: dict[str, Any], chat: Chat
) -> None:
    await say(instance, ann, chat, answer_of("Hello"))
    before = (await ann.get(chat_path(session, chat.id))).json()
    expect(await ann.post(chat_path(session, chat.id) + "/read"), 200, {"success": True})
    assert (await ann.get(chat_path(session, chat.id))).json() == before


@pytest.mark.parametrize(
    ("answered", "read", "is_unread"),
    [(None, None, False), (None, 5, False), (5, None, True), (2_000_999, 2_000_001, False),
     (2_001_000, 2_000_999, True), (2_000_000, 2_001_000, False)],
)  # fmt: skip
async def test_unread_is_told_by_the_millisecond(
    chat: Chat, answered: int | None, read: int | None, is_unread: bool
) -> None:
    answered_chat = msgspec.structs.replace(chat, last_answer_at=answered)
    assert wire.show_summary(answered_chat, "m", read).has_unread is is_unread


async def test_a_chat_in_the_middle_of_an_answer_is_streaming(chat: Chat) -> None:
    turn_id = new_uid7()
    busy = msgspec.structs.replace(chat, active_turn=turn_id, model="own/model")
    shown = wire.show_summary(busy, "m", None)
    assert (shown.active_stream_id, shown.is_streaming, shown.model_id) == (wire.run_id_of(turn_id), True, "own/model")
    assert wire.parse_run_id(wire.run_id_of(turn_id)) == turn_id
    assert wire.show_detail(busy, "m", []).is_streaming
    assert not wire.show_detail(chat, "m", []).is_streaming


# Get


async def test_a_fresh_chat_has_no_messages(ann: Caller, session: dict[str, Any]) -> None:
    answer = await ann.get(chat_path(session, session["chat"]["id"]))
    expect(answer, 200, {"chat": session["chat"], "isStreaming": False, "messages": []})
    assert list(answer.json()) == ["chat", "isStreaming", "messages"]


async def test_messages_are_whole_objects_in_order(
    ann: Caller, instance: Instance, session: dict[str, Any], chat: Chat
) -> None:
    parts = '[{"type":"step-start"},{"type":"text","text":"Done","state":"done"}]'
    stored = await say(
        instance,
        ann,
        chat,
        Draft("ann", USER, 'List "files" ü', client_id="u/1"),
        Draft("assistant", ASSISTANT, "Done", parts, metadata='{"modelId":"openai/gpt-5.4"}'),
        Draft("ann", USER, ""),
    )
    body = good(await ann.get(chat_path(session, chat.id)))
    assert body["messages"] == [
        {"id": "u/1", "role": "user", "parts": [{"type": "text", "text": 'List "files" ü'}]},
        {
            "id": f"msg-{text_of(stored[1].id)}",
            "role": "assistant",
            "parts": json.loads(parts),
            "metadata": {"modelId": "openai/gpt-5.4"},
        },
        {"id": f"msg-{text_of(stored[2].id)}", "role": "user", "parts": [{"type": "text", "text": ""}]},
    ]
    assert body["chat"]["lastAssistantMessageAt"] is not None
    assert [list(message) for message in body["messages"][:2]] == [
        ["id", "role", "parts"],
        ["id", "role", "parts", "metadata"],
    ]


async def test_every_message_is_there_however_many(
    ann: Caller, instance: Instance, session: dict[str, Any], chat: Chat
) -> None:
    count = limits.PAGE_ITEMS * 2 + 1
    for start in range(0, count, limits.MESSAGES_PER_APPEND):
        numbers = range(start, min(count, start + limits.MESSAGES_PER_APPEND))
        await say(instance, ann, chat, *(Draft("ann", USER, str(number)) for number in numbers))
    body = good(await ann.get(chat_path(session, chat.id)))
    assert [message["parts"][0]["text"] for message in body["messages"]] == [str(number) for number in range(count)]


async def test_a_chat_of_another_session_is_404(ann: Caller, session: dict[str, Any]) -> None:
    other = await ann.new_session()
    for chat_id in (other["chat"]["id"], NOBODY, "none", "x" * 513, "\x00"):
        for method, more in [("GET", ""), ("DELETE", ""), ("POST", "/read")]:
            refused(await ann.call(method, chat_path(session, chat_id) + more), 404, "Chat not found")
    assert await ann.chat_ids(other) == [other["chat"]["id"]]


async def test_the_session_comes_before_the_chat(ann: Caller, bob: Caller, session: dict[str, Any]) -> None:
    nowhere = {"id": NOBODY}
    for chat_id in (session["chat"]["id"], "none"):
        for method, more in [("GET", ""), ("DELETE", ""), ("POST", "/read")]:
            refused(await ann.call(method, chat_path(nowhere, chat_id) + more), 404, "Session not found")
            refused(await bob.call(method, chat_path(session, chat_id) + more), 403, "Forbidden")
    assert len(await ann.chat_ids(session)) == 1


# Delete


async def test_a_deleted_chat_is_gone(ann: Caller, session: dict[str, Any]) -> None:
    extra = await ann.new_chat(session)
    answer = await ann.delete(chat_path(session, session["chat"]["id"]))
    assert (answer.status_code, answer.text) == (200, '{"success":true}')
    assert await ann.chat_ids(session) == [extra["id"]]
    for method, more in [("GET", ""), ("DELETE", ""), ("POST", "/read")]:
        gone = chat_path(session, session["chat"]["id"]) + more
        refused(await ann.call(method, gone), 404, "Chat not found")


async def test_the_only_chat_stays(ann: Caller, instance: Instance, session: dict[str, Any], chat: Chat) -> None:
    await say(instance, ann, chat, Draft("ann", USER, "Stay"))
    refused(await ann.delete(chat_path(session, chat.id)), 400, ONLY_CHAT)
    assert len(good(await ann.get(chat_path(session, chat.id)))["messages"]) == 1


async def test_one_by_one_the_last_chat_stays(ann: Caller, session: dict[str, Any]) -> None:
    ids = [session["chat"]["id"]] + [(await ann.new_chat(session))["id"] for _ in range(4)]
    for chat_id in ids[:-1]:
        expect(await ann.delete(chat_path(session, chat_id)), 200, {"success": True})
    refused(await ann.delete(chat_path(session, ids[-1])), 400, ONLY_CHAT)
    assert await ann.chat_ids(session) == ids[-1:]


async def test_a_wrong_id_in_a_session_of_one_chat_is_404(ann: Caller, session: dict[str, Any]) -> None:
    refused(await ann.delete(chat_path(session, "none")), 404, "Chat not found")


async def test_the_body_of_a_delete_is_not_read(ann: Caller, session: dict[str, Any]) -> None:
    for content in (b"{bad", b"\xff", b'{"id":""}', b"x" * 100_000):
        extra = await ann.new_chat(session)
        answer = await ann.call("DELETE", chat_path(session, extra["id"]), content=content)
        expect(answer, 200, {"success": True})


async def test_messages_and_read_marks_go_with_the_chat(
    ann: Caller, instance: Instance, session: dict[str, Any]
) -> None:
    await ann.new_chat(session, "again")
    old = await instance.chats.get(ann.tenant_id, "again")
    await say(instance, ann, old, Draft("ann", USER, "Hi"), answer_of("Hello"))
    expect(await ann.post(chat_path(session, "again") + "/read"), 200, {"success": True})
    expect(await ann.delete(chat_path(session, "again")), 200, {"success": True})
    fresh = await ann.new_chat(session, "again")
    assert fresh["lastAssistantMessageAt"] is None
    assert good(await ann.get(chat_path(session, "again")))["messages"] == []
    assert (await ann.listed(session))[1]["hasUnread"] is False
    await say(instance, ann, await instance.chats.get(ann.tenant_id, "again"), answer_of("New"))
    assert (await ann.listed(session))[1]["hasUnread"] is True
    with pytest.raises(ChatNotFound):
        await instance.messages.page(ann.tenant_id, old.key, Slice(0, 1))


async def test_a_delete_leaves_the_rest_of_the_session_alone(
    ann: Caller, instance: Instance, session: dict[str, Any], chat: Chat
) -> None:
    await say(instance, ann, chat, Draft("ann", USER, "Hi"))
    before = (await ann.get(chat_path(session, chat.id))).json()
    row = (await ann.get(session_path(session["id"]))).json()
    await ann.new_chat(session, "extra")
    expect(await ann.delete(chat_path(session, "extra")), 200, {"success": True})
    assert (await ann.get(chat_path(session, chat.id))).json() == before
    assert (await ann.get(session_path(session["id"]))).json() == row


async def test_a_delete_closes_the_sockets_on_the_chat(
    ann: Caller, instance: Instance, session: dict[str, Any]
) -> None:
    await ann.new_chat(session, "live")
    live = await instance.chats.get(ann.tenant_id, "live")
    lost: list[AntiphonError] = []
    await instance.connections.open(ann.tenant_id, live.key, "ann", lost.append)
    expect(await ann.delete(chat_path(session, "live")), 200, {"success": True})
    assert [type(error) for error in lost] == [ChatNotFound]
    assert await ann.chat_ids(session) == [session["chat"]["id"]]
