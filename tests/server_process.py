"""The program as a process of its own, as a user starts it: for what only a real process can show."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from tests.log_watch import WATCH

NO_MODEL = "http://127.0.0.1:9/v1"
PROGRAM = [sys.executable, "-m", "antiphon"]


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """This process's environment without settings of ours, and those that are given; no test waits for embeddings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    ours = {"ANTIPHON_DATA_DIR": str(data_dir), "ANTIPHON_MODEL_URL": NO_MODEL, "ANTIPHON_EMBEDDINGS": "off"}
    return {**clean, **ours, **more}


def command(data_dir: Path, *words: str, **more: str) -> dict[str, Any]:
    """The JSON that a command prints. Raises CalledProcessError when it fails."""
    done = subprocess.run(
        [*PROGRAM, *words, "--json"], env=environment(data_dir, **more), capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


class ServerProcess:
    """`antiphon serve` on a free port. `begin` starts it, `await_ready` returns when it says so; `with` does both.

    `printed` is all it wrote to standard output before `ready`, `url` the address that it said.
    """

    def __init__(self, data_dir: Path, **more: str) -> None:
        self.data_dir = data_dir
        self.url = ""
        self.printed = ""
        self._more = more
        self._log = data_dir.parent / f"{data_dir.name}-{id(self)}.log"
        self._child: subprocess.Popen[str] | None = None

    def begin(self) -> Self:
        """Start the process, once, and do not wait for it."""
        assert self._child is None, "it runs already: `with` begins it too"
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [*PROGRAM, "serve", "--host", "127.0.0.1", "--port", "0"],
                env=environment(self.data_dir, **self._more),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        return self

    def await_ready(self) -> Self:
        """Return when it has said `ready`; AssertionError, with its log, when it ends instead."""
        out = self.child.stdout
        assert out is not None
        lines: list[str] = []
        while line := out.readline():
            if line.startswith("ready "):
                self.printed, self.url = "".join(lines), line.split()[1]
                return self
            lines.append(line)
        raise AssertionError(f"it ended with {self.child.wait()}: {''.join(lines)}{self.log[-2000:]}")

    def __enter__(self) -> Self:
        return self.begin().await_ready()

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        if self.child.poll() is None:
            self.kill()
        if self.child.stdout is not None:
            self.child.stdout.close()
        if kind is None:
            found = WATCH.found_in(self.log)
            assert found == [], f"the log has what people wrote: {found}"

    @property
    def child(self) -> subprocess.Popen[str]:
        """The process; it must have been started."""
        assert self._child is not None
        return self._child

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text(errors="replace")

    def await_log(self, text: str) -> None:
        """Return when the log has that text; AssertionError after ten seconds."""
        ends = time.monotonic() + 10
        while text not in self.log:
            assert time.monotonic() < ends, f"no {text} in {self.log[-2000:]}"
            time.sleep(0.02)  # between two looks at a file

    @property
    def socket_url(self) -> str:
        """The address of its WebSockets."""
        return f"ws{self.url.removeprefix('http')}/ws/chat"

    def kill(self) -> None:
        """End it as a power cut would."""
        self.child.kill()
        self.child.wait()

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self.child.send_signal(signal.SIGTERM)

    def key(self, name: str) -> str:
        """A key of the first start's output: `admin`, `user` or `guest`."""
        found = [line.split()[1] for line in self.printed.splitlines() if line.strip().startswith(f"{name} ")]
        assert len(found) == 1, f"{len(found)} lines with a key of {name}"
        return found[0]
