"""Peers: get or make, list."""

from __future__ import annotations

import pytest

from tests.wire.honcho.caller import Caller, first_fault, text_of
from tests.wire.honcho.conftest import MakeCaller


async def test_a_peer_is_made_once_and_what_is_given_replaces(w: Caller) -> None:
    made = await w.post("/peers", {"id": "ann", "metadata": {"a": 1}, "configuration": {"observe_me": False}})
    assert made.status_code == 201
    assert set(made.json()) == {"id", "workspace_id", "created_at", "metadata", "configuration"}
    assert made.json()["workspace_id"] == "w1"
    assert made.json()["metadata"] == {"a": 1}
    again = await w.post("/peers", {"name": "ann"})
    assert (again.status_code, again.json()) == (200, made.json())
    changed = (await w.post("/peers", {"id": "ann", "configuration": {"mine": 1}})).json()
    assert (changed["metadata"], changed["configuration"]) == ({"a": 1}, {"mine": 1})
    changed = (await w.post("/peers", {"id": "ann", "metadata": {}})).json()
    assert (changed["metadata"], changed["configuration"]) == ({}, {"mine": 1})


async def test_a_peer_of_an_administrator_makes_its_workspace(admin: Caller) -> None:
    assert (await admin.top("POST", "/workspaces/brand-new/peers", {"id": "ann"})).status_code == 201
    assert (await admin.top("POST", "/workspaces", {"id": "brand-new"})).status_code == 200


async def test_peers_are_listed_in_order_of_making(w: Caller) -> None:
    names = [f"p{i}" for i in range(5)]
    for name in names:
        await w.post("/peers", {"id": name})
    made = [peer["id"] for peer in await w.listed("/peers/list") if peer["id"] in names]
    assert made == names
    assert [peer["id"] for peer in await w.listed("/peers/list", reverse=True, size=2)] == ["p4", "p3"]
    assert [peer["id"] for peer in await w.listed("/peers/list", {"id": "p3"})] == ["p3"]
    found = await w.listed("/peers/list", {"id": {"in": ["p4", "p4", "no one", "p0"]}}, reverse=True)
    assert [peer["id"] for peer in found] == ["p4", "p0"]


async def test_an_unknown_workspace_has_no_peers(admin: Caller) -> None:
    admin.root = "/v3/workspaces/never"
    assert await admin.listed("/peers/list") == []
    assert await admin.listed("/peers/list", {"id": "ann"}) == []


async def test_a_peers_token_gets_itself_and_no_other(caller: MakeCaller) -> None:
    ann = await caller("w1", "ann")
    assert (await ann.post("/peers", {"id": "ann", "metadata": {"a": 1}})).json()["metadata"] == {"a": 1}
    text_of(await ann.post("/peers", {"id": "bob"}), 401)
    text_of(await ann.post("/peers/list"), 401)


async def test_a_sessions_token_makes_peers_and_changes_none(caller: MakeCaller, w: Caller) -> None:
    token = await caller("w1", None, "session", session_id="s")
    made = await token.post("/peers", {"id": "new", "metadata": {"a": 1}, "configuration": {"b": 2}})
    assert (made.status_code, made.json()["metadata"], made.json()["configuration"]) == (201, {"a": 1}, {"b": 2})
    await w.post("/peers", {"id": "ann", "metadata": {"mine": 1}})
    same = await token.post("/peers", {"id": "ann", "metadata": {"theirs": 1}, "configuration": {"theirs": 1}})
    assert (same.status_code, same.json()["metadata"], same.json()["configuration"]) == (200, {"mine": 1}, {})
    text_of(await token.post("/peers/list"), 401)


BAD_IDS = [
    ("", "string_too_short", {"min_length": 1}),
    ("x" * 513, "string_too_long", {"max_length": 512}),
    ("not an id", "string_pattern_mismatch", {"pattern": "^[a-zA-Z0-9_-]+$"}),
    ("scope.x", "string_pattern_mismatch", {"pattern": "^[a-zA-Z0-9_-]+$"}),
    ("a\n", "string_pattern_mismatch", {"pattern": "^[a-zA-Z0-9_-]+$"}),
    (5, "string_type", None),
    (None, "string_type", None),
]


@pytest.mark.parametrize(("bad", "kind", "ctx"), BAD_IDS)
async def test_ids_have_an_alphabet_and_a_length(w: Caller, bad: object, kind: str, ctx: dict | None) -> None:
    for path in ("/workspaces", "/workspaces/w1/peers", "/workspaces/w1/sessions"):
        entry = first_fault(await w.top("POST", path, {"id": bad}))
        assert (entry["type"], entry["loc"], entry["input"], entry.get("ctx")) == (kind, ["body", "id"], bad, ctx)


async def test_the_longest_id_is_taken(w: Caller) -> None:
    longest = "x" * 512
    assert (await w.post("/peers", {"id": longest})).json()["id"] == longest
    assert (await w.new_session(longest))["id"] == longest


async def test_metadata_has_limits(w: Caller) -> None:
    hundred = {f"k{i}": i for i in range(100)}
    assert (await w.post("/peers", {"id": "a", "metadata": hundred})).json()["metadata"] == hundred
    five = {"1": {"2": {"3": {"4": {"5": [[["deep"]]]}}}}}
    assert (await w.post("/peers", {"id": "b", "metadata": five})).json()["metadata"] == five
    for bad in ({**hundred, "one": 1}, {"1": {"2": {"3": {"4": {"5": {"6": 1}}}}}}):
        entry = first_fault(await w.post("/peers", {"id": "c", "metadata": bad}))
        assert (entry["type"], entry["loc"], entry["ctx"]) == ("value_error", ["body", "metadata"], {"error": {}})
    for wrong in (5, "x", [1], True):
        entry = first_fault(await w.post("/peers", {"id": "c", "metadata": wrong}))
        assert (entry["type"], entry["loc"], entry["input"]) == ("dict_type", ["body", "metadata"], wrong)
    assert await w.listed("/peers/list", {"id": "c"}) == []


async def test_nul_characters_are_taken_out(w: Caller) -> None:
    given = {"a\x00b": ["x\x00y", {"\x00": "\x00"}], "kept": "\\u0000"}
    made = (await w.post("/peers", {"id": "a", "metadata": given, "configuration": {"k": "\x00v"}})).json()
    assert made["metadata"] == {"ab": ["xy", {"": ""}], "kept": "\\u0000"}
    assert made["configuration"] == {"k": "v"}


async def test_any_json_comes_back(w: Caller) -> None:
    given = {"ключ": "значение 🌍", "n": [1, 2.5, None, True, -0.0, 10**30], "quoted": '"\\\u2028'}
    assert (await w.post("/peers", {"id": "a", "metadata": given})).json()["metadata"] == given
