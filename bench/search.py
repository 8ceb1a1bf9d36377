"""`python -m bench.search [--quick] [--store sqlite|postgres]`: what the index of texts costs, and what it saves.

Everything is measured in one process and one run, so what counts are the ratios: a search by the index by the same
search that reads back from the end, appends by the same appends into a database that marks no chat as due.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import asyncpg

from antiphon.core.indexing import Indexing
from antiphon.core.ports import Store
from antiphon.core.search import search_texts
from antiphon.domain import limits
from antiphon.domain.filters import EVERYTHING
from antiphon.domain.ids import Uid
from antiphon.domain.messages import USER, Draft
from antiphon.stores.postgres import database as postgres_database
from antiphon.stores.postgres.store import PostgresStore
from antiphon.stores.sqlite import database as sqlite_database
from antiphon.stores.sqlite.store import SqliteStore
from bench.machine import describe
from tests.postgres_server import EMPTY, shared_server

FULL, QUICK = 100_000, 10_000
CHAT_MESSAGES = 1_000
BATCH = 100
TIMES = 7
APPENDS, ROUNDS = 300, 7
RATIO_MAX = 1.1
_NAME, _AUTHOR = "bench", "ann"
_SEED = 7
_WORDS, _LENGTH = 20_000, 200
_MARK = "coalesce(text_due, :now)", "coalesce(vectors_due, :now)"

Work = Callable[[], Awaitable[object]]


def texts_of(count: int) -> list[str]:
    """Texts of words that are as unevenly common as those of a language."""
    chance = random.Random(_SEED)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(_WORDS)]
    texts = []
    for number in range(count):
        text = f"m{number:06d}"
        while len(text) < _LENGTH:
            text += " " + words[min(int(chance.paretovariate(0.5)), _WORDS) - 1]
        texts.append(text)
    return texts


async def fill(store: Store, tenant_id: Uid, texts: list[str]) -> None:
    """Say all of it, in sessions of CHAT_MESSAGES."""
    for start in range(0, len(texts), CHAT_MESSAGES):
        session_id = f"s{start}"
        await store.sessions.put_single(tenant_id, session_id, _AUTHOR, None, None, [])
        chat = await store.chats.find_of_single(tenant_id, session_id)
        assert chat is not None
        for first in range(start, min(start + CHAT_MESSAGES, len(texts)), BATCH):
            drafts = [Draft(_AUTHOR, USER, text) for text in texts[first : first + BATCH]]
            await store.messages.append(tenant_id, chat.key, drafts)


async def seconds_of(work: Work) -> float:
    """The median time of a piece of work."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return median(taken)


async def searches(store: Store, tenant_id: Uid, texts: list[str]) -> None:
    """Each search by the index and, with the index made useless, by reading."""
    rare, phrase, common = "m000042", " ".join(texts[len(texts) // 2].split()[3:7]), texts[0].split()[1]
    print("| query | found | index ms | reading ms | reading by index |\n|---|---|---|---|---|")
    for title, query in (
        ("one message, old", rare),
        ("four words", phrase),
        ("nothing", "zq zqzq"),
        ("common", common),
    ):

        async def ask(query: str = query) -> int:
            return len(await search_texts(store, tenant_id, _NAME, query, EVERYTHING))

        found = await ask()
        indexed = await seconds_of(ask)
        hits, limits.INDEX_HITS = limits.INDEX_HITS, 0
        reading = await seconds_of(ask)
        limits.INDEX_HITS = hits
        row = (title, f"{found}", f"{indexed * 1e3:.2f}", f"{reading * 1e3:.1f}", f"{reading / indexed:.0f}")
        print(f"| {' | '.join(row)} |")


async def appends(store: Store, tenant_id: Uid, statements: Callable[[bool], None]) -> float:
    """What an append that marks costs by what one costs that does not, one at a time, in turns.

    On SQLite all of it is this process's, so its CPU is compared; a server's is known by the time it takes.
    """
    clock = time.process_time if store.kind == "sqlite" else time.perf_counter
    await store.sessions.put_single(tenant_id, "appends", _AUTHOR, None, None, [])
    chat = await store.chats.find_of_single(tenant_id, "appends")
    assert chat is not None
    taken: dict[bool, list[float]] = {True: [], False: []}
    for is_marking in (True, False) * ROUNDS:
        statements(is_marking)
        began = clock()
        for _ in range(APPENDS):
            await store.messages.append(tenant_id, chat.key, [Draft(_AUTHOR, USER, "one more message")])
        taken[is_marking].append((clock() - began) / APPENDS)
    statements(True)
    with_mark, without = median(taken[True]), median(taken[False])
    print(f"\nAn append: {with_mark * 1e6:.0f} µs, without the mark {without * 1e6:.0f} µs.")
    return with_mark / without


def sqlite_statements() -> Callable[[bool], None]:
    """Switches the mark of SQLite's append on and off."""
    whole = sqlite_database.STATEMENTS["advance_chat"]
    bare = whole.replace(f",\n    text_due = {_MARK[0]}, vectors_due = {_MARK[1]}", "")
    assert bare != whole

    def switch(is_marking: bool) -> None:
        sqlite_database.STATEMENTS["advance_chat"] = whole if is_marking else bare

    return switch


def postgres_statements() -> Callable[[bool], None]:
    """The same for PostgreSQL's append of one message."""
    whole = postgres_database.TEXTS["append_one"]
    bare = whole.replace(f",\n        text_due = {_MARK[0]}, vectors_due = {_MARK[1]}", "")
    assert bare != whole

    def switch(is_marking: bool) -> None:
        text = whole if is_marking else bare
        postgres_database.STATEMENTS["append_one"] = postgres_database.number_parameters(text)

    return switch


async def measure(store: Store, count: int, switch: Callable[[bool], None], size: Work) -> float:
    """Everything on one store; the ratio of the appends."""
    tenant_id = (await store.tenants.create(_NAME, "assistant")).id
    texts = texts_of(count)
    await fill(store, tenant_id, texts)
    before = await size()
    began = time.perf_counter()
    await Indexing(store, [store.search]).catch_up()
    taken = time.perf_counter() - began
    grown = await size()
    print(
        f"{count} messages of {_LENGTH} characters indexed in {taken:.1f} s, {taken / count * 1e6:.0f} µs each;",
        end=" ",
    )
    print(f"before {before} MB, then {grown} MB.\n")
    await searches(store, tenant_id, texts)
    return await appends(store, tenant_id, switch)


async def on_sqlite(count: int) -> float:
    """The same on SQLite, with what a scrub costs after a session is gone."""
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder))

        async def size() -> str:
            return f"{(Path(folder) / sqlite_database.FILE_NAME).stat().st_size / 1e6:.0f}"

        try:
            ratio = await measure(store, count, sqlite_statements(), size)
            began = time.perf_counter()
            await store.scrub()
            print(f"A scrub of the whole index: {time.perf_counter() - began:.2f} s.")
        finally:
            await store.close()
    return ratio


async def on_postgres(count: int) -> float:
    """The same on PostgreSQL."""
    with shared_server("bench-search") as server:
        url = server.url(await server.create_database(EMPTY))
        store = await PostgresStore.open(url)
        connection = await asyncpg.connect(url)

        async def size() -> str:
            return f"{await connection.fetchval('SELECT pg_database_size(current_database())') / 1e6:.0f}"

        try:
            return await measure(store, count, postgres_statements(), size)
        finally:
            await connection.close()
            await store.close()


def main() -> int:
    """Print the tables; 1 when appends are dearer than they may be."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} messages instead of {FULL}")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    asked = parser.parse_args()
    count = QUICK if asked.quick else FULL
    print(f"{describe()}, {asked.store}\n")
    ratio = asyncio.run((on_sqlite if asked.store == "sqlite" else on_postgres)(count))
    print(f"Ratio of the appends: {ratio:.2f} (at most {RATIO_MAX}).")
    return int(ratio > RATIO_MAX)


if __name__ == "__main__":
    sys.exit(main())
