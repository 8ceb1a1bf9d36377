"""What a key may do: every route by every scope, on what is its own, somebody else's, and nowhere."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.domain.ids import text_of
from antiphon.domain.participants import Member
from tests.wire.native.caller import (
    NEVER,
    PREFIX,
    Caller,
    chat_path,
    events_path,
    good,
    problem,
    turns_path,
)
from tests.wire.native.conftest import MakeCaller, MakeChat

SAY = {"message": {"text": "hello"}}
SCOPES = ["admin", "tenant", "participant", "session"]


async def a_caller(scope: str, caller: MakeCaller, chat: str) -> Caller:
    """A key of that scope of the tenant `t1` that reaches ann's chat."""
    if scope == "participant":
        return await caller("t1", "ann")
    return await caller("t1", None, scope, **({"session_id": chat} if scope == "session" else {}))


def answers_of(answer: httpx.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and body, but for what tells one request from another."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status_code, headers, {**answer.json(), "request_id": ""}


def requests_on(chat: str, turn: str) -> list[tuple[str, str, Any]]:
    """Every request that names a chat or a turn."""
    return [
        ("GET", chat_path(chat), None),
        ("POST", turns_path(chat), SAY),
        ("GET", events_path(chat), None),
        ("GET", f"/turns/{turn}", None),
        ("POST", f"/turns/{turn}/stop", None),
    ]


@pytest.mark.parametrize("scope", SCOPES)
async def test_every_scope_reaches_its_own(scope: str, caller: MakeCaller, chat: str) -> None:
    one = await a_caller(scope, caller, chat)
    assert good(await one.ask("GET", "/whoami"))["scopes"] == [scope]
    turn = await one.start(chat)
    assert (await one.events(chat))[-1].event == "turn-ended"
    for method, path, body in requests_on(chat, turn["id"]):
        assert (await one.ask(method, path, json=body)).status_code in {200, 202}


@pytest.mark.parametrize("scope", SCOPES)
async def test_what_is_foreign_cannot_be_told_from_what_is_nowhere(
    scope: str, caller: MakeCaller, chat: str, make_chat: MakeChat
) -> None:
    """Another tenant's to everybody; another participant's and another session's to a narrow key."""
    one = await a_caller(scope, caller, chat)
    tenants = ["t2", "t1"] if scope in {"participant", "session"} else ["t2"]
    for tenant in tenants:
        foreign = await make_chat("bob", tenant)
        turn = await (await caller(tenant)).start(foreign)
        for theirs, nowhere in zip(requests_on(foreign, turn["id"]), requests_on("none", NEVER), strict=True):
            got = await one.ask(theirs[0], theirs[1], json=theirs[2])
            assert answers_of(got) == answers_of(await one.ask(nowhere[0], nowhere[1], json=nowhere[2]))
            problem(got, 404, "not_found")


async def test_a_member_reaches_the_session_while_it_is_one(caller: MakeCaller, instance: Instance) -> None:
    ann = await caller("t1", "ann")
    tenant = await instance.tenants.get("t1")
    await instance.sessions.put_single(tenant.id, "s-1", "bob")
    chat = await instance.chats.find_of_single(tenant.id, "s-1")
    assert chat is not None
    problem(await ann.ask("GET", chat_path(chat.id)), 404, "not_found")
    await instance.sessions.put_single(tenant.id, "s-1", "bob", members=[Member("ann")])
    assert good(await ann.ask("GET", chat_path(chat.id)))["participant"] == "bob"


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic x"}, {"x-api-key": "x"}]
)
async def test_no_route_but_the_document_is_for_everybody(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await http.get(f"{PREFIX}/openapi.json", headers=headers)).status_code == 200
    for method, path, body in [("GET", "/whoami", None), *requests_on("none", NEVER)]:
        answer = await http.request(method, PREFIX + path, json=body, headers=headers)
        problem(answer, 401, "authentication_failed")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_either_header_carries_the_key(http: httpx.AsyncClient, ours: Caller) -> None:
    for headers in ({"x-api-key": ours.key}, {"authorization": f"bearer {ours.key}"}):
        assert good(await http.get(f"{PREFIX}/whoami", headers=headers))["tenant"]["name"] == "t1"


async def test_who_one_is(caller: MakeCaller, instance: Instance) -> None:
    ann = await caller("t1", "ann", "tenant")
    principal = await instance.keys.authenticate(ann.key)
    assert principal.participant_id is not None
    assert principal.key_id is not None
    assert good(await ann.ask("GET", "/whoami")) == {
        "tenant": {"id": text_of(principal.tenant_id), "name": "t1"},
        "participant": {"id": text_of(principal.participant_id), "name": "ann"},
        "scopes": ["tenant"],
        "key": f"key_{text_of(principal.key_id)}",
    }


async def test_without_authentication_everybody_is_the_first_tenant(
    http: httpx.AsyncClient, ours: Caller, instance: Instance
) -> None:
    instance.everybody = await instance.keys.authenticate(ours.key)
    assert (await http.get(f"{PREFIX}/whoami")).json()["tenant"]["name"] == "t1"


async def test_an_administrator_names_a_tenant(
    caller: MakeCaller, make_chat: MakeChat, http: httpx.AsyncClient
) -> None:
    """By name or id; it is nobody's participant there."""
    home = await caller("t1", "root", "admin")
    chat = await make_chat("bob", "t2")
    problem(await home.ask("GET", chat_path(chat)), 404, "not_found")
    there = Caller(http, home.key, "t2")
    told = good(await there.ask("GET", "/whoami"))
    assert (told["tenant"]["name"], told["participant"], told["scopes"]) == ("t2", None, ["admin"])
    by_id = Caller(http, home.key, told["tenant"]["id"])
    assert good(await by_id.ask("GET", chat_path(chat)))["id"] == chat
    await there.start(chat)
    assert (await there.events(chat))[-1].data["state"] == "completed"
    problem(await Caller(http, home.key, "nowhere").ask("GET", "/whoami"), 404, "not_found")


async def test_nobody_else_names_another(ours: Caller, make_chat: MakeChat, http: httpx.AsyncClient) -> None:
    """Whether there is such a tenant or not."""
    await make_chat("bob", "t2")
    assert good(await Caller(http, ours.key, "t1").ask("GET", "/whoami"))["tenant"]["name"] == "t1"
    refusals = [await Caller(http, ours.key, name).ask("GET", "/whoami") for name in ("t2", "nowhere")]
    assert answers_of(refusals[0]) == answers_of(refusals[1])
    problem(refusals[0], 403, "access_denied")
