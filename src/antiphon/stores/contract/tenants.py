"""Tenants: names are unique, whoever comes first; configurations merge, also at once."""

from __future__ import annotations

import json

import pytest

from antiphon.core.ports import Store
from antiphon.domain import times
from antiphon.domain.errors import TenantNameTaken, TenantNotFound
from antiphon.domain.ids import new_uid7
from antiphon.domain.participants import PEER
from antiphon.stores.contract.worlds import ALL, ODD_JSON, check_parts, losses, new_tenant, race, wins


class TenantContract:
    """`core.ports.TenantStore`."""

    async def test_a_new_tenant_is_found_by_id_and_by_name(self, store: Store) -> None:
        before = times.now()
        made = await store.tenants.create("acme", "helper", '{"a":1}', '{"b":2}')
        assert (made.name, made.agent_name, made.metadata, made.configuration) == (
            "acme",
            "helper",
            '{"a":1}',
            '{"b":2}',
        )
        assert abs(made.created_at - before) < 60 * times.SECOND
        assert await store.tenants.find(made.id) == made
        assert await store.tenants.find_by_name("acme") == made

    async def test_nobody_is_in_it_before_somebody_speaks(self, store: Store) -> None:
        made = await store.tenants.create("acme", "helper")
        assert await store.participants.list(made.id, PEER, ALL) == ([], 0)

    async def test_unknown_tenants_are_not_found(self, store: Store) -> None:
        await new_tenant(store, "acme")
        assert await store.tenants.find(new_uid7()) is None
        assert await store.tenants.find_by_name("acm") is None
        assert await store.tenants.find_by_name("acme%") is None

    async def test_a_name_is_given_to_one_of_many_at_once(self, store: Store) -> None:
        outcomes = await race(*(store.tenants.create("acme", "assistant") for _ in range(30)))
        assert losses(outcomes) == [TenantNameTaken] * 29
        winner = wins(outcomes)[0]
        assert await store.tenants.list(ALL) == ([winner], 1)
        assert await store.tenants.find_by_name("acme") == winner

    async def test_names_differ_by_case(self, store: Store) -> None:
        small, large = await new_tenant(store, "acme"), await new_tenant(store, "ACME")
        assert small != large
        found = await store.tenants.find_by_name("ACME")
        assert found is not None
        assert found.id == large

    async def test_update_replaces_the_metadata_and_merges_the_configuration(self, store: Store) -> None:
        tenant = await store.tenants.create("acme", "assistant", '{"a":1,"b":2}', '{"x":1,"y":{"deep":1}}')
        changed = await store.tenants.update(tenant.id, '{"c":3}', '{"y":{"other":2},"z":3}')
        assert changed == await store.tenants.find(tenant.id)
        assert changed.metadata == '{"c":3}'
        assert json.loads(changed.configuration) == {"x": 1, "y": {"other": 2}, "z": 3}

    async def test_update_leaves_what_is_not_given(self, store: Store) -> None:
        tenant = await store.tenants.create("acme", "assistant", '{"a":1}', '{"x":1}')
        assert await store.tenants.update(tenant.id, None, None) == tenant
        assert (await store.tenants.update(tenant.id, "{}", None)).configuration == '{"x":1}'
        assert (await store.tenants.update(tenant.id, None, "{}")).configuration == '{"x":1}'
        found = await store.tenants.find(tenant.id)
        assert found is not None
        assert found.metadata == "{}"

    async def test_update_of_an_unknown_tenant_is_refused(self, store: Store) -> None:
        with pytest.raises(TenantNotFound):
            await store.tenants.update(new_uid7(), "{}", "{}")

    async def test_updates_at_once_lose_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        assert losses(await race(*(store.tenants.update(tenant, None, f'{{"k{i}":{i}}}') for i in range(30)))) == []
        found = await store.tenants.find(tenant)
        assert found is not None
        assert json.loads(found.configuration) == {f"k{i}": i for i in range(30)}

    @pytest.mark.parametrize("text", ODD_JSON, ids=lambda text: text[:12])
    async def test_json_comes_back_as_it_was(self, store: Store, text: str) -> None:
        made = await store.tenants.create("acme", "assistant", text, text)
        found = await store.tenants.find(made.id)
        assert found is not None
        assert (found.metadata, found.configuration) == (text, text)

    async def test_the_list_is_in_order_of_making(self, store: Store) -> None:
        made = [await store.tenants.create(f"t{9 - i}", "assistant") for i in range(7)]
        await check_parts(store.tenants.list, made)
