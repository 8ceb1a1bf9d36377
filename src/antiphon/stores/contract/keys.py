"""Keys: what is loaded may be used, so nothing that ended, and nothing of anybody else, is ever loaded."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.core.ports import Store
from antiphon.domain import times
from antiphon.domain.errors import KeyNotFound, TenantNotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.keys import SESSION, TENANT, Key, hash_of, new_secret
from antiphon.domain.participants import PEER
from antiphon.stores.contract.worlds import losses, new_tenant, race, until


async def new_key(store: Store, tenant_id: Uid, **more: Any) -> Key:
    """A stored key of the scope `tenant` unless told otherwise."""
    key = Key(
        id=new_uid7(),
        tenant_id=tenant_id,
        participant_id=more.pop("participant_id", None),
        participant_name=more.pop("participant_name", None),
        session_id=more.pop("session_id", None),
        scope=more.pop("scope", TENANT),
        label=more.pop("label", None),
        secret_hash=hash_of(new_secret()),
        created_at=times.now(),
        expires_at=more.pop("expires_at", None),
        revoked_at=None,
    )
    await store.keys.create(key)
    return key


async def loaded(store: Store, tenant_id: Uid, *keys: Key) -> set[Uid]:
    """The ids of those keys that the store gives as usable."""
    return {key.id for key, _ in await store.keys.load(tenant_id, [key.id for key in keys])}


class KeyContract:
    """`core.ports.KeyStore`."""

    async def test_a_key_comes_with_what_it_stands_for(self, store: Store) -> None:
        tenant = await store.tenants.create("acme", "helper")
        who, _ = await store.participants.ensure(tenant.id, PEER, "ann")
        later = times.now() + 3_600 * times.SECOND
        key = await new_key(
            store,
            tenant.id,
            participant_id=who.id,
            participant_name="ann",
            session_id="s/1",
            scope=SESSION,
            label="Å 🦜",
            expires_at=later,
        )
        ((found, principal),) = await store.keys.load(tenant.id, [key.id])
        assert found == key
        assert (principal.tenant_id, principal.tenant_name, principal.agent_name) == (tenant.id, "acme", "helper")
        assert (principal.scope, principal.session_id, principal.key_id) == (SESSION, "s/1", key.id)
        assert (principal.participant_id, principal.participant_name) == (who.id, "ann")

    async def test_a_key_without_participant_stands_for_the_tenant(self, store: Store) -> None:
        tenant = await new_tenant(store)
        key = await new_key(store, tenant)
        ((found, principal),) = await store.keys.load(tenant, [key.id])
        assert found == key
        assert (principal.participant_id, principal.participant_name, principal.session_id) == (None, None, None)

    async def test_many_are_loaded_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        keys = [await new_key(store, tenant) for _ in range(20)]
        assert await loaded(store, tenant, *keys[:12]) == {key.id for key in keys[:12]}
        assert await store.keys.load(tenant, []) == []
        assert await store.keys.load(tenant, [new_uid7()]) == []

    async def test_a_revoked_key_is_not_loaded(self, store: Store) -> None:
        tenant = await new_tenant(store)
        ended, kept = await new_key(store, tenant), await new_key(store, tenant)
        await store.keys.revoke(tenant, ended.id)
        assert await loaded(store, tenant, ended, kept) == {kept.id}
        await store.keys.revoke(tenant, ended.id)
        assert await loaded(store, tenant, ended, kept) == {kept.id}

    async def test_an_expired_key_is_not_loaded(self, store: Store) -> None:
        tenant = await new_tenant(store)
        past = await new_key(store, tenant, expires_at=times.now() - 1)
        future = await new_key(store, tenant, expires_at=times.now() + 3_600 * times.SECOND)
        assert await loaded(store, tenant, past, future) == {future.id}

    async def test_a_key_expires_while_it_is_watched(self, store: Store) -> None:
        tenant = await new_tenant(store)
        key = await new_key(store, tenant, expires_at=times.now() + times.SECOND // 5)
        found = await loaded(store, tenant, key)
        assert found == {key.id} or times.now() >= (key.expires_at or 0), "it had not expired yet"

        async def is_gone() -> bool:
            return await loaded(store, tenant, key) == set()

        await until(is_gone, "the key expired")

    async def test_a_key_is_not_loaded_for_another_tenant(self, store: Store) -> None:
        mine, other = await new_tenant(store), await new_tenant(store)
        key = await new_key(store, mine)
        assert await loaded(store, other, key) == set()

    async def test_only_its_tenant_revokes_a_key(self, store: Store) -> None:
        mine, other = await new_tenant(store), await new_tenant(store)
        key = await new_key(store, mine)
        for tenant, key_id in ((other, key.id), (mine, new_uid7())):
            with pytest.raises(KeyNotFound):
                await store.keys.revoke(tenant, key_id)
        assert await loaded(store, mine, key) == {key.id}

    async def test_revoking_at_once_is_no_error(self, store: Store) -> None:
        tenant = await new_tenant(store)
        key = await new_key(store, tenant)
        assert losses(await race(*(store.keys.revoke(tenant, key.id) for _ in range(20)))) == []
        assert await store.keys.list(tenant) == []

    async def test_the_list_has_all_that_are_not_revoked_oldest_first(self, store: Store) -> None:
        tenant = await new_tenant(store)
        keys = [
            await new_key(store, tenant, label=f"k{i}", expires_at=times.now() - 1 if i else None) for i in range(5)
        ]
        await new_key(store, await new_tenant(store))
        await store.keys.revoke(tenant, keys[2].id)
        assert await store.keys.list(tenant) == [*keys[:2], *keys[3:]]

    async def test_a_tenant_that_is_not_there_gets_no_key(self, store: Store) -> None:
        with pytest.raises(TenantNotFound):
            await new_key(store, new_uid7())
