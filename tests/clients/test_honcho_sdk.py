"""The published Python SDK of Honcho, unchanged and as a whole, blocking and not, against a real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
from honcho import Honcho  # type: ignore[import-untyped]
from honcho.http.exceptions import AuthenticationError, NotFoundError, ServerError  # type: ignore[import-untyped]
from honcho.http.exceptions import ConnectionError as NoConnection

from tests.clients.honcho import tour
from tests.clients.honcho.busy import busy, count_of_refusals
from tests.clients.honcho.hand import Called, Hand, all_of, public_methods
from tests.server_process import ServerProcess

OpenSdk = Callable[..., Honcho]

STOPS = (
    tour.workspaces,
    tour.peers,
    tour.sessions,
    tour.members,
    tour.messages,
    tour.uploads,
    tour.searches,
    tour.contexts,
    tour.conclusions,
    tour.what_is_known,
    tour.questions,
    tour.work,
    tour.scopes,
    tour.clones,
)
"""In this order: each stands on what those before it have made."""

EXCUSED = {
    "from_api_response": "makes an object of the SDK from an answer; every stop stands on it",
    "model_post_init": "the SDK's classes call it on themselves",
}
"""Public methods that no caller calls, by name, and why."""

TWINS = {"SyncPage": "AsyncPage", "DialecticStreamResponse": "AsyncDialecticStreamResponse"}
"""Classes that are not called the same with `Aio` behind in the asynchronous half."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("honcho") / "data") as started:
        yield started


@pytest.fixture
async def open_sdk(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenSdk]:
    """open_sdk(workspace, key, …): the SDK; without retries unless told, so that an error is seen at once."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    opened: list[Honcho] = []

    def open_one(workspace: str, key: str, base_url: str = server.url, max_retries: int = 0) -> Honcho:
        opened.append(
            Honcho(base_url=base_url, workspace_id=workspace, api_key=key, timeout=30, max_retries=max_retries)
        )
        return opened[-1]

    yield open_one
    for sdk in opened:
        sdk._http.close()
        await sdk._async_http_client.close()


def key_of(server: ServerProcess, workspace: str) -> str:
    """A key of that workspace alone, made over the wire."""
    headers = {"authorization": f"Bearer {server.key('admin')}"}
    answer = httpx.post(f"{server.url}/v3/keys", params={"workspace_id": workspace}, headers=headers)
    return str(answer.json()["key"])


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "asynchronous"])
async def test_the_whole_sdk(server: ServerProcess, open_sdk: OpenSdk, is_async: bool) -> None:
    called: Called = set()
    do, workspace = Hand(called, is_async=is_async), f"tour-{is_async}"
    sdk = open_sdk(workspace, server.key("admin"))
    for stop in STOPS:
        await stop(do, sdk)
    await tour.refusals(do, sdk, stranger=open_sdk(workspace, key_of(server, "elsewhere")))
    await tour.deletions(do, sdk)
    assert of_half(public_methods(), is_async=is_async) - called == set()
    assert called <= public_methods()


def of_half(methods: Called, *, is_async: bool) -> Called:
    """The methods of the one half of the SDK and of the classes that both halves share, without the excused."""
    kinds = {kind for kind, _ in methods}
    twins = {**TWINS, **{kind: f"{kind}Aio" for kind in kinds if f"{kind}Aio" in kinds}}
    others = set(twins if is_async else twins.values())
    return {(kind, name) for kind, name in methods if kind not in others and name not in EXCUSED}


def test_what_is_excused_is_there() -> None:
    assert set(EXCUSED) <= {name for _, name in public_methods()}


async def test_a_key_of_a_workspace_is_enough(server: ServerProcess, open_sdk: OpenSdk) -> None:
    sdk = open_sdk("own", key_of(server, "own"))
    with pytest.raises(NotFoundError):  # an administrator makes it first
        sdk.peer("ann")
    open_sdk("own", server.key("admin")).peer("ann")
    session = sdk.session("s")
    await asyncio.gather(*(session.aio.add_messages(sdk.peer("ann").message(f"m{n}")) for n in range(20)))
    said = [one.content for one in await all_of(await session.aio.messages(size=7))]
    assert sorted(said) == sorted(f"m{n}" for n in range(20))
    with pytest.raises(AuthenticationError):
        sdk.workspaces()


async def test_a_busy_store_is_tried_again(server: ServerProcess, open_sdk: OpenSdk) -> None:
    key, before = server.key("admin"), count_of_refusals(server)
    session = open_sdk("busy", key, max_retries=9).session("s")
    drafts = [session._honcho.peer("ann").message(f"said once {n}") for n in range(2)]
    with busy(server):
        patient = asyncio.gather(
            asyncio.to_thread(session.add_messages, drafts[0]), session.aio.add_messages(drafts[1])
        )
        with pytest.raises(ServerError) as refused:
            await open_sdk("busy", key).aio.peer("bob")
        assert refused.value.status == 503
        while await asyncio.to_thread(count_of_refusals, server) < before + 3:
            assert not patient.done()
    stored = [one.id for answer in await patient for one in answer]
    assert {one.id for one in session.messages()} == set(stored)
    assert len(set(stored)) == 2


async def test_no_server_is_told(open_sdk: OpenSdk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NoConnection):
        open_sdk("w", "key", base_url=f"http://127.0.0.1:{port}").peer("ann")
