"""Every code has its row, and a store that fails is told as such."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest

from antiphon.api.native.errors import ROWS
from antiphon.api.native.routes import Native
from antiphon.api.server import Server
from antiphon.core.instance import Instance
from antiphon.domain.errors import AntiphonError, StoreFailed, StoreUnavailable
from antiphon.stores.sqlite.store import SqliteStore
from tests.wire.native.caller import PREFIX, Caller, chat_path, problem, turns_path


def tree(root: type[AntiphonError]) -> Iterator[type[AntiphonError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_every_code_has_a_row() -> None:
    ours = ("antiphon.domain.", "antiphon.core.", "antiphon.api.http", "antiphon.api.routing", "antiphon.api.native.")
    codes = {error.code for error in tree(AntiphonError) if error.__module__.startswith(ours)}
    assert codes == set(ROWS)


def test_no_error_of_a_client_is_one_of_the_server() -> None:
    servers = {code for code, row in ROWS.items() if row.status >= 500}
    stores = {"store_error", "store_failed", "store_too_new", "store_unavailable"}
    assert servers == {"error", "internal_fault", "agent_failed", "sandbox_failed", "tool_refused", *stores}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (StoreUnavailable(), 503, "store_unavailable"),
        (StoreFailed(), 500, "internal"),
        (ValueError("secret words"), 500, "internal"),
    ],
)
async def test_a_store_that_fails(
    ours: Caller,
    chat: str,
    instance: Instance,
    store: SqliteStore,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    status: int,
    code: str,
) -> None:
    """Nothing of the fault is told, and nothing has changed."""

    async def fail(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(store.turns, "claim", fail)
    answer = await ours.ask("POST", turns_path(chat), json={"message": {"text": "x"}})
    problem(answer, status, code)
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)
    tenant = await instance.tenants.get("t1")
    assert (await instance.chats.get(tenant.id, chat)).message_count == 0
    assert (await ours.ask("GET", chat_path(chat))).status_code == 200


async def test_nothing_that_a_request_says_is_passed_over(ours: Caller, instance: Instance) -> None:
    """Every route refuses a parameter that it does not have, and a field where it takes no body, to whom it knows."""
    nobody = Caller(ours._http, "ant_x")
    routes = [route for route in Native(instance, 0).routes.routes if not route.is_public]
    assert len(routes) > 40
    for route in routes:
        path = re.sub(r"\{\w+\}", "x", route.path.removeprefix(PREFIX))
        body = problem(await ours.ask(route.method, f"{path}?mdoe=cancel"), 400, "unknown_field")
        assert body["errors"][0]["field"] == "mdoe", path
        problem(await nobody.ask(route.method, f"{path}?mdoe=cancel"), 401, "authentication_failed")
        if route.body is None and route.method != "GET":
            body = problem(await ours.ask(route.method, path, json={"mode": "cancel"}), 400, "unknown_field")
            assert body["errors"][0]["field"] == "mode", path


@pytest.mark.parametrize("path", ["/antiphon", "/antiphon/", "/antiphon/v2/whoami", "/antiphon/v1x", "/nothing"])
async def test_a_path_beside_ours_is_told_in_the_same_form(ours: Caller, path: str) -> None:
    problem(await ours._http.get(path, headers=ours.headers), 404, "route_not_found")


@pytest.mark.parametrize("path", [f"{PREFIX}/chats", "/readyz"])
async def test_what_the_stop_of_the_server_breaks_off_may_come_again(
    ours: Caller, server: Server, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A request whose body does not end is cancelled at last: it is told so, and not that something is wrong."""
    begun, sent = asyncio.Event(), []

    async def receive(*_: Any, **__: Any) -> dict[str, Any]:
        begun.set()
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(store, "check", receive)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET" if path == "/readyz" else "POST",
        "path": path,
        "headers": [(b"authorization", ours.headers["authorization"].encode())],
    }
    task = asyncio.create_task(server(scope, receive, send))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sent[0]["status"] == 503
    assert {b"retry-after", b"content-type"} <= {name for name, _ in sent[0]["headers"]}
    assert json.loads(sent[1]["body"])["code"] == "store_unavailable"
