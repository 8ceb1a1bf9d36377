"""`python -m bench [--quick] [--store sqlite|postgres]`: measure, and print tables in Markdown."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bench import data, http_floor, load, postgres, requests, servers, store_floor
from bench.load import Figures
from bench.machine import describe
from bench.processes import Process
from bench.table import Row, StoreRow, store_table, store_verdict, table, verdict, warnings

CONNECTIONS = (1, 32)
WARM_UP_SECONDS = 0.1
OPERATIONS_MAX = 100_000


class Plan(msgspec.Struct, frozen=True):
    """How long to measure: that many seconds a slot, that many slots a case, taken in turns."""

    rounds: int
    seconds: float


FULL = Plan(rounds=5, seconds=1.2)
QUICK = Plan(rounds=3, seconds=0.4)
STORE_CASES = (("append", 1), ("append", CONNECTIONS[-1]), ("chat", 1), ("page", 1), ("create", 1))
"""What is asked of the PostgreSQL store without a server around it, and by how many callers at once."""


class Case(msgspec.Struct, frozen=True):
    """One kind of request, the path of its floor, and what the store floor does for it."""

    title: str
    requests: list[str]
    floor_path: str
    operation: str
    status: int


def cases_of(dataset: data.Dataset) -> list[Case]:
    """What is measured."""
    return [
        Case("Honcho append", requests.honcho_append(dataset), http_floor.APPEND, "append", 201),
        Case("Honcho page of 50", requests.honcho_page(dataset), http_floor.HONCHO_PAGE, "page", 200),
        Case("Lexicon page of 50", requests.lexicon_page(dataset), http_floor.LEXICON_PAGE, "page", 200),
    ]


class Bench:
    """One run: the processes, and how each of them is asked."""

    def __init__(
        self, plan: Plan, product: servers.Served, floor: servers.Served, store: Process, generator: Process
    ) -> None:
        self._plan = plan
        self._product = product
        self._floor = floor
        self._store = store
        self._generator = generator

    def rows(self, cases: list[Case], pgbench: postgres.Pgbench | None) -> tuple[list[Row], list[StoreRow]]:
        """All cases, round-robin: a neighbour who disturbs for a while disturbs all of them."""
        rows = [Row(case.title, connections, [], [], []) for case in cases for connections in CONNECTIONS]
        store_rows = [StoreRow(operation, callers, [], [], []) for operation, callers in STORE_CASES if pgbench]
        for number in range(self._plan.rounds):
            print(f"round {number + 1} of {self._plan.rounds}", file=sys.stderr)
            for row, case in zip(rows, [case for case in cases for _ in CONNECTIONS], strict=True):
                row.server.append(self._http(self._product, case.requests, case.status, row.connections))
                floored = requests.floor_of(case.floor_path, case.requests)
                row.http_floor.append(self._http(self._floor, floored, case.status, row.connections))
                row.store_floor.append(self._statements(case.operation, row.connections))
            for store_row in store_rows:
                asked = store_row.operation, store_row.callers
                store_row.store.append(self._statements(*asked, is_floor=False))
                store_row.floor.append(self._statements(*asked))
                if pgbench and store_row.operation == "append":
                    store_row.pgbench.append(pgbench.append(store_row.callers, self._plan.seconds))
        return rows, store_rows

    def _http(self, served: servers.Served, sent: list[str], status: int, connections: int) -> Figures:
        job = load.Job(
            served.port, served.pid, sent, status, connections, self._plan.seconds, WARM_UP_SECONDS, OPERATIONS_MAX
        )
        figures = self._generator.ask(job, Figures)
        if figures.error:
            raise SystemExit(f"{sent[0].splitlines()[0]}: {figures.error}")
        return figures

    def _statements(self, operation: str, callers: int, *, is_floor: bool = True) -> Figures:
        job = store_floor.Job(operation, callers, self._plan.seconds, OPERATIONS_MAX, is_floor)
        return self._store.ask(job, Figures)


def run(plan: Plan, folder: Path, *, is_postgres: bool) -> tuple[list[Row], list[StoreRow]]:
    """Make the data, start the processes, measure, end them."""
    with ExitStack() as stack:
        running = stack.enter_context(postgres.server()) if is_postgres else None
        print("making the data", file=sys.stderr)
        dataset = asyncio.run(data.make(folder / "data", postgres.database(running) if running else ""))
        # The store floor first: it copies the database, which the server would be writing to.
        pgbench = None
        if running:
            copy = postgres.copy(running, dataset)
            pgbench = postgres.Pgbench(running, copy, folder)
            store = stack.enter_context(servers.postgres_store(dataset, copy.url, folder))
        else:
            store = stack.enter_context(servers.store_floor(dataset, folder))
        product = stack.enter_context(servers.product(dataset, folder))
        floor = stack.enter_context(servers.http_floor(folder))
        bench = Bench(plan, product, floor, store, stack.enter_context(servers.load(folder)))
        return bench.rows(cases_of(dataset), pgbench)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three short rounds: less than a minute")
    parser.add_argument(
        "--store", choices=("sqlite", "postgres"), default="sqlite", help="which store; SQLite unless said"
    )
    arguments = parser.parse_args()
    print(describe(), file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as folder:
        plan = QUICK if arguments.quick else FULL
        rows, store_rows = run(plan, Path(folder), is_postgres=arguments.store == "postgres")
    print(table(rows))
    print()
    if store_rows:
        print(store_table(store_rows))
        print()
    print("\n".join([*verdict(rows, CONNECTIONS[-1]), *store_verdict(store_rows), *warnings(rows)]))


if __name__ == "__main__":
    main()
