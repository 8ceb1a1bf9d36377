"""Every code has its row, and a store that fails is told as such."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from antiphon.api.native.errors import ROWS
from antiphon.api.native.routes import Native
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
