"""E1 and E3: making a chat, and getting it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.ids import text_of
from antiphon.domain.messages import ASSISTANT, USER, Draft
from tests.wire.lexicon.caller import CHATS, NEVER, Caller, check_error

CREATED = {"id", "user_id", "tenant_id", "title", "config", "created_at", "updated_at", "last_message_at"}
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


async def test_a_chat_is_made_as_it_was_asked_for(ours: Caller, instance: Instance) -> None:
    body = {"user_id": "mara-17", "title": " Printer jam ", "metadata": {"site": "north", "level": 2}}
    answer = await ours.ask("POST", f"{CHATS}/", json=body)
    chat = answer.json()
    assert answer.status_code == 201
    assert set(chat) == CREATED
    assert UUID4.fullmatch(chat["id"])
    assert (chat["user_id"], chat["title"]) == ("mara-17", " Printer jam ")
    assert chat["config"] == {"metadata": {"site": "north", "level": 2}}
    assert chat["tenant_id"] == text_of((await instance.tenants.get("t1")).id)
    assert chat["updated_at"] == chat["created_at"]
    assert chat["created_at"].endswith("Z")
    assert chat["last_message_at"] is None


async def test_it_is_made_without_the_slash_too(ours: Caller) -> None:
    answer = await ours.ask("POST", CHATS, json={"user_id": "mara"})
    assert answer.status_code == 201
    assert (await ours.get(answer.json()["id"])).status_code == 200


async def test_two_creates_make_two_chats(ours: Caller) -> None:
    assert (await ours.create())["id"] != (await ours.create())["id"]


async def test_the_chat_by_itself_has_ten_fields(ours: Caller) -> None:
    chat = await ours.create(metadata={"a": [1, {"b": None}]})
    answer = await ours.get(chat["id"])
    assert answer.status_code == 200
    assert answer.json() == chat | {"message_count": 0, "status": "active"}


async def test_an_id_is_taken_in_any_case(ours: Caller) -> None:
    chat = await ours.create()
    assert (await ours.get(chat["id"].upper())).json()["id"] == chat["id"]
    assert (await ours.messages(chat["id"].upper())).status_code == 200
    assert (await ours.delete(chat["id"].upper())).status_code == 200


async def test_a_message_moves_counter_and_times(ours: Caller, instance: Instance) -> None:
    chat = await ours.create()
    tenant_id = (await instance.tenants.get("t1")).id
    stored = await instance.chats.get(tenant_id, chat["id"])
    drafts = [Draft("mara", USER, "one"), Draft("assistant", ASSISTANT, "two")]
    await instance.messages.append(tenant_id, stored.key, drafts)
    shown = (await ours.get(chat["id"])).json()
    last = (await ours.messages(chat["id"])).json()["messages"][-1]
    assert shown["message_count"] == 2
    assert shown["updated_at"] == shown["last_message_at"] == last["created_at"]
    assert shown["created_at"] == chat["created_at"]


@pytest.mark.parametrize("title", [None, "", "   ", "\t\n"])
async def test_a_missing_title_is_made_of_the_moment(ours: Caller, title: str | None) -> None:
    before = datetime.now(UTC)
    chat = await ours.create(title=title)
    made = datetime.strptime(chat["title"], "Chat %Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert before.replace(second=0, microsecond=0) <= made <= datetime.now(UTC)


METADATA: list[dict[str, Any]] = [
    {},
    {"": ""},
    {"big": 123456789012345678901234567890, "small": -0.0, "half": 1e-7},
    {"ключ": "значение 😀", "quote": '"\\'},
    {"path": "\\u0000 is six characters"},
    {"deep": [[[[[[[[[[1]]]]]]]]]]},
]


async def test_metadata_comes_back_as_it_was_given(ours: Caller) -> None:
    for metadata in METADATA:
        chat = await ours.create(metadata=metadata)
        shown = (await ours.get(chat["id"])).json()["config"]["metadata"]
        assert chat["config"]["metadata"] == shown == metadata


async def test_what_need_not_be_there(ours: Caller) -> None:
    sent: list[dict[str, Any]] = [{}, {"metadata": None}, {"unknown": 1, "id": NEVER, "status": "closed"}]
    for more in sent:
        chat = await ours.create(**more)
        assert chat["config"] == {"metadata": {}}
        assert chat["id"] != NEVER


async def test_a_user_id_is_kept_character_by_character(ours: Caller) -> None:
    for user_id in ("a", " a ", "ü@b/c+%", "x" * limits.LEXICON_USER_ID_CHARACTERS, "😀" * 255):
        assert (await ours.create(user_id))["user_id"] == user_id


async def test_the_limits_of_size_are_reached(ours: Caller) -> None:
    most = {"a": "x" * (limits.METADATA_BYTES - len('{"a":""}'))}
    title = "t" * limits.LEXICON_TITLE_CHARACTERS
    chat = await ours.create(title=title, metadata=most)
    assert (chat["title"], chat["config"]["metadata"]) == (title, most)


BAD_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("user_id", {}),
    ("user_id", {"user_id": ""}),
    ("user_id", {"user_id": " \t "}),
    ("user_id", {"user_id": None}),
    ("user_id", {"user_id": 5}),
    ("user_id", {"user_id": ["a"]}),
    ("user_id", {"user_id": "x" * (limits.LEXICON_USER_ID_CHARACTERS + 1)}),
    ("user_id", {"user_id": "a\x00b"}),
    ("title", {"user_id": "u", "title": 5}),
    ("title", {"user_id": "u", "title": {}}),
    ("title", {"user_id": "u", "title": "t" * (limits.LEXICON_TITLE_CHARACTERS + 1)}),
    ("title", {"user_id": "u", "title": "\x00"}),
    ("metadata", {"user_id": "u", "metadata": "x"}),
    ("metadata", {"user_id": "u", "metadata": [1]}),
    ("metadata", {"user_id": "u", "metadata": False}),
    ("metadata", {"user_id": "u", "metadata": {"a": "x" * limits.METADATA_BYTES}}),
    ("metadata", {"user_id": "u", "metadata": {"a": ["\x00"]}}),
    ("metadata", {"user_id": "u", "metadata": {"\x00": 1}}),
]


async def test_a_bad_field_is_named_and_nothing_is_made(ours: Caller, instance: Instance) -> None:
    for field, body in BAD_FIELDS:
        answer = await ours.ask("POST", f"{CHATS}/", json=body)
        details = check_error(answer, 400, "INVALID_REQUEST")["details"]
        assert [error["field"] for error in details["errors"]] == [field], repr(body)[:60]
        assert details["errors"][0]["message"]
    assert await instance.participants.find((await instance.tenants.get("t1")).id, "u") is None


BAD_BODIES = [
    b"",
    b"   ",
    b"{bad",
    b"[]",
    b'"x"',
    b"null",
    b"5",
    b'{"user_id":"u"',
    b'{"user_id":"u"} {}',
    b'{"user_id":"\xff"}',
    b'{"user_id":"\xed\xa0\x80"}',
    b'{"user_id":"\\ud800"}',
    b'{"user_id":"u","metadata":{"a":"\\udfff"}}',
    b'{"user_id":"a\x00b"}',
    b'{"user_id":"u","metadata":{"n":NaN}}',
    b'{"user_id":"u","metadata":{"n":1e999}}',
    b'{"user_id":"u","metadata":{"a":' + b"[" * 101 + b"]" * 101 + b"}}",
    b'{"user_id":"u","metadata":{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}}",
    b"\xff\xfe{\x00}\x00",
]


async def test_a_body_that_is_no_object_is_400(ours: Caller) -> None:
    for raw in BAD_BODIES:
        check_error(await ours.post(raw), 400, "INVALID_REQUEST")
    check_error(await ours.chats_of("u"), 404, "USER_NOT_FOUND")


async def test_json_may_be_called_so_or_not_called_anything(ours: Caller) -> None:
    for kind in ("application/json", "Application/JSON; charset=utf-8", "application/x+json", None, ""):
        assert (await ours.post(b'{"user_id":"u"}', kind)).status_code == 201


async def test_another_kind_of_body_is_400(ours: Caller) -> None:
    for kind in (b"text/plain", b"application/xml", b"application/x-www-form-urlencoded", b"json", "ü/ü".encode()):
        answer = await ours.ask("POST", f"{CHATS}/", content=b'{"user_id":"u"}', headers={"content-type": kind})
        assert "application/json" in check_error(answer, 400, "INVALID_REQUEST")["error_message"]
    check_error(await ours.chats_of("u"), 404, "USER_NOT_FOUND")


@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_body_that_is_too_large_is_413(ours: Caller, is_declared: bool) -> None:
    piece = b'{"user_id":"u","metadata":{"a":"' + b"x" * limits.BODY_BYTES

    async def pieces() -> Any:
        yield piece

    answer = await ours.ask("POST", f"{CHATS}/", content=piece if is_declared else pieces())
    check_error(answer, 413, "INVALID_REQUEST")


UNKNOWN = [NEVER, "x", "user", "1", "%20", "..%2F..", "%00", "%ff", "a" * 3000, NEVER.replace("-", ""), f"{{{NEVER}}}"]


async def test_an_unknown_or_impossible_id_is_404(ours: Caller) -> None:
    seen = []
    for chat_id in UNKNOWN:
        answers = [await ours.get(chat_id), await ours.delete(chat_id)]
        if chat_id != "user":  # the messages of such a chat are the chats of a user called so
            answers.append(await ours.messages(chat_id))
        seen += [check_error(answer, 404, "CHAT_NOT_FOUND") for answer in answers]
    assert seen == [seen[0]] * len(seen)
