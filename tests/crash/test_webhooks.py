"""Webhooks over SIGKILL and over several processes: nothing is lost, nothing is noted twice, the order stays."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook as Verifier

from antiphon.core.webhooks import Webhooks
from antiphon.domain.ids import Uid
from antiphon.domain.webhooks import DELIVERED, MESSAGE_APPENDED, WAITING, Webhook, event_id
from antiphon.stores.contract.worlds import until
from antiphon.stores.sqlite.store import SqliteStore
from tests.server_process import ServerProcess
from tests.webhook_receiver import OK, SILENT, Received, Receiver

MESSAGES = 20


class World:
    """The store of a server beside it, a webhook, and a chat to say something in."""

    def __init__(self, store: SqliteStore, tenant_id: Uid, webhook: Webhook, secret: str) -> None:
        self.store = store
        self.tenant_id = tenant_id
        self.webhook = webhook
        self.secret = secret

    async def states(self) -> list[str]:
        found = await self.store.webhooks.deliveries(self.tenant_id, self.webhook.id, None, 1_000)
        return [delivery.state for delivery in found[::-1]]

    async def all_delivered(self) -> bool:
        states = await self.states()
        return len(states) == MESSAGES and set(states) == {DELIVERED}

    async def ids(self) -> list[str]:
        found = await self.store.webhooks.deliveries(self.tenant_id, self.webhook.id, None, 1_000)
        return [event_id(delivery.id) for delivery in found[::-1]]

    def check(self, request: Received) -> Any:
        """What a request tells, after its signature was checked."""
        return Verifier(self.secret).verify(request.body, request.headers)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def begin(server: ServerProcess, receiver: Receiver) -> World:
    """A webhook for the first tenant of a server, made by a process of its own."""
    store = await SqliteStore.open(server.data_dir)
    tenant = await store.tenants.find_by_name("default")
    assert tenant is not None
    secret = (server.data_dir / "webhook_secret").read_text().strip()
    made, shown = await Webhooks(store, None, secret).create(tenant.id, receiver.url(), [MESSAGE_APPENDED])
    return World(store, tenant.id, made, shown)


def say(server: ServerProcess, key: str, *texts: str) -> None:
    """One append a text, in one session."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{server.url}/v3/workspaces/default", headers=headers) as client:
        client.post("/sessions", json={"id": "s"}).raise_for_status()
        for text in texts:
            body = {"messages": [{"content": text, "peer_id": "ann"}]}
            client.post("/sessions/s/messages", json=body).raise_for_status()


async def test_a_kill_between_sending_and_noting_sends_the_same_again(data_dir: Path) -> None:
    private = {"ANTIPHON_WEBHOOK_PRIVATE": "allow"}
    async with Receiver(lambda _: SILENT) as receiver:
        with ServerProcess(data_dir, **private) as server:
            world = await begin(server, receiver)
            key = server.key("user")
            await asyncio.to_thread(say, server, key, *(f"SECRET {n}" for n in range(MESSAGES)))
            (first,) = await receiver.wait_for(1)
            server.kill()
        assert await world.states() == [WAITING] * MESSAGES
        await world.store.webhooks.release(await holder_of(world))  # nobody waits for its lease
        receiver.answer = lambda _: OK
        with ServerProcess(data_dir, **private):
            await until(world.all_delivered, "all are delivered")
        ids = await world.ids()
        assert [request.headers["webhook-id"] for request in receiver.received] == [ids[0], *ids]
        assert first.body == receiver.received[1].body
        seqs = [world.check(request)["data"]["messages"][0]["seq"] for request in receiver.received[1:]]
        assert seqs == list(range(1, MESSAGES + 1))
        assert "SECRET" not in json.dumps([request.body.decode() for request in receiver.received])
    await world.store.close()


async def holder_of(world: World) -> Uid:
    """The process that holds the webhook."""
    connection = world.store._file._writer._connection
    ((node,),) = connection.execute("SELECT lease_node FROM webhooks").fetchall()
    assert isinstance(node, bytes)
    return node


async def test_two_processes_share_the_work(data_dir: Path) -> None:
    private = {"ANTIPHON_WEBHOOK_PRIVATE": "allow"}
    async with Receiver() as receiver:
        with ServerProcess(data_dir, **private) as one, ServerProcess(data_dir, **private) as two:
            world, key = await begin(one, receiver), one.key("user")
            half = MESSAGES // 2
            await asyncio.to_thread(say, one, key, *map(str, range(half)))
            await asyncio.to_thread(say, two, key, *map(str, range(half)))
            await until(world.all_delivered, "all are delivered")
            seqs = [world.check(request)["data"]["messages"][0]["seq"] for request in receiver.received]
            assert seqs == list(range(1, MESSAGES + 1)), "once each, in order"
    await world.store.close()


async def test_the_default_refuses_this_machine_and_says_so(data_dir: Path) -> None:
    async with Receiver() as receiver:
        with ServerProcess(data_dir) as server:
            world = await begin(server, receiver)
            await asyncio.to_thread(say, server, server.key("user"), "SECRET")

            async def was_refused() -> bool:
                found = await world.store.webhooks.deliveries(world.tenant_id, world.webhook.id, None, 1)
                return bool(found) and found[0].last_error == "private_address"

            await until(was_refused, "it was refused")
            assert receiver.received == []
            server.await_log("private_address")
            assert "SECRET" not in server.log
            assert (data_dir / "webhook_secret").stat().st_mode & 0o777 == 0o600
    await world.store.close()
