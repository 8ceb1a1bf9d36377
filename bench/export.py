"""`python -m bench.export [--quick]`: a very long session as a file and back again, and how much is held meanwhile.

Both directions are walked twice, with a tenth of the messages and with all of them: what is held has a bound that does
not depend on them. The floor of the export is one loop in the same process that reads the same rows and encodes them;
the floor of the import, the same rows written by one thread with nothing around it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from antiphon.core.export import Exports
from antiphon.core.export_forms import JsonLines
from antiphon.core.imports import Imports
from antiphon.domain import limits
from antiphon.domain.ids import Uid
from antiphon.domain.imports import DONE
from antiphon.stores.sqlite.database import FILE_NAME, STATEMENTS, Row, open_reader
from antiphon.stores.sqlite.messages import place_of
from antiphon.stores.sqlite.store import SqliteStore
from bench.deletion import fill, memory, new_session
from bench.machine import describe

FULL, QUICK, PART = 1_000_000, 100_000, 10
MEBIBYTES_MAX = 128  # what SQLite may keep of the file in memory: 64 for each of the two threads that read
FLOOR_RATIO_MAX = 4.0
SECONDS_MAX = 900
_LOOK_SECONDS = 0.05

T = TypeVar("T")


class Walk(msgspec.Struct):
    """One direction of one session."""

    messages: int
    seconds: float
    grown: float
    floor_seconds: float


async def watched(work: Callable[[], Awaitable[T]]) -> tuple[T, float, float]:
    """What some work gives, how long it took, and by how many MiB the process grew meanwhile."""
    before = most = memory()
    began = time.perf_counter()
    running = asyncio.ensure_future(work())
    while not running.done():
        await asyncio.wait({running}, timeout=_LOOK_SECONDS)
        most = max(most, memory())
    return await running, time.perf_counter() - began, most - before


async def write_file(store: SqliteStore, tenant_id: Uid, name: str, path: Path) -> None:
    """Export a session."""
    session = await store.sessions.find(tenant_id, name)
    assert session is not None
    with path.open("wb") as file:
        async for piece in await Exports(store).session(tenant_id, session, JsonLines()):
            file.write(piece)


def read_floor(folder: Path, place: int, messages: int) -> float:
    """How long it takes to read the same rows, a page after the other, and encode each as a list."""
    reader, encode = open_reader(folder / FILE_NAME), msgspec.json.Encoder().encode
    began, low = time.perf_counter(), place + 1
    size = 0
    while low <= place + messages:
        values = {"low": low, "high": place + messages, "limit": limits.EXPORT_PAGE_MESSAGES, "offset": 0}
        rows: list[Row] = reader.execute(
            STATEMENTS["messages_between"], {**values, "tenant_id": TENANTS[folder]}
        ).fetchall()
        size += sum(len(encode([row[0].hex(), *row[1:]])) for row in rows)
        low += len(rows)
    reader.close()
    assert size
    return time.perf_counter() - began


TENANTS: dict[Path, Uid] = {}


async def measure(folder: Path, messages: int) -> tuple[list[Walk], list[Walk]]:
    """Make two sessions, a small and a large one; write both as files, and read those into another database."""
    store = await SqliteStore.open(folder / "here")
    tenant = TENANTS[folder / "here"] = (await store.tenants.create("one", "assistant")).id
    away = await SqliteStore.open(folder / "there")
    target = (await away.tenants.create("one", "assistant")).id
    exported, imported = [], []
    for number, count in enumerate((messages // PART, messages), 1):
        _, chat_key = await new_session(store, tenant, f"s{count}")
        await asyncio.to_thread(fill, folder / "here", tenant, chat_key, count)
        path = folder / f"{count}.jsonl"
        floor = await asyncio.to_thread(read_floor, folder / "here", place_of(number, 0), count)
        _, seconds, grown = await watched(lambda: write_file(store, tenant, f"s{count}", path))  # noqa: B023  awaited
        exported.append(Walk(count, seconds, grown, floor))
        floor = await _write_floor(folder / f"floor{count}", count)
        (done, _), seconds, grown = await watched(
            lambda: Imports(away).bring(target, path, lambda _: None, lambda _: None)  # noqa: B023  likewise
        )
        assert (done.state, done.done) == (DONE, count)
        imported.append(Walk(count, seconds, grown, floor))
    await away.close()
    await store.close()
    return exported, imported


async def _write_floor(folder: Path, count: int) -> float:
    store = await SqliteStore.open(folder)
    tenant = (await store.tenants.create("one", "assistant")).id
    _, chat_key = await new_session(store, tenant, "s")
    began = time.perf_counter()
    await asyncio.to_thread(fill, folder, tenant, chat_key, count)
    taken = time.perf_counter() - began
    await store.close()
    return taken


def table(exported: list[Walk], imported: list[Walk]) -> str:
    """The figures in Markdown."""
    lines = ["| | messages | messages/s | times its floor | grew by |", "|---|---:|---:|---:|---:|"]
    for name, walks in (("export", exported), ("import", imported)):
        for walk in walks:
            ratio = walk.seconds / walk.floor_seconds
            rate = walk.messages / walk.seconds
            lines.append(f"| {name} | {walk.messages:,} | {rate:,.0f} | {ratio:.1f} | {walk.grown:.0f} MiB |")
    most = max(walk.grown for walk in (*exported, *imported))
    ratio, seconds = exported[-1].seconds / exported[-1].floor_seconds, max(exported[-1].seconds, imported[-1].seconds)
    return "\n".join(
        [
            *lines,
            "",
            f"held: {most:.0f} MiB, at most {MEBIBYTES_MAX}: {_met(most <= MEBIBYTES_MAX)}",
            f"export against its floor: {ratio:.1f}, at most {FLOOR_RATIO_MAX:g}: {_met(ratio <= FLOOR_RATIO_MAX)}",
            f"longest: {seconds:.0f} s, at most {SECONDS_MAX}: {_met(seconds <= SECONDS_MAX)}",
        ]
    )


def _met(is_so: bool) -> str:
    return "met" if is_so else "missed"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.export", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} messages instead of {FULL:,}")
    arguments = parser.parse_args()
    print(describe(), file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as folder:
        exported, imported = asyncio.run(measure(Path(folder), QUICK if arguments.quick else FULL))
    print(table(exported, imported))


if __name__ == "__main__":
    main()
