"""Messages: stored in batches, listed in pages, got one by one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from antiphon.api.honcho.messages import read_fast
from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain import limits
from tests.wire.honcho.caller import Caller, first_fault, text_of

FIELDS = {"id", "content", "peer_id", "session_id", "metadata", "created_at", "workspace_id", "token_count"}
URL = "/sessions/s/messages"


def draft(content: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"content": content, "peer_id": "ann", **more}


async def post(w: Caller, *batch: Any) -> Any:
    return await w.post(URL, {"messages": list(batch)})


async def test_a_message_is_stored_with_its_session_and_its_author(w: Caller) -> None:
    stored = await w.say("s", draft("two words", metadata={"a": 1}), draft("hi", peer_id="bob"))
    assert [set(message) for message in stored] == [FIELDS, FIELDS]
    assert re.fullmatch(r"[A-Za-z0-9_-]{21}", stored[0]["id"])
    first = {k: stored[0][k] for k in FIELDS - {"id", "created_at"}}
    assert first == {"content": "two words", "peer_id": "ann", "session_id": "s", "metadata": {"a": 1},
                     "workspace_id": "w1", "token_count": 2}  # fmt: skip
    assert stored[0]["created_at"] == stored[1]["created_at"]
    assert stored[0]["created_at"].endswith("Z")
    assert await w.listed(f"{URL}/list") == stored
    assert (await w.get(f"{URL}/{stored[1]['id']}")).json() == stored[1]
    assert await w.members("s") == ["ann", "bob"]
    assert [one["id"] for one in await w.listed("/sessions/list")] == ["s"]


async def test_messages_of_an_administrator_make_the_workspace(admin: Caller) -> None:
    admin.root = "/v3/workspaces/brand-new"
    stored = await admin.say("s", "hello")
    assert stored[0]["workspace_id"] == "brand-new"
    assert await admin.texts("s") == ["hello"]


async def test_the_path_with_a_slash_is_served_too(w: Caller) -> None:
    answer = await w.post(f"{URL}/", {"messages": [draft()]})
    assert answer.status_code == 201
    assert await w.texts("s") == ["hello"]


async def test_pages_walk_the_list_in_both_directions(w: Caller) -> None:
    said = [f"m{i}" for i in range(23)]
    await w.say("s", *said)
    page = (await w.post(f"{URL}/list", page=3, size=10)).json()
    assert (page["total"], page["page"], page["size"], page["pages"]) == (23, 3, 10, 3)
    walked = [text for number in (1, 2, 3) for text in await w.texts("s", page=number, size=10)]
    assert walked == said
    assert await w.texts("s", page=3, size=10, reverse=True) == ["m2", "m1", "m0"]
    assert await w.texts("s", page=4, size=10) == []
    assert len((await w.post(f"{URL}/list")).json()["items"]) == 23


async def test_a_batch_has_one_to_a_hundred_messages(w: Caller) -> None:
    said = [f"m{i}" for i in range(100)]
    stored = await w.say("s", *said)
    assert [message["content"] for message in stored] == said
    assert await w.texts("s", size=100) == said
    entry = first_fault(await post(w, *[draft()] * 101))
    assert (entry["type"], entry["loc"]) == ("too_long", ["body", "messages"])
    assert entry["ctx"] == {"field_type": "List", "max_length": 100, "actual_length": 101}
    entry = first_fault(await post(w))
    assert (entry["type"], entry["input"], entry["ctx"]["min_length"]) == ("too_short", [], 1)
    assert len(await w.texts("s", size=100)) == 100


FAULTS: list[tuple[Any, str, list[Any]]] = [
    ({"content": 5}, "string_type", ["content"]),
    ({"content": None}, "string_type", ["content"]),
    ({"content": "x" * 25_001}, "string_too_long", ["content"]),
    ({"peer_id": 5}, "string_type", ["peer_id"]),
    ({"metadata": "x"}, "dict_type", ["metadata"]),
    ({"metadata": {f"k{i}": 1 for i in range(101)}}, "value_error", ["metadata"]),
    ({"metadata": {"1": {"2": {"3": [{"4": {"5": {"6": 1}}}]}}}}, "value_error", ["metadata"]),
    ({"configuration": 5}, "model_attributes_type", ["configuration"]),
    (
        {"configuration": {"reasoning": {"enabled": "perhaps"}}},
        "bool_parsing",
        ["configuration", "reasoning", "enabled"],
    ),
    ({"created_at": "yesterday"}, "datetime_from_date_parsing", ["created_at"]),
    ({"created_at": "2024-13-01T00:00:00Z"}, "datetime_from_date_parsing", ["created_at"]),
    ({"created_at": []}, "datetime_type", ["created_at"]),
    ({"created_at": 1e300}, "datetime_parsing", ["created_at"]),
    ({"created_at": "0001-01-01T00:00:00+05:00"}, "value_error", ["created_at"]),
    ({"created_at": "9999-12-31T23:59:59-05:00"}, "value_error", ["created_at"]),
]


@pytest.mark.parametrize(("change", "kind", "place"), FAULTS)
async def test_one_bad_message_refuses_the_batch(w: Caller, change: Any, kind: str, place: list[Any]) -> None:
    entry = first_fault(await post(w, draft("good"), draft() | change))
    assert (entry["type"], entry["loc"]) == (kind, ["body", "messages", 1, *place])
    assert await w.listed("/sessions/list") == []


@pytest.mark.parametrize("name", ["content", "peer_id"])
async def test_missing_fields_are_named(w: Caller, name: str) -> None:
    bad = {key: value for key, value in draft().items() if key != name}
    entry = first_fault(await post(w, bad))
    assert entry == {"type": "missing", "loc": ["body", "messages", 0, name], "msg": "Field required", "input": bad}


async def test_a_body_of_another_form_is_refused(w: Caller) -> None:
    assert first_fault(await w.post(URL, {}))["loc"] == ["body", "messages"]
    assert first_fault(await w.post(URL, {"messages": draft()}))["type"] == "list_type"
    assert first_fault(await w.post(URL, {"messages": ["text"]}))["type"] == "model_attributes_type"


async def test_authors_that_cannot_be_are_refused(w: Caller) -> None:
    for bad in ("not an id", "", "scope.x", "x" * 513, "a\x00", "ann@example.org"):
        text_of(await post(w, draft(), draft(peer_id=bad)), 422)
    assert await w.listed("/sessions/list") == []


async def test_an_impossible_session_is_not_made(w: Caller) -> None:
    for bad in ("not%20an%20id", "a%00b", "%FF", "x" * 513, "a%2Fb", "scope.x"):
        text_of(await w.post(f"/sessions/{bad}/messages", {"messages": [draft()]}), 404)
    assert await w.listed("/sessions/list") == []


async def test_the_content_is_kept_but_for_nul_characters(w: Caller) -> None:
    text = 'Grüße, 世界 🌍 "quoted" \\ line\nbreak \u2028 end'
    stored = await w.say("s", text, "", "a\x00b\x00", "x" * 25_000, draft(metadata={"a\x00": "b\x00"}))
    assert [message["content"] for message in stored] == [text, "", "ab", "x" * 25_000, "hello"]
    assert stored[4]["metadata"] == {"a": "b"}
    answer = await w.post(f"{URL}/list")
    assert "世界 🌍".encode() in answer.content
    assert answer.json()["items"] == stored


async def test_the_time_of_the_client_is_kept_and_does_not_order(w: Caller) -> None:
    at = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    seconds = int(at.timestamp())
    forms: list[Any] = ["2024-01-02T03:04:05Z", "2024-01-02T08:04:05+05:00", "2024-01-02T03:04:05"]
    forms += [seconds, float(seconds), str(seconds)]
    stored = await w.say("s", *(draft(created_at=form) for form in forms))
    assert [message["created_at"] for message in stored] == ["2024-01-02T03:04:05Z"] * len(forms)
    odd: list[Any] = ["2024-01-02T03:04:05.678901Z", "2024-01-02T03:04:05.5Z", "0001-01-01T00:00:00Z"]
    odd += ["1969-12-31T23:59:59.25Z", 0]
    stored = await w.say("s", *(draft(created_at=form) for form in odd))
    shown = ["2024-01-02T03:04:05.678901Z", "2024-01-02T03:04:05.500000Z", "0001-01-01T00:00:00Z"]
    assert [message["created_at"] for message in stored] == [
        *shown,
        "1969-12-31T23:59:59.250000Z",
        "1970-01-01T00:00:00Z",
    ]
    assert await w.listed(f"{URL}/list", page=2, size=6) == stored


async def test_the_settings_of_a_message_are_not_given_back(w: Caller) -> None:
    stored = await w.say("s", draft(configuration={"reasoning": {"enabled": False}}), draft(unknown=1))
    assert [set(message) for message in stored] == [FIELDS, FIELDS]
    long = {"reasoning": {"custom_instructions": "word " * 2001}}
    entry = first_fault(await post(w, draft(), draft(configuration=long)))
    assert entry["loc"] == ["body", "messages", 1, "configuration", "reasoning", "custom_instructions"]


async def test_what_the_agent_says_is_an_answer(w: Caller, instance: Instance) -> None:
    tenant = await instance.tenants.get("w1")
    await w.say("s", draft(), draft(peer_id=tenant.agent_name))
    chat = await instance.chats.find_of_single(tenant.id, "s")
    assert chat is not None
    page = await instance.messages.page(tenant.id, chat.key, Slice(0, 10))
    assert [message.role for message in page.items] == ["user", "assistant"]


async def test_a_message_is_got_from_its_session_only(w: Caller) -> None:
    message = (await w.say("s", "hello"))[0]
    await w.say("other", "hello")
    for path in ("/sessions/other", "/sessions/never", "/sessions/not%20an%20id"):
        text_of(await w.get(f"{path}/messages/{message['id']}"), 404)
    for bad in ("N" * 21, "short", "%FF", "a%00b", "x" * 600, "msg-1"):
        text_of(await w.get(f"{URL}/{bad}"), 404)


async def test_no_filter_may_be_said_in_many_ways(w: Caller) -> None:
    await w.say("s", "hello")
    plain = (await w.post(f"{URL}/list")).json()
    ways: list[dict[str, Any]] = [{}, {"filters": None}, {"filters": {}}]
    for nothing in ways:
        assert (await w.post(f"{URL}/list", nothing)).json() == plain
    assert (await w.send("POST", f"{URL}/list", b"null", "application/json")).json() == plain
    assert await w.listed(f"{URL}/list", {"peer_id": "bob"}) == []


def test_the_fast_reading_leaves_what_is_unusual_to_the_full_one() -> None:
    good = (
        b'{"messages":[{"content":"a","peer_id":"b","metadata":{"c":[{}]},"created_at":0,"configuration":null,"x":1}]}'
    )
    drafts = read_fast(good)
    assert drafts is not None
    assert (drafts[0].text, drafts[0].author, drafts[0].metadata, drafts[0].created_at) == ("a", "b", '{"c":[{}]}', 0)
    long = b'{"messages":[{"content":"%s","peer_id":"b"}]}'
    assert read_fast(long % (b"x" * limits.HONCHO_CONTENT_CHARACTERS)) is not None
    for odd in (
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"messages":[]}',
        b'{"messages":[{"content":1,"peer_id":"b"}]}',
        b'{"messages":[{"content":"a","peer_id":"b","configuration":{}}]}',
        b'{"messages":[{"content":"\xff","peer_id":"b"}]}',
        b'{"messages":[{"content":"a","peer_id":"b","created_at":"soon"}]}',
        long % (b"x" * (limits.HONCHO_CONTENT_CHARACTERS + 1)),
    ):
        assert read_fast(odd) is None
