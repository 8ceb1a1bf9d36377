"""A disk with no room left: every wire says so in its own shape, nothing is half done, and it goes on later.

The room is taken away by the kernel's limit on the size of files a process may write, set from outside while it runs.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server_process import ServerProcess

_NO_ROOM = 4096


@contextmanager
def no_room(server: ServerProcess) -> Iterator[None]:
    """Let the process write no file past its first page while inside."""
    before = resource.prlimit(server.child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.child.pid, resource.RLIMIT_FSIZE, (_NO_ROOM, before[1]))
    try:
        yield
    finally:
        if server.child.poll() is None:
            resource.prlimit(server.child.pid, resource.RLIMIT_FSIZE, before)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data") as started:
        yield started


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http:
        yield Client(http, server.key("user"))


class Client:
    """The three wires, spoken to with the key of the first start's user."""

    def __init__(self, http: httpx.Client, key: str) -> None:
        self.http = http
        self._key = key

    def recoup(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.http.request(method, path, headers={"x-api-key": self._key}, **more)

    def lexicon(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.http.request(method, path, headers={"x-api-key": self._key}, **more)

    def honcho(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._key}"}
        return self.http.request(method, f"/v3/workspaces/default{path}", headers=headers, **more)

    def say(self, text: str) -> httpx.Response:
        return self.honcho(
            "POST", "/sessions/s1/messages", json={"messages": [{"content": text, "peer_id": "ann", "metadata": {}}]}
        )

    def said(self) -> list[str]:
        page = self.honcho("POST", "/sessions/s1/messages/list", params={"size": 100}).json()
        return [message["content"] for message in page["items"]]


def refused(answer: httpx.Response) -> Any:
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"].isdigit()
    return answer.json()


def test_disk_full__each_wire_says_so_and_nothing_is_lost(server: ServerProcess, client: Client) -> None:
    assert client.say("before").status_code == 201
    session = client.recoup("POST", "/api/sessions").json()["session"]["id"]
    chat = client.lexicon("POST", "/api/v1/chats/", json={"user_id": "ann"}).json()["id"]
    with no_room(server):
        assert isinstance(refused(client.say("during"))["detail"], str)
        assert refused(client.recoup("POST", "/api/sessions"))["status"] == "error"
        assert refused(client.recoup("POST", f"/api/sessions/{session}/chats", json={"id": "c"}))["status"] == "error"
        body = refused(client.lexicon("POST", "/api/v1/chats/", json={"user_id": "ann"}))
        assert (body["error_code"], body["success"]) == ("STORE_UNAVAILABLE", False)
        assert refused(client.lexicon("DELETE", f"/api/v1/chats/{chat}"))["error_code"] == "STORE_UNAVAILABLE"
        refused(client.honcho("DELETE", "/sessions/s1"))
        assert client.said() == ["before"]
        assert client.lexicon("GET", f"/api/v1/chats/{chat}").status_code == 200
        assert client.http.get("/healthz").status_code == 200
    assert client.say("after").status_code == 201
    assert client.said() == ["before", "after"]
    assert len(client.recoup("GET", f"/api/sessions/{session}/chats").json()["chats"]) == 1
    assert client.lexicon("DELETE", f"/api/v1/chats/{chat}").status_code == 200
    assert client.honcho("DELETE", "/sessions/s1").status_code == 202


def test_disk_full__a_restart_finds_all_that_was_acknowledged(server: ServerProcess, client: Client) -> None:
    kept = [f"m{i}" for i in range(20) if client.say(f"m{i}").status_code == 201]
    with no_room(server):
        refused(client.say("lost"))
        server.kill()
    assert len(kept) == 20
    headers = {"authorization": f"Bearer {server.key('user')}"}
    with ServerProcess(server.data_dir) as again, httpx.Client(base_url=again.url, headers=headers) as http:
        page = http.post("/v3/workspaces/default/sessions/s1/messages/list", params={"size": 100}).json()
        assert [message["content"] for message in page["items"]] == kept
