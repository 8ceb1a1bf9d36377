"""`python -m bench.fanout [--quick]`: one turn, many followers, against a bare broadcast in the same run.

A scripted model in this process says 20-byte tokens, each the moment at which it was said. Followers are raw sockets in
this process, on a core of its own, so that what is measured is the server. The floor is uvicorn with `websockets` and
nothing else: one loop that sends each token to every socket, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import msgspec
import uvloop

from bench.machine import cores, cpu_seconds, describe, family
from bench.processes import Process, free_port, python

TOKEN = re.compile(rb"\d{19}#")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Plan(msgspec.Struct, frozen=True):
    """How many followers, how many tokens, how many a second, and how many rounds."""

    followers: int
    tokens: int
    per_second: float
    rounds: int


FULL = Plan(followers=1_000, tokens=100, per_second=10, rounds=3)
QUICK = Plan(followers=200, tokens=40, per_second=20, rounds=2)
FEW = 100
"""The followers of the measurement of latency."""


class Tally:
    """What all followers together have received."""

    def __init__(self) -> None:
        self.count = 0
        self.delays: list[float] = []
        self.done = asyncio.Event()
        self.expected = 0

    def take(self, data: bytes, *, is_timed: bool) -> None:
        """Count the tokens in some bytes."""
        if is_timed:
            now = time.monotonic_ns()
            self.delays += [(now - int(token[:-1])) / 1e6 for token in TOKEN.findall(data)]
        self.count += data.count(b"#")
        if self.expected and self.count >= self.expected:
            self.done.set()


class Follower(asyncio.Protocol):
    """A socket that sends its head and counts what comes back."""

    def __init__(self, head: bytes, tally: Tally, *, is_timed: bool) -> None:
        self._head = head
        self._tally = tally
        self._is_timed = is_timed
        self.is_open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        transport.write(self._head)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Count; the first bytes are the head of the answer."""
        if not self.is_open.done():
            self.is_open.set_result(data.split(b"\r\n", 1)[0])
        self._tally.take(data, is_timed=self._is_timed)


class Model:
    """OpenAI's chat completions, as far as a turn needs them; every answer waits for `go`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.go = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one answer."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        await self.go.wait()
        for piece in pieces(self.plan):
            await piece.wait()
            self._say(writer, {"content": piece.text()}, None)
        self._say(writer, {}, "stop")
        writer.write(b"data: [DONE]\n\n")
        writer.close()

    @staticmethod
    def _say(writer: asyncio.StreamWriter, delta: dict[str, str], reason: str | None) -> None:
        chunk = {"model": "bench", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        writer.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


class Piece(msgspec.Struct):
    """A token that is due at a moment of the loop's clock."""

    at: float

    async def wait(self) -> None:
        """Until it is due."""
        await asyncio.sleep(max(0, self.at - asyncio.get_running_loop().time()))

    def text(self) -> str:
        """Twenty bytes: now, in nanoseconds, and a mark."""
        return f"{time.monotonic_ns():019d}#"


def pieces(plan: Plan) -> list[Piece]:
    """The tokens of an answer that begins now."""
    begin = asyncio.get_running_loop().time()
    return [Piece(begin + number / plan.per_second) for number in range(plan.tokens)]


class Result(msgspec.Struct):
    """What one broadcast cost: deliveries a second of the server's CPU, and delays in milliseconds."""

    per_cpu_second: float
    delays: list[float]


async def follow(port: int, heads: list[bytes], tally: Tally, *, is_timed: bool) -> list[asyncio.BaseTransport]:
    """Open all followers; raises RuntimeError when one is refused."""
    transports: list[asyncio.BaseTransport] = []
    loop = asyncio.get_running_loop()
    for at in range(0, len(heads), 50):
        made = [
            await loop.create_connection(partial(Follower, head, tally, is_timed=is_timed), "127.0.0.1", port)
            for head in heads[at : at + 50]
        ]
        for transport, follower in made:
            status = await follower.is_open
            if b" 101 " not in status and b" 200 " not in status:
                raise RuntimeError(f"refused: {status.decode()}")
            transports.append(transport)
    return transports


def upgrade(path: str, key: str = "") -> bytes:
    """The head of a WebSocket's handshake."""
    credential = f"x-api-key: {key}\r\n" if key else ""
    return (
        f"GET {path} HTTP/1.1\r\nhost: bench\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        f"sec-websocket-key: {KEY}\r\nsec-websocket-version: 13\r\n{credential}\r\n"
    ).encode()


def get(path: str, key: str) -> bytes:
    """The head of a request for a stream."""
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\nx-api-key: {key}\r\n\r\n".encode()


class Subject:
    """The product: one chat, whose turn is followed."""

    def __init__(self, process: Process, url: str, key: str, model: Model) -> None:
        self._process = process
        self._url = url
        self._key = key
        self._model = model
        self.port = int(url.rpartition(":")[2])

    async def measure(self, kind: str, count: int, plan: Plan, *, is_timed: bool = False) -> Result:
        """One turn and its followers: `kind` is ws or sse."""
        headers = {"x-api-key": self._key}
        async with httpx.AsyncClient(base_url=self._url, headers=headers, timeout=60) as http:
            chat = (await http.post("/api/sessions", json={})).json()["chat"]["id"]
            self._model.go.clear()
            asked = {"message": {"text": "go"}}
            (await http.post(f"/antiphon/v1/chats/{chat}/turns", json=asked)).raise_for_status()
            path = f"/antiphon/v1/chats/{chat}/events?live=true"
            head = upgrade(path, self._key) if kind == "ws" else get(path, self._key)
            return await broadcast(
                self.port, [head] * count, plan, self._process.pid, self._model.go.set, is_timed=is_timed
            )

    async def idle_bytes(self, count: int) -> float:
        """Resident memory a socket that follows a chat in which nothing happens."""
        async with httpx.AsyncClient(base_url=self._url, headers={"x-api-key": self._key}, timeout=60) as http:
            chat = (await http.post("/api/sessions", json={})).json()["chat"]["id"]
        before = resident(self._process.pid)
        head = upgrade(f"/antiphon/v1/chats/{chat}/events", self._key)
        transports = await follow(self.port, [head] * count, Tally(), is_timed=False)
        used = resident(self._process.pid) - before
        await leave(transports)
        return used / count


async def broadcast(
    port: int, heads: list[bytes], plan: Plan, pid: int, go: Callable[[], object], *, is_timed: bool
) -> Result:
    """Open the followers, let the tokens come, and wait until all have all."""
    tally = Tally()
    transports = await follow(port, heads, tally, is_timed=is_timed)
    tally.expected = len(heads) * plan.tokens
    pids = family(pid)
    before = cpu_seconds(pids)
    go()
    async with asyncio.timeout(plan.tokens / plan.per_second * 5 + 30):
        await tally.done.wait()
    used = cpu_seconds(pids) - before
    await leave(transports)
    return Result(tally.count / used, tally.delays)


async def leave(transports: list[asyncio.BaseTransport]) -> None:
    """Close all followers, and let the server see it."""
    for transport in transports:
        transport.close()
    await asyncio.sleep(0.5)


def resident(pid: int) -> int:
    """The resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measure_floor(process: Process, port: int, plan: Plan) -> Result:
    """The bare broadcast: it begins when it is told to, by one more socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    def go() -> None:
        writer.write(get(f"/go?tokens={plan.tokens}&per_second={plan.per_second}", "-"))

    result = await broadcast(port, [upgrade("/")] * plan.followers, plan, process.pid, go, is_timed=False)
    writer.close()
    with contextlib.suppress(OSError):
        await reader.read()
    return result


@asynccontextmanager
async def serving_model(plan: Plan) -> AsyncIterator[tuple[Model, str]]:
    """The model and its address."""
    model = Model(plan)
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    try:
        yield model, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


async def run(plan: Plan, folder: Path) -> str:
    """Measure all, and say it as a table."""
    floors: list[float] = []
    rates: dict[str, list[float]] = {"ws": [], "sse": []}
    delays: list[float] = []
    async with serving_model(plan) as (model, model_url):
        with ExitStack() as stack:
            environment = {"ANTIPHON_DATA_DIR": str(folder / "data"), "ANTIPHON_MODEL_URL": model_url}
            command = python("-m", "antiphon", "serve", "--host", "127.0.0.1", "--port", "0")
            product = stack.enter_context(
                Process("antiphon", command, cores()[0], folder, **environment, ANTIPHON_MODEL="bench")
            )
            key = product.line_after("  user ")
            subject = Subject(product, product.line_after("ready "), key, model)
            port = free_port()
            floor = stack.enter_context(
                Process("floor", python("-m", "bench.fanout_floor", str(port)), cores()[0], folder)
            )
            floor.wait_for(port)
            idle = await subject.idle_bytes(plan.followers)
            for number in range(plan.rounds):
                print(f"round {number + 1} of {plan.rounds}", file=sys.stderr)
                floors.append((await measure_floor(floor, port, plan)).per_cpu_second)
                for kind, seen in rates.items():
                    seen.append((await subject.measure(kind, plan.followers, plan)).per_cpu_second)
                delays += (await subject.measure("sse", FEW, plan, is_timed=True)).delays
    return table(plan, floors, rates, sorted(delays), idle)


def table(plan: Plan, floors: list[float], rates: dict[str, list[float]], delays: list[float], idle: float) -> str:
    """The figures in Markdown."""
    floor, high = median(floors), delays[len(delays) * 99 // 100]
    lines = [
        "| one turn, 20-byte tokens | deliveries per CPU second | ratio | target |",
        "|---|---|---|---|",
        f"| bare broadcast, {plan.followers} WebSockets | {floor:,.0f} | 1 | |",
        *(
            f"| {plan.followers} {kind.upper()} followers | {median(seen):,.0f} | {median(seen) / floor:.2f} | ≥ 0.7 |"
            for kind, seen in rates.items()
        ),
        "",
        f"Added latency, {FEW} followers: p50 {delays[len(delays) // 2]:.2f} ms (target < 5), p99 {high:.2f} ms.",
        f"Memory an idle socket: {idle / 1024:.1f} KiB.",
    ]
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.fanout", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer followers and tokens: less than a minute")
    plan = QUICK if parser.parse_args().quick else FULL
    print(describe(), file=sys.stderr)
    os.sched_setaffinity(0, {cores()[1]})
    with tempfile.TemporaryDirectory(prefix="antiphon-fanout-") as folder:
        print(uvloop.run(run(plan, Path(folder))))


if __name__ == "__main__":
    main()
