"""E2 and E4: lists in pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from antiphon.core.instance import Instance
from antiphon.domain.ids import Uid, text_of
from antiphon.domain.messages import ASSISTANT, USER, Draft
from tests.wire.lexicon.caller import CHATS, Caller, check_error

LISTED = {
    "id",
    "user_id",
    "tenant_id",
    "title",
    "config",
    "created_at",
    "updated_at",
    "last_message_at",
    "message_count",
}


@pytest.fixture
async def tenant_id(ours: Caller, instance: Instance) -> Uid:  # noqa: ARG001  whose tenant it is
    return (await instance.tenants.get("t1")).id


async def fill(instance: Instance, tenant_id: Uid, chat: dict[str, Any], count: int) -> list[str]:
    """Append messages; their texts."""
    stored = await instance.chats.get(tenant_id, chat["id"])
    texts = [f"m{i}" for i in range(count)]
    drafts = [Draft("mara", USER, text, metadata='{"page":"status"}') for text in texts]
    for i in range(0, count, 100):
        await instance.messages.append(tenant_id, stored.key, drafts[i : i + 100])
    return texts


async def test_chats_are_listed_newest_first(ours: Caller) -> None:
    made = [await ours.create(title=str(i)) for i in range(3)]
    await ours.create("somebody else")
    answer = await ours.chats_of("mara")
    assert answer.status_code == 200
    expected = [chat | {"message_count": 0} for chat in reversed(made)]
    assert answer.json() == {"chats": expected, "total": 3, "offset": 0, "limit": 50, "has_more": False}
    assert set(answer.json()["chats"][0]) == LISTED
    upwards = await ours.chats_of("mara", order="asc")
    assert upwards.json()["chats"] == expected[::-1]


async def test_activity_does_not_move_a_chat_in_the_list(ours: Caller, instance: Instance, tenant_id: Uid) -> None:
    made = [await ours.create() for _ in range(2)]
    await fill(instance, tenant_id, made[0], 1)
    chats = (await ours.chats_of("mara")).json()["chats"]
    assert [chat["id"] for chat in chats] == [made[1]["id"], made[0]["id"]]
    assert [chat["message_count"] for chat in chats] == [0, 1]


async def test_messages_are_listed_oldest_first(ours: Caller, instance: Instance, tenant_id: Uid) -> None:
    chat = await ours.create()
    stored = await instance.chats.get(tenant_id, chat["id"])
    said, answered = await instance.messages.append(
        tenant_id,
        stored.key,
        [
            Draft("mara", USER, "Tray two is stuck", metadata='{"page":"status"}'),
            Draft("assistant", ASSISTANT, "Open it.", metadata='{"model":"m","tokens_used":4}'),
        ],
    )
    body = (await ours.messages(chat["id"])).json()
    assert {name: body[name] for name in ("total", "offset", "limit", "has_more")} == {
        "total": 2,
        "offset": 0,
        "limit": 50,
        "has_more": False,
    }
    assert body["messages"][0] == {
        "id": f"msg-{text_of(said.id)}",
        "content": "Tray two is stuck",
        "sender_role": "user",
        "media_type": None,
        "media_url": None,
        "created_at": body["messages"][0]["created_at"],
        "metadata": {"page": "status"},
    }
    assert body["messages"][1]["id"] == f"msg-{text_of(answered.id)}"
    assert body["messages"][1]["sender_role"] == "assistant"
    assert body["messages"][1]["metadata"] == {"model": "m", "tokens_used": 4}
    downwards = (await ours.messages(chat["id"], order="desc")).json()["messages"]
    assert downwards == body["messages"][::-1]


async def test_a_chat_without_messages_is_an_empty_page(ours: Caller) -> None:
    chat = await ours.create()
    answer = await ours.messages(chat["id"])
    assert answer.status_code == 200
    assert answer.json() == {"messages": [], "total": 0, "offset": 0, "limit": 50, "has_more": False}


async def test_a_user_without_chats_is_unknown(ours: Caller) -> None:
    chat = await ours.create("mara")
    check_error(await ours.chats_of("never seen"), 404, "USER_NOT_FOUND")
    assert (await ours.delete(chat["id"])).status_code == 200
    check_error(await ours.chats_of("mara"), 404, "USER_NOT_FOUND")


EDGES: list[tuple[dict[str, str], range, bool]] = [
    ({}, range(50), True),
    ({"limit": "1"}, range(1), True),
    ({"limit": "100"}, range(100), True),
    ({"offset": "119"}, range(119, 120), False),
    ({"offset": "70"}, range(70, 120), False),
    ({"offset": "69"}, range(69, 119), True),
    ({"offset": "120"}, range(0), False),
    ({"offset": "999999999999999"}, range(0), False),
    ({"offset": "0", "limit": "007"}, range(7), True),
    ({"unknown": "x", "limit": "2"}, range(2), True),
    ({"order": "asc", "limit": "2", "offset": "2"}, range(2, 4), True),
    ({"order": "desc", "limit": "3"}, range(119, 116, -1), True),
    ({"order": "desc", "limit": "3", "offset": "118"}, range(1, -1, -1), False),
]


async def test_a_page_is_what_was_asked_for(ours: Caller, instance: Instance, tenant_id: Uid) -> None:
    chat = await ours.create()
    texts = await fill(instance, tenant_id, chat, 120)
    for query, wanted, has_more in EDGES:
        body = (await ours.messages(chat["id"], **query)).json()
        assert [message["content"] for message in body["messages"]] == [texts[i] for i in wanted], query
        assert (body["total"], body["has_more"]) == (120, has_more), query
        assert (body["offset"], body["limit"]) == (int(query.get("offset", 0)), int(query.get("limit", 50)))


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_of_chats_neither_repeat_nor_skip(ours: Caller, order: str) -> None:
    made = [(await ours.create())["id"] for _ in range(7)]
    seen: list[str] = []
    more = []
    for _ in range(3):
        body = (await ours.chats_of("mara", limit=3, offset=len(seen), order=order)).json()
        seen += [chat["id"] for chat in body["chats"]]
        more.append(body["has_more"])
    assert (seen, more) == (made if order == "asc" else made[::-1], [True, True, False])


async def test_past_the_end_of_the_chats_the_page_is_empty(ours: Caller) -> None:
    await ours.create()
    body = (await ours.chats_of("mara", offset=1)).json()
    assert body == {"chats": [], "total": 1, "offset": 1, "limit": 50, "has_more": False}


async def test_a_repeated_parameter_has_its_last_value(ours: Caller) -> None:
    await ours.create()
    answer = await ours.ask("GET", f"{CHATS}/user/mara?limit=0&limit=5&order=x&order=asc")
    assert (answer.status_code, answer.json()["limit"]) == (200, 5)


BAD_QUERIES = [
    ("limit", "0"),
    ("limit", "101"),
    ("limit", "-1"),
    ("limit", "abc"),
    ("limit", ""),
    ("limit", "1.0"),
    ("limit", "1e1"),
    ("limit", "+1"),
    ("limit", " 1"),
    ("limit", "1_0"),
    ("limit", "٣"),
    ("limit", "9" * 5000),
    ("offset", "-1"),
    ("offset", ""),
    ("offset", "x"),
    ("offset", "null"),
    ("offset", "9" * 30),
    ("order", "newest"),
    ("order", "ASC"),
    ("order", ""),
    ("order", "\x00"),
]


async def test_paging_out_of_range_is_400_before_404(ours: Caller) -> None:
    chat = await ours.create()
    for name, value in BAD_QUERIES:
        answers = [
            await ours.messages(chat["id"], **{name: value}),
            await ours.messages("unknown", **{name: value}),
            await ours.chats_of("mara", **{name: value}),
            await ours.chats_of("unknown", **{name: value}),
        ]
        for answer in answers:
            body = check_error(answer, 400, "INVALID_REQUEST")
            assert [error["field"] for error in body["details"]["errors"]] == [name], value[:20]


async def test_a_user_is_found_by_its_encoded_id(ours: Caller) -> None:
    for user_id in ("messages", "a/b", "/", "ü@b c", "a%b+c", "..", "user", "x" * 255, "😀"):
        chat = await ours.create(user_id)
        encoded = quote(user_id, safe="").replace(".", "%2E")  # a client takes plain dots out of a path
        assert [found["id"] for found in (await ours.chats_of(encoded)).json()["chats"]] == [chat["id"]]


async def test_a_slash_that_a_proxy_has_decoded_belongs_to_the_user(ours: Caller) -> None:
    chat = await ours.create("a/b/c")
    answer = await ours.ask("GET", f"{CHATS}/user/a/b/c")
    assert [found["id"] for found in answer.json()["chats"]] == [chat["id"]]


async def test_an_impossible_user_is_unknown(ours: Caller) -> None:
    for user_id in ("%00", "%ff", "%ed%a0%80", "x" * 5000):
        check_error(await ours.chats_of(user_id), 404, "USER_NOT_FOUND")
