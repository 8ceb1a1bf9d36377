"""Starting and ending what a run needs; whatever was started here is ended here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
_START_SECONDS = 60
_STOP_SECONDS = 20


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """A child inherits the cores of its parent, so we go there to start it and come back."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Process:
    """A child process pinned to one core; its standard error goes to a file, as a service's would."""

    def __init__(self, name: str, command: list[str], core: int, log_dir: Path, **environment: str) -> None:
        self.name = name
        self._log = log_dir / f"{name}.log"
        with self._log.open("wb") as log, on_core(core):
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **environment},
            )
        self.pid = self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if self._child.stdin:
            self._child.stdin.close()
        self._child.terminate()
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def fail(self, why: str) -> RuntimeError:
        """An error with the end of the process's log."""
        return RuntimeError(f"{self.name}: {why}\n{self._log.read_text(errors='replace')[-2000:]}")

    def wait_for(self, port: int) -> None:
        """Return when it accepts connections. Raises RuntimeError when it ends or takes longer than a minute."""
        ends = time.monotonic() + _START_SECONDS
        while time.monotonic() < ends:
            if self._child.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise self.fail("it does not accept connections")

    def line_after(self, prefix: str) -> str:
        """The rest of the first line of its output that begins so. Raises RuntimeError when it ends before."""
        assert self._child.stdout
        for line in self._child.stdout:
            if line.startswith(prefix.encode()):
                return line.decode().removeprefix(prefix).strip()
        raise self.fail("it ended while starting")

    def ask(self, job: msgspec.Struct, answer: type[T]) -> T:
        """Hand over a job as a line of JSON and wait for its answer. Raises RuntimeError when it ends instead."""
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(msgspec.json.encode(job) + b"\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise self.fail("it ended")
        return msgspec.json.decode(line, type=answer)


def python(*arguments: str) -> list[str]:
    """A command that runs this interpreter."""
    return [sys.executable, *arguments]
