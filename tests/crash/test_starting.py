"""How a server starts: what it prints, what it makes, and that several may start at once."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.curl import stand_in_for_curl
from tests.server_process import PROGRAM, ServerProcess, command, environment


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def request_of(line: str) -> httpx.Request:
    """The request that a `curl` line makes."""
    words = iter(shlex.split(line))
    assert next(words) == "curl"
    url, headers, body = "", {}, None
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        elif word != "-sS":
            url = word
    return httpx.Request("POST" if body is not None else "GET", url, headers=headers, content=body)


def test_the_first_start_prints_lines_that_work(data_dir: Path) -> None:
    with ServerProcess(data_dir) as server, httpx.Client() as http:
        lines = [line for line in server.printed.splitlines() if line.startswith("curl ")]
        recoup, lexicon, honcho = (http.send(request_of(line)) for line in lines)
        assert (recoup.status_code, recoup.json()["session"]["title"]) == (200, "Hello")
        assert (lexicon.status_code, lexicon.json()["user_id"]) == (201, "user")
        assert (honcho.status_code, honcho.json()["id"]) == (201, "hello")
        (socket_line,) = (line for line in server.printed.splitlines() if line.startswith("ws://"))
        with connect(socket_line + lexicon.json()["id"]) as socket:
            assert json.loads(socket.recv())["event_type"] == "connection_established"
        for key in ("admin", "user", "guest"):
            assert server.key(key) not in server.log


def test_the_first_starts_lines_work_as_pasted(data_dir: Path) -> None:
    folder = data_dir.parent / "bin"
    folder.mkdir()
    for name, text in stand_in_for_curl().items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    with ServerProcess(data_dir) as server:
        script = "\n".join(line for line in server.printed.splitlines() if line.startswith("curl "))
        done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=True, env=env)
    assert '"title":"Hello"' in done.stdout
    assert '"id":"hello"' in done.stdout


def test_the_first_start_makes_a_tenant_two_people_and_three_keys(data_dir: Path) -> None:
    with ServerProcess(data_dir) as server:
        tenants = command(data_dir, "tenants", "list")["items"]
        keys = command(data_dir, "keys", "list", "--tenant", "default")["items"]
        assert [tenant["name"] for tenant in tenants] == ["default"]
        assert [(key["participant"], key["scopes"]) for key in keys] == [
            (None, ["admin"]),
            ("user", ["tenant"]),
            ("guest", ["participant"]),
        ]
        assert len({server.key(name) for name in ("admin", "user", "guest")}) == 3
    assert data_dir.stat().st_mode & 0o777 == 0o700


def test_a_later_start_prints_only_that_it_is_ready_and_within_a_second(data_dir: Path) -> None:
    with ServerProcess(data_dir):
        pass
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        with ServerProcess(data_dir) as server:
            seconds.append(time.perf_counter() - began)
            assert server.printed == ""
            assert httpx.get(f"{server.url}/readyz").status_code == 200
    assert min(seconds) < 3, seconds  # a second when nothing else runs; the tests share two cores


def test_processes_that_start_at_once_make_one_tenant(data_dir: Path) -> None:
    servers = [ServerProcess(data_dir).begin() for _ in range(4)]
    try:
        printed = [server.await_ready().printed for server in servers]
        assert sum("ant_" in text for text in printed) == 1
        assert len(command(data_dir, "tenants", "list")["items"]) == 1
        assert [httpx.get(f"{server.url}/readyz").status_code for server in servers] == [200] * 4
    finally:
        for server in servers:
            server.__exit__()


def test_a_revoked_key_stops_working_on_every_process_within_a_second(data_dir: Path) -> None:
    with ServerProcess(data_dir) as one, ServerProcess(data_dir) as two, httpx.Client() as http:
        made = command(data_dir, "keys", "create", "--tenant", "default", "--participant", "eve")

        def statuses() -> list[int]:
            headers = {"authorization": f"Bearer {made['key']}"}
            return [http.get(f"{server.url}/api/sessions/none", headers=headers).status_code for server in (one, two)]

        assert statuses() == [404, 404]
        assert command(data_dir, "keys", "revoke", made["id"]) == {"id": made["id"], "revoked": True}
        ends = time.monotonic() + 1
        while time.monotonic() < ends:
            statuses()  # a key in constant use must end too
        assert statuses() == [401, 401]


def test_without_authentication_every_request_is_the_first_tenants(data_dir: Path) -> None:
    with ServerProcess(data_dir, ANTIPHON_AUTH="off") as server:
        answer = httpx.post(f"{server.url}/v3/workspaces/default/sessions", json={"id": "open"})
        assert (answer.status_code, answer.json()["id"]) == (201, "open")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--host", "192.0.2.1", "--auth", "off"], 2, "ANTIPHON_AUTH=off is allowed on a loopback address only"),
        (["--port", "none"], 2, "ANTIPHON_PORT (--port) must be a number"),
        (["--database-url", "mysql://db/x"], 2, "must be a URL that begins with postgresql:// or postgres://"),
    ],
)
def test_a_server_that_must_not_start_says_why(data_dir: Path, words: list[str], status: int, said: str) -> None:
    done = subprocess.run(
        [*PROGRAM, "serve", *words], env=environment(data_dir), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not data_dir.exists()


def test_a_port_in_use_is_told_and_nothing_is_made(data_dir: Path, tmp_path: Path) -> None:
    with ServerProcess(data_dir) as server:
        port = server.url.rpartition(":")[2]
        other = tmp_path / "other"
        done = subprocess.run(
            [*PROGRAM, "serve", "--port", port],
            env=environment(other),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert not other.exists()


def test_a_directory_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / "file" / "data"
    done = subprocess.run(
        [*PROGRAM, "tenants", "list"], env=environment(place), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"antiphon: the data directory {place} cannot be made: Not a directory\n"


def test_the_program_runs_without_a_terminal_and_without_its_output_being_read(data_dir: Path) -> None:
    """A reader that goes away before the first line must not take the server with it."""
    child = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0"],
        env=environment(data_dir, ANTIPHON_LOG_LEVEL="error"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdout is not None
    child.stdout.close()
    try:
        ends = time.monotonic() + 30
        while not command(data_dir, "tenants", "list")["items"]:
            assert time.monotonic() < ends
        assert child.poll() is None
    finally:
        child.terminate()
        assert child.wait(20) == 0


def test_the_module_is_the_program() -> None:
    done = subprocess.run([sys.executable, "-m", "antiphon", "version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"
