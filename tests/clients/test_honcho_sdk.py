"""The published Python SDK of Honcho, unchanged, against a real server on the loopback interface."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest
import uvicorn
from honcho import Honcho  # type: ignore[import-untyped]
from honcho.http.exceptions import (  # type: ignore[import-untyped]
    AuthenticationError,
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)

from antiphon.api.server import Server
from tests.conftest import MakeKey

OpenSdk = Callable[..., Honcho]


@pytest.fixture
async def base_url(server: Server) -> AsyncIterator[str]:
    """The server behind a port of its own; the socket listens before anybody is told of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = uvicorn.Server(uvicorn.Config(server, lifespan="off", ws="none", log_level="warning"))
        task = asyncio.create_task(served.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        served.should_exit = True
        await task


@pytest.fixture
async def open_sdk(base_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenSdk]:
    """open_sdk(workspace, key): the SDK; no retries, so that an error is seen at once."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    opened: list[Honcho] = []

    def open_one(workspace: str, key: str) -> Honcho:
        opened.append(Honcho(base_url=base_url, workspace_id=workspace, api_key=key, timeout=30, max_retries=0))
        return opened[-1]

    yield open_one
    for sdk in opened:
        sdk._http.close()
        await sdk._async_http_client.close()


async def test_the_life_of_a_session(open_sdk: OpenSdk, make_key: MakeKey) -> None:
    def live(sdk: Honcho) -> None:
        ann, bob, session = sdk.peer("ann", metadata={"a": 1}), sdk.peer("bob"), sdk.session("s")
        assert ann.get_metadata() == {"a": 1}
        stored = session.add_messages(
            [(ann if i % 2 == 0 else bob).message(f"m{i}", metadata={"n": i}) for i in range(23)]
        )
        assert [(one.content, one.peer_id, one.metadata) for one in stored[:2]] == [
            ("m0", "ann", {"n": 0}),
            ("m1", "bob", {"n": 1}),
        ]
        page = session.messages(size=10)
        assert (page.total, page.pages, len(page.items)) == (23, 3, 10)
        assert [one.content for one in page] == [f"m{i}" for i in range(23)]
        assert [one.content for one in session.messages(size=10, reverse=True)][:2] == ["m22", "m21"]
        assert session.get_message(stored[5].id).content == "m5"
        assert {peer.id for peer in session.peers()} == {"ann", "bob"}
        assert [one.id for one in sdk.sessions()] == ["s"]
        assert {"ann", "bob"} <= {peer.id for peer in sdk.peers()}
        session.delete()
        assert list(sdk.sessions()) == []
        with pytest.raises(NotFoundError):
            session.delete()
        assert list(sdk.session("s").messages()) == []

    await asyncio.to_thread(live, open_sdk("w1", await make_key("w1")))


async def test_get_or_create_gives_back_what_is_there(open_sdk: OpenSdk, make_key: MakeKey) -> None:
    def live(sdk: Honcho) -> None:
        session = sdk.session("s", metadata={"a": 1})
        session.refresh()
        assert (session.metadata, session.is_active) == ({"a": 1}, True)
        assert session.created_at is not None
        assert session.created_at.tzinfo is not None
        assert sdk.session("s").get_metadata() == {"a": 1}
        sdk.set_metadata({"of": "w1"})
        assert sdk.get_metadata() == {"of": "w1"}

    await asyncio.to_thread(live, open_sdk("w1", await make_key("w1")))


async def test_errors_become_exceptions(open_sdk: OpenSdk, make_key: MakeKey) -> None:
    key = await make_key("w1")

    def live(sdk: Honcho) -> None:
        with pytest.raises(AuthenticationError):
            open_sdk("w1", "garbage").peer("ann")
        with pytest.raises(AuthenticationError):
            open_sdk("other", key).peer("ann")
        with pytest.raises(UnprocessableEntityError):
            sdk.peer("not an id")
        with pytest.raises(NotFoundError):
            sdk.session("never").get_message("N" * 21)
        sdk.session("s")
        with pytest.raises(ConflictError):
            sdk.delete_workspace("w1")

    await asyncio.to_thread(live, open_sdk("w1", key))


async def test_an_administrator_makes_lists_and_deletes_workspaces(open_sdk: OpenSdk, make_key: MakeKey) -> None:
    key = await make_key("headquarters", None, "admin")

    def live(admin: Honcho) -> None:
        sdk = open_sdk("new", key)
        session = sdk.session("s")
        session.add_messages(sdk.peer("ann").message("hello"))
        assert "new" in list(sdk.workspaces())
        session.delete()
        sdk.delete_workspace("new")
        assert "new" not in list(admin.workspaces())

    await asyncio.to_thread(live, open_sdk("headquarters", key))


async def test_the_life_of_a_session_without_blocking(open_sdk: OpenSdk, make_key: MakeKey) -> None:
    sdk = open_sdk("w1", await make_key("w1"))
    ann, session = await sdk.aio.peer("ann"), await sdk.aio.session("s")
    await asyncio.gather(*(session.aio.add_messages(ann.message(f"m{i}")) for i in range(20)))
    page = await session.aio.messages(size=7)
    assert sorted([one.content async for one in page]) == sorted(f"m{i}" for i in range(20))
    assert [peer.id for peer in await session.aio.peers()] == ["ann"]
    await session.aio.delete()
    with pytest.raises(NotFoundError):
        await session.aio.delete()
    assert [one.id async for one in await sdk.aio.sessions()] == []
