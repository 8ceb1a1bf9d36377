"""`python -m bench.deletion [--quick]`: what deleting a very long session costs, and what others notice of it.

All figures are of one process and one run: another tenant appends one message after the other, first alone, then while
the worker purges. What is compared was measured within the same minute, on the same machine, with the same neighbours.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import msgspec

from antiphon.core.deletion.receipts import Receipts
from antiphon.core.deletion.worker import Worker
from antiphon.core.indexing import Indexing
from antiphon.domain import times
from antiphon.domain.deletions import CANCEL, DONE, PURGING, SESSION, Deletion, Order
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import USER, Draft
from antiphon.signing.ed25519 import FileKeyring, verify_signature
from antiphon.stores.sqlite import detach as detaching
from antiphon.stores.sqlite.database import FILE_NAME, STATEMENTS, Row, open_writer
from antiphon.stores.sqlite.messages import place_of
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.stores.sqlite.writer import Transaction
from bench.data import PEER, sample_text
from bench.machine import describe

FULL, QUICK = 1_000_000, 100_000
SMALL_MESSAGES = 10
SMALL_SESSIONS = 21
IDLE_APPENDS = 3_000
FILL_ROWS = 50_000
TEXTS = [sample_text(seed) for seed in range(97)]
RATIO_MAX = 2.0
ROWS_A_SECOND_MIN = 50_000
_PAGE_BYTES = 4096


class Figures(msgspec.Struct):
    """What was measured; times in seconds, memory in MiB."""

    messages: int
    small_in_vain: list[float]
    large_in_vain: list[float]
    detach_small: list[float]
    detach_large: float
    purge_seconds: float
    rows: int
    idle: list[float]
    purging: list[float]
    memory_before: float
    memory_max: float
    scrub_seconds: float


class Other:
    """Somebody else's tenant, in which one message after the other is said."""

    def __init__(self, store: SqliteStore, tenant_id: Uid) -> None:
        self._store, self._tenant_id, self._chat_key = store, tenant_id, b""

    async def begin(self) -> None:
        """Make a session."""
        _, self._chat_key = await new_session(self._store, self._tenant_id, "other")

    async def append_times(self, count: int) -> list[float]:
        """How long each of so many appends took."""
        return [await self._append(number) for number in range(count)]

    async def append_while(self, is_going_on: Callable[[], Awaitable[bool]]) -> tuple[list[float], float]:
        """The same for as long as something goes on, and the most memory that was used meanwhile."""
        taken, most = [], memory()
        while await is_going_on():
            taken += await self.append_times(10)
            most = max(most, memory())
        return taken, most

    async def _append(self, number: int) -> float:
        began = time.perf_counter()
        await self._store.messages.append(
            self._tenant_id, self._chat_key, [Draft(PEER, USER, TEXTS[number % len(TEXTS)])]
        )
        return time.perf_counter() - began


async def new_session(store: SqliteStore, tenant_id: Uid, session_id: str) -> tuple[Uid, Uid]:
    """The keys of a new session and of its chat."""
    session, _ = await store.sessions.put_single(tenant_id, session_id, PEER, None, None, [])
    chat = await store.chats.find_of_single(tenant_id, session_id)
    assert chat is not None
    return session.key, chat.key


def fill(folder: Path, tenant_id: Uid, chat_key: Uid, messages: int) -> None:
    """Write messages as appends do, some ten thousand to a commit."""
    writer = open_writer(folder / FILE_NAME)
    whose = {"tenant_id": tenant_id, "key": chat_key, "answered_at": None}
    people: list[Row] = writer.execute("SELECT id FROM participants WHERE tenant_id = ?", (tenant_id,)).fetchall()
    author = people[0][0]
    for first in range(0, messages, FILL_ROWS):
        count, now = min(FILL_ROWS, messages - first), times.now()
        writer.execute("BEGIN IMMEDIATE")
        size = sum(len(TEXTS[number % len(TEXTS)]) + 2 for number in range(count))
        advanced: list[Row] = writer.execute(
            STATEMENTS["advance_chat"], {**whose, "count": count, "size": size, "said_at": now, "now": now}
        ).fetchall()
        num, last_seq, *_ = advanced[0]
        writer.executemany(
            STATEMENTS["insert_message"],
            (
                _row(tenant_id, author, place_of(num, last_seq - count + 1 + number), number, now)
                for number in range(count)
            ),
        )
        writer.execute("COMMIT")
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    writer.close()
    os.sync()  # else the disk is still busy with it while others are measured


def _row(tenant_id: Uid, author_id: Uid, place: int, number: int, now: int) -> dict[str, Any]:
    return {
        "place": place,
        "tenant_id": tenant_id,
        "id": new_uid7(),
        "client_id": None,
        "role": USER,
        "author_id": author_id,
        "author": PEER,
        "text": TEXTS[number % len(TEXTS)],
        "parts": None,
        "metadata": "{}",
        "token_count": 60,
        "created_at": now,
    }


async def detach(store: SqliteStore, tenant_id: Uid, session_key: Uid) -> float:
    """How long it takes until a deletion is acknowledged."""
    began = time.perf_counter()
    await store.deletions.detach_session(tenant_id, session_key, Order(CANCEL))
    return time.perf_counter() - began


class _InVain(Exception):
    """Takes back what was done."""


async def detach_in_vain(store: SqliteStore, tenant_id: Uid, session_key: Uid) -> float:
    """How long all of it takes but the commit, which waits for a disk that others use, too. Nothing is detached."""

    def operation(tx: Transaction) -> None:
        detaching.detach(tx, tenant_id, detaching.look(tx, tenant_id, SESSION, session_key), Order(CANCEL))
        raise _InVain

    began = time.perf_counter()
    with suppress(_InVain):
        await store._file.write(operation)  # noqa: SLF001  there is no other way to do it in vain
    return time.perf_counter() - began


async def work(store: SqliteStore, receipts: Receipts) -> None:
    """The worker, as a server has it."""
    await Worker(store, receipts).run()


async def find(store: SqliteStore, job: Deletion) -> Deletion:
    """The deletion as it is now."""
    found = await store.deletions.find(job.tenant_id, job.id)
    assert found is not None
    return found


async def is_purging(store: SqliteStore, job: Deletion) -> bool:
    """Whether rows are left."""
    return (await find(store, job)).state == PURGING


def memory() -> float:
    """What this process holds in memory, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES / 2**20


async def measure(folder: Path, messages: int) -> Figures:
    """Make the data, detach, purge, and append beside it."""
    store = await SqliteStore.open(folder)
    tenant = (await store.tenants.create("one", "assistant")).id
    small = [await new_session(store, tenant, f"small-{number}") for number in range(SMALL_SESSIONS)]
    for _, chat_key in small:
        await store.messages.append(tenant, chat_key, [Draft(PEER, USER, text) for text in TEXTS[:SMALL_MESSAGES]])
    large, chat_key = await new_session(store, tenant, "large")
    await asyncio.to_thread(fill, folder, tenant, chat_key, messages)
    await Indexing(store, [store.search]).catch_up()  # as a running server has done long before
    other = Other(store, (await store.tenants.create("other", "assistant")).id)
    await other.begin()
    receipts = Receipts(store, FileKeyring(folder), verify_signature)
    await receipts.start()
    idle = await other.append_times(IDLE_APPENDS)
    in_vain = [[await detach_in_vain(store, tenant, key) for _ in small] for key in (small[0][0], large)]
    memory_before = memory()
    seconds = [await detach(store, tenant, key) for key, _ in small]
    purging = asyncio.create_task(work(store, receipts))
    while await store.deletions.pending() != (0, 0):  # noqa: ASYNC110  nobody tells the end
        await asyncio.sleep(0.05)  # the small ones go first, and are no part of what is measured
    large_seconds, began = await detach(store, tenant, large), time.perf_counter()
    (job,) = await store.deletions.list(tenant, [], None, 1, None)
    busy, memory_max = await other.append_while(lambda: is_purging(store, job))
    purged = time.perf_counter() - began
    while (now := await find(store, job)).state != DONE:  # noqa: ASYNC110  likewise
        await asyncio.sleep(0.01)
    scrubbed = time.perf_counter() - began - purged
    idle += await other.append_times(IDLE_APPENDS)
    purging.cancel()
    await asyncio.gather(purging, return_exceptions=True)
    await store.close()
    rows = sum(now.counts.values())
    return Figures(
        messages,
        in_vain[0],
        in_vain[1],
        seconds,
        large_seconds,
        purged,
        rows,
        idle,
        busy,
        memory_before,
        memory_max,
        scrubbed,
    )


def p99(taken: list[float]) -> float:
    """The 99th percentile in milliseconds."""
    return quantiles(taken, n=100)[98] * 1000


def table(figures: Figures) -> str:
    """The figures in Markdown."""
    small, large = median(figures.detach_small) * 1000, figures.detach_large * 1000
    slowest = max(figures.detach_small) * 1000
    few, many = median(figures.small_in_vain) * 1000, median(figures.large_in_vain) * 1000
    rate, idle, busy = figures.rows / figures.purge_seconds, p99(figures.idle), p99(figures.purging)
    rows = [
        (f"detach of {SMALL_MESSAGES} messages, acknowledged: median, slowest", f"{small:.2f}, {slowest:.2f} ms", ""),
        (f"detach of {figures.messages:,} messages, acknowledged", f"{large:.2f} ms", ""),
        (
            "the same without the commit: median of each",
            f"{few:.2f}, {many:.2f} ms",
            _met(many / few, RATIO_MAX),
        ),
        ("purge", f"{rate:,.0f} rows/s", f"{ROWS_A_SECOND_MIN:,} {'met' if rate >= ROWS_A_SECOND_MIN else 'missed'}"),
        ("other tenant's append alone, median / p99", f"{median(figures.idle) * 1000:.2f} / {idle:.2f} ms", ""),
        (
            f"the same during the purge ({len(figures.purging):,} appends)",
            f"{median(figures.purging) * 1000:.2f} / {busy:.2f} ms",
            _met(busy / idle, RATIO_MAX),
        ),
        ("memory before / most during the purge", f"{figures.memory_before:.0f} / {figures.memory_max:.0f} MiB", ""),
        ("scrub and receipt after the last row", f"{figures.scrub_seconds:.2f} s", ""),
    ]
    lines = ["| | measured | ratio, target |", "|---|---:|---:|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)]
    return "\n".join(lines)


def _met(ratio: float, most: float) -> str:
    return f"{ratio:.2f}, at most {most:g}: {'met' if ratio <= most else 'missed'}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.deletion", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} messages instead of {FULL:,}")
    arguments = parser.parse_args()
    print(describe(), file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as folder:
        figures = asyncio.run(measure(Path(folder), QUICK if arguments.quick else FULL))
    print(table(figures))


if __name__ == "__main__":
    main()
