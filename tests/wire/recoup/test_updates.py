"""`PATCH` of sessions and chats, and the list and the deletion of sessions."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits, sandboxes
from antiphon.domain.errors import StoreFailed
from tests.wire.recoup.caller import NOBODY, Caller, chat_path, expect, good, refused, session_path
from tests.wire.recoup.turning import ask, body_of, user

BIG = 9_007_199_254_740_991


async def patch(who: Caller, path: str, body: Any = None, content: bytes | None = None) -> httpx.Response:
    return await who.call("PATCH", path, body, content)


async def change(who: Caller, session: dict[str, Any], **body: Any) -> dict[str, Any]:
    """The session after a change of it."""
    changed: dict[str, Any] = good(await patch(who, session_path(session["id"]), body))["session"]
    return changed


def plain(session: dict[str, Any]) -> dict[str, Any]:
    """A session without its first chat."""
    return {key: value for key, value in session.items() if key != "chat"}


# Sessions


async def test_a_session_changes_where_it_is_told_to(ann: Caller, session: dict[str, Any]) -> None:
    before = plain(session)
    changed = await change(ann, session, title="", linesAdded=3.0, linesRemoved=BIG, foo=1)
    assert changed == {
        **before,
        "title": "",
        "linesAdded": 3,
        "linesRemoved": BIG,
        "updatedAt": changed["updatedAt"],
    }
    assert changed["updatedAt"] > before["updatedAt"]
    again = await change(ann, session, title="", status="running")
    assert again["updatedAt"] > changed["updatedAt"]
    assert good(await ann.get(session_path(session["id"])))["session"] == again


@pytest.mark.parametrize("content", [b"", b" \n", b"{}", b'{"foo":1,"lines":null}'])
async def test_what_says_nothing_changes_nothing(ann: Caller, session: dict[str, Any], content: bytes) -> None:
    assert good(await patch(ann, session_path(session["id"]), content=content))["session"] == plain(session)


@pytest.mark.parametrize("content", [b"{bad", b"null", b"\xff", b'{"title":"\\ud800"}'])
async def test_a_session_s_body_must_be_json(ann: Caller, session: dict[str, Any], content: bytes) -> None:
    refused(await patch(ann, session_path(session["id"]), content=content), 400, "Invalid JSON body")


@pytest.mark.parametrize(
    ("body", "path", "text"),
    [
        ([], [], "Invalid input: expected object, received array"),
        ("x", [], "Invalid input: expected object, received string"),
        ({"title": None}, ["title"], "Invalid input: expected string, received null"),
        ({"status": "done"}, ["status"], 'Invalid option: expected one of "running"|"completed"|"failed"|"archived"'),
        ({"status": None}, ["status"], 'Invalid option: expected one of "running"|"completed"|"failed"|"archived"'),
        ({"linesAdded": -1}, ["linesAdded"], "Too small: expected number to be >=0"),
        ({"linesAdded": 1.5}, ["linesAdded"], "Invalid input: expected int, received number"),
        ({"linesAdded": -1.5}, ["linesAdded"], "Invalid input: expected int, received number"),
        ({"linesRemoved": "3"}, ["linesRemoved"], "Invalid input: expected number, received string"),
        ({"linesRemoved": True}, ["linesRemoved"], "Invalid input: expected number, received boolean"),
        ({"linesRemoved": BIG + 1}, ["linesRemoved"], f"Too big: expected int to be <{BIG}"),
        ({"linesRemoved": 1e300}, ["linesRemoved"], f"Too big: expected int to be <{BIG}"),
        ({"linesRemoved": -1e300}, ["linesRemoved"], f"Too small: expected int to be >-{BIG}"),
        ({"linesRemoved": -1, "status": 1, "title": 5}, ["title"], "Invalid input: expected string, received number"),
        ({"linesRemoved": -1, "linesAdded": None}, ["linesAdded"], "Invalid input: expected number, received null"),
        ({"title": "x" * (limits.TITLE_CHARACTERS + 1)}, ["title"], "title is longer than 8192 characters"),
        ({"title": "a\0"}, ["title"], "title holds a NUL character or a lone surrogate"),
    ],
)
async def test_a_session_s_first_fault_is_told_with_its_path(
    ann: Caller, session: dict[str, Any], body: Any, path: list[str], text: str
) -> None:
    answer = await patch(ann, session_path(session["id"]), body)
    expect(answer, 400, {"status": "error", "path": path, "error": text})
    assert good(await ann.get(session_path(session["id"])))["session"] == plain(session)


async def test_credential_body_session_owner_in_this_order(
    ann: Caller, bob: Caller, anybody: Caller, eve: Caller, session: dict[str, Any]
) -> None:
    bad, good_body = {"linesAdded": -1}, {"title": "x"}
    for path in (session_path(session["id"]), session_path(NOBODY)):
        assert (await patch(anybody, path, bad)).status_code == 401
        assert (await patch(bob, path, bad)).status_code == 400
    refused(await patch(ann, session_path(NOBODY), good_body), 404, "Session not found")
    refused(await patch(bob, session_path(session["id"]), good_body), 403, "Forbidden")
    refused(await patch(eve, session_path(session["id"]), good_body), 404, "Session not found")


async def test_a_session_is_put_away_and_taken_out_again(
    ann: Caller, instance: Instance, session: dict[str, Any]
) -> None:
    found = await instance.sessions.get(ann.tenant_id, session["id"])
    running = await instance.store.sandboxes.change(
        ann.tenant_id, found.key, lambda old: sandboxes.started(old, old.touched_at)
    )
    assert (running.state, running.is_named) == (sandboxes.ACTIVE, True)
    away = await change(ann, session, status="archived")
    assert (away["status"], away["lifecycleState"], away["lifecycleVersion"]) == ("archived", "archived", 1)
    hidden = ("lifecycleError", "lifecycleRunId", "sandboxExpiresAt", "hibernateAfter")
    assert [away[key] for key in hidden] == [None] * 4
    kept = await change(ann, session, status="failed")
    assert (kept["status"], kept["lifecycleState"]) == ("failed", "archived")
    await change(ann, session, status="archived")
    back = await change(ann, session, status="running")
    assert (back["status"], back["lifecycleState"], back["lifecycleError"]) == ("running", None, None)


async def test_a_sandbox_that_woke_up_keeps_its_session_away(
    ann: Caller, instance: Instance, session: dict[str, Any]
) -> None:
    await change(ann, session, status="archived")
    found = await instance.sessions.get(ann.tenant_id, session["id"])
    await instance.store.sandboxes.change(ann.tenant_id, found.key, lambda old: sandboxes.started(old, old.touched_at))
    answer = await patch(ann, session_path(session["id"]), {"status": "running", "title": "no"})
    refused(answer, 409, "Sandbox is still being paused, try again in a few seconds.")
    now = good(await ann.get(session_path(session["id"])))["session"]
    assert (now["status"], now["title"], now["lifecycleState"]) == ("archived", session["title"], "active")


async def test_changes_at_once_all_hold(ann: Caller, session: dict[str, Any]) -> None:
    bodies = [{"linesAdded": 1}, {"linesRemoved": 2}, {"title": "t"}, {"status": "completed"}] * 10
    answers = await asyncio.gather(*(patch(ann, session_path(session["id"]), body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    now = good(await ann.get(session_path(session["id"])))["session"]
    assert [now[key] for key in ("linesAdded", "linesRemoved", "title", "status")] == [1, 2, "t", "completed"]


# Chats


async def test_a_chat_changes_where_it_is_told_to(ann: Caller, session: dict[str, Any]) -> None:
    first = session["chat"]
    path = chat_path(session, first["id"])
    named = good(await patch(ann, path, {"title": "  Hi "}))["chat"]
    assert named == {**first, "title": "Hi", "updatedAt": named["updatedAt"]}
    assert named["updatedAt"] > first["updatedAt"]
    modelled = good(await patch(ann, path, {"modelId": " m/x "}))["chat"]
    assert (modelled["title"], modelled["modelId"]) == ("Hi", "m/x")
    same = good(await patch(ann, path, {"title": "Hi", "modelId": "m/x"}))["chat"]
    assert same == {**modelled, "updatedAt": same["updatedAt"]}
    assert same["updatedAt"] > modelled["updatedAt"]
    assert good(await ann.get(path))["chat"] == same


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "Invalid JSON body"),
        (b"{bad", "Invalid JSON body"),
        (b"{}", "At least one field is required"),
        (b"null", "Invalid input: expected object, received null"),
        (b"[]", "Invalid input: expected object, received array"),
        (b'{"title":"   "}', "title cannot be empty"),
        (b'{"modelId":""}', "modelId cannot be empty"),
        (b'{"title":null}', "Invalid input: expected string, received null"),
        (b'{"modelId":5}', "Invalid input: expected string, received number"),
        (b'{"title":"x","foo":1}', 'Unrecognized key: "foo"'),
        (b'{"foo":1}', 'Unrecognized key: "foo"'),
        (b'{"foo":1,"title":"x","bar":2}', 'Unrecognized keys: "foo", "bar"'),
        (b'{"title":"","foo":1}', "title cannot be empty"),
        (b'{"modelId":"","title":5}', "Invalid input: expected string, received number"),
        (b'{"title":"a\\u0000"}', "title holds a NUL character or a lone surrogate"),
        (b'{"modelId":"' + b"m" * 513 + b'"}', "modelId is longer than 512 characters"),
    ],
)
async def test_a_bad_change_of_a_chat_changes_nothing(
    ann: Caller, session: dict[str, Any], content: bytes, text: str
) -> None:
    path = chat_path(session, session["chat"]["id"])
    expect(await patch(ann, path, content=content), 400, {"status": "error", "error": text})
    assert good(await ann.get(path))["chat"] == session["chat"]


async def test_the_chat_is_looked_for_before_the_body_is_read(
    ann: Caller, bob: Caller, anybody: Caller, session: dict[str, Any]
) -> None:
    path, bad = chat_path(session, session["chat"]["id"]), b"{bad"
    assert (await patch(anybody, path, content=bad)).status_code == 401
    refused(await patch(ann, chat_path({"id": NOBODY}, NOBODY), content=bad), 404, "Session not found")
    refused(await patch(bob, path, content=bad), 403, "Forbidden")
    refused(await patch(ann, chat_path(session, NOBODY), content=bad), 404, "Chat not found")
    other = await ann.new_session()
    refused(await patch(ann, chat_path(other, session["chat"]["id"]), content=bad), 404, "Chat not found")


async def test_a_chat_that_cannot_be_changed_says_so(
    ann: Caller, instance: Instance, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise StoreFailed

    monkeypatch.setattr(instance.store.chats, "change", fail)
    refused(await patch(ann, chat_path(session, session["chat"]["id"]), {"title": "x"}), 500, "Failed to update chat")


async def test_a_model_of_its_own_answers(ann: Caller, session: dict[str, Any]) -> None:
    path = chat_path(session, session["chat"]["id"])
    good(await patch(ann, path, {"modelId": "m/x", "title": "Kept until the first message"}))
    await ask(ann, body_of(session, user("hello [[text=hi]]")))
    found = good(await ann.get(path))
    assert found["chat"]["modelId"] == "m/x"
    assert found["messages"][1]["metadata"]["modelId"] == "m/x"


# The list


async def test_the_list_is_one_s_own_newest_first(ann: Caller, bob: Caller, session: dict[str, Any]) -> None:
    second = await ann.new_session(title="second")
    await bob.new_session()
    listed = good(await ann.get("/api/sessions"))
    assert list(listed) == ["sessions"]
    assert listed["sessions"] == [
        {
            **{key: made[key] for key in ("id", "title", "status", "repoOwner", "repoName", "branch")},
            "linesAdded": 0,
            "linesRemoved": 0,
            "createdAt": made["createdAt"],
            "lastActivityAt": made["chat"]["updatedAt"],
            "hasUnread": False,
            "hasStreaming": False,
            "latestChatId": made["chat"]["id"],
        }
        for made in (second, session)
    ]


async def test_an_unread_answer_shows_in_the_list(ann: Caller, session: dict[str, Any]) -> None:
    await ask(ann, body_of(session, user("hello")))
    (item,) = good(await ann.get("/api/sessions"))["sessions"]
    assert (item["hasUnread"], item["hasStreaming"]) == (True, False)
    good(await ann.post(f"{chat_path(session, session['chat']['id'])}/read"))
    (item,) = good(await ann.get("/api/sessions"))["sessions"]
    assert item["hasUnread"] is False


async def test_active_and_archived_sessions_are_apart(ann: Caller) -> None:
    made = [await ann.new_session(title=f"s{i}") for i in range(5)]
    for one in made[:3]:
        await change(ann, one, status="archived")

    async def titles(query: str) -> tuple[list[str], dict[str, Any]]:
        found = good(await ann.get(f"/api/sessions?{query}"))
        return [one["title"] for one in found.pop("sessions")], found

    assert await titles("status=all") == (["s4", "s3", "s2", "s1", "s0"], {})
    assert await titles("status=active") == (["s4", "s3"], {"archivedCount": 3})
    page = {"limit": 2, "offset": 0, "hasMore": True, "nextOffset": 2}
    assert await titles("status=archived&limit=2") == (["s2", "s1"], {"archivedCount": 3, "pagination": page})
    page = {"limit": 2, "offset": 2, "hasMore": False, "nextOffset": 3}
    assert await titles("status=archived&limit=2&offset=2") == (["s0"], {"archivedCount": 3, "pagination": page})
    assert (await titles("status=archived"))[1]["pagination"]["limit"] == 50


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("status=x", "status must be one of all, active, archived"),
        ("status=archived&limit=0", "limit must be an integer from 1 to 100"),
        ("status=archived&limit=101", "limit must be an integer from 1 to 100"),
        ("status=archived&offset=-1", "offset must be an integer from 0 to 999999999999999"),
        ("status=archived&offset=" + "9" * 30, "offset must be an integer from 0 to 999999999999999"),
    ],
)
async def test_a_list_that_cannot_be_is_400(ann: Caller, query: str, text: str) -> None:
    refused(await ann.get(f"/api/sessions?{query}"), 400, text)


# The deletion


async def test_a_deleted_session_is_gone_with_its_chats(ann: Caller, bob: Caller, session: dict[str, Any]) -> None:
    path = session_path(session["id"])
    refused(await bob.delete(path), 403, "Forbidden")
    expect(await ann.delete(path), 200, {"success": True})
    for answer in (await ann.delete(path), await ann.get(path), await patch(ann, path, {"title": "late"})):
        refused(answer, 404, "Session not found")
    assert good(await ann.get("/api/sessions"))["sessions"] == []
    other = await ann.new_session()
    good(await ann.post(f"{session_path(other['id'])}/chats", {"id": session["chat"]["id"]}))


async def test_deletes_of_one_session_have_one_winner(ann: Caller, session: dict[str, Any]) -> None:
    answers = await asyncio.gather(*(ann.delete(session_path(session["id"])) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [404] * 19
