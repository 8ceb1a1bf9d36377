"""What one account and one tenant learns of another: of an account that a session exists, of a tenant nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from tests.wire.recoup.caller import NOBODY, Caller, chat_path, chats_of, expect, good, refused, session_path


@pytest.fixture
async def mine(ann: Caller) -> dict[str, Any]:
    """A session of ann's with a second chat, `shared-name`."""
    session = await ann.new_session(title="Mine")
    await ann.new_chat(session, "shared-name")
    return session


def calls(session: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("GET", session_path(session["id"])),
        ("GET", chats_of(session)),
        ("POST", chats_of(session)),
        ("GET", chat_path(session, "shared-name")),
        ("DELETE", chat_path(session, "shared-name")),
        ("POST", chat_path(session, "shared-name") + "/read"),
    ]


def facts(answer: httpx.Response) -> tuple[int, str, dict[str, str]]:
    """All of an answer but the id of its request."""
    return answer.status_code, answer.text, {k: v for k, v in answer.headers.items() if k != "x-request-id"}


async def test_another_account_is_told_that_it_is_not_theirs(ann: Caller, bob: Caller, mine: dict[str, Any]) -> None:
    for method, path in calls(mine):
        refused(await bob.call(method, path), 403, "Forbidden")
    assert await ann.chat_ids(mine) == [mine["chat"]["id"], "shared-name"]


async def test_another_tenant_sees_what_it_sees_of_nothing(ann: Caller, eve: Caller, mine: dict[str, Any]) -> None:
    for (method, path), (_, nowhere) in zip(calls(mine), calls({"id": NOBODY}), strict=True):
        answer = await eve.call(method, path)
        refused(answer, 404, "Session not found")
        assert facts(answer) == facts(await eve.call(method, nowhere))
    assert await ann.chat_ids(mine) == [mine["chat"]["id"], "shared-name"]


async def test_an_id_of_another_tenant_is_free(ann: Caller, eve: Caller, mine: dict[str, Any]) -> None:
    theirs = await eve.new_session()
    for chat_id in ("shared-name", mine["chat"]["id"]):
        assert (await eve.new_chat(theirs, chat_id))["sessionId"] == theirs["id"]
    expect(await eve.delete(chat_path(theirs, "shared-name")), 200, {"success": True})
    assert good(await ann.get(chat_path(mine, "shared-name")))["chat"]["sessionId"] == mine["id"]
    assert await eve.chat_ids(theirs) == [theirs["chat"]["id"], mine["chat"]["id"]]


async def test_a_chat_of_another_tenant_is_not_in_ones_own_session(eve: Caller, mine: dict[str, Any]) -> None:
    theirs = await eve.new_session()
    for method, more in [("GET", ""), ("DELETE", ""), ("POST", "/read")]:
        refused(await eve.call(method, chat_path(theirs, "shared-name") + more), 404, "Chat not found")
    assert mine["chat"]["id"] not in await eve.chat_ids(theirs)


async def test_a_namesake_in_another_tenant_is_somebody_else(ann: Caller, caller: Any, mine: dict[str, Any]) -> None:
    namesake = await caller("t2", "ann")
    assert namesake.account_id != ann.account_id
    refused(await namesake.get(session_path(mine["id"])), 404, "Session not found")


async def test_what_one_account_has_read_is_its_own(
    ann: Caller, bob: Caller, instance: Instance, mine: dict[str, Any]
) -> None:
    session = await instance.sessions.get(ann.tenant_id, mine["id"])
    chat = await instance.chats.get(ann.tenant_id, "shared-name")
    expect(await ann.post(chat_path(mine, "shared-name") + "/read"), 200, {"success": True})
    bob_id = (await instance.keys.authenticate(str(bob.key))).participant_id
    assert bob_id is not None
    assert chat.key not in await instance.chats.read_marks(ann.tenant_id, session, bob_id)
    assert chat.key in await instance.chats.read_marks(ann.tenant_id, session, session.owner_id)
