"""Workspaces: get or make, update, list, delete."""

from __future__ import annotations

import pytest

from antiphon.core.instance import Instance
from antiphon.domain.ids import text_of as text_of_uid
from tests.wire.honcho.caller import Caller, first_fault, items_of, text_of
from tests.wire.honcho.conftest import MakeCaller


async def test_an_administrator_makes_a_workspace_once(admin: Caller) -> None:
    body = {"id": "new", "metadata": {"a": 1}, "configuration": {"dream": {"enabled": False}, "mine": [1]}}
    made = await admin.top("POST", "/workspaces", body)
    assert made.status_code == 201
    created_at = made.json().pop("created_at")
    assert created_at.endswith("Z")
    assert made.json() == {**body, "created_at": created_at}
    again = await admin.top("POST", "/workspaces", {"id": "new", "metadata": {"b": 2}, "configuration": {"c": 3}})
    assert (again.status_code, again.json()) == (200, made.json())


async def test_name_is_taken_for_id(admin: Caller) -> None:
    assert (await admin.top("POST", "/workspaces", {"name": "new"})).json()["id"] == "new"


async def test_anybody_gets_its_own_workspace_and_no_other(caller: MakeCaller, w: Caller) -> None:
    own = await w.top("POST", "/workspaces", {"id": "w1", "metadata": {"a": 1}})
    assert (own.status_code, own.json()["metadata"]) == (200, {})
    for one in (w, await caller("w1", "ann"), await caller("w1", None, "session", session_id="s")):
        assert (await one.top("POST", "/workspaces", {"id": "w1"})).status_code == 200
        text_of(await one.top("POST", "/workspaces", {"id": "other"}), 401)
        text_of(await one.top("POST", "/workspaces/list"), 401)


async def test_update_replaces_metadata_and_merges_configuration(w: Caller) -> None:
    first = {"metadata": {"a": 1, "b": 2}, "configuration": {"one": {"x": 1, "y": 2}, "two": 2}}
    assert (await w.put("", first)).status_code == 200
    changed = (await w.put("", {"metadata": {"c": 3}, "configuration": {"one": {"x": 9}}})).json()
    assert changed["metadata"] == {"c": 3}
    assert changed["configuration"] == {"one": {"x": 9}, "two": 2}
    for nothing in ({}, {"metadata": None, "configuration": None}, {"unknown": 1}):
        assert (await w.put("", nothing)).json() == changed
    assert (await w.top("POST", "/workspaces", {"id": "w1"})).json() == changed


async def test_update_by_an_administrator_makes_the_workspace(admin: Caller, caller: MakeCaller) -> None:
    made = await admin.top("PUT", "/workspaces/new", {"metadata": {"a": 1}})
    assert (made.status_code, made.json()["metadata"]) == (200, {"a": 1})
    text_of(await admin.top("PUT", "/workspaces/no%20name", {}), 422)
    text_of(await (await caller("w1", "ann")).put("", {}), 401)
    text_of(await (await caller("w1", None, "session", session_id="s")).put("", {}), 401)


async def test_workspaces_are_listed_in_order_of_making(admin: Caller) -> None:
    before = [one["id"] for one in items_of(await admin.top("POST", "/workspaces/list"))]
    made = [f"new{i}" for i in range(5)]
    for name in made:
        await admin.top("POST", "/workspaces", {"id": name})
    assert [one["id"] for one in items_of(await admin.top("POST", "/workspaces/list"))] == [*before, *made]
    newest = items_of(await admin.top("POST", "/workspaces/list", size=2, page=2, reverse="yes"))
    assert [one["id"] for one in newest] == ["new2", "new1"]
    some = await admin.top("POST", "/workspaces/list", {"filters": {"id": {"in": ["new3", "never", "new1"]}}})
    assert [one["id"] for one in items_of(some)] == ["new1", "new3"]


async def test_a_workspace_is_not_found_under_its_uuid(admin: Caller, instance: Instance) -> None:
    uuid = text_of_uid((await instance.tenants.create("w1")).id)
    assert (await admin.top("POST", "/workspaces", {"id": "w1"})).status_code == 200
    assert items_of(await admin.top("POST", "/workspaces/list", {"filters": {"id": uuid}})) == []
    text_of(await admin.top("DELETE", f"/workspaces/{uuid}"), 404)


async def test_a_workspace_with_sessions_is_not_deleted(w: Caller) -> None:
    await w.say("s", "hello")
    said = text_of(await w.delete(), 409).lower()
    assert "active session" in said
    assert "delete all sessions first" in said
    assert await w.texts("s") == ["hello"]


async def test_a_workspace_without_sessions_is_deleted(admin: Caller, instance: Instance) -> None:
    await admin.top("POST", "/workspaces", {"id": "w1", "metadata": {"a": 1}})
    await admin.post("/peers", {"id": "ann"})
    await admin.new_session("s")
    await admin.delete("/sessions/s")
    gone = await admin.delete()
    assert (gone.status_code, list(gone.json())) == (202, ["message"])
    assert await instance.tenants.find_by_name("w1") is None
    assert "not found" in text_of(await admin.delete(), 404).lower()
    assert items_of(await admin.top("POST", "/workspaces/list", {"filters": {"id": "w1"}})) == []
    assert await admin.listed("/peers/list") == []
    again = await admin.top("POST", "/workspaces", {"id": "w1"})
    assert (again.status_code, again.json()["metadata"]) == (201, {})
    assert "ann" not in {peer["id"] for peer in await admin.listed("/peers/list")}


async def test_the_keys_of_a_deleted_workspace_end(w: Caller) -> None:
    assert (await w.delete()).status_code == 202
    assert (await w.post("/peers", {"id": "ann"})).status_code in {401, 404}
    assert (await w.top("POST", "/workspaces", {"id": "w1"})).status_code in {401, 404}


async def test_only_those_with_the_whole_workspace_delete_it(caller: MakeCaller) -> None:
    for one in (await caller("w1", "ann"), await caller("w1", None, "session", session_id="s")):
        text_of(await one.delete(), 401)


SUMMARY_FAULTS = [
    ({"messages_per_short_summary": 9}, "greater_than_equal", {"ge": 10}),
    ({"messages_per_long_summary": 19}, "greater_than_equal", {"ge": 20}),
    ({"messages_per_short_summary": 30, "messages_per_long_summary": 30}, "value_error", {"error": {}}),
    ({"messages_per_short_summary": "many"}, "int_parsing", None),
]


@pytest.mark.parametrize(("summary", "kind", "ctx"), SUMMARY_FAULTS)
async def test_summary_settings_have_limits(w: Caller, summary: dict, kind: str, ctx: dict | None) -> None:
    for method, path, body in (("PUT", "", {}), ("POST", "/sessions", {"id": "s"})):
        entry = first_fault(await w.call(method, path, {**body, "configuration": {"summary": summary}}))
        assert entry["type"] == kind
        assert entry["loc"][:3] == ["body", "configuration", "summary"]
        assert entry.get("ctx") == ctx
    assert await w.listed("/sessions/list") == []


async def test_configuration_keeps_what_it_does_not_know_at_the_top_only(w: Caller) -> None:
    given = {
        "reasoning": {"enabled": True, "custom_instructions": None, "unknown": 1},
        "peer_card": None,
        "summary": {"messages_per_short_summary": 10, "messages_per_long_summary": 20},
        "mine": {"deep": [1, None]},
    }
    kept = (await w.put("", {"configuration": given})).json()["configuration"]
    assert kept == {
        "reasoning": {"enabled": True},
        "summary": {"messages_per_short_summary": 10, "messages_per_long_summary": 20},
        "mine": {"deep": [1, None]},
    }


async def test_instructions_are_limited_in_tokens(w: Caller) -> None:
    fits, more = " ".join(["word"] * 2000), " ".join(["word"] * 2001)
    good = await w.put("", {"configuration": {"reasoning": {"custom_instructions": fits}}})
    assert good.status_code == 200
    entry = first_fault(await w.put("", {"configuration": {"reasoning": {"custom_instructions": more}}}))
    assert entry["type"] == "value_error"
    assert entry["loc"] == ["body", "configuration", "reasoning", "custom_instructions"]
