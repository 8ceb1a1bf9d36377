"""Exports: whole, consistent, checked by their last line; and deleted only as they were sent."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from antiphon.api.server import Server
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.deletions import CANCEL
from antiphon.domain.messages import ASSISTANT, Draft
from tests.wire.native.caller import Caller, chat_path, good, problem
from tests.wire.native.conftest import MakeCaller, MakeChat
from tests.wire.native.deleting import connect, is_there, make_multi, order, say, tenant_id, watch
from tests.wire.native.held import HeldCall

EXPORT = "/antiphon/v1/chats/{}/export"
CHAT = "/antiphon/v1/chats/{}?export={}"
WORDS = [f"word {number}" for number in range(7)]


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two messages."""
    monkeypatch.setattr(limits, "EXPORT_PAGE_MESSAGES", 2)


def held(server: Server, caller: Caller, method: str, path: str) -> HeldCall:
    return HeldCall(server, method, path, caller.headers)


def checked(body: bytes) -> dict[str, Any]:
    """The last line of an export in JSON lines, which fits all before it."""
    before, _, last = body.removesuffix(b"\n").rpartition(b"\n")
    end: dict[str, Any] = json.loads(last)
    assert end["end"] is True
    assert end["sha256"] == hashlib.sha256(before + b"\n").hexdigest()
    assert end["messages"] == before.count(b'"type":"message"')
    return end


def words_of(body: bytes) -> list[str]:
    lines = [json.loads(line) for line in body.splitlines()]
    return [line["parts"][0]["text"] for line in lines if line.get("type") == "message"]


async def test_a_chat_as_json_lines(ours: Caller, instance: Instance, chat: str) -> None:
    await say(instance, chat, *WORDS)
    answer = await ours.ask("GET", f"{chat_path(chat)}/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert [line.get("type") for line in lines] == ["export", "chat", *["message"] * 7, None]
    assert (lines[0]["version"], lines[0]["kind"], lines[0]["id"]) == (1, "chat", chat)
    assert (lines[1]["id"], lines[1]["participant"]) == (chat, "ann")
    assert words_of(answer.content) == WORDS
    assert [line["seq"] for line in lines[2:-1]] == [*range(1, 8)]
    assert lines[2].keys() == {
        *("type", "id", "client_id", "seq", "role", "participant", "parts", "metadata", "token_count", "created_at"),
        *("text", "reasoning"),
    }
    assert checked(answer.content).keys() == {"end", "messages", "sha256"}


async def test_the_same_as_json_and_for_reading(ours: Caller, instance: Instance, chat: str) -> None:
    whose = await tenant_id(instance)
    found = await instance.chats.get(whose, chat)
    parts = '[{"type":"text","text":"# not a heading"},{"type":"tool-bash","toolCallId":"c"}]'
    await instance.messages.append(
        whose, found.key, [Draft("assistant", ASSISTANT, "# not a heading\nEnd of the export", parts, '{"a":[1]}')]
    )
    answer = await ours.ask("GET", f"{chat_path(chat)}/export?format=json")
    body = good(answer)
    assert body["chats"][0]["messages"][0]["parts"] == json.loads(parts)
    assert body["chats"][0]["messages"][0]["metadata"] == {"a": [1]}
    before = answer.content.removesuffix(b"\n").rpartition(b"\n")[0] + b"\n"
    assert body["end"] == {"end": True, "messages": 1, "sha256": hashlib.sha256(before).hexdigest()}
    text = (await ours.ask("GET", f"{chat_path(chat)}/export?format=markdown")).text
    assert "\n> # not a heading\n> End of the export\n> (tool-bash)\n" in text
    digest = hashlib.sha256(text[: text.rindex("End of")].encode()).hexdigest()
    assert text.splitlines()[-1] == f"End of the export: 1 messages, SHA-256 {digest}"


async def test_a_chat_without_messages_is_whole_too(ours: Caller, chat: str) -> None:
    assert checked((await ours.ask("GET", f"{chat_path(chat)}/export")).content)["messages"] == 0
    assert good(await ours.ask("GET", f"{chat_path(chat)}/export?format=json"))["chats"][0]["messages"] == []


async def test_a_session_with_all_its_chats(ours: Caller, instance: Instance) -> None:
    session, first = await make_multi(instance)
    whose = await tenant_id(instance)
    second, _ = await instance.chats.create(whose, await instance.sessions.get(whose, session), "second")
    await say(instance, first, "one", "two", "three")
    await say(instance, second.id, "four")
    answer = await ours.ask("GET", f"/sessions/{session}/export")
    lines = [json.loads(line) for line in answer.content.splitlines()]
    kinds = ["export", "session", "member", "chat", *["message"] * 3, "chat", "message", "end"]
    assert [line.get("type", "end") for line in lines] == kinds
    assert (lines[1]["title"], lines[1]["participant"], lines[1]["shape"]) == ("Harbour", "ann", "multi")
    assert words_of(answer.content) == ["one", "two", "three", "four"]
    assert checked(answer.content)["messages"] == 4
    body = good(await ours.ask("GET", f"/sessions/{session}/export?format=json"))
    assert [len(each["messages"]) for each in body["chats"]] == [3, 1]
    assert body["session"]["id"] == session


async def test_a_form_that_there_is_not(ours: Caller, chat: str) -> None:
    problem(await ours.ask("GET", f"{chat_path(chat)}/export?format=xml"), 400, "invalid_input")
    problem(await ours.ask("GET", f"{chat_path(chat)}/export?form=json"), 400, "unknown_field")
    problem(await ours.ask("GET", "/sessions/nothing/export"), 404, "not_found")


async def test_a_key_exports_what_it_reaches(caller: MakeCaller, chat: str) -> None:
    ann, bob = await caller("t1", "ann"), await caller("t1", "bob")
    assert (await ann.ask("GET", f"{chat_path(chat)}/export")).status_code == 200
    problem(await bob.ask("GET", f"{chat_path(chat)}/export"), 404, "not_found")


async def test_messages_after_its_start_are_left_out(
    server: Server, ours: Caller, instance: Instance, chat: str
) -> None:
    await say(instance, chat, *WORDS)
    call = await held(server, ours, "GET", EXPORT.format(chat)).begin()
    await call.piece()
    await say(instance, chat, "too late")
    body = await call.whole()
    assert words_of(body) == WORDS
    assert checked(body)["messages"] == 7


async def test_a_message_that_is_removed_meanwhile_is_not_there(
    server: Server, ours: Caller, instance: Instance, chat: str
) -> None:
    await say(instance, chat, *WORDS[:4])
    await say(instance, chat, "bob's", author="bob")
    await say(instance, chat, "the last")
    call = await held(server, ours, "GET", EXPORT.format(chat)).begin()
    await call.piece()
    await watch(ours, await order(ours, {"kind": "participant", "id": "bob"}))
    body = await call.whole()
    assert words_of(body) == [*WORDS[:4], "the last"]
    assert checked(body)["messages"] == 5


async def test_an_export_of_what_is_deleted_meanwhile_has_no_end(
    server: Server, ours: Caller, instance: Instance, chat: str
) -> None:
    await say(instance, chat, *WORDS)
    call = await held(server, ours, "GET", EXPORT.format(chat)).begin()
    await call.piece()
    await call.piece()
    await order(ours, {"kind": "chat", "id": chat}, mode=CANCEL)
    body = await call.whole()
    assert words_of(body) == WORDS[: len(words_of(body))]
    assert len(words_of(body)) <= 6
    assert b'"end"' not in body


async def test_what_is_held_of_long_messages_has_a_bound(
    server: Server, ours: Caller, instance: Instance, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EXPORT_PAGE_MESSAGES", 100)
    monkeypatch.setattr(limits, "EXPORT_PAGE_CHARACTERS", 10_000)
    await say(instance, chat, *("x" * 4_000 for _ in range(5)), "y" * 30_000, "z")
    call = await held(server, ours, "GET", EXPORT.format(chat)).begin()
    sizes = []
    while (piece := await call.piece()) is not None:
        sizes.append(len(words_of(piece)))
    assert sizes == [2, 2, 1, 1, 1, 0]


async def test_what_was_exported_is_deleted(ours: Caller, instance: Instance, chat: str) -> None:
    await say(instance, chat, *WORDS)
    answer = await ours.ask("DELETE", f"{chat_path(chat)}?export=jsonl")
    assert answer.status_code == 200
    assert words_of(answer.content) == WORDS
    end = checked(answer.content)
    deletion = good(await ours.ask("GET", f"/deletions/{end['deletion']}"))
    assert (deletion["target"]["kind"], deletion["mode"]) == ("chat", "refuse")
    assert (await watch(ours, deletion))["counts"]["messages"] == 7
    assert not await is_there(ours, chat)


async def test_the_same_as_json(ours: Caller, instance: Instance, chat: str) -> None:
    await say(instance, chat, *WORDS)
    end = good(await ours.ask("DELETE", f"{chat_path(chat)}?export=json"))["end"]
    assert end["deletion"].startswith("del_")
    assert not await is_there(ours, chat)


@pytest.mark.parametrize("pieces", range(1, 5))
async def test_what_was_appended_in_the_middle_saves_the_chat(
    server: Server, ours: Caller, instance: Instance, chat: str, pieces: int
) -> None:
    await say(instance, chat, *WORDS)
    call = await held(server, ours, "DELETE", CHAT.format(chat, "jsonl")).begin()
    for _ in range(pieces):
        await call.piece()
    await say(instance, chat, "and one more")
    body = await call.whole()
    end = checked(body)
    assert (end["deletion"], end["code"]) == (None, "changed")
    assert words_of(body) == WORDS
    whose = await tenant_id(instance)
    kept = await instance.messages.all(whose, (await instance.chats.get(whose, chat)).key)
    assert [message.text for message in kept] == [*WORDS, "and one more"]


@pytest.mark.parametrize("pieces", range(4))
async def test_a_client_that_leaves_before_it_has_all_deletes_nothing(
    server: Server, ours: Caller, instance: Instance, chat: str, pieces: int
) -> None:
    await say(instance, chat, *WORDS)
    call = await held(server, ours, "DELETE", CHAT.format(chat, "jsonl")).begin()
    for _ in range(pieces):
        await call.piece()
    await call.leave()
    assert await is_there(ours, chat)
    assert good(await ours.ask("GET", "/deletions"))["items"] == []


async def test_a_socket_that_opens_meanwhile_refuses_the_deletion(
    server: Server, ours: Caller, instance: Instance, chat: str
) -> None:
    await say(instance, chat, *WORDS)
    call = await held(server, ours, "DELETE", CHAT.format(chat, "jsonl")).begin()
    await call.piece()
    await connect(instance, chat)
    end = checked(await call.whole())
    assert (end["deletion"], end["code"]) == (None, "busy")
    assert await is_there(ours, chat)


async def test_somebody_else_who_deletes_it_meanwhile_cuts_the_export(
    server: Server, ours: Caller, instance: Instance, chat: str
) -> None:
    await say(instance, chat, *WORDS)
    call = await held(server, ours, "DELETE", CHAT.format(chat, "jsonl")).begin()
    await call.piece()
    await order(ours, {"kind": "chat", "id": chat})
    assert b'"end"' not in await call.whole()
    assert len(good(await ours.ask("GET", "/deletions"))["items"]) == 1


async def test_what_is_busy_is_refused_before_anything_is_sent(
    ours: Caller, instance: Instance, chat: str, make_chat: MakeChat
) -> None:
    await connect(instance, chat)
    found = problem(await ours.ask("DELETE", f"{chat_path(chat)}?export=jsonl"), 409, "busy")
    assert [each["kind"] for each in found["blocked_by"]] == ["connection"]
    assert (await ours.ask("DELETE", f"{chat_path(chat)}?export=jsonl&mode=cancel")).status_code == 200
    _, last = await make_multi(instance)
    problem(await ours.ask("DELETE", f"{chat_path(last)}?export=jsonl&mode=cancel"), 409, "busy")
    other = await make_chat()
    problem(await ours.ask("DELETE", f"{chat_path(other)}?export=markdown"), 400, "invalid_input")
    problem(await ours.ask("DELETE", f"{chat_path(other)}?export=json&mode=after"), 400, "invalid_input")
    problem(
        await ours.ask("DELETE", f"{chat_path(other)}?export=json", headers={"if-match": '"other"'}), 412, "changed"
    )
    assert await is_there(ours, other)


async def test_what_was_detached_was_exported_even_when_the_client_leaves_then(
    server: Server, ours: Caller, instance: Instance, chat: str
) -> None:
    await say(instance, chat, *WORDS)
    call = await held(server, ours, "DELETE", CHAT.format(chat, "jsonl")).begin()
    while b'"word 6"' not in (await call.piece() or b""):
        pass
    await call.piece()
    await call.leave()
    assert words_of(call.read_so_far[: call.read_so_far.rindex(b"\n") + 1]) == WORDS
