"""Many requests at once: an id is claimed once, and a session keeps a chat."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from tests.wire.recoup.caller import Caller, chat_path, chats_of, good


def statuses(answers: list[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


async def test_fifty_creates_of_one_id_are_one_chat(ann: Caller, session: dict[str, Any]) -> None:
    answers = await asyncio.gather(*(ann.post(chats_of(session), {"id": "mine"}) for _ in range(50)))
    assert statuses(answers) == [200] * 50
    assert len({answer.text for answer in answers}) == 1
    assert await ann.chat_ids(session) == [session["chat"]["id"], "mine"]


async def test_fifty_creates_of_one_id_in_two_sessions_have_one_winner(
    ann: Caller, bob: Caller, session: dict[str, Any]
) -> None:
    theirs = await bob.new_session()
    calls = [(ann, session), (bob, theirs)] * 25
    answers = await asyncio.gather(*(who.post(chats_of(where), {"id": "mine"}) for who, where in calls))
    assert statuses(answers) == [200] * 25 + [409] * 25
    assert ("mine" in await ann.chat_ids(session)) != ("mine" in await bob.chat_ids(theirs))


async def test_creates_without_an_id_are_all_new(ann: Caller, session: dict[str, Any]) -> None:
    answers = await asyncio.gather(*(ann.post(chats_of(session)) for _ in range(50)))
    made = {good(answer)["chat"]["id"] for answer in answers}
    assert len(made) == 50
    assert {session["chat"]["id"], *made} == set(await ann.chat_ids(session))


@pytest.mark.parametrize("count", [2, 3, 20])
async def test_deletes_of_all_chats_leave_exactly_one(ann: Caller, session: dict[str, Any], count: int) -> None:
    ids = [session["chat"]["id"]] + [(await ann.new_chat(session))["id"] for _ in range(count - 1)]
    answers = await asyncio.gather(*(ann.delete(chat_path(session, chat_id)) for chat_id in ids))
    assert statuses(answers) == [200] * (count - 1) + [400]
    [kept] = [chat_id for chat_id, answer in zip(ids, answers, strict=True) if answer.status_code == 400]
    assert await ann.chat_ids(session) == [kept]


async def test_deletes_of_one_chat_have_one_winner(ann: Caller, session: dict[str, Any]) -> None:
    extra = (await ann.new_chat(session))["id"]
    answers = await asyncio.gather(*(ann.delete(chat_path(session, extra)) for _ in range(20)))
    assert statuses(answers) == [200] + [404] * 19
    assert await ann.chat_ids(session) == [session["chat"]["id"]]


async def test_a_session_is_never_empty_between_creates_and_deletes(ann: Caller) -> None:
    for _ in range(20):
        session = await ann.new_session()
        old = session["chat"]["id"]
        gone, made = await asyncio.gather(ann.delete(chat_path(session, old)), ann.post(chats_of(session)))
        fresh = good(made)["chat"]["id"]
        assert gone.status_code in {200, 400}
        assert await ann.chat_ids(session) == ([fresh] if gone.status_code == 200 else [old, fresh])


async def test_claims_and_deletes_of_one_id_never_fail(
    ann: Caller, instance: Instance, session: dict[str, Any]
) -> None:
    calls = [
        ann.post(chats_of(session), {"id": "x"}) if number % 2 == 0 else ann.delete(chat_path(session, "x"))
        for number in range(60)
    ]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers[::2]} == {200}
    assert {answer.status_code for answer in answers[1::2]} <= {200, 404}
    is_there = await instance.chats.find(ann.tenant_id, "x") is not None
    assert (await ann.chat_ids(session)) == [session["chat"]["id"], *(["x"] if is_there else [])]
