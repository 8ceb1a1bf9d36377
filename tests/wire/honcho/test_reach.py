"""What each kind of token may do, and that every refusal is 401 in words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.honcho.caller import Caller, text_of
from tests.wire.honcho.conftest import MakeCaller

BATCH = {"messages": [{"content": "hello", "peer_id": "ann"}]}
WORKSPACE, PEER, SESSION = "workspace", "peer", "session"

ROUTES: list[tuple[str, str, Any, set[str]]] = [
    ("PUT", "", {}, {WORKSPACE}),
    ("POST", "/peers/list", None, {WORKSPACE}),
    ("POST", "/sessions/list", None, {WORKSPACE}),
    ("POST", "/peers", {"id": "ann"}, {WORKSPACE, PEER, SESSION}),
    ("POST", "/peers", {"id": "bob"}, {WORKSPACE, SESSION}),
    ("POST", "/sessions", {"id": "s"}, {WORKSPACE, PEER, SESSION}),
    ("POST", "/sessions", {"id": "other"}, {WORKSPACE}),
    ("POST", "/sessions/s/messages", BATCH, {WORKSPACE, SESSION}),
    ("POST", "/sessions/other/messages", BATCH, {WORKSPACE}),
    ("POST", "/sessions/s/messages/list", None, {WORKSPACE, PEER, SESSION}),
    ("POST", "/sessions/other/messages/list", None, {WORKSPACE}),
    ("GET", "/sessions/s/messages/{s}", None, {WORKSPACE, PEER, SESSION}),
    ("GET", "/sessions/other/messages/{other}", None, {WORKSPACE}),
    ("GET", "/sessions/s/peers", None, {WORKSPACE, PEER, SESSION}),
    ("GET", "/sessions/other/peers", None, {WORKSPACE}),
    ("DELETE", "/sessions/other", None, {WORKSPACE}),
    ("DELETE", "/sessions/s", None, {WORKSPACE, SESSION}),
]


@pytest.fixture
async def rooms(w: Caller) -> dict[str, str]:
    """The session `s` with ann in it and the session `other` without her; the id of a message of each."""
    await w.new_session("s", peers={"ann": {}})
    await w.new_session("other", peers={"bob": {}})
    return {name: (await w.say(name, "hi", peer="bob"))[0]["id"] for name in ("s", "other")}


@pytest.mark.parametrize(("method", "path", "body", "allowed"), ROUTES)
async def test_the_matrix(
    caller: MakeCaller, admin: Caller, w: Caller, rooms: dict[str, str], method: str, path: str, body: Any, allowed: set
) -> None:
    """Those who may not are asked first: the last of those who may has the right to make it vanish."""
    tokens = {PEER: await caller("w1", "ann"), SESSION: await caller("w1", None, "session", session_id="s")}
    path = path.format(**rooms)
    stranger = await caller("w1", None, "tenant", home="w2")
    nobody = Caller(w.http, None, "w1")
    for one in (stranger, nobody, *(token for kind, token in tokens.items() if kind not in allowed)):
        answer = await one.call(method, path, body)
        text_of(answer, 401)
        assert "www-authenticate" not in answer.headers
    may = [token for kind, token in tokens.items() if kind in allowed]
    if method != "DELETE":
        may += [w, await caller("w1", "zoe", "tenant"), admin]
    for one in may or [w]:
        assert (await one.call(method, path, body)).status_code in {200, 201, 202}


@pytest.mark.usefixtures("rooms")
@pytest.mark.parametrize("path", ["/sessions/other", "/sessions/never", "/sessions/not%20an%20id", "/sessions/%FF"])
async def test_to_a_peer_a_missing_session_is_one_of_others(caller: MakeCaller, path: str) -> None:
    ann = await caller("w1", "ann")
    text_of(await ann.post(f"{path}/messages/list"), 401)
    text_of(await ann.get(f"{path}/peers"), 401)
    text_of(await ann.get(f"{path}/messages/{'N' * 21}"), 401)


async def test_a_peer_makes_sessions_and_brings_members(caller: MakeCaller) -> None:
    ann = await caller("w1", "ann")
    await ann.new_session("mine", metadata={"a": 1}, peers={"ann": {}, "bob": {}})
    assert await ann.members("mine") == ["ann", "bob"]
    changed = await ann.post("/sessions", {"id": "mine", "metadata": {"b": 2}, "peers": {"cid": {}}})
    assert (changed.status_code, changed.json()["metadata"]) == (200, {"b": 2})
    assert await ann.members("mine") == ["ann", "bob", "cid"]


@pytest.mark.usefixtures("rooms")
async def test_a_peer_does_not_join_a_session_of_others(caller: MakeCaller, w: Caller) -> None:
    ann = await caller("w1", "ann")
    changes: list[dict[str, Any]] = [{}, {"peers": {"ann": {}}}, {"metadata": {"a": 1}}, {"configuration": {"a": 1}}]
    for change in changes:
        text_of(await ann.post("/sessions", {"id": "other", **change}), 401)
    assert await w.members("other") == ["bob"]
    assert (await w.post("/sessions", {"id": "other"})).json()["metadata"] == {}
    text_of(await ann.post("/sessions/other/messages/list"), 401)


async def test_a_peer_may_look_at_a_session_that_it_owns_but_is_not_in(caller: MakeCaller, w: Caller) -> None:
    ann = await caller("w1", "ann")
    made = await ann.new_session("mine")
    again = await ann.post("/sessions", {"id": "mine"})
    assert (again.status_code, again.json()) == (200, made)
    text_of(await ann.post("/sessions", {"id": "mine", "peers": {"ann": {}}}), 401)
    text_of(await ann.post("/sessions/mine/messages/list"), 401)
    assert await w.members("mine") == []


async def test_a_sessions_token_makes_its_session_and_adds_to_it(caller: MakeCaller) -> None:
    token = await caller("w1", None, "session", session_id="s")
    await token.new_session("s", peers={"ann": {}})
    await token.say("s", "hello", peer="bob")
    assert await token.members("s") == ["ann", "bob"]
    assert (await token.delete("/sessions/s")).status_code == 202
    assert await token.texts("s") == []
    text_of(await token.delete("/sessions/s"), 404)
    await token.say("s", "again")


@pytest.mark.usefixtures("rooms")
async def test_the_narrower_of_two_scopes_decides(caller: MakeCaller) -> None:
    token = await caller("w1", "zoe", "session", session_id="s")
    assert await token.texts("s") == ["hi"]
    assert (await token.post("/sessions/s/messages", BATCH)).status_code == 201


async def test_only_an_administrator_lists_workspaces(caller: MakeCaller, admin: Caller, w: Caller) -> None:
    for one in (w, await caller("w1", "ann"), await caller("w1", None, "session", session_id="s")):
        text_of(await one.top("POST", "/workspaces/list"), 401)
    assert (await admin.top("POST", "/workspaces/list")).status_code == 200


BAD_TOKENS = [None, "Bearer", "Bearer ", "Basic {key}", "{key}", "Bearer {key}x", "Bearer x{key}", "Bearer garbage",
              "Bearer a.b.c", "Bearer ant_" + "A" * 86]  # fmt: skip


@pytest.mark.parametrize("header", BAD_TOKENS)
async def test_a_token_that_is_none_is_401_before_anything_else(make_key: Any, w: Caller, header: str | None) -> None:
    key = await make_key("w1")
    w.headers = {} if header is None else {"authorization": header.format(key=key)}
    text_of(await w.post("/peers", {"id": 5}), 401)
    text_of(await w.post("/sessions/list", size=0), 401)
    text_of(await w.send("POST", "/sessions/s/messages", b"{", "text/plain"), 401)
    text_of(await w.top("POST", "/workspaces", {"id": "w1"}), 401)


async def test_the_word_bearer_is_taken_in_any_case(make_key: Any, w: Caller) -> None:
    w.headers = {"authorization": f"bEARER {await make_key('w1')}"}
    assert (await w.post("/sessions/list")).status_code == 200


async def test_a_key_in_another_header_is_no_token(make_key: Any, w: Caller) -> None:
    w.headers = {"x-api-key": await make_key("w1")}
    text_of(await w.post("/sessions/list"), 401)


async def test_without_authentication_everybody_is_an_administrator(instance: Any, w: Caller) -> None:
    instance.everybody = await instance.keys.open_principal()
    w.headers = {}
    assert (await w.top("POST", "/workspaces", {"id": "new"})).status_code == 201
    await w.new_session("s")
