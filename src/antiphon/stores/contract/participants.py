"""Participants: made once, however many ask; one name is as many people as there are kinds and tenants."""

from __future__ import annotations

import json

import pytest

from antiphon.core.ports import Slice, Store
from antiphon.domain import times
from antiphon.domain.errors import TenantNotFound
from antiphon.domain.ids import new_uid7
from antiphon.domain.participants import PEER, SCOPE, Participant
from antiphon.stores.contract.worlds import (
    ODD_JSON,
    ODD_TEXTS,
    check_parts,
    list_of_names,
    losses,
    new_tenant,
    race,
    wins,
)


class ParticipantContract:
    """`core.ports.ParticipantStore`."""

    async def test_a_participant_is_made_when_missing_and_found_after(self, store: Store) -> None:
        tenant = await new_tenant(store)
        before = times.now()
        made, is_new = await store.participants.ensure(tenant, PEER, "ann")
        assert is_new
        assert (made.kind, made.name, made.metadata, made.configuration) == (PEER, "ann", "{}", "{}")
        assert abs(made.created_at - before) < 60 * times.SECOND
        assert await store.participants.ensure(tenant, PEER, "ann") == (made, False)
        assert await store.participants.find(tenant, PEER, "ann") == made
        assert await store.participants.find_by_id(tenant, made.id) == made

    async def test_unknown_participants_are_not_found(self, store: Store) -> None:
        tenant = await new_tenant(store)
        await store.participants.ensure(tenant, PEER, "ann")
        assert await store.participants.find(tenant, PEER, "an_") is None
        assert await store.participants.find(tenant, SCOPE, "ann") is None
        assert await store.participants.find_by_id(tenant, new_uid7()) is None

    async def test_fifty_at_once_make_one(self, store: Store) -> None:
        tenant = await new_tenant(store)
        outcomes = wins(await race(*(store.participants.ensure(tenant, PEER, "ann") for _ in range(50))))
        assert len(outcomes) == 50
        assert [is_new for _, is_new in outcomes].count(True) == 1
        assert len({who.id for who, _ in outcomes}) == 1
        assert await list_of_names(store, tenant) == (["ann"], 1)

    async def test_ensure_and_put_at_once_make_one(self, store: Store) -> None:
        tenant = await new_tenant(store)
        racers = [store.participants.ensure(tenant, PEER, "ann") for _ in range(20)]
        racers += [store.participants.put(tenant, "ann", '{"a":1}', None) for _ in range(20)]
        outcomes = wins(await race(*racers))
        assert [is_new for _, is_new in outcomes].count(True) == 1
        found = await store.participants.find(tenant, PEER, "ann")
        assert found is not None
        assert found.metadata == '{"a":1}'
        assert await list_of_names(store, tenant) == (["ann"], 1)

    async def test_the_kinds_do_not_meet(self, store: Store) -> None:
        tenant = await new_tenant(store)
        peer, _ = await store.participants.ensure(tenant, PEER, "ann")
        scope, is_new = await store.participants.ensure(tenant, SCOPE, "ann")
        assert is_new
        assert peer.id != scope.id
        assert await list_of_names(store, tenant, PEER) == (["ann"], 1)
        assert await list_of_names(store, tenant, SCOPE) == (["ann"], 1)

    async def test_odd_names_are_all_different(self, store: Store) -> None:
        tenant = await new_tenant(store)
        made = {name: (await store.participants.ensure(tenant, PEER, name))[0] for name in ODD_TEXTS}
        assert len({who.id for who in made.values()}) == len(ODD_TEXTS)
        for name, who in made.items():
            assert who.name == name
            assert await store.participants.find(tenant, PEER, name) == who

    async def test_put_replaces_what_is_given(self, store: Store) -> None:
        tenant = await new_tenant(store)
        made, is_new = await store.participants.put(tenant, "ann", '{"a":1}', '{"x":1}')
        assert is_new
        assert (made.kind, made.metadata, made.configuration) == (PEER, '{"a":1}', '{"x":1}')
        changed, is_new = await store.participants.put(tenant, "ann", '{"b":2}', None)
        assert not is_new
        assert (changed.id, changed.metadata, changed.configuration) == (made.id, '{"b":2}', '{"x":1}')
        changed, _ = await store.participants.put(tenant, "ann", None, '{"y":2}')
        assert (changed.metadata, json.loads(changed.configuration)) == ('{"b":2}', {"y": 2})
        assert await store.participants.put(tenant, "ann", None, None) == (changed, False)
        assert await store.participants.find(tenant, PEER, "ann") == changed

    @pytest.mark.parametrize("text", ODD_JSON, ids=lambda text: text[:12])
    async def test_json_comes_back_as_it_was(self, store: Store, text: str) -> None:
        tenant = await new_tenant(store)
        await store.participants.put(tenant, "ann", text, text)
        found = await store.participants.find(tenant, PEER, "ann")
        assert found is not None
        assert (found.metadata, found.configuration) == (text, text)

    async def test_the_list_is_in_order_of_making(self, store: Store) -> None:
        tenant = await new_tenant(store)
        made = [(await store.participants.ensure(tenant, SCOPE, f"n{9 - i}"))[0] for i in range(6)]
        for i in range(3):
            await store.participants.ensure(tenant, PEER, f"n{i}")

        async def read(part: Slice) -> tuple[list[Participant], int]:
            return await store.participants.list(tenant, SCOPE, part)

        await check_parts(read, made)

    async def test_a_tenant_that_is_not_there_gets_no_participant(self, store: Store) -> None:
        nobody = new_uid7()
        outcomes = await race(
            store.participants.ensure(nobody, PEER, "ann"),
            store.participants.put(nobody, "ann", "{}", None),
            store.participants.put(nobody, "ann", None, None),
        )
        assert losses(outcomes) == [TenantNotFound] * 3
        assert await list_of_names(store, nobody) == ([], 0)
