"""Connections over HTTP: who is connected, and the closing of a socket, wherever it is held."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from antiphon.core.connections import Connections
from antiphon.core.instance import Instance
from antiphon.domain.errors import AntiphonError, ConnectionDismissed
from antiphon.stores.contract.worlds import until
from antiphon.stores.sqlite.store import SqliteStore
from tests.wire.native.caller import Caller, chat_path, good, problem
from tests.wire.native.conftest import MakeCaller, MakeChat, Pages


@asynccontextmanager
async def on_lexicon(address: str, key: Caller, chat: str, user: str = "ann") -> AsyncIterator[ClientConnection]:
    """A socket of Lexicon's wire on a chat, which has been told that it is connected."""
    query = urlencode({"api_key": key.key, "user_id": user, "chat_id": chat})
    async with connect(f"ws://{address}/ws/chat?{query}", proxy=None) as socket:
        assert json.loads(await socket.recv())["event_type"] == "connection_established"
        yield socket


async def end_of(socket: ClientConnection) -> tuple[list[str], int | None, str | None]:
    """The codes of the errors that it is told of, and how it is closed."""
    codes = []
    async with asyncio.timeout(10):
        try:
            while True:
                codes.append(json.loads(await socket.recv())["error_code"])
        except ConnectionClosed:
            return codes, socket.close_code, socket.close_reason


async def listed(key: Caller, chat: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = good(await key.ask("GET", f"{chat_path(chat)}/connections"))["items"]
    return items


async def test_a_socket_is_listed_while_it_is_open(ours: Caller, chat: str, address: str, instance: Instance) -> None:
    assert await listed(ours, chat) == []
    async with on_lexicon(address, ours, chat):
        (shown,) = await listed(ours, chat)
        assert set(shown) == {"id", "participant", "since", "until", "node"}
        assert shown["id"].startswith("con_")
        assert shown["participant"] == "ann"
        assert shown["since"] < shown["until"]
        assert instance.connections.node.hex() == shown["node"].replace("-", "")
        assert good(await ours.ask("GET", chat_path(chat)))["connections"] == 1
        plan = good(await ours.ask("POST", "/deletions/plan", json={"target": {"kind": "chat", "id": chat}}))
        assert [one["id"] for one in plan["targets"][0]["blocked_by"]] == [shown["id"]]

    async def is_gone() -> bool:
        return await listed(ours, chat) == []

    await until(is_gone, "the server had learnt of the close")
    assert good(await ours.ask("GET", chat_path(chat)))["connections"] == 0


async def test_a_dismissed_socket_is_closed_with_the_reason(ours: Caller, chat: str, address: str) -> None:
    async with on_lexicon(address, ours, chat) as gone, on_lexicon(address, ours, chat) as other:
        first, second = await listed(ours, chat)
        answer = await ours.ask("DELETE", f"/connections/{first['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert await end_of(gone) == ([], 4403, "closed by the operator")
        assert await listed(ours, chat) == [second]
        problem(await ours.ask("DELETE", f"/connections/{first['id']}"), 404, "not_found")
        await other.send(json.dumps({"content": "still here"}))
        assert json.loads(await other.recv())["event_type"] == "message_received"


async def test_another_process_learns_of_it_when_it_renews(
    ours: Caller, chat: str, store: SqliteStore, instance: Instance
) -> None:
    tenant = (await instance.tenants.get("t1")).id
    key = (await instance.chats.get(tenant, chat)).key
    elsewhere, told = Connections(store), list[AntiphonError]()
    connection = await elsewhere.open(tenant, key, "ann", told.append)
    (shown,) = await listed(ours, chat)
    assert (await ours.ask("DELETE", f"/connections/{shown['id']}")).status_code == 204
    assert told == []
    await elsewhere.renew()
    assert [type(reason) for reason in told] == [ConnectionDismissed]
    assert elsewhere.count == 0
    await elsewhere.close(connection)
    assert not await store.connections.was_dismissed(tenant, connection.id)


async def test_who_speaks_before_its_process_knows_is_told_the_same(
    ours: Caller, chat: str, address: str, store: SqliteStore, instance: Instance
) -> None:
    tenant = (await instance.tenants.get("t1")).id
    key = (await instance.chats.get(tenant, chat)).key
    async with on_lexicon(address, ours, chat) as socket:
        (held,) = await store.connections.list(tenant, key, None, 9)
        await store.connections.dismiss(tenant, held.id)  # as another process does it
        await socket.send(json.dumps({"content": "anybody?"}))
        assert await end_of(socket) == ([], 4403, "closed by the operator")
    assert good(await ours.ask("GET", chat_path(chat)))["message_count"] == 0


async def test_connections_come_in_pages(
    ours: Caller, chat: str, make_chat: MakeChat, instance: Instance, pages: Pages
) -> None:
    tenant = (await instance.tenants.get("t1")).id
    key = (await instance.chats.get(tenant, chat)).key
    for who in ("ann", "ben", "cid"):
        await instance.connections.open(tenant, key, who, lambda _: None)
    found = await pages(ours, f"{chat_path(chat)}/connections?limit=2")
    assert [one["participant"] for one in found] == ["ann", "ben", "cid"]
    cursor = good(await ours.ask("GET", f"{chat_path(chat)}/connections?limit=1"))["next"]
    other = await make_chat()
    problem(await ours.ask("GET", f"{chat_path(other)}/connections?cursor={cursor}"), 400, "invalid_cursor")


async def test_who_may_look_and_who_may_close(ours: Caller, chat: str, caller: MakeCaller, instance: Instance) -> None:
    tenant = (await instance.tenants.get("t1")).id
    key = (await instance.chats.get(tenant, chat)).key
    await instance.connections.open(tenant, key, "ann", lambda _: None)
    ann, ben, theirs = await caller("t1", "ann"), await caller("t1", "ben"), await caller("t2")
    (shown,) = await listed(ann, chat)
    path = f"/connections/{shown['id']}"
    for stranger in (ben, theirs):
        problem(await stranger.ask("GET", f"{chat_path(chat)}/connections"), 404, "not_found")
    for less in (ann, ben, await caller("t1", None, "session", session_id=chat)):
        for name in (path, "/connections/con_never"):
            problem(await less.ask("DELETE", name), 403, "access_denied")
    for name in (path, "/connections/con_never", "/connections/con_00000000-0000-7000-8000-000000000000"):
        problem(await theirs.ask("DELETE", name), 404, "not_found")
    problem(await ours.ask("DELETE", f"{path}?force=true"), 400, "unknown_field")
    assert await listed(ours, chat) == [shown]


@pytest.mark.usefixtures("chat")
async def test_what_never_was_is_not_there(ours: Caller) -> None:
    problem(await ours.ask("GET", "/chats/never/connections"), 404, "not_found")
