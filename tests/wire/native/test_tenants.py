"""Tenants over HTTP: made, listed and set by administrators only."""

from __future__ import annotations

import uuid

from antiphon.core.instance import Instance
from antiphon.domain.tenants import read_settings
from tests.wire.native.caller import Caller, good, problem
from tests.wire.native.conftest import MakeCaller, Pages

DEFAULTS = {
    "undo_window": 0,
    "system_prompt": None,
    "model": None,
    "rate_limit": None,
    "agent_name": "assistant",
}


async def test_a_tenant_is_made_with_settings_and_looked_at(caller: MakeCaller, instance: Instance) -> None:
    admin = await caller(scope="admin")
    answer = await admin.ask("POST", "/tenants", json={"name": "acme", "settings": {"undo_window": 9, "model": "m"}})
    made = good(answer, 201)
    assert made["settings"] == {**DEFAULTS, "undo_window": 9, "model": "m"}
    assert made["name"] == "acme"
    assert answer.headers["location"] == f"/antiphon/v1/tenants/{made['id']}"
    assert str(uuid.UUID(made["id"])) == made["id"]
    assert good(await admin.ask("GET", "/tenants/acme")) == made
    assert good(await admin.ask("GET", f"/tenants/{made['id']}")) == made
    stored = await instance.tenants.get("acme")
    assert read_settings(stored).undo_window == 9


async def test_the_agent_of_a_new_tenant_has_the_name_that_was_set(caller: MakeCaller, instance: Instance) -> None:
    admin = await caller(scope="admin")
    made = good(await admin.ask("POST", "/tenants", json={"name": "acme", "settings": {"agent_name": "hal"}}), 201)
    assert made["settings"]["agent_name"] == "hal"
    assert (await instance.tenants.get("acme")).agent_name == "hal"


async def test_settings_are_changed_one_by_one(caller: MakeCaller) -> None:
    admin = await caller(scope="admin")
    await admin.ask("POST", "/tenants", json={"name": "acme", "settings": {"undo_window": 9}})
    changed = good(await admin.ask("PATCH", "/tenants/acme", json={"settings": {"rate_limit": 7}}))
    assert changed["settings"] == {**DEFAULTS, "undo_window": 9, "rate_limit": 7}
    assert good(await admin.ask("GET", "/tenants/acme")) == changed
    removed = good(await admin.ask("PATCH", "/tenants/acme", json={"settings": {"undo_window": None}}))
    assert removed["settings"] == {**DEFAULTS, "rate_limit": 7}


async def test_a_change_holds_only_for_what_was_seen(caller: MakeCaller) -> None:
    admin = await caller(scope="admin")
    tag = (await admin.ask("POST", "/tenants", json={"name": "acme"})).headers["etag"]
    assert (await admin.ask("GET", "/tenants/acme")).headers["etag"] == tag
    change = {"json": {"settings": {"rate_limit": 7}}, "headers": {"if-match": tag}}
    good(await admin.ask("PATCH", "/tenants/acme", **change))
    problem(await admin.ask("PATCH", "/tenants/acme", **change), 412, "changed")


async def test_what_is_refused(caller: MakeCaller) -> None:
    admin = await caller(scope="admin")
    good(await admin.ask("POST", "/tenants", json={"name": "acme"}), 201)
    problem(await admin.ask("POST", "/tenants", json={"name": "acme"}), 409, "name_taken")
    refused = problem(await admin.ask("POST", "/tenants", json={"name": "a b"}), 400, "invalid_input")
    assert [error["field"] for error in refused["errors"]] == ["name"]
    refused = problem(await admin.ask("POST", "/tenants", json={}), 400, "invalid_input")
    assert refused["errors"] == [{"field": "name", "message": "name is missing"}]
    asked = {"name": "other", "settings": {"colour": "red"}}
    refused = problem(await admin.ask("POST", "/tenants", json=asked), 400, "unknown_field")
    assert [error["field"] for error in refused["errors"]] == ["settings.colour"]
    asked = {"settings": {"model": "m", "colour": None}}
    problem(await admin.ask("PATCH", "/tenants/acme", json=asked), 400, "unknown_field")
    assert good(await admin.ask("GET", "/tenants/acme"))["settings"]["model"] is None
    problem(await admin.ask("GET", "/tenants/other"), 404, "not_found")
    problem(await admin.ask("PATCH", "/tenants/acme", json={"name": "x"}), 400, "unknown_field")


async def test_tenants_come_in_pages(caller: MakeCaller, pages: Pages) -> None:
    admin = await caller(scope="admin")
    for name in ("a", "b", "c"):
        good(await admin.ask("POST", "/tenants", json={"name": name}), 201)
    assert [tenant["name"] for tenant in await pages(admin, "/tenants?limit=2")] == ["t1", "a", "b", "c"]


async def test_only_administrators_see_tenants(caller: MakeCaller, ours: Caller) -> None:
    others = [ours, await caller("t1", "ann"), await caller("t1", None, "session", session_id="s")]
    for key in others:
        for name in ("t1", "never"):
            problem(await key.ask("GET", f"/tenants/{name}"), 403, "access_denied")
            problem(await key.ask("PATCH", f"/tenants/{name}", json={"settings": {}}), 403, "access_denied")
        problem(await key.ask("GET", "/tenants"), 403, "access_denied")
        problem(await key.ask("POST", "/tenants", json={"name": "mine"}), 403, "access_denied")
