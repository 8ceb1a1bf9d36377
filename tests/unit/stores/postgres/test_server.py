"""The server of the tests: shared, unprivileged, and gone afterwards, however its users end."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from pathlib import Path

from antiphon.stores.contract.worlds import WAIT_SECONDS
from tests.postgres_server import PostgresServer, shared_server

HOLD = """
import sys
from tests.postgres_server import shared_server
with shared_server(sys.argv[1]) as server:
    print(server.directory, flush=True)
    sys.stdin.read()
"""


def process_of(directory: Path) -> Path:
    """What the system knows of the server."""
    return Path("/proc") / (directory / "data" / "postmaster.pid").read_text().split("\n", 1)[0]


def has_ended(process: Path) -> bool:
    """Whether it runs no more, as soon as that is so; what nobody has asked after yet has no command line."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while process.exists() and (process / "cmdline").read_bytes():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.01)  # between two looks at a process that is not ours to wait for
    return True


async def test_it_runs_as_nobody_with_a_directory_of_its_own(postgres_server: PostgresServer) -> None:
    assert process_of(postgres_server.directory).stat().st_uid != 0
    assert postgres_server.directory.stat().st_mode & 0o077 == 0
    assert "listen_addresses" in (postgres_server.directory / "data" / "postgresql.conf").read_text()


def test_it_ends_with_the_last_who_needs_it() -> None:
    run = uuid.uuid4().hex[:16]
    with shared_server(run) as first:
        process = process_of(first.directory)
        with shared_server(run) as second:
            assert second.directory == first.directory
        assert (process / "cmdline").read_bytes()
    assert not first.directory.exists()
    assert has_ended(process)


def test_what_a_killed_run_left_is_cleared_away(postgres_server: PostgresServer) -> None:
    arguments = [sys.executable, "-c", HOLD, uuid.uuid4().hex[:16]]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        left = Path(child.stdout.readline().strip())
        child.kill()
    process = process_of(left)
    assert process.exists()
    with shared_server(uuid.uuid4().hex[:16]):
        assert not left.exists()
        assert has_ended(process)
    assert (process_of(postgres_server.directory) / "cmdline").read_bytes()  # that of a run that lives is left alone
