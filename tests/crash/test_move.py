"""A whole instance moves to PostgreSQL, killed on its way again and again; then a server goes on there as before."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.postgres_server import EMPTY, PostgresServer, postgres_server
from tests.server_process import PROGRAM, ServerProcess, command, environment

__all__ = ["postgres_server"]

MESSAGES = 1_500
SECONDS = 60
KILLS = (1, 4, 9, 14, 18)
"""After so many steps of a move the process kills itself."""

KILLED_MOVE = """
import os, signal, sys
from antiphon.app import PARTS
from antiphon.domain import limits
import asyncio
from pathlib import Path

limits.MOVE_ROWS = 200
steps = 0

def tell(state, table, done, total):
    global steps
    steps += 1
    if steps == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(PARTS.move(Path(sys.argv[1]), sys.argv[2], tell))
"""


@pytest.fixture
async def url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of a database in which there is nothing."""
    name = await postgres_server.create_database(EMPTY)
    yield postgres_server.url(name)
    await postgres_server.drop_database(name)


def _seen(server: ServerProcess, keys: dict[str, str], made: dict[str, str]) -> dict[str, Any]:
    """What each dialect shows of the same conversation, and our own wire of the proofs."""
    with httpx.Client(base_url=server.url, timeout=SECONDS) as http:
        tenant = {"authorization": f"Bearer {keys['tenant']}", "x-api-key": keys["tenant"]}
        ann = {"x-api-key": keys["ann"]}
        honcho = "/v3/workspaces/default/sessions/long"
        bearer = {"authorization": tenant["authorization"]}
        asked = {
            "honcho": http.post(f"{honcho}/messages/list?size=100&page=15", json={}, headers=bearer),
            "honcho peers": http.get(f"{honcho}/peers", headers=bearer),
            "lexicon": http.get(f"/api/v1/chats/{made['lexicon']}", headers={"x-api-key": keys["tenant"]}),
            "recoup": http.get(f"/api/sessions/{made['recoup']}/chats", headers=ann),
            "native": http.get(f"/antiphon/v1/chats/{made['lexicon']}", headers=bearer),
            "receipts": http.get("/antiphon/v1/receipts", headers=bearer),
            "whoami": http.get("/antiphon/v1/whoami", headers=ann),
        }
    for name, answer in asked.items():
        assert answer.status_code == 200, (name, answer.text)
    return {name: answer.json() for name, answer in asked.items()}


def _make(server: ServerProcess, keys: dict[str, str]) -> dict[str, str]:
    """A session of every dialect, one that was deleted, and one that is to be."""
    with httpx.Client(base_url=server.url, timeout=SECONDS) as http:
        bearer = {"authorization": f"Bearer {keys['tenant']}"}
        for name in ("long", "gone", "going"):
            http.post("/v3/workspaces/default/sessions", json={"id": name}, headers=bearer).raise_for_status()
            for first in range(0, MESSAGES, 100):
                messages = [{"content": f"{name} {first + i}", "peer_id": "ann"} for i in range(100)]
                path = f"/v3/workspaces/default/sessions/{name}/messages"
                http.post(path, json={"messages": messages}, headers=bearer).raise_for_status()
        lexicon = http.post(
            "/api/v1/chats", json={"user_id": "ann", "title": "T"}, headers={"x-api-key": keys["tenant"]}
        )
        assert lexicon.status_code == 201, lexicon.text
        recoup = http.post("/api/sessions", json={}, headers={"x-api-key": keys["ann"]})
        assert recoup.status_code in {200, 201}, recoup.text
        target = {"target": {"kind": "session", "id": "gone"}}
        gone = http.post("/antiphon/v1/deletions", json=target, headers=bearer).json()["id"]
        ends = time.monotonic() + SECONDS
        while http.get(f"/antiphon/v1/deletions/{gone}", headers=bearer).json()["state"] != "done":
            assert time.monotonic() < ends
            time.sleep(0.1)  # between two looks at another process
    session = recoup.json()["session"]
    return {"lexicon": lexicon.json()["id"], "recoup": session["id"]}


def test_a_server_goes_on_where_the_other_was(tmp_path: Path, url: str) -> None:
    data_dir = tmp_path / "data"
    plain, moved = {"ANTIPHON_REST_RATE_LIMIT": "0"}, {"ANTIPHON_REST_RATE_LIMIT": "0", "ANTIPHON_DATABASE_URL": url}
    with ServerProcess(data_dir, **plain) as server:
        keys = {
            "tenant": command(data_dir, "keys", "create", "--tenant", "default")["key"],
            "ann": command(data_dir, "keys", "create", "--tenant", "default", "--participant", "ann")["key"],
        }
        busy = subprocess.run(
            [*PROGRAM, "move", "--to", url], env=environment(data_dir), capture_output=True, text=True, check=False
        )
        assert (busy.returncode, "in use" in busy.stderr) == (1, True), busy.stderr
        made = _make(server, keys)
        before = _seen(server, keys, made)
        server.kill()
    going = command(data_dir, "delete", "session", "going", "--tenant", "default", "--yes")  # and nobody to do it
    assert going["state"] == "purging"
    for steps in KILLS:
        done = subprocess.run(
            [sys.executable, "-c", KILLED_MOVE, str(data_dir), url, str(steps)],
            env=environment(data_dir),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    refused = subprocess.run(
        [*PROGRAM, "serve", "--port", "0"],
        env=environment(data_dir, **moved),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "not finished" in refused.stderr
    told = command(data_dir, "move", "--to", url)
    assert told["state"] == "done"
    assert told["rows"] > MESSAGES
    with ServerProcess(data_dir, **moved) as server:
        after = _seen(server, keys, made)
        proofs = after["receipts"]["items"][: len(before["receipts"]["items"])]
        assert after | {"receipts": {"items": proofs, "next": None}} == before
        with httpx.Client(base_url=server.url, timeout=SECONDS) as http:
            bearer = {"authorization": f"Bearer {keys['tenant']}"}
            ends = time.monotonic() + SECONDS
            while http.get(f"/antiphon/v1/deletions/{going['id']}", headers=bearer).json()["state"] != "done":
                assert time.monotonic() < ends
                time.sleep(0.1)  # between two looks at another process
            verified = http.get("/antiphon/v1/receipts/verify", headers=bearer).json()
            assert (verified["ok"], verified["receipts"]) == (True, 2)
            said = http.post(
                "/v3/workspaces/default/sessions/long/messages",
                json={"messages": [{"content": "and on", "peer_id": "ann"}]},
                headers=bearer,
            )
            assert said.status_code == 201, said.text
    with ServerProcess(data_dir, **plain) as server:  # the source is what it was
        left = _seen(server, keys, made)
        assert left["honcho"] == before["honcho"]
