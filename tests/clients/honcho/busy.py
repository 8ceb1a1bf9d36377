"""A server whose store takes no writes for a while, because somebody else holds its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx

from tests.server_process import ServerProcess


@contextmanager
def busy(server: ServerProcess) -> Iterator[None]:
    """Inside, the server can write nothing; at the end it can again."""
    (path,) = server.data_dir.glob("*.db")
    with closing(sqlite3.connect(path)) as held:
        held.execute("BEGIN IMMEDIATE")
        yield
        held.rollback()


def count_of_refusals(server: ServerProcess) -> float:
    """How many answers of this dialect were 503, as the server counts them."""
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in httpx.get(f"{server.url}/metrics").text.splitlines()
        if line.startswith("antiphon_requests_total") and 'status="503"' in line and 'dialect="honcho"' in line
    )
