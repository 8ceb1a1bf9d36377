"""What is left after SIGKILL: every acknowledged message, once and in order, and deletions that go on to their end."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import apsw
import httpx
import pytest

from tests.server_process import ServerProcess

BATCH = 3
WRITERS = 4
ENOUGH = 120
LONG_SESSION = 5_000
ATTEMPTS = 6
PATIENCE_SECONDS = 60


class Workspace:
    """The default tenant over Honcho's wire, at one process."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/v3/workspaces/default", headers={"authorization": f"Bearer {key}"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def make(self, session: str) -> None:
        self._http.post("/sessions", json={"id": session}).raise_for_status()

    def say(self, session: str, texts: list[str]) -> None:
        messages = [{"content": text, "peer_id": "ann"} for text in texts]
        self._http.post(f"/sessions/{session}/messages", json={"messages": messages}).raise_for_status()

    def said(self, session: str) -> list[str]:
        texts: list[str] = []
        for page in itertools.count(1):
            answer = self._http.post(f"/sessions/{session}/messages/list", params={"page": page, "size": 100}, json={})
            answer.raise_for_status()
            texts += [item["content"] for item in answer.json()["items"]]
            if page >= answer.json()["pages"]:
                break
        return texts

    def delete(self, session: str) -> None:
        assert self._http.delete(f"/sessions/{session}").status_code == 202


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def write_until_cut_off(workspace: Workspace, session: str, acknowledged: list[int], changed: threading.Event) -> None:
    """Append batch after batch; note each that was acknowledged; end when the server is gone."""
    for number in itertools.count():
        try:
            workspace.say(session, [f"{number}.{place}" for place in range(BATCH)])
        except httpx.TransportError:
            return
        acknowledged.append(number)
        changed.set()


def await_condition(is_met: Callable[[], bool], what: str) -> None:
    """Return when it is met; AssertionError after a minute."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not is_met():
        assert time.monotonic() < ends, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.05)  # between two looks at a process that tells nothing by itself


def test_acknowledged_messages_survive_sigkill(data_dir: Path) -> None:
    acknowledged: dict[str, list[int]] = {f"s{number}": [] for number in range(WRITERS)}
    changed = threading.Event()
    with ServerProcess(data_dir) as server, Workspace(server.url, key := server.key("user")) as workspace:
        for session in acknowledged:
            workspace.make(session)
        threads = [
            threading.Thread(target=write_until_cut_off, args=(workspace, session, done, changed))
            for session, done in acknowledged.items()
        ]
        for thread in threads:
            thread.start()
        while sum(map(len, acknowledged.values())) < ENOUGH:
            assert changed.wait(PATIENCE_SECONDS), "the writers stand still"
            changed.clear()
        server.kill()
        for thread in threads:
            thread.join()

    with ServerProcess(data_dir) as server, Workspace(server.url, key) as workspace:
        for session, done in acknowledged.items():
            texts = workspace.said(session)
            batches = len(texts) // BATCH
            assert texts == [f"{number}.{place}" for number in range(batches) for place in range(BATCH)]
            assert batches in (len(done), len(done) + 1)  # one more may have been stored and not yet acknowledged
            workspace.say(session, ["life goes on"])
            assert workspace.said(session)[-1] == "life goes on"


def rows_of_messages(data_dir: Path) -> int:
    """How many rows the database holds, looked at while no server runs."""
    connection = apsw.Connection(str(data_dir / "antiphon.db"))
    try:
        count = connection.execute("SELECT count(*) FROM messages").fetchall()[0][0]
        assert isinstance(count, int)
        return count
    finally:
        connection.close()


def killed_in_the_middle(data_dir: Path, key: str, session: str) -> int:
    """Delete a long session, kill the server right after its answer; the rows that are left."""
    with ServerProcess(data_dir) as server, Workspace(server.url, key) as workspace:
        workspace.make(session)
        for start in range(0, LONG_SESSION, 100):
            workspace.say(session, [f"{number}" for number in range(start, start + 100)])
        workspace.delete(session)
        server.kill()
    return rows_of_messages(data_dir)


def test_a_deletion_cut_off_by_sigkill_is_finished(data_dir: Path) -> None:
    with ServerProcess(data_dir) as server:
        key = server.key("user")
    left = 0
    sessions = [f"long{number}" for number in range(ATTEMPTS)]
    for session in sessions:
        left = killed_in_the_middle(data_dir, key, session)
        if left:
            break
    assert left > 0, "every deletion was over before the kill: nothing was shown"

    with ServerProcess(data_dir) as server, Workspace(server.url, key) as workspace:
        listed = httpx.post(
            f"{server.url}/v3/workspaces/default/sessions/list",
            headers={"authorization": f"Bearer {key}"},
            json={},
        )
        assert listed.json()["items"] == []
        workspace.make(session)
        assert workspace.said(session) == []
        await_condition(
            lambda: httpx.get(f"{server.url}/readyz").json()["deletions"]["pending"] == 0, "no deletion is pending"
        )
        server.kill()
    assert rows_of_messages(data_dir) == 0


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.25, 0.35, 0.45])
def test_a_first_start_that_is_killed_leaves_a_server_that_starts(data_dir: Path, delay: float) -> None:
    server = ServerProcess(data_dir).begin()
    time.sleep(delay)  # the start is to be hit at several points, wherever they are
    server.__exit__()
    with ServerProcess(data_dir) as again:
        assert httpx.get(f"{again.url}/readyz").status_code == 200
