"""Many deletes side by side at the rate limit: as many as it allows, and 429 for the rest, which loses nothing."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from antiphon.api.lexicon import routes
from antiphon.core.instance import Instance
from antiphon.core.rates import RequestRates
from tests.conftest import MakeKey, build_server
from tests.wire.lexicon.caller import Caller, check_error

PER_MINUTE = 30


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the rate, which stands still until a test moves it."""
    moment = [1000.0]
    monkeypatch.setattr(routes, "RequestRates", lambda: RequestRates(clock=lambda: moment[0]))
    return moment


@pytest.fixture
async def limited(instance: Instance, make_key: MakeKey, now: list[float]) -> Caller:
    """A caller of a server that takes 30 requests a minute from a tenant."""
    assert now
    transport = httpx.ASGITransport(build_server(instance, PER_MINUTE))
    return Caller(httpx.AsyncClient(transport=transport, base_url="http://antiphon.test"), await make_key("t1"))


async def test_what_is_over_the_limit_is_told_when_to_come_back(
    limited: Caller, instance: Instance, now: list[float]
) -> None:
    """50 at once: 30 are gone; the other 20 are still there, and go in the next window, as `Retry-After` says."""
    tenant = (await instance.tenants.get("t1")).id
    chats = [(await instance.chats.create_single(tenant, "mara", None, "{}"))[0].id for _ in range(50)]
    answers = dict(zip(chats, await asyncio.gather(*(limited.delete(chat) for chat in chats)), strict=True))
    assert Counter(answer.status_code for answer in answers.values()) == {200: PER_MINUTE, 429: 50 - PER_MINUTE}
    refused = [chat for chat, answer in answers.items() if answer.status_code == 429]
    for chat, answer in answers.items():
        is_there = await instance.chats.find(tenant, chat) is not None
        assert (answer.json()["success"], is_there) == ((False, True) if chat in refused else (True, False))
        assert answer.headers["x-ratelimit-limit"] == str(PER_MINUTE)
        assert int(answer.headers["x-ratelimit-remaining"]) >= 0
    waits = set()
    for chat in refused:
        check_error(answers[chat], 429, "RATE_LIMIT_EXCEEDED")
        waits.add(int(answers[chat].headers["retry-after"]))
    assert waits == {60}
    now[0] += waits.pop() - 1
    check_error(await limited.delete(refused[0]), 429, "RATE_LIMIT_EXCEEDED")
    now[0] += 1
    again = await asyncio.gather(*(limited.delete(chat) for chat in refused))
    assert [answer.status_code for answer in again] == [200] * len(refused)
