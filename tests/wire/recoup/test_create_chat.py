"""`POST /api/sessions/{sessionId}/chats`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.messages import ASSISTANT, Draft
from tests.wire.recoup.caller import NOBODY, UUID4, Caller, chat_path, chats_of, expect, good, refused, session_path

INVALID = {"error": "Invalid chat id"}
CONFLICT = {"error": "Chat ID conflict"}

ODD_IDS = [
    "a/b", "/", "//", "a/../b", " ", "  a ", "100%", "%2F", "a%20b", "?x=1", "#", "a+b", "ü", "😀", "e\u0301", "\t",
    "\u2028", "\x7f", '"', "\\", "a:b;c", "read", "chats", "x" * limits.CLIENT_ID_CHARACTERS,
    "😀" * (limits.CLIENT_ID_BYTES // 4),
]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [b"", b"  ", b"{}", b"{bad", b"[]", b'["id"]', b'"id"', b"5", b"null", b"true", b"\xff", b'{"id":"\xff"}',
     b'{"title":"T","modelId":5,"Id":"x"}', b"[" * 300 + b"]" * 300, b"[" * 100_000, b'{"a":NaN}'],
)  # fmt: skip
async def test_without_an_id_the_server_makes_one(ann: Caller, session: dict[str, Any], content: bytes) -> None:
    answer = await ann.post(chats_of(session), content=content)
    body = good(answer)
    assert list(body) == ["chat"]
    chat = body["chat"]
    assert UUID4.fullmatch(chat["id"])
    assert chat["createdAt"] == chat["updatedAt"]
    first = session["chat"]
    assert {**chat, "id": "", "createdAt": "", "updatedAt": ""} == {**first, "id": "", "createdAt": "", "updatedAt": ""}
    assert await ann.chat_ids(session) == [first["id"], chat["id"]]


@pytest.mark.parametrize("chat_id", ODD_IDS)
async def test_any_text_is_an_id_and_its_chat_can_be_reached(
    ann: Caller, session: dict[str, Any], chat_id: str
) -> None:
    chat = await ann.new_chat(session, chat_id)
    assert chat["id"] == chat_id
    assert good(await ann.get(chat_path(session, chat_id)))["chat"] == chat
    expect(await ann.post(chat_path(session, chat_id) + "/read"), 200, {"success": True})
    assert chat_id in await ann.chat_ids(session)
    expect(await ann.delete(chat_path(session, chat_id)), 200, {"success": True})
    refused(await ann.get(chat_path(session, chat_id)), 404, "Chat not found")


async def test_ids_are_kept_to_the_letter(ann: Caller, session: dict[str, Any]) -> None:
    different = ["a", "A", " a", "a ", "é", "e\u0301"]
    for chat_id in different:
        await ann.new_chat(session, chat_id)
    assert (await ann.chat_ids(session))[1:] == different


@pytest.mark.parametrize(
    "bad",
    ["", 7, 0, 1.5, True, False, None, {}, [], ["a"], "\x00", "a\x00b", "x" * (limits.CLIENT_ID_CHARACTERS + 1),
     "😀" * (limits.CLIENT_ID_BYTES // 4) + "x"],
)  # fmt: skip
async def test_a_bad_id_is_400_and_makes_nothing(ann: Caller, session: dict[str, Any], bad: Any) -> None:
    answer = await ann.post(chats_of(session), {"id": bad})
    expect(answer, 400, INVALID)
    assert await ann.chat_ids(session) == [session["chat"]["id"]]


@pytest.mark.parametrize("content", [b'{"id":"\\ud800"}', b'{"id":"a\\udfffb"}', b'{"id":' + b"9" * 5000 + b"}"])
async def test_an_id_that_only_escapes_can_write_is_400(ann: Caller, session: dict[str, Any], content: bytes) -> None:
    expect(await ann.post(chats_of(session), content=content), 400, INVALID)
    assert len(await ann.chat_ids(session)) == 1


async def test_deep_nesting_beside_the_id_does_not_matter(ann: Caller, session: dict[str, Any]) -> None:
    deep = b"[" * 200 + b"]" * 200
    answer = await ann.post(chats_of(session), content=b'{"id":"mine","other":' + deep + b"}")
    assert good(answer)["chat"]["id"] == "mine"
    expect(await ann.post(chats_of(session), content=b'{"id":' + deep + b"}"), 400, INVALID)


async def test_the_same_id_again_gives_the_same_chat(ann: Caller, session: dict[str, Any]) -> None:
    first = await ann.new_chat(session, "mine")
    for body in ({"id": "mine"}, {"id": "mine", "title": "Other", "modelId": "other"}):
        expect(await ann.post(chats_of(session), body), 200, {"chat": first})
    expect(await ann.post(chats_of(session), {"id": session["chat"]["id"]}), 200, {"chat": session["chat"]})
    assert await ann.chat_ids(session) == [session["chat"]["id"], "mine"]


async def test_the_same_id_again_shows_what_has_become_of_the_chat(
    ann: Caller, instance: Instance, session: dict[str, Any]
) -> None:
    await ann.new_chat(session, "mine")
    chat = await instance.chats.get(ann.tenant_id, "mine")
    await instance.messages.append(ann.tenant_id, chat.key, [Draft("assistant", ASSISTANT, "Hello")])
    again = await ann.new_chat(session, "mine")
    assert again["lastAssistantMessageAt"] is not None
    assert again == good(await ann.get(chat_path(session, "mine")))["chat"]


async def test_making_a_chat_does_not_touch_the_session(ann: Caller, session: dict[str, Any]) -> None:
    await ann.new_chat(session)
    session.pop("chat")
    expect(await ann.get(session_path(session["id"])), 200, {"session": session})


async def test_an_id_of_another_session_is_409_whoever_owns_it(
    ann: Caller, bob: Caller, session: dict[str, Any]
) -> None:
    await ann.new_chat(session, "taken")
    for other in (ann, bob):
        elsewhere = await other.new_session()
        for chat_id in ("taken", session["chat"]["id"]):
            expect(await other.post(chats_of(elsewhere), {"id": chat_id}), 409, CONFLICT)
        assert len(await other.chat_ids(elsewhere)) == 1


async def test_an_id_of_a_session_of_the_other_shape_is_409(
    ann: Caller, instance: Instance, session: dict[str, Any]
) -> None:
    chat, _ = await instance.chats.create_single(ann.tenant_id, "ann", None, "{}")
    expect(await ann.post(chats_of(session), {"id": chat.id}), 409, CONFLICT)


async def test_an_id_is_free_again_once_its_chat_is_deleted(ann: Caller, session: dict[str, Any]) -> None:
    await ann.new_chat(session, "again")
    expect(await ann.delete(chat_path(session, "again")), 200, {"success": True})
    elsewhere = await ann.new_session()
    assert (await ann.new_chat(elsewhere, "again"))["sessionId"] == elsewhere["id"]


async def test_session_and_ownership_come_before_the_id(ann: Caller, bob: Caller, session: dict[str, Any]) -> None:
    await ann.new_chat(session, "mine")
    for chat_id in ("", "mine", "new"):
        refused(await bob.post(chats_of(session), {"id": chat_id}), 403, "Forbidden")
        refused(await ann.post(f"/api/sessions/{NOBODY}/chats", {"id": chat_id}), 404, "Session not found")
    assert len(await ann.chat_ids(session)) == 2


async def test_a_repeated_key_has_its_last_value(ann: Caller, session: dict[str, Any]) -> None:
    answer = await ann.post(chats_of(session), content=b'{"id":"one","id":"two"}')
    assert good(answer)["chat"]["id"] == "two"


async def test_a_full_session_says_so(ann: Caller, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHATS_PER_SESSION", 2)
    await ann.new_chat(session, "second")
    answer = await ann.post(chats_of(session), {"id": "third"})
    assert answer.status_code == 422
    assert answer.json()["status"] == "error"
    assert json.dumps(2) in answer.json()["error"]
    assert (await ann.new_chat(session, "second"))["id"] == "second"
