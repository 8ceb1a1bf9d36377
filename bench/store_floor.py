"""The store floor: the statements that an append and a page cannot do without, in a loop on one thread.

`python -m bench.store_floor DATASET` works on a copy of the database, with the connections that the store itself opens
(same settings), and reads jobs from standard input like the load. An append is the UPDATE of the chat and the INSERT of
the message, `batch` of them to a commit; the log is brought in as often as the server does it, on the same thread. A
page is its one SELECT.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import msgspec

from antiphon.domain import times
from antiphon.domain.ids import new_uid7, parse_uuid
from antiphon.stores.sqlite.database import FILE_NAME, STATEMENTS, Row, open_reader, open_writer
from antiphon.stores.sqlite.messages import place_of
from bench import data
from bench.load import figures_of
from bench.requests import PAGE

_CHECKPOINT_SECONDS = 0.25


class Job(msgspec.Struct):
    """What to do: `append` or `page`, here one after the other, with the appends of all callers in one commit."""

    operation: str
    callers: int
    seconds: float
    operations_max: int
    is_floor: bool = True

    @property
    def batch(self) -> int:
        """How many operations are one act."""
        return self.callers if self.operation == "append" else 1


class Floor:
    """The loops over one database."""

    def __init__(self, dataset: data.Dataset) -> None:
        path = Path(dataset.data_dir) / FILE_NAME
        self._writer = open_writer(path)
        self._reader = open_reader(path)
        self._tenant_id = parse_uuid(dataset.tenant_id)
        keys = [parse_uuid(key) for key in dataset.chat_keys]
        texts = [data.sample_text(seed) for seed in range(len(keys))]
        self._appends = cycle(list(zip(keys, texts, strict=True)))
        numbers: list[Row] = self._reader.execute("SELECT num FROM chats ORDER BY num").fetchall()
        self._numbers = cycle([row[0] for row in numbers])
        who = self._reader.execute("SELECT id FROM participants WHERE name = ?", (data.PEER,)).fetchall()
        self._author_id = who[0][0]
        self._checkpoint_at = 0.0

    def append(self, batch: int) -> None:
        """One commit."""
        writer = self._writer
        writer.execute("BEGIN IMMEDIATE")
        for key, text in islice(self._appends, batch):
            now = times.now()
            rows: list[Row] = writer.execute(
                STATEMENTS["advance_chat"],
                {
                    "tenant_id": self._tenant_id,
                    "key": key,
                    "count": 1,
                    "size": len(text) + 2,
                    "said_at": now,
                    "answered_at": None,
                    "now": now,
                },
            ).fetchall()
            writer.execute(
                STATEMENTS["insert_message"],
                {
                    "place": place_of(rows[0][0], rows[0][1]),
                    "tenant_id": self._tenant_id,
                    "id": new_uid7(),
                    "client_id": None,
                    "role": "user",
                    "author_id": self._author_id,
                    "author": data.PEER,
                    "text": text,
                    "parts": None,
                    "metadata": "{}",
                    "token_count": 60,
                    "created_at": now,
                },
            )
        writer.execute("COMMIT")
        if time.perf_counter() > self._checkpoint_at:
            writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._checkpoint_at = time.perf_counter() + _CHECKPOINT_SECONDS

    def page(self, _: int) -> None:
        """One page."""
        num = next(self._numbers)
        values = {
            "tenant_id": self._tenant_id,
            "low": place_of(num, 1),
            "high": place_of(num, data.MESSAGES),
            "limit": PAGE,
            "offset": 0,
        }
        rows = self._reader.execute(STATEMENTS["messages_between"], values).fetchall()
        assert len(rows) == PAGE


def _run(job: Job, work: Callable[[int], None]) -> bytes:
    latencies: list[float] = []
    cpu, began = time.process_time(), time.perf_counter()
    ends, now = began + job.seconds, began
    while now < ends and len(latencies) * job.batch < job.operations_max:
        work(job.batch)
        then, now = now, time.perf_counter()
        latencies.append(now - then)
    return msgspec.json.encode(figures_of(latencies, now - began, time.process_time() - cpu, 0.0, a_time=job.batch))


def main() -> None:
    """Do the jobs of standard input."""
    floor = Floor(msgspec.json.decode(sys.argv[1], type=data.Dataset))
    for line in sys.stdin.buffer:
        job = msgspec.json.decode(line, type=Job)
        answer = _run(job, floor.append if job.operation == "append" else floor.page)
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
