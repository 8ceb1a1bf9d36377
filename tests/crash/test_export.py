"""A server that dies in the middle of an export with deletion deletes nothing; a window outlives it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.server_process import ServerProcess, command

MESSAGES = 1_200
TEXT = "word " * 4_000


def _http(server: ServerProcess, key: str) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {key}"}, timeout=60)


def _make(http: httpx.Client) -> str:
    """The id of the only chat of a long session."""
    workspace = "/v3/workspaces/default"
    http.post(f"{workspace}/sessions", json={"id": "long"}).raise_for_status()
    for first in range(0, MESSAGES, 100):
        messages = [{"content": f"{first + i} {TEXT}", "peer_id": "ann"} for i in range(100)]
        http.post(f"{workspace}/sessions/long/messages", json={"messages": messages}).raise_for_status()
    lines = map(json.loads, http.get("/antiphon/v1/sessions/long/export").text.splitlines())
    return next(str(line["id"]) for line in lines if line.get("type") == "chat")


def test_a_kill_in_the_middle_deletes_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with ServerProcess(data_dir) as server:
        key = command(data_dir, "keys", "create", "--tenant", "default")["key"]
        with _http(server, key) as http:
            chat = _make(http)
        place = urlsplit(server.url)
        with socket.create_connection((place.hostname or "", place.port or 0)) as client:
            request = f"DELETE /antiphon/v1/chats/{chat}?export=jsonl HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n"
            client.sendall(request.encode())
            assert client.recv(64).startswith(b"HTTP/1.1 200")
            server.kill()  # what waits for a client that does not read is far more than fits between the two
    with ServerProcess(data_dir) as server, _http(server, key) as http:
        assert http.get("/antiphon/v1/deletions").json()["items"] == []
        lines = http.get(f"/antiphon/v1/chats/{chat}/export").text.splitlines()
        assert f'"messages":{MESSAGES}' in lines[-1]
        command(data_dir, "tenants", "set", "default", "undo_window=3600")
        body = http.delete(f"/antiphon/v1/chats/{chat}?export=jsonl").text
        assert body.splitlines()[1:-1] == lines[1:-1]
        (deletion,) = http.get("/antiphon/v1/deletions").json()["items"]
        assert (deletion["state"], deletion["id"] in body) == ("detached", True)
        server.kill()
    with ServerProcess(data_dir) as server, _http(server, key) as http:
        assert http.get(f"/antiphon/v1/chats/{chat}/export").status_code == 404
        assert http.post(f"/antiphon/v1/deletions/{deletion['id']}/undo").json()["state"] == "undone"
        assert http.get(f"/antiphon/v1/chats/{chat}/export").text.splitlines()[1:-1] == lines[1:-1]
