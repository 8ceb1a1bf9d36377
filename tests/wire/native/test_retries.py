"""A POST that is sent again under its `Idempotency-Key`: one effect, one answer, none that outlives a deletion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from antiphon.api.native.retries import is_repeatable
from antiphon.api.native.routes import Native
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.deletions import Order
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import Uid
from antiphon.stores.sqlite.store import SqliteStore
from tests.wire.native.caller import PREFIX, Caller, good, problem, turns_path
from tests.wire.native.conftest import MakeCaller, MakeChat
from tests.wire.native.deleting import aim

KEY = {"idempotency-key": "2f0c9d3c-7d34-4cf8-9a6e-5f0b1f3a4c11"}
SAID = {"message": {"text": "hello there"}}


async def tenant_of(instance: Instance, name: str = "t1") -> Uid:
    return (await instance.tenants.get(name)).id


async def texts(instance: Instance, chat_id: str) -> list[str]:
    tenant = await tenant_of(instance)
    chat = await instance.chats.get(tenant, chat_id)
    return [message.text for message in await instance.messages.all(tenant, chat.key)]


def same(first: httpx.Response, again: httpx.Response) -> bool:
    """Whether that is the first answer once more, and says so; only where it stands and which request it was differ."""
    varying = {"x-request-id", "ratelimit", "ratelimit-policy", "idempotency-replayed"}
    seen = [
        (answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k not in varying})
        for answer in (first, again)
    ]
    return seen[0] == seen[1] and "idempotency-replayed" not in first.headers


async def test_it_is_done_once_and_answered_twice(ours: Caller, chat: str, instance: Instance) -> None:
    first = await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY)
    good(first, 202)
    await ours.events(chat)
    again = await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY)
    assert again.headers["idempotency-replayed"] == "true"
    assert same(first, again)
    assert await texts(instance, chat) == ["hello there", "You said: hello there"]


async def test_without_a_key_it_is_done_each_time(ours: Caller, chat: str, instance: Instance) -> None:
    for _ in range(2):
        good(await ours.ask("POST", turns_path(chat), json=SAID), 202)
        await ours.events(chat)
    assert len(await texts(instance, chat)) == 4


async def test_another_request_needs_another_key(ours: Caller, chat: str) -> None:
    good(await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY), 202)
    await ours.events(chat)
    other = {"message": {"text": "something else"}}
    problem(await ours.ask("POST", turns_path(chat), json=other, headers=KEY), 422, "idempotency_key_reused")
    good(await ours.ask("POST", turns_path(chat), json=other, headers={"idempotency-key": "another"}), 202)


async def test_a_key_is_bound_to_route_reach_and_tenant(
    ours: Caller, caller: MakeCaller, chat: str, make_chat: MakeChat
) -> None:
    """Each of these is another request, though all send the same words under the same key."""
    theirs = await caller("t2")
    anns = await caller("t1", "ann")
    bens = await caller("t1", "ben")
    sent = [
        (ours, turns_path(await make_chat()), 202),
        (ours, turns_path(await make_chat()), 202),
        (theirs, turns_path(await make_chat("ann", "t2")), 202),
        (anns, turns_path(chat), 202),
        (bens, turns_path(chat), 404),
    ]
    for who, path, status in sent:
        answer = await who.ask("POST", path, json=SAID, headers=KEY)
        assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (status, None)
    for who, path, status in sent:
        answer = await who.ask("POST", path, json=SAID, headers=KEY)
        assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (status, "true")


async def test_another_key_of_the_same_reach_is_given_the_answer(caller: MakeCaller, chat: str) -> None:
    """Who has changed keys between two attempts does nothing twice."""
    first = await (await caller("t1")).ask("POST", turns_path(chat), json=SAID, headers=KEY)
    assert same(first, await (await caller("t1")).ask("POST", turns_path(chat), json=SAID, headers=KEY))


@pytest.mark.parametrize("key", ["", "k" * (limits.IDEMPOTENCY_KEY_CHARACTERS + 1)])
async def test_a_key_that_is_none(ours: Caller, chat: str, key: str, instance: Instance) -> None:
    headers = {"idempotency-key": key}
    body = problem(await ours.ask("POST", turns_path(chat), json=SAID, headers=headers), 400, "invalid_input")
    assert body["errors"][0]["field"] == "Idempotency-Key"
    assert await texts(instance, chat) == []


async def test_the_longest_key_works(ours: Caller, chat: str) -> None:
    headers = {"idempotency-key": "k" * limits.IDEMPOTENCY_KEY_CHARACTERS}
    first = await ours.ask("POST", turns_path(chat), json=SAID, headers=headers)
    assert same(first, await ours.ask("POST", turns_path(chat), json=SAID, headers=headers))


async def test_refusals_that_stand_are_kept_and_those_of_the_request_are_not(
    ours: Caller, caller: MakeCaller, chat: str
) -> None:
    wrong = await ours.ask("POST", turns_path(chat), json={"message": {}}, headers=KEY)
    problem(wrong, 400, "invalid_input")
    good(await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY), 202)  # the key is still free
    bens = await caller("t1", "ben")
    refused = await bens.ask("POST", turns_path(chat), json=SAID, headers=KEY)
    problem(refused, 404, "not_found")
    again = await bens.ask("POST", turns_path(chat), json=SAID, headers=KEY)
    assert same(refused, again)
    nobody = Caller(ours._http, "ant_nobody")
    for _ in range(2):
        answer = await nobody.ask("POST", turns_path(chat), json=SAID, headers=KEY)
        problem(answer, 401, "authentication_failed")


async def test_a_fault_of_ours_is_not_kept(
    ours: Caller, chat: str, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(instance.turns, "start", broken)
        problem(await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY), 500, "internal")
    good(await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY), 202)


@pytest.fixture
async def slow(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Event]:
    """Turns begin when this is set."""
    gate, begin = asyncio.Event(), instance.turns.start

    async def start(*given: Any) -> Any:
        await gate.wait()
        return await begin(*given)

    monkeypatch.setattr(instance.turns, "start", start)
    yield gate
    gate.set()


async def test_two_at_once_are_one(ours: Caller, chat: str, instance: Instance, slow: asyncio.Event) -> None:
    asked = [
        asyncio.create_task(ours.ask("POST", turns_path(chat), json=SAID, headers=KEY, timeout=30)) for _ in range(5)
    ]
    done, _ = await asyncio.wait(asked, timeout=0.3)
    assert done == set()
    other = {"message": {"text": "something else"}}
    problem(await ours.ask("POST", turns_path(chat), json=other, headers=KEY), 422, "idempotency_key_reused")
    slow.set()
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sorted("idempotency-replayed" in answer.headers for answer in answers) == [False, True, True, True, True]
    await ours.events(chat)
    assert len(await texts(instance, chat)) == 2


async def test_who_has_waited_long_enough_is_told_so(
    ours: Caller, chat: str, slow: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IDEMPOTENCY_WAIT_SECONDS", 0.1)
    first = asyncio.create_task(ours.ask("POST", turns_path(chat), json=SAID, headers=KEY))
    await asyncio.wait([first], timeout=0.1)
    answer = await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY)
    problem(answer, 409, "in_progress")
    assert answer.headers["retry-after"] == "1"
    slow.set()
    assert same(await first, await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY))


async def test_the_lease_is_renewed_while_the_work_lasts(
    ours: Caller, chat: str, slow: asyncio.Event, monkeypatch: pytest.MonkeyPatch, instance: Instance
) -> None:
    monkeypatch.setattr(limits, "IDEMPOTENCY_LEASE_SECONDS", 0.4)
    monkeypatch.setattr(limits, "IDEMPOTENCY_RENEWAL_SECONDS", 0.1)
    monkeypatch.setattr(limits, "IDEMPOTENCY_WAIT_SECONDS", 1.2)
    first = asyncio.create_task(ours.ask("POST", turns_path(chat), json=SAID, headers=KEY, timeout=30))
    await asyncio.wait([first], timeout=0.1)
    async with asyncio.timeout(10):
        problem(await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY), 409, "in_progress")
    slow.set()
    good(await first, 202)
    await ours.events(chat)
    assert len(await texts(instance, chat)) == 2


async def test_who_died_in_the_middle_is_followed(
    ours: Caller, chat: str, slow: asyncio.Event, monkeypatch: pytest.MonkeyPatch, instance: Instance
) -> None:
    """A request that was cancelled (as by the end of its process) leaves a claim that ends with its lease."""
    monkeypatch.setattr(limits, "IDEMPOTENCY_LEASE_SECONDS", 0.5)
    monkeypatch.setattr(limits, "IDEMPOTENCY_WAIT_SECONDS", 0)
    dead = asyncio.create_task(ours.ask("POST", turns_path(chat), json=SAID, headers=KEY))
    await asyncio.wait([dead], timeout=0.1)
    dead.cancel()
    await asyncio.wait([dead])
    slow.set()
    problem(await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY), 409, "in_progress")
    monkeypatch.setattr(limits, "IDEMPOTENCY_WAIT_SECONDS", 5)
    good(await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY), 202)
    await ours.events(chat)
    assert len(await texts(instance, chat)) == 2


async def test_nothing_of_a_deleted_chat_is_shown_again(ours: Caller, chat: str, instance: Instance) -> None:
    """Also before the purge, and when another chat has the id by then."""
    first = good(await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY), 202)
    await ours.events(chat)
    tenant = await tenant_of(instance)
    found = await instance.chats.get(tenant, chat)
    await instance.store.deletions.detach_chat(tenant, found.key, Order("cancel"))
    refused = await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY)
    problem(refused, 404, "not_found")
    ann, _ = await instance.store.participants.ensure(tenant, "peer", "ann")
    await instance.store.chats.put_single(tenant, ann.id, chat, None, None)
    again = await ours.ask("POST", turns_path(chat), json=SAID, headers={"idempotency-key": "new"})
    assert good(again, 202)["id"] != first["id"]


async def test_what_is_shown_once_stands_nowhere_in_clear(ours: Caller, chat: str, tmp_path: Path) -> None:
    """Neither what was said nor a ticket can be read from what is kept of the answer."""
    ticket = good(await ours.ask("POST", "/tickets", json={"chat": chat}, headers=KEY), 201)["ticket"]
    assert good(await ours.ask("POST", "/tickets", json={"chat": chat}, headers=KEY), 201)["ticket"] == ticket
    files = [path for path in (tmp_path / "data").iterdir() if path.is_file()]
    held = b"".join(path.read_bytes() for path in files)
    assert b"idempotency" in held, "that was not the database"
    for secret in (ticket, KEY["idempotency-key"]):
        assert secret.encode() not in held


async def test_a_ticket_is_worth_one_stream_however_often_it_was_sent(ours: Caller, chat: str) -> None:
    await ours.start(chat)
    tickets = [good(await ours.ask("POST", "/tickets", json={}, headers=KEY), 201)["ticket"] for _ in range(2)]
    seen = [(await ours._http.get(f"{PREFIX}/chats/{chat}/events?ticket={ticket}")).status_code for ticket in tickets]
    assert seen == [200, 401]


async def test_old_answers_are_swept(ours: Caller, chat: str, instance: Instance, store: SqliteStore) -> None:
    tenant = await tenant_of(instance)
    for number in range(3):
        await store.idempotency.claim(tenant, bytes([number]), b"r", bytes(16), 0)
    good(await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY), 202)
    await instance.idempotency.sweep()
    assert await store.idempotency.late(10) == []
    again = await ours.ask("POST", turns_path(chat), json=SAID, headers=KEY)
    assert again.headers["idempotency-replayed"] == "true"


async def test_an_id_that_is_no_text_is_not_there(ours: Caller) -> None:
    answer = await ours.ask("POST", "/chats/%FF%FE/turns", json=SAID, headers=KEY)
    problem(answer, 404, "not_found")


async def test_every_post_says_so(document: Any) -> None:
    posts = {path: way["post"] for path, way in document.content["paths"].items() if "post" in way}
    assert len(posts) > 8
    for path, operation in posts.items():
        named = {one["name"]: one["in"] for one in operation["parameters"]}
        is_streamed = (
            "application/json" not in operation.get("requestBody", {"content": ["application/json"]})["content"]
        )
        assert is_streamed or named.get("Idempotency-Key") == "header", path
        assert is_streamed or {"409", "422", "429"} <= set(operation["responses"]), path


HANGS_ON = {
    "/tenants": "",
    "/keys": "participant_id",
    "/sessions": "session_key",
    "/chats": "chat_key",
    "/chats/{chat_id}/messages": "chat_key",
    "/chats/{chat_id}/turns": "chat_key",
    "/turns/{turn_id}/stop": "",
    "/tickets": "",
    "/deletions/plan": "",
    "/deletions": "",
    "/deletions/{deletion_id}/retry": "what is deleted",
    "/deletions/{deletion_id}/undo": "",
    "/webhooks": "",
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/resend": "",
}
"""What a kept answer hangs on, by route. None: it shows nothing but what its request has said, and states and ids of
ours; it hangs on the participant who has asked, when one has."""


async def test_every_answer_that_tells_of_something_goes_with_it(
    ours: Caller, chat: str, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = {route.path.removeprefix(PREFIX) for route in Native(instance, 0).routes.routes if is_repeatable(route)}
    assert posts == set(HANGS_ON), "say what the answer of the new route tells of (Request.subject)"
    kept: list[Subject] = []
    keep = instance.store.idempotency.keep

    async def note(*given: Any) -> bool:
        kept.extend(one for one in given if isinstance(one, Subject))
        return await keep(*given)

    monkeypatch.setattr(instance.store.idempotency, "keep", note)
    bodies: dict[str, dict[str, Any]] = {
        "/keys": {"participant": "ann"},
        "/sessions": {"id": "s-1", "participant": "ann"},
        "/chats": {"id": "c-1", "participant": "ann"},
        "/chats/{chat_id}/messages": {"messages": [{"role": "user", "text": "hello"}]},
        "/chats/{chat_id}/turns": SAID,
        "/tickets": {"chat": chat},
    }
    for path, body in bodies.items():
        answer = await ours.ask("POST", path.format(chat_id=chat), json=body, headers=KEY)
        assert answer.status_code in {201, 202}, answer.text
        told = {name for name, value in msgspec.structs.asdict(kept[-1]).items() if value is not None}
        assert told == ({HANGS_ON[path]} if HANGS_ON[path] else set()), path
    assert len(kept) == len(bodies)


async def test_a_deletion_is_ordered_once_and_what_names_its_target_goes_with_it(
    ours: Caller, chat: str, instance: Instance
) -> None:
    """A retry, which names the target, is not kept, for that is gone; an undo, which does not, is."""
    await instance.tenants.set(await instance.tenants.get("t1"), {"undo_window": 60})
    first = await ours.ask("POST", "/deletions", json={"target": aim(chat)}, headers=KEY)
    deletion = good(first, 202)
    assert same(first, await ours.ask("POST", "/deletions", json={"target": aim(chat)}, headers=KEY))
    one = f"/deletions/{deletion['id']}"
    for _ in range(2):
        assert "idempotency-replayed" not in (await ours.ask("POST", f"{one}/retry", headers=KEY)).headers
    undone = await ours.ask("POST", f"{one}/undo", headers=KEY)
    assert chat not in undone.text
    assert same(undone, await ours.ask("POST", f"{one}/undo", headers=KEY))
