"""`/api/chats`: the list of all chats, and rooms."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AgentFailed, StoreFailed
from antiphon.domain.messages import ASSISTANT, USER, Draft
from antiphon.domain.sessions import SINGLE
from tests.scripted_agent import ScriptedAgent
from tests.wire.recoup.caller import NOBODY, UUID4, Caller, expect, good, refused, session_path
from tests.wire.recoup.conftest import MakeCaller
from tests.wire.recoup.turning import Open, ask, body_of, opener, user

ALL = "/api/chats"
BAD_UUID = "11111111-1111-1111-1111-111111111111"

__all__ = ["opener"]


async def call(who: Caller, method: str, path: str, body: Any = None, content: bytes | None = None) -> httpx.Response:
    return await who.call(method, path, body, content)


async def new_room(who: Caller, **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = good(await who.post(ALL, body))["chat"]
    return made


async def say(who: Caller, instance: Instance, room: dict[str, Any], *texts: str) -> list[str]:
    """Messages of two in turn; their ids."""
    chat = await instance.chats.get(who.tenant_id, room["id"])
    drafts = [
        Draft("assistant" if i % 2 else chat.owner_name, ASSISTANT if i % 2 else USER, text)
        for i, text in enumerate(texts)
    ]
    await instance.messages.append(who.tenant_id, chat.key, drafts)
    return [one["id"] for one in await memories(who, room)]


async def memories(who: Caller, room: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = good(await who.get(f"{ALL}/{room['id']}/messages"))["data"]
    return found


async def said(who: Caller, room: dict[str, Any]) -> list[str]:
    return [one["content"]["content"] for one in await memories(who, room)]


def wrong(text: str, *path: str | int) -> dict[str, Any]:
    return {"status": "error", "missing_fields": list(path), "error": text}


# The list


async def test_the_list_has_what_was_said_last_changed_first(ann: Caller, bob: Caller, session: dict[str, Any]) -> None:
    second, silent, away = [await ann.new_session(title=name) for name in ("second", "silent", "away")]
    theirs = await bob.new_session()
    for who, one in ((ann, second), (ann, session), (ann, away), (bob, theirs)):
        await ask(who, body_of(one, user("hello")))
    good(await call(ann, "PATCH", session_path(away["id"]), {"status": "archived"}))
    room = await new_room(ann, topic="a room")
    listed = good(await ann.get(ALL))
    assert listed["status"] == "success"
    assert [chat["sessionId"] for chat in listed["chats"]] == [session["id"], second["id"]]
    assert list(listed["chats"][0]) == ["id", "title", "accountId", "sessionId", "updatedAt", "artistId"]
    assert listed["chats"][0]["accountId"] == ann.account_id
    assert {silent["id"], room["id"]}.isdisjoint(chat["sessionId"] for chat in listed["chats"])


async def test_the_list_of_one_artist(ann: Caller) -> None:
    of_artist = await ann.new_session(artistId=NOBODY.upper())
    for one in (of_artist, await ann.new_session()):
        await ask(ann, body_of(one, user("hello")))
    (found,) = good(await ann.get(f"{ALL}?artist_account_id={NOBODY}"))["chats"]
    assert (found["sessionId"], found["artistId"]) == (of_artist["id"], NOBODY.upper())


async def test_who_may_see_whose_list(
    ann: Caller, bob: Caller, eve: Caller, caller: MakeCaller, session: dict[str, Any]
) -> None:
    await ask(ann, body_of(session, user("hello")))
    await ask(eve, body_of(await eve.new_session(), user("hello")))
    hers = f"{ALL}?account_id={ann.account_id}"
    for who in (ann, await caller("t1", "root", "admin"), await caller("t1", None, "tenant")):
        assert [chat["sessionId"] for chat in good(await who.get(hers))["chats"]] == [session["id"]]
    assert [chat["sessionId"] for chat in good(await (await caller("t1", "root", "admin")).get(ALL))["chats"]] == [
        session["id"]
    ]
    assert good(await bob.get(ALL))["chats"] == []
    for who in (bob, eve):
        refused(await who.get(hers), 403, "Access denied to specified account_id")


async def test_a_query_is_judged_before_the_credential(anybody: Caller, ann: Caller) -> None:
    for name in ("account_id", "artist_account_id"):
        for who in (anybody, ann):
            refused(await who.get(f"{ALL}?{name}={BAD_UUID}"), 400, f"{name} must be a valid UUID")
    assert (await anybody.get(f"{ALL}?account_id={NOBODY}")).status_code == 401


async def test_the_list_is_bounded(ann: Caller, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHATS_LISTED", 1)
    for one in (session, await ann.new_session()):
        await ask(ann, body_of(one, user("hello")))
    assert len(good(await ann.get(ALL))["chats"]) == 1


# Rooms


async def test_a_room_is_made_changed_and_deleted(ann: Caller) -> None:
    room = await new_room(ann, topic="A topic", artistId=NOBODY)
    assert list(room) == ["id", "account_id", "artist_id", "topic", "updated_at"]
    assert UUID4.fullmatch(room["id"])
    assert (room["account_id"], room["artist_id"], room["topic"]) == (ann.account_id, NOBODY, "A topic")
    renamed = good(await call(ann, "PATCH", ALL, {"chatId": room["id"], "topic": "Renamed"}))["chat"]
    assert renamed == {**room, "topic": "Renamed", "updated_at": renamed["updated_at"]}
    assert renamed["updated_at"] > room["updated_at"]
    done = {"status": "success", "id": room["id"], "message": "Chat deleted successfully"}
    expect(await call(ann, "DELETE", ALL, {"id": room["id"].upper()}), 200, done)
    refused(await call(ann, "DELETE", ALL, {"id": room["id"]}), 404, "Chat room not found")


async def test_a_put_is_safe_to_repeat(ann: Caller) -> None:
    room_id = str(uuid4())
    room = await new_room(ann, chatId=room_id.upper(), firstMessage="  What is\n up? " + "x" * 100)
    assert room["id"] == room_id
    assert room["topic"] == ("What is\n up? " + "x" * 100)[:79] + "…"
    again = await new_room(ann, chatId=room_id)
    assert again == {**room, "updated_at": again["updated_at"]}
    topic = await new_room(ann, chatId=room_id, topic="T", firstMessage="not this", artistId=NOBODY)
    assert (topic["topic"], topic["artist_id"]) == ("T", NOBODY)
    assert (await new_room(ann))["topic"] == "New chat"


async def test_fifty_puts_of_one_id_are_one_room(ann: Caller, bob: Caller) -> None:
    room_id = str(uuid4())
    answers = await asyncio.gather(*(who.post(ALL, {"chatId": room_id}) for who in (ann, bob) for _ in range(25)))
    assert sorted(answer.status_code for answer in answers) == [200] * 25 + [403] * 25
    owners = {answer.json()["chat"]["account_id"] for answer in answers if answer.status_code == 200}
    assert len(owners) == 1


async def test_a_room_belongs_to_its_account(
    ann: Caller, bob: Caller, eve: Caller, caller: MakeCaller, instance: Instance, session: dict[str, Any]
) -> None:
    room = await new_room(ann, topic="ann's")
    target = await new_room(bob)
    (message,) = await say(ann, instance, room, "secret")
    path = f"{ALL}/{room['id']}"
    calls: list[tuple[str, str, Any]] = [
        ("PATCH", ALL, {"chatId": room["id"], "topic": "mine now"}),
        ("DELETE", ALL, {"id": room["id"]}),
        ("GET", f"{path}/messages", None),
        ("GET", f"{path}/artist", None),
        ("DELETE", f"{path}/messages/trailing?from_message_id={message}", None),
        ("POST", f"{path}/messages/copy", {"targetChatId": target["id"]}),
        ("POST", f"{ALL}/{target['id']}/messages/copy", {"targetChatId": room["id"]}),
    ]
    for method, where, body in calls:
        refused(await call(bob, method, where, body), 403, "Access denied to this chat")
        refused(await call(eve, method, where, body), 404, "Chat room not found")
    refused(await bob.post(ALL, {"chatId": room["id"]}), 403, "Access denied to this chat")
    assert (await new_room(eve, chatId=room["id"]))["account_id"] == eve.account_id
    admin = await caller("t1", "root", "admin")
    assert await said(admin, room) == await said(ann, room) == ["secret"]
    of_session = session["chat"]["id"]
    for method, where, body in (
        ("PATCH", ALL, {"chatId": of_session, "topic": "mine now"}),
        ("DELETE", ALL, {"id": of_session}),
        ("GET", f"{ALL}/{of_session}/messages", None),
        ("POST", ALL, {"chatId": of_session}),
    ):
        refused(await call(ann, method, where, body), 404, "Chat room not found")
    refused(await ann.post(ALL, {"chatId": session["id"]}), 409, "Conflict")


async def test_an_account_is_acted_for(ann: Caller, bob: Caller, caller: MakeCaller) -> None:
    service = await caller("t1", None, "tenant")
    assert (await new_room(service, accountId=ann.account_id))["account_id"] == ann.account_id
    refused(await bob.post(ALL, {"accountId": ann.account_id}), 403, "Access denied to specified account_id")


@pytest.mark.parametrize(
    ("method", "body", "path", "text"),
    [
        ("POST", [], (), "Invalid input: expected object, received array"),
        ("POST", {"artistId": BAD_UUID}, ("artistId",), "artistId must be a valid UUID"),
        ("POST", {"chatId": "x"}, ("chatId",), "chatId must be a valid UUID"),
        ("POST", {"accountId": None}, ("accountId",), "Invalid input: expected string, received null"),
        ("POST", {"firstMessage": 5}, ("firstMessage",), "Invalid input: expected string, received number"),
        ("POST", {"topic": "a\0"}, ("topic",), "topic holds a NUL character or a lone surrogate"),
        ("PATCH", {}, ("chatId",), "Invalid input: expected string, received undefined"),
        ("PATCH", {"chatId": "x", "topic": "fine"}, ("chatId",), "chatId must be a valid UUID"),
        ("PATCH", {"chatId": NOBODY}, ("topic",), "topic is required"),
        ("PATCH", {"chatId": NOBODY, "topic": "ab"}, ("topic",), "topic must be between 3 and 50 characters"),
        ("PATCH", {"chatId": NOBODY, "topic": "🦜" * 26}, ("topic",), "topic must be between 3 and 50 characters"),
        ("DELETE", {"id": BAD_UUID}, ("id",), "id must be a valid UUID"),
        ("COPY", {"targetChatId": "x"}, ("targetChatId",), "targetChatId must be a valid UUID"),
        (
            "COPY",
            {"targetChatId": NOBODY, "clearExisting": "yes"},
            ("clearExisting",),
            "Invalid input: expected boolean, received string",
        ),
        ("COMPACT", {}, ("chatId",), "Invalid input: expected array, received undefined"),
        ("COMPACT", {"chatId": []}, ("chatId",), "chatId array must contain at least one ID"),
        ("COMPACT", {"chatId": ["x"]}, ("chatId", 0), "Each chatId must be a valid UUID"),
        ("COMPACT", {"chatId": [NOBODY, 5]}, ("chatId", 1), "Invalid input: expected string, received number"),
        ("COMPACT", {"chatId": [NOBODY] * 11}, ("chatId",), "Too big: expected array to have <=10 items"),
        ("COMPACT", {"chatId": [NOBODY], "prompt": 1}, ("prompt",), "Invalid input: expected string, received number"),
    ],
)
async def test_a_body_is_judged_before_the_credential(
    ann: Caller, anybody: Caller, method: str, body: Any, path: tuple[str | int, ...], text: str
) -> None:
    where = {"COPY": f"{ALL}/{NOBODY}/messages/copy", "COMPACT": f"{ALL}/compact"}.get(method, ALL)
    verb = "POST" if method in {"COPY", "COMPACT"} else method
    for who in (ann, anybody):
        expect(await call(who, verb, where, body), 400, wrong(text, *path))


async def test_then_the_credential_then_the_room(ann: Caller, anybody: Caller) -> None:
    for method, where, body in (
        ("POST", ALL, {}),
        ("PATCH", ALL, {"chatId": NOBODY, "topic": "fine"}),
        ("DELETE", ALL, {"id": NOBODY}),
        ("POST", f"{ALL}/compact", {"chatId": [NOBODY]}),
        ("GET", f"{ALL}/{NOBODY}/messages", None),
        ("POST", f"{ALL}/{NOBODY}/messages/copy", {"targetChatId": str(uuid4())}),
        ("DELETE", f"{ALL}/{NOBODY}/messages/trailing", None),
    ):
        assert (await call(anybody, method, where, body)).status_code == 401
    for ending in ("messages", "artist"):
        refused(await anybody.get(f"{ALL}/{BAD_UUID}/{ending}"), 400, "id must be a valid UUID")
        refused(await ann.get(f"{ALL}/{NOBODY}/{ending}"), 404, "Chat room not found")


# Messages


async def test_messages_are_told_as_memories(ann: Caller, instance: Instance) -> None:
    room = await new_room(ann)
    assert await memories(ann, room) == []
    await say(ann, instance, room, "hello", "hi")
    first, second = await memories(ann, room)
    assert list(first) == ["id", "room_id", "content", "updated_at"]
    assert first["room_id"] == room["id"]
    assert first["content"] == {"role": "user", "parts": [{"type": "text", "text": "hello"}], "content": "hello"}
    assert second["content"]["role"] == "assistant"


async def test_a_room_is_any_chat_with_a_session_of_its_own(ann: Caller, instance: Instance) -> None:
    chat, _ = await instance.chats.create_single(ann.tenant_id, "ann", "From elsewhere", "{}")
    await say(ann, instance, {"id": chat.id}, "one")
    assert await said(ann, {"id": chat.id}) == ["one"]
    by_id = await instance.chats.get(ann.tenant_id, (await new_room(ann))["id"])
    assert by_id.session_shape == SINGLE


async def test_trailing_messages_go_the_first_one_too(ann: Caller, instance: Instance) -> None:
    room = await new_room(ann)
    ids = await say(ann, instance, room, "a", "b", "c", "d")
    where = f"{ALL}/{room['id']}/messages/trailing"
    done = {"status": "success", "chat_id": room["id"], "from_message_id": ids[2]}
    expect(await ann.delete(f"{where}?from_message_id={ids[2]}"), 200, done)
    assert await said(ann, room) == ["a", "b"]
    refused(await ann.delete(f"{where}?from_message_id={ids[2]}"), 404, "Message not found")
    for query in ("", "?from_message_id=", "?from_message_id=x", f"?from_message_id={BAD_UUID}"):
        answer = await ann.delete(where + query)
        expect(answer, 400, wrong("from_message_id must be a valid UUID", "from_message_id"))
    refused(await ann.delete(f"{ALL}/{NOBODY}/messages/trailing?from_message_id=x"), 404, "Chat room not found")


async def test_trailing_deletes_at_once_remove_each_message_once(ann: Caller, instance: Instance) -> None:
    room = await new_room(ann)
    ids = await say(ann, instance, room, *"abcdef")
    where = f"{ALL}/{room['id']}/messages/trailing?from_message_id="
    answers = await asyncio.gather(*(ann.delete(where + one) for one in ids))
    assert {answer.status_code for answer in answers} <= {200, 404}
    assert await memories(ann, room) == []
    chat = await instance.chats.get(ann.tenant_id, room["id"])
    assert (chat.message_count, chat.last_message_at) == (0, None)


async def test_nothing_is_cut_from_under_an_answer(
    ann: Caller, instance: Instance, agent: ScriptedAgent, server: Any
) -> None:
    open_call: Open = opener(server)
    room, other = await new_room(ann), await new_room(ann)
    ids = await say(ann, instance, room, "a")
    agent.gate = asyncio.Event()
    turn = await open_call(ann, "POST", "/api/chat", {"id": room["id"], "message": user("b")}).begin()
    busy = "Another workflow is already running for this chat"
    refused(await ann.delete(f"{ALL}/{room['id']}/messages/trailing?from_message_id={ids[0]}"), 409, busy)
    refused(await ann.post(f"{ALL}/{other['id']}/messages/copy", {"targetChatId": room["id"]}), 409, busy)
    agent.gate.set()
    await turn.rest()
    good(await ann.delete(f"{ALL}/{room['id']}/messages/trailing?from_message_id={ids[0]}"))
    assert await memories(ann, room) == []


async def test_messages_are_copied(ann: Caller, instance: Instance) -> None:
    source, target = await new_room(ann), await new_room(ann)
    await say(ann, instance, source, "a", "b")
    await say(ann, instance, target, "old")
    where = f"{ALL}/{source['id'].upper()}/messages/copy"
    done = {"status": "success", "source_chat_id": source["id"], "target_chat_id": target["id"]}
    answer = await ann.post(where, {"targetChatId": target["id"]})
    expect(answer, 200, {**done, "copied_count": 2, "cleared_existing": True})
    copied, original = await memories(ann, target), await memories(ann, source)
    assert [one["content"] for one in copied] == [one["content"] for one in original]
    assert [one["updated_at"] for one in copied] == [one["updated_at"] for one in original]
    assert {one["id"] for one in copied}.isdisjoint(one["id"] for one in original)
    answer = await ann.post(where, {"targetChatId": target["id"], "clearExisting": False})
    expect(answer, 200, {**done, "copied_count": 2, "cleared_existing": False})
    assert await said(ann, target) == ["a", "b", "a", "b"]


async def test_a_room_is_not_copied_into_itself(ann: Caller, anybody: Caller) -> None:
    for who in (ann, anybody):
        answer = await who.post(f"{ALL}/{NOBODY.upper()}/messages/copy", {"targetChatId": NOBODY})
        refused(answer, 400, "source and target chats must be different")


async def test_too_much_is_not_copied(ann: Caller, instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MESSAGES_PER_COPY", 1)
    source, target = await new_room(ann), await new_room(ann)
    await say(ann, instance, source, "a", "b")
    answer = await ann.post(f"{ALL}/{source['id']}/messages/copy", {"targetChatId": target["id"]})
    refused(answer, 422, "at most 1 messages are copied at once")


# Compaction, and the artist


async def test_rooms_are_put_in_short(ann: Caller, instance: Instance, agent: ScriptedAgent) -> None:
    room, empty = await new_room(ann), await new_room(ann)
    await say(ann, instance, room, "hello", "hi")
    body = {"chatId": [room["id"], empty["id"]], "prompt": "In one word. [[text=greetings]]"}
    found = good(await ann.post(f"{ALL}/compact", body))
    assert found == {
        "chats": [{"chatId": room["id"], "compacted": "greetings"}, {"chatId": empty["id"], "compacted": ""}]
    }
    assert [one.text for one in agent.heard[-1]][:2] == ["hello", "hi"]
    assert await said(ann, room) == ["hello", "hi"]
    assert good(await ann.post(f"{ALL}/compact", {"chatId": [room["id"]]}))["chats"][0]["compacted"]


async def test_all_rooms_or_none_are_put_in_short(
    ann: Caller, bob: Caller, agent: ScriptedAgent, session: dict[str, Any]
) -> None:
    room, theirs = await new_room(ann), await new_room(bob)
    missing = [NOBODY, theirs["id"], session["chat"]["id"]]
    answer = await ann.post(f"{ALL}/compact", {"chatId": [room["id"], *missing, NOBODY]})
    text = f"Chat(s) not found or not accessible: {', '.join(missing)}"
    expect(answer, 404, {"error": 404, "message": text})
    assert agent.heard == []


async def test_a_model_that_fails_is_a_500_of_its_own(ann: Caller, instance: Instance) -> None:
    room = await new_room(ann)
    await say(ann, instance, room, "hello")
    answer = await ann.post(f"{ALL}/compact", {"chatId": [room["id"]], "prompt": "[[fail]]"})
    expect(answer, 500, {"error": 500, "message": "Failed to compact chats"})


async def test_a_model_without_an_end_is_given_up(
    ann: Caller, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMPACTION_SECONDS", 0.05)
    room = await new_room(ann)
    await say(ann, instance, room, "hello")
    chat = await instance.chats.get(ann.tenant_id, room["id"])
    with pytest.raises(AgentFailed):
        await instance.compactions.compact(ann.tenant_id, chat, "[[hang]]")


async def test_a_room_s_artist(ann: Caller, bob: Caller) -> None:
    for artist, exists in ((None, False), (NOBODY, False), (bob.account_id, True)):
        room = await new_room(ann, **({"artistId": artist} if artist else {}))
        wanted = {"status": "success", "room_id": room["id"], "artist_id": artist, "artist_exists": exists}
        expect(await ann.get(f"{ALL}/{room['id']}/artist"), 200, wanted)


# What the store cannot do


async def test_each_route_says_what_failed(ann: Caller, instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    room, other = await new_room(ann), await new_room(ann)
    (message,) = await say(ann, instance, room, "a")
    path = f"{ALL}/{room['id']}/messages"

    async def fail(*_: Any, **__: Any) -> Chat:
        raise StoreFailed

    for port, name in (
        ("chats", "list_said"),
        ("chats", "put_single"),
        ("chats", "change"),
        ("chats", "cut"),
        ("chats", "copy"),
        ("messages", "page"),
        ("deletions", "detach_chat"),
    ):
        monkeypatch.setattr(getattr(instance.store, port), name, fail)
    refused(await ann.get(ALL), 500, "Failed to retrieve chats")
    expect(await ann.post(ALL, {}), 500, {"status": "error", "message": "Failed to create chat"})
    renaming = {"chatId": room["id"], "topic": "fine"}
    refused(await call(ann, "PATCH", ALL, renaming), 500, "Failed to update chat")
    refused(await call(ann, "DELETE", ALL, {"id": room["id"]}), 500, "Failed to delete chat")
    refused(await ann.get(path), 500, "Failed to retrieve memories")
    trailing = f"{path}/trailing?from_message_id={message}"
    refused(await ann.delete(trailing), 500, "Failed to delete trailing messages")
    copying = {"targetChatId": other["id"]}
    refused(await ann.post(f"{path}/copy", copying), 500, "Failed to copy chat messages")
    refusal = {"error": 500, "message": "Failed to compact chats"}
    expect(await ann.post(f"{ALL}/compact", {"chatId": [room["id"]]}), 500, refusal)
