"""What webhooks of this wire are told, in its form and words."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Mapping

import pytest

from antiphon.core.instance import Instance
from antiphon.core.webhooks import Webhooks
from antiphon.domain.webhooks import Outcome
from tests.wire.honcho.caller import Caller

SECRET = "a secret of the instance"
FORM = {"type", "data", "timestamp"}


class Ear:
    """A sender that keeps what it is told to send."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[Mapping[str, str], bytes]] = asyncio.Queue()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        await self.heard.put((headers, body))
        return Outcome(status=204)

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
async def ear(instance: Instance) -> AsyncIterator[Ear]:
    """What all webhooks of this store are told; `instance.webhooks` sends, and is told the secret."""
    ear = Ear()
    instance.webhooks = Webhooks(instance.store, ear, SECRET)
    task = asyncio.create_task(instance.webhooks.run())
    yield ear
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def hear(ear: Ear) -> dict[str, object]:
    """The next event, whose form and signature are right."""
    async with asyncio.timeout(20):
        headers, body = await ear.heard.get()
    assert headers["x-honcho-signature"] == hmac.digest(SECRET.encode(), body, "sha256").hex()
    event = json.loads(body)
    assert set(event) == FORM
    assert body.decode() == json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {"type": event["type"], **event["data"]}


def empty(session: str | None, observed: str | None) -> dict[str, object]:
    more = {"session_id": session, "observer": None, "observed": observed}
    return {"type": "queue.empty", "workspace_id": "w1", "queue_type": "representation", **more}


async def test_an_empty_queue_is_told_by_its_session_and_author(w: Caller, ear: Ear) -> None:
    await w.post("/webhooks", {"url": "https://example.org/hook"})
    quiet = {"content": "x", "peer_id": "ann", "configuration": {"reasoning": {"enabled": False}}}
    await w.say("s", "hello", "again")
    await w.say("s", quiet)
    await w.say("s", quiet, {"content": "y", "peer_id": "bob"})
    await w.say("s", {"content": "y", "peer_id": "bob"}, {"content": "y", "peer_id": "ann"})
    await w.post("/sessions/s/clone")
    await w.get("/webhooks/test")
    told = [await hear(ear) for _ in range(5)]
    assert told == [
        empty("s", "ann"),
        empty("s", "bob"),
        empty("s", "bob"),
        empty("s", "ann"),
        {"type": "test.event", "workspace_id": "w1"},
    ]
    assert (await w.get("/queue/status")).json()["completed_work_units"] == 5


async def test_a_session_without_reasoning_has_no_queue(w: Caller, ear: Ear) -> None:
    await w.post("/webhooks", {"url": "https://example.org/hook"})
    await w.new_session("off", configuration={"reasoning": {"enabled": False}})
    await w.say("off", "hello")
    await w.say("on", "hello")
    await w.say("off", {"content": "x", "peer_id": "bob", "configuration": {"reasoning": {"enabled": True}}})
    assert [await hear(ear) for _ in range(2)] == [empty("on", "ann"), empty("off", "bob")]


async def test_a_session_that_is_gone_is_named_no_more(w: Caller, instance: Instance) -> None:
    ear = Ear()
    instance.webhooks = Webhooks(instance.store, ear, SECRET)
    await w.post("/webhooks", {"url": "https://example.org/hook"})
    await w.say("secret-name", "hello", peer="secret-peer")
    tenant = await instance.tenants.get("w1")
    (webhook,) = await instance.webhooks.list(tenant.id)
    (delivery,) = await instance.webhooks.deliveries(tenant.id, webhook.id, None, 10)
    assert "secret" not in delivery.body
    assert (await w.delete("/sessions/secret-name")).status_code == 202
    task = asyncio.create_task(instance.webhooks.run())
    assert await hear(ear) == empty(None, None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
