"""What a tenant has set for itself: checked, merged, removed, and soon seen by everybody."""

from __future__ import annotations

import pytest

from antiphon.core.instance import Instance
from antiphon.core.tenants import Tenants
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.domain.tenants import TenantSettings, read_settings
from antiphon.stores.sqlite.store import SqliteStore

ALL = {"undo_window": 60, "system_prompt": "Be brief.", "model": "m-1", "rate_limit": 5, "agent_name": "robin"}


async def test_settings_are_merged_and_null_removes(instance: Instance) -> None:
    tenant = await instance.tenants.create("t1")
    assert read_settings(tenant) == TenantSettings()
    assert read_settings(await instance.tenants.set(tenant, ALL)) == TenantSettings(**ALL)  # type: ignore[arg-type]
    changed = await instance.tenants.set(tenant, {"model": None, "rate_limit": 0})
    assert read_settings(changed) == TenantSettings(60, "Be brief.", None, 0, "robin")
    gone = await instance.tenants.set(tenant, dict.fromkeys(ALL))
    assert read_settings(gone) == TenantSettings()
    assert await instance.tenants.get("t1") == gone


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unknown", 1),
        ("unknown", None),
        ("rate_limit", -1),
        ("rate_limit", limits.RATE_LIMIT_REQUESTS + 1),
        ("rate_limit", 1.5),
        ("rate_limit", True),
        ("rate_limit", "5"),
        ("model", ""),
        ("model", " "),
        ("model", 1),
        ("model", "m" * (limits.NAME_CHARACTERS + 1)),
        ("agent_name", "a\x00"),
        ("agent_name", ["a"]),
        ("system_prompt", "p" * (limits.SYSTEM_PROMPT_CHARACTERS + 1)),
        ("system_prompt", "\ud800"),
    ],
)
async def test_what_is_no_setting_changes_nothing(instance: Instance, name: str, value: object) -> None:
    tenant = await instance.tenants.create("t1")
    with pytest.raises(InvalidInput) as refusal:
        await instance.tenants.set(tenant, {"undo_window": 5, name: value})
    assert refusal.value.field == f"settings.{name}"
    assert await instance.tenants.get("t1") == tenant


async def test_a_change_is_seen_by_others_once_what_they_remember_is_a_second_old(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Tenants(store), Tenants(store)
    tenant = await here.create("t1")
    assert (await here.settings(tenant.id), await there.settings(tenant.id)) == (TenantSettings(), TenantSettings())
    await here.set(tenant, {"model": "m-1"})
    assert (await here.settings(tenant.id)).model == "m-1"
    assert (await there.settings(tenant.id)).model is None, "nothing is remembered: every request asks the store"
    assert limits.TENANT_SETTINGS_SECONDS <= 1
    monkeypatch.setattr(limits, "TENANT_SETTINGS_SECONDS", -1)
    assert (await there.settings(tenant.id)).model == "m-1"


async def test_what_is_remembered_has_a_bound(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TENANT_SETTINGS_ENTRIES", 2)
    tenants = Tenants(store)
    for number in range(5):
        made = await tenants.create(f"t{number}")
        await tenants.set(made, {"rate_limit": number})
        assert (await tenants.settings(made.id)).rate_limit == number
    assert len(tenants._settings) <= 2


async def test_a_tenant_that_is_gone_has_the_usual_settings(store: SqliteStore) -> None:
    assert await Tenants(store).settings(bytes(16)) == TenantSettings()
