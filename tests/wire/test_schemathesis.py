"""Every operation of every served document, called with what its document allows and what it does not: never a 500.

The answers must be those that the document has. Requests are made by schemathesis from the document alone, always the
same ones, and sent to the whole server in this process.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from antiphon.api.server import Server
from antiphon.core.instance import Instance
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.streams.live import LiveStreams
from tests.conftest import build_server
from tests.receipts import receipts_of
from tests.scripted_agent import ScriptedAgent

DOCUMENTS = {
    "recoup": "/api/openapi.json",
    "lexicon": "/api/v1/openapi.json",
    "native": "/antiphon/v1/openapi.json",
    "honcho": "/v3/openapi.json",
}
"""The documents by their dialect's name."""

EXAMPLES = 12
BASE = "http://antiphon.test"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
METHODS = {"get", "put", "post", "patch", "delete"}


schemathesis.serializer.alias("application/x-ndjson", "text/plain")


class World:
    """A server at work in a loop of its own, and an account that calls it."""

    def __init__(self, runner: asyncio.Runner, server: Server, key: str) -> None:
        self._runner = runner
        self._server = server
        self._key = key
        self.headers: dict[str, str] = {}

    def speak(self, dialect: str) -> None:
        """Show the key where that dialect looks for it."""
        is_header = dialect == "lexicon"
        self.headers = {"x-api-key": self._key} if is_header else {"authorization": f"Bearer {self._key}"}

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request and its whole answer."""
        return self._runner.run(self._send(method, path, **more))

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._server)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            request = client.build_request(method, path, **more)
            await request.aread()  # a failure is told with the body, which may be a form
            return await client.send(request)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("schemathesis")
    with asyncio.Runner() as runner:
        store = runner.run(SqliteStore.open(folder / "data"))
        instance = Instance(
            store,
            ScriptedAgent(),
            lambda text: len(text.split()),
            default_model="scripted",
            streams=LiveStreams(store),
            receipts=receipts_of(store, folder),
        )
        running = instance.running()
        runner.run(running.__aenter__())
        tenant = runner.run(instance.tenants.create("t1"))
        _, key = runner.run(instance.keys.create(tenant.id, "ann", "admin"))
        yield World(runner, build_server(instance, requests_per_minute=0), key)
        runner.run(running.__aexit__(None, None, None))
        runner.run(store.close())


def names_of_recoup(world: World) -> dict[str, str]:
    """The values of the placeholders in paths that name something: a session, its chat, and a room."""
    made = world.send("POST", "/api/sessions", headers=world.headers).json()
    room = world.send("POST", "/api/chats", headers=world.headers).json()
    return {"sessionId": made["session"]["id"], "chatId": made["chat"]["id"], "id": room["chat"]["id"]}


def names_of_lexicon(world: World) -> dict[str, str]:
    """A chat and its owner."""
    made = world.send("POST", "/api/v1/chats", headers=world.headers, json={"user_id": "ann"}).json()
    return {"chat_id": made["id"], "user_id": "ann"}


def names_of_honcho(world: World) -> dict[str, str]:
    """One of everything in a workspace of its own."""
    root = "/v3/workspaces/fuzzed"

    def made(path: str, body: dict[str, Any]) -> Any:
        return world.send("POST", root + path, headers=world.headers, json=body).json()

    (message,) = made("/sessions/s/messages", {"messages": [{"peer_id": "ann", "content": "hello"}]})
    about = {"content": "is kind", "observer_id": "ann", "observed_id": "ann"}
    (conclusion,) = made("/conclusions", {"conclusions": [about]})
    return {
        "workspace_id": "fuzzed",
        "peer_id": "ann",
        "session_id": "s",
        "message_id": message["id"],
        "conclusion_id": conclusion["id"],
        "scope_id": made("/scopes", {"id": "home"})["id"],
        "endpoint_id": made("/webhooks", {"url": "https://hooks.example.com/"})["id"],
    }


def names_of_native(world: World) -> dict[str, str]:
    """One of each thing, and a tenant that nobody calls."""

    def made(path: str, **body: str) -> dict[str, Any]:
        answer = world.send("POST", f"/antiphon/v1{path}", headers=world.headers, json=body)
        content: dict[str, Any] = answer.json()
        return content

    made("/tenants", name="t2")
    session = made("/sessions", participant="ben")
    people = world.send("GET", "/antiphon/v1/participants", headers=world.headers).json()["items"]
    return {
        "tenant": "t2",
        "key_id": made("/keys", participant="ben")["id"],
        "participant_id": people[0]["id"],
        "session_id": session["id"],
        "chat_id": made("/chats", session=session["id"])["id"],
    }


NAMES: dict[str, Callable[[World], dict[str, str]]] = {
    "recoup": names_of_recoup,
    "lexicon": names_of_lexicon,
    "honcho": names_of_honcho,
    "native": names_of_native,
}


@pytest.mark.filterwarnings("ignore")  # of schemathesis and what it stands on: none of them speaks of this project
@pytest.mark.parametrize("dialect", DOCUMENTS)
def test_no_request_is_answered_otherwise_than_documented(world: World, dialect: str) -> None:
    world.speak(dialect)
    content = world.send("GET", DOCUMENTS[dialect]).json()
    found = schemathesis.openapi.from_dict(content).get_all_operations()
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == sum(len(METHODS & methods.keys()) for methods in content["paths"].values())
    for operation in operations:
        names = NAMES[dialect](world) if dialect in NAMES else {}
        assert call(world, operation, names) >= 1


def call(world: World, operation: Any, names: dict[str, str]) -> int:
    """Call an operation, with and without names of what is there; how often."""
    count = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), is_there=st.booleans())
    def send(case: Any, is_there: bool) -> None:
        nonlocal count
        if is_there and case.path_parameters:
            case.path_parameters = {name: names.get(name, value) for name, value in case.path_parameters.items()}
        request = case.as_transport_kwargs(base_url=BASE)
        headers = {**request.pop("headers"), **world.headers}
        request.pop("cookies", None)
        if files := request.pop("files", None):
            request["files"] = [part_of(name, *given) for name, given in files]
        answer = world.send(request.pop("method"), request.pop("url"), headers=headers, **request)
        case.validate_response(answer, checks=CHECKS)
        count += 1

    send()
    return count


def part_of(name: str, filename: str | None, content: Any) -> tuple[str, tuple[Any, ...]]:
    """A field of a form as the client takes it: text, or a file with the media type that its name tells."""
    if filename is None:
        return name, (None, content if isinstance(content, str | bytes) else json.dumps(content))
    return name, (filename, content, mimetypes.guess_type(filename)[0] or "text/plain")
