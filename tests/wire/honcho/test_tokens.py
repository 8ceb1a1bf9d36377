"""Keys of this wire: JSON Web Tokens, minted here or elsewhere under the same secret, listed and revoked."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest

from antiphon.api.honcho.routes import Honcho
from antiphon.api.metrics import Metrics
from antiphon.api.server import Server
from antiphon.core.instance import Instance
from tests.wire.honcho.caller import Caller, first_fault, text_of
from tests.wire.honcho.conftest import MakeCaller

SECRET = "a secret for the tests of tokens, long enough for every algorithm there is"


@pytest.fixture
def server(instance: Instance) -> Server:
    return Server({"/v3": Honcho(instance, SECRET)}, {}, Metrics())


@pytest.fixture
async def bare(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://antiphon.test") as client:
        yield client


def signed(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode(claims, secret, algorithm=algorithm)


async def mint(admin: Caller, **names: str) -> str:
    answer = await admin.top("POST", "/keys", **names)
    assert answer.status_code == 200, answer.text
    key: str = answer.json()["key"]
    return key


async def test_a_minted_key_reaches_as_far_as_it_says(w: Caller, admin: Caller) -> None:
    await w.new_session("s", peers={"ann": {}})
    whole = Caller(w.http, await mint(admin, workspace_id="w1"), "w1")
    peer = Caller(w.http, await mint(admin, workspace_id="w1", peer_id="ann"), "w1")
    session = Caller(w.http, await mint(admin, workspace_id="w1", session_id="s"), "w1")
    assert [one["id"] for one in await whole.listed("/sessions/list")] == ["s"]
    text_of(await peer.post("/sessions/list"), 401)
    text_of(await session.post("/sessions/list"), 401)
    assert (await peer.post("/sessions/s/messages/list")).status_code == 200
    text_of(await peer.post("/sessions/s/messages", {"messages": [{"content": "x", "peer_id": "ann"}]}), 401)
    await session.say("s", "hello")
    text_of(await session.post("/sessions/t/messages/list"), 401)
    text_of(await Caller(w.http, peer.headers["authorization"][7:], "w2").post("/peers", {"id": "ann"}), 401)
    stranger = Caller(w.http, await mint(admin, workspace_id="w1", peer_id="never"), "w1")
    text_of(await stranger.post("/sessions/s/messages/list"), 401)
    text_of(await stranger.post("/sessions", {"id": "s"}), 401)


async def test_a_minted_key_is_listed_and_revoked(w: Caller, admin: Caller, instance: Instance) -> None:
    key = Caller(w.http, await mint(admin, workspace_id="w1"), "w1")
    assert (await key.post("/peers/list")).status_code == 200
    tenant = await instance.tenants.get("w1")
    (listed,) = [one for one in await instance.keys.list(tenant.id) if one.label == "token of w1"]
    await instance.keys.revoke(tenant.id, listed.id)
    text_of(await key.post("/peers/list"), 401)


async def test_a_key_may_name_what_is_not_there(w: Caller, admin: Caller) -> None:
    later = Caller(w.http, await mint(admin, workspace_id="later"), "later")
    assert await later.listed("/sessions/list") == []
    text_of(await later.post("/sessions", {"id": "s"}), 404)
    assert (await admin.top("POST", "/workspaces", {"id": "later"})).status_code == 201


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"ad": True}, 200),
        ({"w": "w1"}, 200),
        ({"w": "w1", "p": ""}, 200),
        ({"w": "w1", "exp": time.time() + 1_000}, 200),
        ({"w": "w1", "exp": "2999-01-01T00:00:00"}, 200),
        ({"w": "w1", "exp": "2999-01-01T00:00:00+05:00"}, 200),
        ({"w": "w1", "jti": "of somebody else"}, 200),
        ({}, 401),
        ({"t": "x"}, 401),
        ({"p": "ann"}, 401),
        ({"w": "w2"}, 401),
        ({"w": 5}, 401),
        ({"w": "w1", "p": "ann"}, 401),
        ({"w": "w1", "exp": 1}, 401),
        ({"w": "w1", "exp": "1999-01-01"}, 401),
        ({"w": "w1", "exp": "soon"}, 401),
        ({"w": "w1", "exp": True}, 401),
        ({"w": "w1", "jti": "00" * 32}, 401),
    ],
)
async def test_a_token_made_elsewhere_is_judged_by_its_claims(w: Caller, claims: dict[str, Any], status: int) -> None:
    answer = await Caller(w.http, signed(**claims), "w1").post("/peers/list")
    assert answer.status_code == status, answer.text


async def test_only_our_secret_and_algorithm_count(w: Caller) -> None:
    good = signed(w="w1")
    head, body, _ = good.split(".")
    none = jwt.encode({"w": "w1"}, "", algorithm="none")
    for text in (
        signed("another secret, which is long enough for every algorithm, too", w="w1"),
        signed(algorithm="HS512", w="w1"),
        none,
        f"{head}.{body}.",
        "a.b.c",
        "..",
        f"{good}{'x' * 9_000}",
    ):
        text_of(await Caller(w.http, text, "w1").post("/peers/list"), 401)


async def test_what_no_key_can_be_for_is_refused(w: Caller, admin: Caller, instance: Instance) -> None:
    text_of(await w.top("POST", "/keys", workspace_id="w1"), 401)
    text_of(await admin.top("POST", "/keys"), 422)
    text_of(await admin.top("POST", "/keys", peer_id="ann"), 422)
    fault = first_fault(await admin.top("POST", "/keys", workspace_id="w1", expires_at="soon"))
    assert fault["loc"] == ["query", "expires_at"]
    expired = await mint(admin, workspace_id="w1", expires_at="2020-01-01T00:00:00Z")
    text_of(await Caller(w.http, expired, "w1").post("/peers/list"), 401)
    instance.everybody = await instance.keys.open_principal()
    text_of(await admin.top("POST", "/keys", workspace_id="w1"), 405)


async def test_without_authentication_everybody_may_do_everything(
    bare: httpx.AsyncClient, instance: Instance, caller: MakeCaller
) -> None:
    await caller("w1")
    instance.everybody = await instance.keys.open_principal()
    assert (await bare.post("/v3/workspaces/list")).json()["total"] == 1
