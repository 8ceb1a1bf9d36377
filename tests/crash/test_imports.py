"""A server that dies in the middle of an import goes on with it: it is there once, whole, and not a word before."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.postgres_server import postgres_server, postgres_url
from tests.server_process import PROGRAM, ServerProcess, command, environment

__all__ = ["postgres_server", "postgres_url"]

MESSAGES = 6_000
KILLS = 4
SECONDS = 60
EXPORT = "/antiphon/v1/sessions/long/export"


@pytest.fixture(params=["sqlite", "postgres"])
def more(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings of a server on either store, which may be asked as often as one likes."""
    settings = {"ANTIPHON_REST_RATE_LIMIT": "0"}
    if request.param == "postgres":
        settings["ANTIPHON_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    return settings


def _http(server: ServerProcess, key: str) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {key}"}, timeout=SECONDS)


def _told_by(content: str) -> list[dict[str, Any]]:
    """The lines of an export, without the ids of its messages and the checksum."""
    lines = [json.loads(line) for line in content.splitlines()]
    for line in lines:
        line.pop("id" if line.get("type") == "message" else "sha256", None)
    return lines


def _file() -> str:
    """A long session as an export writes it."""
    when = "2024-03-01T10:00:00.000001Z"
    times = {"created_at": when, "updated_at": when}
    empty: dict[str, Any] = {"metadata": {}, "configuration": {}}
    names = {"id": "long", "shape": "single", "participant": "ann", "title": "T", "status": "running"}
    place = {"observe_me": None, "observe_others": None, "joined_at": when, "left_at": None}
    chat = {"id": "c", "session": {"id": "long", "shape": "single"}, "participant": "ann", "title": "T", "model": None}
    said = {"role": "user", "participant": "ann", "metadata": {}, "token_count": 1, "created_at": when, "text": None}
    lines: list[dict[str, Any]] = [
        {"type": "export", "version": 1, "kind": "session", "id": "long"},
        {"type": "session", **names, "artist_id": None, **empty, "lines_added": 0, "lines_removed": 0, **times},
        {"type": "member", "kind": "peer", "participant": "ann", **empty, **place},
        {"type": "chat", **chat, "metadata": {}, **times},
    ]
    for seq in range(1, MESSAGES + 1):
        ids = {"id": f"msg-{uuid.UUID(int=seq)}", "client_id": None, "seq": seq}
        parts = {"parts": [{"type": "text", "text": f"word {seq}"}], "reasoning": None}
        lines.append({"type": "message", **ids, **said, **parts})
    body = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    end = {"end": True, "messages": MESSAGES, "sha256": hashlib.sha256(body.encode()).hexdigest()}
    return body + json.dumps(end, separators=(",", ":")) + "\n"


def _tenant(data_dir: Path, more: dict[str, str]) -> str:
    """A key of a new tenant."""
    command(data_dir, "tenants", "create", "other", **more)
    key: str = command(data_dir, "keys", "create", "--tenant", "other", **more)["key"]
    return key


def test_it_goes_on_after_every_kill_and_comes_to_be_once(tmp_path: Path, more: dict[str, str]) -> None:
    data_dir = tmp_path / "data"
    content, key = _file(), _tenant(data_dir, more)
    seen: list[int] = []
    with ServerProcess(data_dir, **more) as server, _http(server, key) as http:
        answer = http.post("/antiphon/v1/imports", content=content)
        assert answer.status_code == 202, answer.text
        path = f"/antiphon/v1/imports/{answer.json()['id']}"
        server.kill()
    for _ in range(KILLS):
        with ServerProcess(data_dir, **more) as server, _http(server, key) as http:
            known = http.get(path).json()
            ends = time.monotonic() + SECONDS
            while known["state"] == "writing" and known["done"] <= (seen[-1] if seen else 0):
                assert http.get(EXPORT).status_code == 404
                assert time.monotonic() < ends, known
                known = http.get(path).json()
            seen.append(known["done"])
            server.kill()
    with ServerProcess(data_dir, **more) as server, _http(server, key) as http:
        ends = time.monotonic() + SECONDS
        while (known := http.get(path).json())["state"] == "writing":
            assert time.monotonic() < ends, known
            time.sleep(0.05)  # between two looks at another process
        assert (known["state"], known["done"], known["total"]) == ("done", MESSAGES, MESSAGES)
        assert _told_by(http.get(EXPORT).text) == _told_by(content)
        assert http.post("/antiphon/v1/imports", content=content).json() == known
        assert http.get("/antiphon/v1/deletions").json()["items"] == []
    assert seen == sorted(seen)
    assert 0 < seen[0] < MESSAGES
    assert [path.name for path in (data_dir / "imports").iterdir()] == []
    sound = subprocess.run(
        [*PROGRAM, "doctor", "--json"], env=environment(data_dir, **more), capture_output=True, text=True, check=False
    )
    assert sound.returncode == 0, sound.stdout


def test_a_worker_goes_on_for_a_server_that_is_away(tmp_path: Path, more: dict[str, str]) -> None:
    data_dir = tmp_path / "data"
    content, key = _file(), _tenant(data_dir, more)
    with ServerProcess(data_dir, **more) as server, _http(server, key) as http:
        answer = http.post("/antiphon/v1/imports", content=content)
        assert answer.status_code == 202, answer.text
        server.kill()
    assert len([*(data_dir / "imports").iterdir()]) == 1
    worker = subprocess.Popen(
        [*PROGRAM, "worker"], env=environment(data_dir, **more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ends = time.monotonic() + SECONDS
        while [*(data_dir / "imports").iterdir()]:
            assert worker.poll() is None
            assert time.monotonic() < ends, "the worker leaves it"
            time.sleep(0.05)  # between two looks at another process
    finally:
        worker.terminate()
        worker.wait(SECONDS)
    assert worker.returncode == 0
    with ServerProcess(data_dir, **more) as server, _http(server, key) as http:
        assert http.get(f"/antiphon/v1/imports/{answer.json()['id']}").json()["state"] == "done"
        assert _told_by(http.get(EXPORT).text) == _told_by(content)


def test_the_command_goes_on_too(tmp_path: Path, more: dict[str, str]) -> None:
    data_dir, file = tmp_path / "data", tmp_path / "long.jsonl"
    content = _file()
    _tenant(data_dir, more)
    file.write_text(content)
    words = [*PROGRAM, "import", str(file), "--tenant", "other"]
    for wait in (1.0, 1.3):
        begun = subprocess.Popen(words, env=environment(data_dir, **more), stderr=subprocess.DEVNULL)
        try:
            begun.wait(wait)
        except subprocess.TimeoutExpired:
            begun.send_signal(signal.SIGKILL)
            begun.wait()
    two = [
        subprocess.Popen([*words, "--json"], env=environment(data_dir, **more), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [json.loads(one.communicate(timeout=SECONDS)[0]) for one in two]
    assert [one.returncode for one in two] == [0, 0]
    assert len({one["import"] for one in told}) == 1
    done = subprocess.run(
        [*PROGRAM, "export", "session", "long", "--tenant", "other"],
        env=environment(data_dir, **more),
        capture_output=True,
        text=True,
        check=True,
    )
    assert _told_by(done.stdout) == _told_by(content)
    again = command(data_dir, "import", str(file), "--tenant", "other", **more)
    assert (again["state"], again["messages"]) == ("already there", MESSAGES)
