"""The load: a process of its own on a core of its own, which keeps a number of connections busy.

`python -m bench.load` reads jobs (one JSON object a line) from standard input and answers each with a line. A
connection sends a request, reads the whole answer, and sends the next one; an answer with another status than the
expected one ends the job with an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from itertools import cycle
from typing import cast

import msgspec
import uvloop

from bench.machine import cpu_seconds, family

_LENGTH = b"content-length: "


class Job(msgspec.Struct):
    """What to do. It ends after `seconds`, or after `requests_max` answers if that is sooner.

    `together`: so many requests belong together; one connection sends them, each when the one before is answered.
    """

    port: int
    pid: int
    requests: list[str]
    status: int
    connections: int
    seconds: float
    warm_up_seconds: float
    requests_max: int
    together: int = 1
    last_status: int = 0  # of the last of those that belong together, if it is another one


class Figures(msgspec.Struct):
    """What was seen, warm-up excluded: server CPU a request, the rate, latencies, how busy each side's core was."""

    cpu_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    measured_busy: float
    load_busy: float = 0.0
    error: str = ""


def figures_of(latencies: list[float], seconds: float, cpu: float, load: float, a_time: int = 1) -> Figures:
    """The figures of a run; `latencies` in seconds, each that of `a_time` operations."""
    if not latencies:
        return Figures(0, 0, 0, 0, 0, error="nothing was answered")
    ordered = sorted(latencies)
    count = len(ordered) * a_time
    return Figures(
        cpu_us=cpu / count * 1e6,
        per_second=count / seconds,
        p50_ms=ordered[len(ordered) // 2] * 1e3,
        p99_ms=ordered[len(ordered) * 99 // 100] * 1e3,
        measured_busy=cpu / seconds,
        load_busy=load / seconds,
    )


class Run:
    """One job under way, shared by its connections."""

    def __init__(self, job: Job) -> None:
        self.job = job
        encoded = [request.encode("latin-1") for request in job.requests]
        self.groups = cycle([encoded[at : at + job.together] for at in range(0, len(encoded), job.together)])
        self.statuses = {str(job.status).encode(), str(job.last_status or job.status).encode()}
        self.latencies: list[float] = []
        self.is_over = asyncio.Event()
        self.error = ""

    def fail(self, why: str) -> None:
        """End the job: what follows is not worth measuring."""
        self.error = self.error or why
        self.is_over.set()

    async def measure(self) -> Figures:
        """Warm up, then measure."""
        job, loop = self.job, asyncio.get_running_loop()
        connections = [
            (await loop.create_connection(lambda: Connection(self), "127.0.0.1", job.port))[1]
            for _ in range(job.connections)
        ]
        for connection in connections:
            connection.send()
        await self._wait(job.warm_up_seconds)
        self.latencies.clear()
        pids = family(job.pid)
        cpu, load, began = cpu_seconds(pids), time.process_time(), time.perf_counter()
        await self._wait(job.seconds)
        seconds = time.perf_counter() - began
        cpu, load = cpu_seconds(pids) - cpu, time.process_time() - load
        figures = figures_of(self.latencies, seconds, cpu, load)
        figures.error = self.error or figures.error
        self.is_over.set()
        await asyncio.gather(*(connection.close() for connection in connections))
        return figures

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.is_over.wait(), seconds)


class Connection(asyncio.Protocol):
    """One connection with one request under way."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self._head = b""
        self._missing = 0
        self._sent_at = 0.0
        self._next: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to write."""
        self._transport = cast("asyncio.Transport", transport)  # what it is, though uvloop's has another base class

    def connection_lost(self, exc: Exception | None) -> None:
        """An end that nobody asked for is an error."""
        self._lost.set()
        if not self._run.is_over.is_set():
            self._run.fail("a connection was closed")

    def send(self) -> None:
        """Send the next request."""
        assert self._transport is not None
        self._sent_at = time.perf_counter()
        if not self._next:
            self._next = list(reversed(next(self._run.groups)))
        self._transport.write(self._next.pop())

    def data_received(self, data: bytes) -> None:
        """Read an answer: its head, then as many bytes as it says."""
        if self._missing:
            self._missing -= len(data)
        else:
            if self._head:
                data, self._head = self._head + data, b""
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = data
                return
            at = data.find(_LENGTH, 0, end)
            if data[9:12] not in self._run.statuses or at < 0:
                self._run.fail(f"unexpected answer: {data[:300]!r}")
                return
            self._missing = int(data[at + len(_LENGTH) : data.find(b"\r", at)]) + end + 4 - len(data)
        if self._missing <= 0:
            self._answered()

    def _answered(self) -> None:
        run = self._run
        run.latencies.append(time.perf_counter() - self._sent_at)
        if len(run.latencies) >= run.job.requests_max:
            run.is_over.set()
        if not run.is_over.is_set():
            self.send()

    async def close(self) -> None:
        """Close, and wait until it is."""
        assert self._transport is not None
        self._transport.abort()
        await self._lost.wait()


def main() -> None:
    """Do the jobs of standard input."""
    encode = msgspec.json.Encoder().encode
    for line in sys.stdin.buffer:
        figures = uvloop.run(Run(msgspec.json.decode(line, type=Job)).measure())
        sys.stdout.buffer.write(encode(figures) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
