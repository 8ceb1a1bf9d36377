"""Live sockets of a process: kept by renewal, told once when they are lost, never kept alive by mistake."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.core.connections import Connections
from antiphon.domain.chats import Chat
from antiphon.domain.errors import (
    AntiphonError,
    ChatHasActiveConnections,
    ChatNotFound,
    ConnectionLimitExceeded,
    ConnectionNotFound,
    StoreUnavailable,
)
from antiphon.domain.ids import Uid
from antiphon.stores.contract.worlds import detach, draft, new_chats, new_tenant, until


class Lost:
    """Collects what a socket is told."""

    def __init__(self) -> None:
        self.told: list[type[AntiphonError]] = []

    def __call__(self, error: AntiphonError) -> None:
        self.told.append(type(error))


@pytest.fixture
def connections(watched: Any) -> Connections:
    return Connections(watched, sockets_max=5, lease_seconds=60, renew_seconds=0.005)


async def new_place(watched: Any) -> tuple[Uid, list[Chat]]:
    """A tenant and three chats."""
    tenant = await new_tenant(watched)
    return tenant, (await new_chats(watched, tenant, 3))[1]


async def test_a_renewed_socket_is_told_nothing(connections: Connections, watched: Any) -> None:
    tenant, chats = await new_place(watched)
    lost = Lost()
    opened = [await connections.open(tenant, chats[0].key, "ann", lost) for _ in range(3)]
    assert connections.count == 3
    for _ in range(3):
        await connections.renew()
    assert watched.count("connections.renew") == 3, "one statement a tenant"
    assert (lost.told, connections.count) == ([], 3)
    for connection in opened:
        await connections.close(connection)
    assert connections.count == 0
    await connections.renew()
    assert watched.count("connections.renew") == 3, "a tenant without sockets is not asked for"
    await detach(watched, tenant, chats[0])


async def test_a_socket_whose_lease_is_lost_is_told_once(connections: Connections, watched: Any) -> None:
    tenant, chats = await new_place(watched)
    lost, kept = Lost(), Lost()
    connection = await connections.open(tenant, chats[0].key, "ann", lost)
    await connections.open(tenant, chats[0].key, "ben", kept)
    await watched.connections.close(tenant, connection.id)
    for _ in range(2):
        await connections.renew()
    assert (lost.told, kept.told, connections.count) == ([ConnectionNotFound], [], 1)


async def test_a_lease_that_ran_out_is_lost(watched: Any) -> None:
    connections = Connections(watched, sockets_max=5, lease_seconds=0.02)
    tenant, chats = await new_place(watched)
    lost = Lost()
    connection = await connections.open(tenant, chats[0].key, "ann", lost)

    async def is_over() -> bool:
        try:
            await watched.messages.append(tenant, chats[0].key, [draft("a")], connection.id)
        except ConnectionNotFound:
            return True
        return False

    await until(is_over, "the lease ran out")
    await connections.renew()
    assert (lost.told, connections.count) == ([ConnectionNotFound], 0)


async def test_a_chat_deleted_by_another_process_is_told_at_renewal(connections: Connections, watched: Any) -> None:
    tenant, chats = await new_place(watched)
    lost, kept = Lost(), Lost()
    await connections.open(tenant, chats[0].key, "ann", lost)
    await connections.open(tenant, chats[1].key, "ann", kept)
    await detach(watched, tenant, chats[0], "cancel")
    assert lost.told == []
    for _ in range(2):
        await connections.renew()
    assert (lost.told, kept.told, connections.count) == ([ChatNotFound], [], 1)


async def test_a_chat_deleted_here_is_told_at_once(connections: Connections, watched: Any) -> None:
    tenant, chats = await new_place(watched)
    lost = [Lost(), Lost(), Lost()]
    for chat, one in zip(chats, lost, strict=True):
        await connections.open(tenant, chat.key, "ann", one)
    connections.lose_chats(await new_tenant(watched), (chats[0].key,))
    assert connections.count == 3
    for _ in range(2):
        connections.lose_chats(tenant, (chats[0].key, chats[2].key))
    assert [one.told for one in lost] == [[ChatNotFound], [], [ChatNotFound]]
    assert connections.count == 1


async def test_nobody_is_told_after_closing(connections: Connections, watched: Any) -> None:
    tenant, chats = await new_place(watched)
    lost = Lost()
    connection = await connections.open(tenant, chats[0].key, "ann", lost)
    await connections.close(connection)
    connections.lose_chats(tenant, (chats[0].key,))
    await connections.renew()
    await connections.close(connection)
    assert (lost.told, connections.count) == ([], 0)


async def test_what_is_refused_is_not_counted(connections: Connections, watched: Any) -> None:
    tenant, chats = await new_place(watched)
    for _ in range(5):
        await connections.open(tenant, chats[0].key, "ann", Lost())
    with pytest.raises(ConnectionLimitExceeded):
        await connections.open(tenant, chats[0].key, "ann", Lost())
    await connections.close_all()
    await detach(watched, tenant, chats[0])
    with pytest.raises(ChatNotFound):
        await connections.open(tenant, chats[0].key, "ann", Lost())
    assert connections.count == 0


async def test_a_tenant_that_cannot_be_renewed_stops_no_other(connections: Connections, watched: Any) -> None:
    places = [await new_place(watched) for _ in range(3)]
    lost = Lost()
    for tenant, chats in places:
        await connections.open(tenant, chats[0].key, "ann", lost)
    renewed: list[Uid] = []

    async def refuse_the_first(tenant_id: Uid, *_: object) -> None:
        if tenant_id == places[0][0]:
            raise StoreUnavailable
        renewed.append(tenant_id)

    watched.before["connections.renew"] = refuse_the_first
    with pytest.raises(StoreUnavailable):
        await connections.renew()
    assert renewed == [places[1][0], places[2][0]]
    assert (lost.told, connections.count) == ([], 3)


async def test_renewing_outlives_a_store_that_is_away(connections: Connections, watched: Any) -> None:
    tenant, chats = await new_place(watched)
    lost = Lost()
    await connections.open(tenant, chats[0].key, "ann", lost)
    watched.fail("connections.renew", StoreUnavailable(), times=3)
    task = asyncio.create_task(connections.keep_renewing())

    async def is_renewed() -> bool:
        return bool(watched.count("connections.renew") >= 6)

    await until(is_renewed, "the leases were renewed again")
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (lost.told, connections.count) == ([], 1)


async def test_a_socket_that_could_not_be_closed_is_not_kept_alive(connections: Connections, watched: Any) -> None:
    tenant, chats = await new_place(watched)
    stays = Lost()
    await connections.open(tenant, chats[1].key, "ann", stays)
    connection = await connections.open(tenant, chats[0].key, "ann", Lost())
    watched.fail("connections.close", StoreUnavailable(), times=2)
    await connections.close(connection)
    await connections.renew()
    with pytest.raises(ChatHasActiveConnections):
        await detach(watched, tenant, chats[0])
    await connections.renew()
    await detach(watched, tenant, chats[0])
    assert (stays.told, connections.count) == ([], 1)


async def test_who_does_not_wait_for_the_opening_leaves_nothing(connections: Connections, watched: Any) -> None:
    tenant, chats = await new_place(watched)
    opened, go_on = asyncio.Event(), asyncio.Event()

    async def hold(*_: object) -> None:
        opened.set()
        await go_on.wait()

    watched.after["connections.open"] = hold
    task = asyncio.create_task(connections.open(tenant, chats[0].key, "ann", Lost()))
    await opened.wait()
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    go_on.set()

    async def is_closed() -> bool:
        return bool(watched.count("connections.close"))

    await until(is_closed, "it was closed")
    await connections.renew()
    assert connections.count == 0

    async def is_free() -> bool:
        try:
            await detach(watched, tenant, chats[0])
        except ChatHasActiveConnections:
            return False
        return True

    await until(is_free, "the chat was free")


async def test_the_orderly_end_frees_everything(connections: Connections, watched: Any) -> None:
    places = [await new_place(watched) for _ in range(2)]
    lost = Lost()
    for tenant, chats in places:
        await connections.open(tenant, chats[0].key, "ann", lost)
    await connections.close_all()
    assert (lost.told, connections.count) == ([], 0)
    for tenant, chats in places:
        await detach(watched, tenant, chats[0])
    watched.fail("connections.close_node", StoreUnavailable())
    await connections.close_all()
