"""Messages over HTTP: appended all or none, read from either end, and the same in every dialect."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from antiphon.domain import limits
from tests.wire.native.caller import Caller, chat_path, good, problem
from tests.wire.native.conftest import MakeCaller, Pages


def path_of(chat_id: str) -> str:
    return f"{chat_path(chat_id)}/messages"


async def said(key: Caller, chat_id: str, *messages: dict[str, Any], status: int = 201) -> list[dict[str, Any]]:
    answer = await key.ask("POST", path_of(chat_id), json={"messages": [{"role": "user", **one} for one in messages]})
    stored: list[dict[str, Any]] = good(answer, status)["messages"]
    return stored


async def texts(key: Caller, chat_id: str) -> list[str]:
    items = good(await key.ask("GET", f"{path_of(chat_id)}?limit=200"))["items"]
    return [one["parts"][0]["text"] for one in items]


async def test_messages_are_stored_in_order(ours: Caller, chat: str) -> None:
    parts = [{"type": "text", "text": "Two"}, {"type": "data-weather", "data": {"sun": True}}]
    stored = await said(
        ours,
        chat,
        {"text": "One", "client_id": "m-1", "metadata": {"b": 1, "a": [None]}},
        {"role": "assistant", "parts": parts},
        {"participant": "ben", "text": "Three"},
    )
    assert [one.pop("created") for one in stored] == [True, True, True]
    assert [(one["seq"], one["role"], one["participant"], one["client_id"]) for one in stored] == [
        (1, "user", "ann", "m-1"),
        (2, "assistant", "assistant", None),
        (3, "user", "ben", None),
    ]
    assert [one["parts"] for one in stored] == [
        [{"type": "text", "text": "One"}],
        parts,
        [{"type": "text", "text": "Three"}],
    ]
    assert [one["metadata"] for one in stored] == [{"b": 1, "a": [None]}, {}, {}]
    assert good(await ours.ask("GET", path_of(chat))) == {"items": stored, "next": None}
    assert good(await ours.ask("GET", chat_path(chat)))["last_message_at"] == stored[-1]["created_at"]


async def test_a_clients_id_is_stored_once(ours: Caller, chat: str) -> None:
    (first,) = await said(ours, chat, {"text": "One", "client_id": "m-1"})
    again = await said(ours, chat, {"text": "Zero"}, {"text": "Other", "client_id": "m-1"}, {"text": "Two"})
    assert [one["created"] for one in again] == [True, False, True]
    assert again[1] == {**first, "created": False}
    assert await texts(ours, chat) == ["One", "Zero", "Two"]
    (only,) = await said(ours, chat, {"text": "One", "client_id": "m-1"})
    assert only == {**first, "created": False}


async def test_of_many_at_once_each_clients_id_is_stored_once(ours: Caller, chat: str) -> None:
    batches = [[{"text": f"{at}", "client_id": f"m-{at}"} for at in (first, first + 1)] for first in range(6)]
    answers = await asyncio.gather(*(said_by_any(ours, chat, batch) for batch in batches * 2))
    made = [one for stored in answers for one in stored if one["created"]]
    assert sorted(one["client_id"] for one in made) == [f"m-{at}" for at in range(7)]
    assert sorted(await texts(ours, chat)) == [str(at) for at in range(7)]


async def said_by_any(key: Caller, chat_id: str, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a batch, whether or not they were there."""
    body = {"messages": [{"role": "user", **one} for one in batch]}
    answer = await key.ask("POST", path_of(chat_id), json=body)
    assert answer.status_code == 201, answer.text
    stored: list[dict[str, Any]] = answer.json()["messages"]
    return stored


GOOD = {"role": "user", "text": "x"}


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        ([GOOD] * (limits.MESSAGES_PER_APPEND + 1), "messages"),
        ([GOOD, {"text": "x"}], "messages[1].role"),
        ([GOOD, {**GOOD, "role": "system"}], "messages[1].role"),
        ([GOOD, {"role": "user"}], "messages[1]"),
        ([GOOD, {**GOOD, "parts": [{"type": "text", "text": "x"}]}], "messages[1]"),
        ([GOOD, {"role": "user", "text": ""}], "messages[1].text"),
        ([GOOD, {"role": "user", "text": "a\0b"}], "messages[1].text"),
        ([GOOD, {"role": "user", "parts": []}], "messages[1].parts"),
        ([GOOD, {"role": "user", "parts": [{"text": "x"}]}], "messages[1].parts"),
        ([GOOD, {**GOOD, "client_id": ""}], "messages[1].client_id"),
        ([{**GOOD, "client_id": "m"}] * 2, "messages[1].client_id"),
        ([GOOD, {**GOOD, "participant": ""}], "messages[1].participant"),
        ([GOOD, {**GOOD, "metadata": {"x": "y" * limits.METADATA_BYTES}}], "messages[1].metadata"),
        ([GOOD, {**GOOD, "role": "assistant", "participant": "ann"}], "messages[1].role"),
        ([GOOD, {**GOOD, "participant": "assistant"}], "messages[1].role"),
    ],
)
async def test_of_a_batch_with_a_mistake_nothing_is_stored(
    ours: Caller, chat: str, messages: list[dict[str, Any]], field: str
) -> None:
    refused = problem(await ours.ask("POST", path_of(chat), json={"messages": messages}), 400, "invalid_input")
    assert [error["field"] for error in refused["errors"]] == [field]
    assert await texts(ours, chat) == []


async def test_an_unknown_field_is_refused(ours: Caller, chat: str) -> None:
    for body in ({"messages": [{**GOOD, "txt": "x"}]}, {"messages": [GOOD], "mode": "x"}):
        problem(await ours.ask("POST", path_of(chat), json=body), 400, "unknown_field")
    problem(await ours.ask("GET", f"{path_of(chat)}?after=1"), 400, "unknown_field")
    assert await texts(ours, chat) == []


async def test_messages_are_read_from_either_end(ours: Caller, chat: str, pages: Pages) -> None:
    await said(ours, chat, *({"text": str(at)} for at in range(1, 6)))
    for limit in (1, 2, 5, 200):
        forth = await pages(ours, f"{path_of(chat)}?limit={limit}")
        assert [one["seq"] for one in forth] == [1, 2, 3, 4, 5]
        back = await pages(ours, f"{path_of(chat)}?order=desc&limit={limit}")
        assert back == forth[::-1]
    cursor = good(await ours.ask("GET", f"{path_of(chat)}?limit=2"))["next"]
    problem(await ours.ask("GET", f"{path_of(chat)}?order=desc&cursor={cursor}"), 400, "invalid_cursor")
    other = good(await ours.ask("POST", "/chats", json={}), 201)["id"]
    problem(await ours.ask("GET", f"{path_of(other)}?cursor={cursor}"), 400, "invalid_cursor")
    problem(await ours.ask("GET", f"{path_of(chat)}?order=up"), 400, "invalid_input")
    await said(ours, chat, {"text": "6"})
    rest = good(await ours.ask("GET", f"{path_of(chat)}?limit=9&cursor={cursor}"))
    assert [one["seq"] for one in rest["items"]] == [3, 4, 5, 6]


async def test_a_page_of_long_messages_is_short(
    ours: Caller, chat: str, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NATIVE_PAGE_CHARACTERS", 10)
    await said(ours, chat, {"text": "a"}, {"text": "b" * 50}, {"text": "c"})
    assert len(good(await ours.ask("GET", path_of(chat)))["items"]) == 1
    assert [one["seq"] for one in await pages(ours, f"{path_of(chat)}?limit=9")] == [1, 2, 3]
    assert [one["seq"] for one in await pages(ours, f"{path_of(chat)}?limit=9&order=desc")] == [3, 2, 1]


async def test_a_key_speaks_as_it_may(ours: Caller, chat: str, caller: MakeCaller) -> None:
    ann = await caller("t1", "ann")
    (stored,) = await said(ann, chat, {"text": "hi"})
    assert stored["participant"] == "ann"
    for one in ({"role": "user", "participant": "ben"}, {"role": "assistant"}):
        answer = await ann.ask("POST", path_of(chat), json={"messages": [{"text": "x", **one}]})
        problem(answer, 403, "access_denied")
    for key in (await caller("t1", "ben"), await caller("t2")):
        problem(await key.ask("POST", path_of(chat), json={"messages": [GOOD]}), 404, "not_found")
        problem(await key.ask("GET", path_of(chat)), 404, "not_found")
    assert await texts(ours, chat) == ["hi"]


async def test_a_person_is_never_the_agent(ours: Caller, caller: MakeCaller) -> None:
    """In a chat that the agent owns, what a person says is said by somebody else: a message, and one with a turn."""
    made = good(await ours.ask("POST", "/chats", json={}), 201)
    assert made["participant"] == "assistant"
    (stored,) = await said(ours, made["id"], {"text": "hi"})
    assert (stored["role"], stored["participant"]) == ("user", "user")
    await ours.start(made["id"], "and more")
    await ours.events(made["id"])
    told = good(await ours.ask("GET", path_of(made["id"])))["items"]
    assert [(one["role"], one["participant"]) for one in told[1:]] == [("user", "user"), ("assistant", "assistant")]
    ann = await caller("t1", "ann", "tenant")
    (stored,) = await said(ann, made["id"], {"text": "me too"})
    assert stored["participant"] == "ann"


async def test_every_dialect_shows_them_with_their_roles(caller: MakeCaller, http: httpx.AsyncClient) -> None:
    key = await caller("t1", "ann", "tenant")
    made = good(await key.ask("POST", "/chats", json={"participant": "ann"}), 201)["id"]
    await said(key, made, {"text": "Hi", "client_id": "m-1"}, {"role": "assistant", "text": "Hello"})
    lexicon = (await http.get(f"/api/v1/chats/{made}/messages", headers={"x-api-key": key.key})).json()
    assert [(one["sender_role"], one["content"]) for one in lexicon["messages"]] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
    ]
    path = f"/v3/workspaces/t1/sessions/{made}/messages/list"
    honcho = (await http.post(path, headers=key.headers, json={})).json()
    assert [(one["peer_id"], one["content"]) for one in honcho["items"]] == [("ann", "Hi"), ("assistant", "Hello")]
    session = good(await key.ask("POST", "/sessions", json={"participant": "ann"}), 201)["id"]
    (chat,) = good(await key.ask("GET", f"/chats?session={session}"))["items"]
    await said(key, chat["id"], {"text": "Hi"}, {"role": "assistant", "text": "Hello"})
    shown = (await http.get(f"/api/sessions/{session}/chats/{chat['id']}", headers=key.headers)).json()
    assert [(one["role"], one["parts"][0]["text"]) for one in shown["messages"]] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
    ]
