"""A session that is made without anybody is the agent's, who is no peer until somebody names it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.core.instance import Instance
from tests.wire.honcho.caller import Caller, items_of, text_of

MAKING: dict[str, tuple[str, str, Any]] = {
    "a session": ("POST", "/sessions", {"id": "s"}),
    "a session by its path": ("PUT", "/sessions/s", {"metadata": {"a": 1}}),
    "nobody added": ("POST", "/sessions/s/peers", {}),
}
NAMING: dict[str, tuple[str, str, Any]] = {
    "made": ("POST", "/peers", {"id": "assistant"}),
    "changed": ("PUT", "/peers/assistant", {"metadata": {}}),
    "of a new session": ("POST", "/sessions", {"id": "n", "peers": {"assistant": {}}}),
    "of the session": ("POST", "/sessions", {"id": "s", "peers": {"assistant": {}}}),
    "added": ("POST", "/sessions/s/peers", {"assistant": {}}),
    "in place of others": ("PUT", "/sessions/s/peers", {"assistant": {}}),
    "author": ("POST", "/sessions/s/messages", {"messages": [{"content": "hi", "peer_id": "assistant"}]}),
    "author elsewhere": ("POST", "/sessions/n/messages", {"messages": [{"content": "hi", "peer_id": "assistant"}]}),
    "card": ("PUT", "/peers/assistant/card", {"peer_card": ["a"]}),
    "target of a card": ("PUT", "/peers/bob/card?target=assistant", {"peer_card": ["a"]}),
    "asked": ("POST", "/peers/assistant/chat", {"query": "what?"}),
}


async def names(w: Caller) -> list[str]:
    """The peers, as every list has them; the totals fit."""
    plain = await w.post("/peers/list", {})
    filtered = await w.post("/peers/list", {"filters": {"id": {"in": ["assistant", "ann", "bob"]}}})
    whole = await w.post("/peers/list", {"kind": "all"})
    found = [[peer["id"] for peer in items_of(answer)] for answer in (plain, filtered, whole)]
    assert [answer.json()["total"] for answer in (plain, filtered, whole)] == [len(each) for each in found]
    assert found[0] == found[1] == found[2]
    return found[0]


@pytest.mark.parametrize("way", MAKING)
async def test_a_session_without_anybody_makes_no_peer(w: Caller, way: str) -> None:
    assert (await w.call(*MAKING[way])).is_success
    assert await names(w) == []
    assert items_of(await w.get("/sessions/s/peers")) == []
    assert [(await w.post("/peers", {"id": "assistant"})).status_code for _ in range(2)] == [201, 200]
    assert await names(w) == ["assistant"]


@pytest.mark.parametrize("way", NAMING)
async def test_who_is_named_is_a_peer(w: Caller, way: str) -> None:
    await w.post("/sessions", {"id": "s"})
    assert (await w.call(*NAMING[way])).is_success
    assert "assistant" in await names(w)
    assert (await w.post("/peers", {"id": "assistant"})).status_code == 200


async def test_before_that_it_is_as_unknown_as_any_other(w: Caller) -> None:
    await w.post("/sessions", {"id": "s"})
    for name in ("assistant", "nobody"):
        text_of(await w.get(f"/peers/{name}/context"), 404)
        text_of(await w.put(f"/sessions/s/peers/{name}/config", {"observe_me": True}), 404)
        conclusion = {"content": "x", "observer_id": name, "observed_id": name}
        text_of(await w.post("/conclusions", {"conclusions": [conclusion]}), 404)
        assert items_of(await w.post(f"/peers/{name}/sessions", {})) == []
    assert await names(w) == []


async def test_of_twenty_who_make_it_at_once_one_is_told(w: Caller) -> None:
    await w.post("/sessions", {"id": "s"})
    answers = await asyncio.gather(*(w.post("/peers", {"id": "assistant"}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert await names(w) == ["assistant"]


async def test_it_is_the_owner_all_the_while(w: Caller, instance: Instance) -> None:
    await w.post("/sessions", {"id": "s"})
    tenant = await instance.tenants.get("w1")
    session = await instance.sessions.get(tenant.id, "s")
    owner = await instance.participants.find_owner(tenant.id, "assistant")
    assert owner is not None
    assert (owner.id, owner.is_implied) == (session.owner_id, True)
    await w.post("/peers", {"id": "assistant"})
    named = await instance.participants.find(tenant.id, "assistant")
    assert named is not None
    assert (named.id, named.is_implied) == (owner.id, False)
