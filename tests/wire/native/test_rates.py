"""The rate of our own wire: so many requests a minute of a tenant, said on every answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from antiphon.api.native import rates
from antiphon.core.instance import Instance
from antiphon.core.rates import RequestRates
from tests.conftest import MakeKey, build_server
from tests.wire.native.caller import PREFIX, Caller, problem

PER_MINUTE = 5


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the rate, which stands still until a test moves it."""
    moment = [1000.0]
    monkeypatch.setattr(rates, "RequestRates", lambda: RequestRates(clock=lambda: moment[0]))
    return moment


@pytest.fixture
async def limited(instance: Instance, now: list[float]) -> AsyncIterator[httpx.AsyncClient]:
    """A server that takes 5 requests a minute from a tenant."""
    assert now
    transport = httpx.ASGITransport(build_server(instance, PER_MINUTE))
    async with httpx.AsyncClient(transport=transport, base_url="http://antiphon.test") as client:
        yield client


def standing(answer: httpx.Response) -> tuple[int, int, int, int]:
    """Limit, window, what remains and until when, as the two headers say."""
    policy = re.fullmatch(r'"tenant";q=(\d+);w=(\d+)', answer.headers["ratelimit-policy"])
    left = re.fullmatch(r'"tenant";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert policy
    assert left
    return int(policy[1]), int(policy[2]), int(left[1]), int(left[2])


async def test_it_counts_down_and_begins_anew(limited: httpx.AsyncClient, make_key: MakeKey, now: list[float]) -> None:
    ours = Caller(limited, await make_key("t1"))
    seen = []
    for path in ("/whoami", "/chats/nobody", "/deletions", "/nowhere", "/whoami", "/whoami"):
        answer = await ours.ask("GET", path)
        if answer.status_code != 404 or path == "/chats/nobody":  # a route that is not there knows nobody
            seen.append((answer.status_code, standing(answer)))
        now[0] += 2
    assert seen == [
        (200, (5, 60, 4, 60)),
        (404, (5, 60, 3, 58)),
        (200, (5, 60, 2, 56)),
        (200, (5, 60, 1, 52)),
        (200, (5, 60, 0, 50)),
    ]
    refused = await ours.ask("GET", "/whoami")
    problem(refused, 429, "rate_limited")
    assert refused.headers["retry-after"] == "48"
    assert standing(refused) == (5, 60, 0, 48)
    now[0] += 47
    problem(await ours.ask("POST", "/tickets"), 429, "rate_limited")
    now[0] += 1
    assert standing(await ours.ask("GET", "/whoami")) == (5, 60, 4, 60)


async def test_all_keys_of_a_tenant_count_together_and_those_of_others_apart(
    limited: httpx.AsyncClient, make_key: MakeKey
) -> None:
    ours = [Caller(limited, await make_key("t1")), Caller(limited, await make_key("t1", "ann"))]
    theirs = Caller(limited, await make_key("t2"))
    for number in range(PER_MINUTE):
        assert (await ours[number % 2].ask("GET", "/whoami")).status_code == 200
    assert [(await one.ask("GET", "/whoami")).status_code for one in (*ours, theirs)] == [429, 429, 200]


async def test_an_administrator_counts_where_it_acts(limited: httpx.AsyncClient, make_key: MakeKey) -> None:
    await make_key("t2")
    root = await make_key("t1", None, "admin")
    there = Caller(limited, root, "t2")
    for _ in range(PER_MINUTE):
        assert (await there.ask("GET", "/whoami")).status_code == 200
    problem(await there.ask("GET", "/whoami"), 429, "rate_limited")
    assert (await Caller(limited, root).ask("GET", "/whoami")).status_code == 200


async def test_the_tenant_s_own_limit_goes_before_and_holds_at_once(
    limited: httpx.AsyncClient, make_key: MakeKey, instance: Instance
) -> None:
    ours = Caller(limited, await make_key("t1"))
    tenant = await instance.tenants.get("t1")
    await instance.tenants.set(tenant, {"rate_limit": 2})
    assert [(await ours.ask("GET", "/whoami")).status_code for _ in range(3)] == [200, 200, 429]
    await instance.tenants.set(tenant, {"rate_limit": 0})
    answers = [await ours.ask("GET", "/whoami") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert not [answer for answer in answers if "ratelimit" in answer.headers]
    await instance.tenants.set(tenant, {"rate_limit": None})
    assert standing(await ours.ask("GET", "/whoami"))[0] == PER_MINUTE


async def test_lexicon_has_the_tenant_s_limit_and_its_own_count(
    limited: httpx.AsyncClient, make_key: MakeKey, instance: Instance
) -> None:
    key = await make_key("t1")
    await instance.tenants.set(await instance.tenants.get("t1"), {"rate_limit": 2})
    ours = Caller(limited, key)
    assert [(await ours.ask("GET", "/whoami")).status_code for _ in range(3)] == [200, 200, 429]
    path, headers = "/api/v1/chats/user/ann", {"x-api-key": key}
    answers = [await limited.get(path, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"2"}


async def test_who_is_nobody_is_not_counted(limited: httpx.AsyncClient) -> None:
    for _ in range(PER_MINUTE + 2):
        answer = await limited.get(f"{PREFIX}/whoami", headers={"x-api-key": "ant_nobody"})
        problem(answer, 401, "authentication_failed")
        assert "ratelimit" not in answer.headers
        assert (await limited.get(f"{PREFIX}/openapi.json")).status_code == 200


async def test_a_ticket_counts_for_its_tenant(
    limited: httpx.AsyncClient, make_key: MakeKey, instance: Instance
) -> None:
    ours = Caller(limited, await make_key("t1"))
    tenant = await instance.tenants.get("t1")
    chat, _ = await instance.chats.create_single(tenant.id, "ann", None, "{}")
    ticket = (await ours.ask("POST", "/tickets", json={})).json()["ticket"]
    followed = await limited.get(f"{PREFIX}/chats/{chat.id}/events?ticket={ticket}")
    assert (followed.status_code, standing(followed)[2]) == (204, PER_MINUTE - 2)


async def test_a_request_under_a_key_counts_once(limited: httpx.AsyncClient, make_key: MakeKey) -> None:
    ours = Caller(limited, await make_key("t1"))
    for left in (4, 3):
        answer = await ours.ask("POST", "/tickets", json={}, headers={"idempotency-key": "k"})
        assert (answer.status_code, standing(answer)[2]) == (201, left)
