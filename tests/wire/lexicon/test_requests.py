"""What every request meets first: key, rate, route; and what every answer carries."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.domain.errors import StoreFailed, StoreUnavailable
from tests.conftest import build_server
from tests.wire.lexicon.caller import CHATS, NEVER, Caller, check_error

ROUTES = [
    ("POST", f"{CHATS}/"),
    ("GET", f"{CHATS}/user/mara"),
    ("GET", f"{CHATS}/{NEVER}"),
    ("GET", f"{CHATS}/{NEVER}/messages"),
    ("DELETE", f"{CHATS}/{NEVER}"),
]
NOWHERE = [("GET", "/api/v1"), ("GET", "/api/v1/nothing"), ("PATCH", f"{CHATS}/{NEVER}"), ("GET", "/ws/other")]
MakeCaller = Callable[..., Awaitable[Caller]]


@pytest.mark.parametrize("key", [None, "", "   ", "no-such-key", "ant_" + "A" * 86])
async def test_without_a_good_key_everything_is_401(http: httpx.AsyncClient, key: str | None) -> None:
    for method, path in [*ROUTES, *NOWHERE]:
        answer = await Caller(http, key).ask(method, path, content=b"{bad", params={"limit": "0"})
        check_error(answer, 401, "AUTH_ERROR")
        assert not [name for name in answer.headers if "ratelimit" in name]


async def test_the_key_counts_in_its_own_header_only(ours: Caller, http: httpx.AsyncClient) -> None:
    path, key = f"{CHATS}/{NEVER}", ours.key or ""
    other_ways = [
        await http.get(path, headers={"authorization": f"Bearer {key}"}),
        await http.get(path, params={"api_key": key}),
        await http.get(path, headers={"X-API-Key": key.swapcase()}),
    ]
    for answer in other_ways:
        check_error(answer, 401, "AUTH_ERROR")
        assert key not in answer.text
    check_error(await http.get(path, headers={"x-ApI-kEy": f" {key} "}), 404, "CHAT_NOT_FOUND")


async def test_a_revoked_key_is_401(ours: Caller, instance: Instance) -> None:
    chat = await ours.create()
    tenant_id = (await instance.tenants.get("t1")).id
    for key in await instance.keys.list(tenant_id):
        await instance.keys.revoke(tenant_id, key.id)
    check_error(await ours.get(chat["id"]), 401, "AUTH_ERROR")


async def test_without_authentication_all_are_the_first_tenant(http: httpx.AsyncClient, instance: Instance) -> None:
    await instance.tenants.create("first")
    instance.everybody = await instance.keys.open_principal()
    chat = await Caller(http, None).create()
    assert (await Caller(http, "whatever").get(chat["id"])).json()["id"] == chat["id"]


OTHER_METHODS = [
    ("GET", f"{CHATS}/", "POST"),
    ("PUT", CHATS, "POST"),
    ("PATCH", f"{CHATS}/{NEVER}", "DELETE, GET, HEAD"),
    ("POST", f"{CHATS}/{NEVER}", "DELETE, GET, HEAD"),
    ("DELETE", f"{CHATS}/{NEVER}/messages", "GET, HEAD"),
    ("POST", f"{CHATS}/user/mara", "GET, HEAD"),
    ("DELETE", f"{CHATS}/user/messages", "GET, HEAD"),
    ("OPTIONS", f"{CHATS}/{NEVER}", "DELETE, GET, HEAD"),
    ("BREW", f"{CHATS}/{NEVER}", "DELETE, GET, HEAD"),
]


async def test_a_method_that_a_route_does_not_have_is_405(ours: Caller) -> None:
    for method, path, allowed in OTHER_METHODS:
        answer = await ours.ask(method, path)
        check_error(answer, 405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] == allowed


async def test_a_path_that_is_no_route_is_404(ours: Caller) -> None:
    nowhere = ["/api/v1", "/api/v1/", "/api/v1/chat", f"{CHATS}/{NEVER}/", f"{CHATS}/{NEVER}/x", f"{CHATS}/user/"]
    for path in [*nowhere, "/ws/chat/x"]:
        check_error(await ours.ask("GET", path), 404, "NOT_FOUND")


async def test_the_socket_without_an_upgrade_is_426(http: httpx.AsyncClient) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await http.request(method, "/ws/chat", params={"api_key": "secret"})
        body = check_error(answer, 426, "UPGRADE_REQUIRED")
        assert answer.headers["upgrade"] == "websocket"
        assert "secret" not in str(body)


async def test_head_is_get_without_the_body(ours: Caller) -> None:
    chat = await ours.create()
    answer = await ours.ask("HEAD", f"{CHATS}/{chat['id']}")
    full = await ours.get(chat["id"])
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == full.headers["content-length"]


FAILING = [
    (StoreUnavailable(), 503, "STORE_UNAVAILABLE"),
    (StoreFailed(), 500, "INTERNAL_ERROR"),
    (RuntimeError("what people wrote"), 500, "INTERNAL_ERROR"),
]


@pytest.mark.parametrize(("fault", "status", "code"), FAILING, ids=lambda value: type(value).__name__)
async def test_a_store_that_fails(
    ours: Caller,
    instance: Instance,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
    status: int,
    code: str,
) -> None:
    chat = await ours.create()

    async def fail(*_: Any) -> Any:
        raise fault

    places = [
        (instance.store.chats, "create_single", "POST", f"{CHATS}/"),
        (instance.store.chats, "list_of_owner", "GET", f"{CHATS}/user/mara"),
        (instance.store.messages, "page", "GET", f"{CHATS}/{chat['id']}/messages"),
        (instance.store.deletions, "detach_chat", "DELETE", f"{CHATS}/{chat['id']}"),
        (instance.store.chats, "find", "GET", f"{CHATS}/{chat['id']}"),
    ]
    for store, verb, method, path in places:
        with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
            patch.setattr(store, verb, fail)
            answer = await ours.ask(method, path, **({"json": {"user_id": "new"}} if method == "POST" else {}))
        body = check_error(answer, status, code)
        assert "what people wrote" not in str(body) + caplog.text
        assert answer.headers.get("retry-after") == ("1" if status == 503 else None)
    check_error(await ours.chats_of("new"), 404, "USER_NOT_FOUND")
    assert (await ours.get(chat["id"])).status_code == 200


# The rate


@pytest.fixture
async def limited(instance: Instance, make_key: Callable[..., Awaitable[str]]) -> Any:
    """limited(tenant): a caller of a server that allows three requests a minute."""
    transport = httpx.ASGITransport(build_server(instance, requests_per_minute=3))
    async with httpx.AsyncClient(transport=transport, base_url="http://antiphon.test") as client:

        async def make(tenant: str) -> Caller:
            return Caller(client, await make_key(tenant))

        yield make


def rate_of(answer: httpx.Response) -> tuple[str, str]:
    return answer.headers["x-ratelimit-limit"], answer.headers["x-ratelimit-remaining"]


async def test_every_answer_to_a_known_caller_tells_the_rate(limited: MakeCaller) -> None:
    ours, theirs = await limited("t1"), await limited("t2")
    assert rate_of(await ours.get(NEVER)) == ("3", "2")
    assert rate_of(await ours.ask("PUT", "/api/v1/nothing")) == ("3", "1")
    created = await ours.ask("POST", CHATS, json={"user_id": "mara"})
    assert (created.status_code, rate_of(created)) == (201, ("3", "0"))
    assert created.headers["x-ratelimit-reset"].isdigit()
    assert rate_of(await theirs.get(NEVER)) == ("3", "2")


async def test_one_too_many_is_429_and_does_nothing(limited: MakeCaller) -> None:
    ours, theirs = await limited("t1"), await limited("t2")
    chat = await ours.create()
    for _ in range(2):
        await ours.get(chat["id"])
    for method, path in [*ROUTES, *NOWHERE, ("DELETE", f"{CHATS}/{chat['id']}")]:
        answer = await ours.ask(method, path, content=b"{bad")
        check_error(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert rate_of(answer) == ("3", "0")
        assert answer.headers["cache-control"] == "no-store"
    second_key = Caller(ours.http, (await limited("t1")).key)
    check_error(await second_key.get(chat["id"]), 429, "RATE_LIMIT_EXCEEDED")
    check_error(await theirs.get(chat["id"]), 404, "CHAT_NOT_FOUND")


async def test_who_is_not_known_is_not_counted(limited: MakeCaller) -> None:
    ours = await limited("t1")
    for _ in range(5):
        check_error(await Caller(ours.http, None).get(NEVER), 401, "AUTH_ERROR")
    assert rate_of(await ours.get(NEVER)) == ("3", "2")


async def test_a_fault_tells_the_rate_too(
    limited: MakeCaller, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = await limited("t1")

    async def fail(*_: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(instance.store.chats, "find", fail)
    answer = await ours.get(NEVER)
    check_error(answer, 500, "INTERNAL_ERROR")
    assert rate_of(answer) == ("3", "2")


async def test_no_limit_is_no_header(ours: Caller) -> None:
    assert not [name for name in (await ours.get(NEVER)).headers if "ratelimit" in name]
