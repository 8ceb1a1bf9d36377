"""`python -m bench.honcho [--quick] [--store sqlite|postgres]`: what the calls of Honcho's clients cost.

Each call has a budget: a twentieth of the CPU that the reference server (Honcho 3.0.12 on PostgreSQL, one process) was
measured to use for it, on a core that did `calibrate`'s loop in REFERENCE_MS. Budgets are scaled by how long that loop
takes here and now, so that a slow hour of the machine makes neither side look better. What a call leaves to be done
behind its answer, such as the index of texts, is counted as far as it is done while the call is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

import apsw
import asyncpg
import msgspec

from antiphon.core.keys import Keys
from antiphon.core.ports import Store
from antiphon.core.tenants import Tenants
from antiphon.domain.ids import Uid
from antiphon.stores.postgres.store import PostgresStore
from antiphon.stores.sqlite.database import FILE_NAME
from antiphon.stores.sqlite.store import SqliteStore
from bench import data, postgres, requests, servers
from bench.load import Figures, Job
from bench.machine import describe
from bench.processes import Process

CONNECTIONS = (1, 32)
SHARE = 20
REFERENCE_MS = 22.0
DELETED = "deleted"
BATCH, LONG_MESSAGES = 100, 1_000
FRESH, WARMING = 30_000, 2_000
OPERATIONS_MAX = 100_000
DELETES, QUICK_DELETES = 200, 40
GONE_MS_MAX = 250.0
_LOOPS = 400_000
_WARM_UP_SECONDS = 0.2
_LOOK_SECONDS = 0.001
PATIENCE_SECONDS = 60
_WORDS_A_MESSAGE = 20


class Call(msgspec.Struct, frozen=True):
    """A call of the clients: how it is made, and what it cost the reference (CPU ms at 1 and at 32 connections)."""

    title: str
    sent: list[str]
    status: int
    reference: tuple[float, float]
    has_target: bool
    is_once: bool = False  # whether each request may be sent once only
    together: int = 1
    last_status: int = 0


def calibrate() -> float:
    """CPU milliseconds of a fixed loop, the best of three: how fast this core is just now."""
    return min(_loop() for _ in range(3)) * 1e3


def _loop() -> float:
    began, x = time.process_time(), 0
    for number in range(_LOOPS):
        x = (x * 31 + number) & 0xFFFFFF
    return time.process_time() - began


def short_text(seed: int) -> str:
    """As many words as the reference was asked to store."""
    return " ".join(data.sample_text(seed).split()[:_WORDS_A_MESSAGE])


def calls_of(dataset: data.Dataset, run: str) -> list[Call]:
    """What is measured; `run` makes the ids of this round new ones."""
    root = f"/v3/workspaces/{data.WORKSPACE}/sessions"

    def post(path: str, body: object) -> str:
        return requests.posted(dataset.key, path, msgspec.json.encode(body))

    def batch(size: int) -> list[str]:
        said = [{"content": short_text(seed), "peer_id": data.PEER} for seed in range(size)]
        return [post(f"{root}/{name}/messages", {"messages": said}) for name in dataset.sessions[: CONNECTIONS[-1]]]

    def fresh(name: str) -> str:
        return post(root, {"id": name, "peers": {"alice": {}, "bob": {}}})

    pages = LONG_MESSAGES // requests.PAGE
    gone = [
        text
        for number in range(FRESH // 2)
        for text in (
            fresh(f"gone-{run}-{number}"),
            requests.deleted(dataset.key, f"{root}/gone-{run}-{number}"),
        )
    ]
    return [
        Call("get-or-create, there", [post(root, {"id": one}) for one in dataset.sessions], 200, (2.1, 1.8), False),
        Call(
            "get-or-create, new",
            [post(root, {"id": f"new-{run}-{number}"}) for number in range(FRESH)],
            201,
            (6.4, 6.0),
            has_target=False,
            is_once=True,
        ),
        Call("one message", batch(1), 201, (15.7, 13.5), True),
        Call("100 messages", batch(BATCH), 201, (49.4, 55.3), True),
        Call(
            "page of 50",
            [post(f"{root}/long/messages/list?page={page}&size={requests.PAGE}", {}) for page in range(1, pages + 1)],
            200,
            (7.4, 6.2),
            True,
        ),
        Call(
            "create, delete (each)", gone, 201, (7.6, 7.2), has_target=False, is_once=True, together=2, last_status=202
        ),
    ]


class Line(msgspec.Struct):
    """The figures of a call, of all rounds."""

    title: str
    connections: int
    budget_us: float
    has_target: bool
    seen: list[Figures]
    calibrations: list[float]

    def __str__(self) -> str:
        cpu = median(figures.cpu_us for figures in self.seen)
        scaled = self.budget_us * median(self.calibrations) / REFERENCE_MS
        verdict = ("met" if cpu <= scaled else "missed") if self.has_target else "no target"
        rate, p50, p99 = (
            median(getattr(figures, name) for figures in self.seen) for name in ("per_second", "p50_ms", "p99_ms")
        )
        return (
            f"| {self.title} | {self.connections} | {cpu:.0f} | {scaled:.0f} | {scaled * SHARE / cpu:.0f} | "
            f"{rate:.0f} | {p50:.2f} | {p99:.2f} | {verdict} |"
        )


HEADINGS = (
    "| call | connections | CPU µs | a twentieth of the reference | times cheaper | per second | p50 ms | p99 ms | |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---|"
)


def measure(product: servers.Served, dataset: data.Dataset, generator: Process, rounds: int, seconds: float) -> str:
    """All calls, round-robin."""
    lines: dict[tuple[str, int], Line] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for at, connections in enumerate(CONNECTIONS):
            for call in calls_of(dataset, f"{number}-{connections}"):
                line = lines.setdefault(
                    (call.title, connections),
                    Line(call.title, connections, call.reference[at] * 1e3 / SHARE, call.has_target, [], []),
                )
                _settle(product)
                line.calibrations.append(calibrate())
                line.seen.append(_ask(product, generator, call, connections, seconds))
    return "\n".join([HEADINGS, *(str(line) for line in lines.values())])


def _settle(product: servers.Served) -> None:
    """Wait until what earlier calls have left to be done (deletions, the index of texts) is done: it is theirs."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        with urllib.request.urlopen(f"http://127.0.0.1:{product.port}/readyz", timeout=PATIENCE_SECONDS) as answer:
            ready = msgspec.json.decode(answer.read())
        if not ready["deletions"]["pending"] and not any(kind["pending"] for kind in ready["indexing"].values()):
            return
        time.sleep(0.2)


def _ask(product: servers.Served, generator: Process, call: Call, connections: int, seconds: float) -> Figures:
    job = Job(
        product.port,
        product.pid,
        call.sent,
        call.status,
        connections,
        seconds,
        _WARM_UP_SECONDS,
        len(call.sent) - WARMING if call.is_once else OPERATIONS_MAX,
        call.together,
        call.last_status,
    )
    figures = generator.ask(job, Figures)
    if figures.error:
        raise SystemExit(f"{call.title}: {figures.error}")
    return figures


class Caller:
    """Plain calls in a workspace of their own, for what is made before and beside the measurements."""

    def __init__(self, product: servers.Served, workspace: str, key: str) -> None:
        self._root = f"http://127.0.0.1:{product.port}/v3/workspaces/{workspace}/sessions"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> None:
        """One call; raises HTTPError when it is refused."""
        sent = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(self._root + path, sent, self._headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            answer.read()

    def fill(self, name: str) -> None:
        """Make a session of LONG_MESSAGES messages."""
        said = [{"content": short_text(seed), "peer_id": data.PEER} for seed in range(BATCH)]
        for _ in range(LONG_MESSAGES // BATCH):
            self.call("POST", f"/{name}/messages", {"messages": said})


class Rows:
    """Looks into the database itself whether a tenant has messages."""

    def __init__(self, dataset: data.Dataset, tenant_id: Uid) -> None:
        self._tenant_id = tenant_id
        self._url = dataset.url
        self._path = Path(dataset.data_dir) / FILE_NAME

    async def look(self) -> Callable[[], Awaitable[bool]]:
        """What to ask with, over a connection of its own."""
        if self._url:
            remote = await asyncpg.connect(self._url)
            question = await remote.prepare("SELECT EXISTS (SELECT 1 FROM messages WHERE tenant_id = $1)")
            tenant_id = uuid.UUID(bytes=self._tenant_id)

            async def ask_remote() -> bool:
                return bool(await question.fetchval(tenant_id))

            return ask_remote
        local = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)

        async def ask_local() -> bool:
            statement = "SELECT EXISTS (SELECT 1 FROM messages WHERE tenant_id = ?)"
            return bool(next(local.execute(statement, (self._tenant_id,)))[0])

        return ask_local


async def measure_deletes(caller: Caller, rows: Rows, count: int) -> tuple[list[float], list[float]]:
    """Of so many deletions, one after the other: seconds until acknowledged, and from then until no row is left."""
    has_rows, acknowledged, gone = await rows.look(), [], []
    for number in range(count):
        await asyncio.to_thread(caller.fill, f"long-{number}")
        assert await has_rows(), "nothing to delete was stored"
        began = time.perf_counter()
        await asyncio.to_thread(caller.call, "DELETE", f"/long-{number}")
        answered = time.perf_counter()
        while await has_rows():
            assert time.perf_counter() - answered < PATIENCE_SECONDS, "the rows are still there"
            await asyncio.sleep(_LOOK_SECONDS)
        acknowledged.append(answered - began)
        gone.append(time.perf_counter() - answered)
    return acknowledged, gone


def describe_deletes(acknowledged: list[float], gone: list[float]) -> str:
    """A line each, with the verdict."""
    late = quantiles(gone, n=100)[98] * 1e3
    verdict = "met" if late <= GONE_MS_MAX else "missed"
    return (
        f"{len(gone)} deletions of {LONG_MESSAGES} messages: acknowledged after {median(acknowledged) * 1e3:.1f} ms "
        f"(p99 {quantiles(acknowledged, n=100)[98] * 1e3:.1f}); rows gone {median(gone) * 1e3:.1f} ms later "
        f"(p99 {late:.1f}, at most {GONE_MS_MAX:.0f}: {verdict})"
    )


async def second_tenant(dataset: data.Dataset) -> tuple[Uid, str]:
    """A tenant for the deletions: its id, and a key."""
    store: Store = await (PostgresStore.open(dataset.url) if dataset.url else SqliteStore.open(Path(dataset.data_dir)))
    tenant = await Tenants(store).create(DELETED)
    _, key = await Keys(store).create(tenant.id)
    await store.close()
    return tenant.id, key


def run(folder: Path, *, is_postgres: bool, is_quick: bool) -> None:
    """Make the data, start the server, measure, print."""
    with ExitStack() as stack:
        running = stack.enter_context(postgres.server()) if is_postgres else None
        print("making the data", file=sys.stderr)
        dataset = asyncio.run(data.make(folder / "data", postgres.database(running) if running else ""))
        tenant_id, key = asyncio.run(second_tenant(dataset))
        product = stack.enter_context(servers.product(dataset, folder))
        generator = stack.enter_context(servers.load(folder))
        Caller(product, data.WORKSPACE, dataset.key).fill("long")
        print(measure(product, dataset, generator, *((2, 0.5) if is_quick else (5, 1.5))))
        count = QUICK_DELETES if is_quick else DELETES
        measured = asyncio.run(measure_deletes(Caller(product, DELETED, key), Rows(dataset, tenant_id), count))
        print()
        print(describe_deletes(*measured))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.honcho", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds: half a minute")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite", help="which store")
    arguments = parser.parse_args()
    print(f"{describe()}, loop {calibrate():.1f} ms (reference {REFERENCE_MS:g})", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as folder:
        run(Path(folder), is_postgres=arguments.store == "postgres", is_quick=arguments.quick)


if __name__ == "__main__":
    main()
