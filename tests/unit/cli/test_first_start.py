"""The first start's tenant and keys: once, by whoever comes first, and only where there is nothing yet."""

from __future__ import annotations

import asyncio

from antiphon.cli.first_start import make_first_tenant, welcome
from antiphon.core.instance import Instance
from antiphon.core.ports import Slice


async def names(instance: Instance) -> list[str]:
    tenants, _ = await instance.tenants.list(Slice(0, 10))
    return [tenant.name for tenant in tenants]


async def test_of_several_that_find_nothing_one_makes_it(instance: Instance) -> None:
    made = await asyncio.gather(*(make_first_tenant(instance) for _ in range(5)))
    keys = [found for found in made if found is not None]
    assert len(keys) == 1
    assert await names(instance) == ["default"]
    user = await instance.keys.authenticate(keys[0].user)
    assert (user.tenant_name, user.participant_name, user.scope) == ("default", "user", "tenant")
    guest = await instance.keys.authenticate(keys[0].guest)
    assert (guest.participant_name, guest.scope) == ("guest", "participant")
    assert (await instance.keys.authenticate(keys[0].admin)).scope == "admin"


async def test_where_there_is_a_tenant_nothing_is_made(instance: Instance) -> None:
    await instance.tenants.create("acme")
    assert await make_first_tenant(instance) is None
    assert await names(instance) == ["acme"]


async def test_the_lines_name_the_address(instance: Instance) -> None:
    keys = await make_first_tenant(instance)
    assert keys is not None
    text = welcome("http://[::1]:9000", keys)
    assert text.count("curl -sS http://[::1]:9000/") == 3
    assert "\nws://[::1]:9000/ws/chat?" in text
