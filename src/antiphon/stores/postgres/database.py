"""The way to PostgreSQL: a pool of connections, named statements, what is tried again, and what errors mean.

This is the only module that knows the driver. Facts about SQLSTATEs are from PostgreSQL's appendix A; the prices of
what is chosen here were measured (docs/decisions/0005).
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import Any, Protocol, TypeVar

import asyncpg
import msgspec

from antiphon.domain import limits, times
from antiphon.domain.errors import AntiphonError, MessageIdTaken, StoreFailed, StoreUnavailable
from antiphon.domain.filters import Filter
from antiphon.domain.texts import is_storable
from antiphon.stores.filtering import fill
from antiphon.stores.postgres.filtering import PostgresCompiler
from antiphon.stores.sql import load_statements

T = TypeVar("T")

APPLICATION = "antiphon"
"""By what name the server knows connections of a pool."""

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
_EPOCH = 946_684_800 * times.SECOND  # PostgreSQL counts from 2000-01-01
_MANY_QUERIES = 1_000_000_000  # the pool renews a connection after so many; ours have nothing that wears out

_UNDONE = {"40001", "40P01", "55P03", "57014", "25P03"}  # serialization, deadlock, lock, statement, idle timeout
_PASSING = _UNDONE | {"25006", "57P01", "57P02", "57P03", "57P05"}  # a standby; a server that stops or starts
_PASSING_CLASSES = ("08", "53", "58")  # connection, resources (disk, memory, connections), the system below
_UNIQUE, _TABLE_THERE = "23505", "42P07"
_CLIENT_IDS = "messages_by_client_id"
# Where two meet who make the same thing: a chat, a session, a table. On a shard a name has a number behind it.
_RACES = (
    "chats_by_id",
    "sessions_by_id",
    "imports_by_digest",
    "pg_type_typname_nsp_index",
    "pg_class_relname_nsp_index",
)

_log = logging.getLogger(__name__)

_LOST = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class Statement(msgspec.Struct, frozen=True):
    """A named statement in the form that the driver takes: `$1`, `$2`, … and the names that they stand for."""

    text: str
    names: tuple[str, ...]


def number_parameters(text: str) -> Statement:
    """The statement with its `:name` parameters numbered in order of their first appearance."""
    names = list(dict.fromkeys(_PARAMETER.findall(text)))
    return Statement(_PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", text), tuple(names))


TEXTS = load_statements(files("antiphon.stores.postgres") / "sql")
STATEMENTS = {name: number_parameters(text) for name, text in TEXTS.items()}


class Row(Protocol):
    """A row of a result: columns by place."""

    def __getitem__(self, place: Any) -> Any: ...
    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...


class Overtaken(Exception):
    """Another process made meanwhile what this transaction set out to make: do the whole of it again."""


class Cursor:
    """Named statements on one connection. `now` is one moment for all that is written."""

    __slots__ = ("_connection", "now")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.now = times.now()

    async def rows(self, name: str, /, **values: Any) -> list[Row]:
        """All rows of a statement."""
        statement = STATEMENTS[name]
        found: list[Row] = await self._connection.fetch(statement.text, *[values[key] for key in statement.names])
        return found

    async def row(self, name: str, /, **values: Any) -> Row | None:
        """The first row of a statement, or None."""
        found = await self.rows(name, **values)
        return found[0] if found else None

    async def ask(self, query: str, /, **values: Any) -> list[Row]:
        """All rows of a statement that was made from the deletion graph."""
        statement = number_parameters(query)
        found: list[Row] = await self._connection.fetch(statement.text, *[values[key] for key in statement.names])
        return found

    async def filtered(
        self, name: str, wanted: Filter, columns: Mapping[str, str], /, *, is_reversed: bool = False, **values: Any
    ) -> list[Row]:
        """All rows of a statement that takes a filter, whose fields are these columns."""
        compiler = PostgresCompiler(columns)
        statement = number_parameters(fill(TEXTS[name], compiler.compile(wanted), is_reversed=is_reversed))
        given = values | compiler.values
        found: list[Row] = await self._connection.fetch(statement.text, *[given[key] for key in statement.names])
        return found

    async def run(self, name: str, /, **values: Any) -> int:
        """Run a statement; how many rows it changed."""
        statement = STATEMENTS[name]
        status = await self._connection.execute(statement.text, *[values[key] for key in statement.names])
        return int(count) if (count := status.rpartition(" ")[2]).isdigit() else 0

    async def count(self, query: str) -> int:
        """The number that a query over everything gives; it may take as long as a start."""
        found: int = await self._connection.fetchval(query, timeout=limits.START_SECONDS)
        return found

    async def copy(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Bring whole rows into a table."""
        await self._connection.copy_records_to_table(table, records=rows, columns=list(columns))

    async def has_rows(self, table: str) -> bool:
        """Whether there is anything in a table."""
        found: bool = await self._connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})")  # noqa: S608  a name of ours
        return found

    async def stream(self, table: str, columns: Sequence[str], count: int) -> AsyncIterator[list[Row]]:
        """All rows of a table, so many at a time, as they are at one moment."""
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            opened = await self._connection.cursor(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608  likewise
            while rows := await opened.fetch(count):
                yield rows

    async def commit(self) -> None:
        """Durable on return. Raises StoreFailed when there was nothing left to commit."""
        if await self._connection.execute("COMMIT") != "COMMIT":
            raise StoreFailed

    async def roll_back(self) -> None:
        """Nothing of it was; a connection that is lost has rolled back by itself."""
        with suppress(*DRIVER_ERRORS):
            await self._connection.execute("ROLLBACK")

    async def script(self, text: str) -> None:
        """Run one statement of a migration."""
        await self._connection.execute(text)


Operation = Callable[[Cursor], Awaitable[T]]


class Database:
    """A pool of connections to one database.

    Reads are tried again while what stops them may pass, at most STORE_ATTEMPTS times and STORE_BUSY_SECONDS. A
    transaction is tried again when it is certain that nothing of it was kept; when the connection breaks in the middle
    of a commit, nobody knows, and it is not.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._is_doubtful = False
        self._used = self._used_at_most = 0

    async def rows(self, name: str, /, **values: Any) -> list[Row]:
        """All rows of a statement that only reads. A text that cannot be stored finds nothing."""
        if not all(is_storable(value) for value in values.values() if type(value) is str):
            return []

        async def read() -> list[Row]:
            async with self._cursor() as cursor:
                return await cursor.rows(name, **values)

        return await self._repeat(read, lambda _: True)

    async def row(self, name: str, /, **values: Any) -> Row | None:
        """The first row of a statement that only reads, or None."""
        found = await self.rows(name, **values)
        return found[0] if found else None

    async def filtered(self, name: str, wanted: Filter, columns: Mapping[str, str], /, **values: Any) -> list[Row]:
        """All rows of a statement that only reads and takes a filter, whose fields are these columns."""

        async def read() -> list[Row]:
            async with self._cursor() as cursor:
                return await cursor.filtered(name, wanted, columns, **values)

        return await self._repeat(read, lambda _: True)

    async def write_rows(self, name: str, /, *, is_idempotent: bool = False, **values: Any) -> list[Row]:
        """The rows of one statement that writes and is its own transaction; durable on return, in one round trip.

        One that is idempotent is tried again even when nobody knows whether it was committed.
        """

        async def write() -> list[Row]:
            async with self._cursor() as cursor:
                return await cursor.rows(name, **values)

        return await self._repeat(write, lambda error: is_idempotent or _is_undone(error))

    async def transact(self, operation: Operation[T]) -> T:
        """Do it in a transaction; durable on return. It may be run more than once, and so has no other effects."""

        async def whole() -> T:
            async with self._cursor() as cursor:
                try:
                    await cursor.script("BEGIN")
                    result = await operation(cursor)
                except BaseException as error:
                    await cursor.roll_back()
                    if isinstance(error, DRIVER_ERRORS):
                        raise _BeforeCommit(error) from None
                    raise
                await cursor.commit()
                return result

        return await self._repeat(whole, _is_undone)

    async def close(self) -> None:
        """Wait for what is under way, then let go of the database."""
        try:
            async with asyncio.timeout(limits.STORE_BUSY_SECONDS):
                await self._pool.close()
        except DRIVER_ERRORS:
            self._pool.terminate()

    @asynccontextmanager
    async def _cursor(self) -> AsyncIterator[Cursor]:
        """A connection of the pool. One that is given back in the middle of a transaction is rolled back."""
        connection = await self._acquire()
        release_seconds: int | None = limits.STORE_END_SECONDS
        try:
            yield Cursor(connection)
            self._is_doubtful = False
            if not connection.is_in_transaction():
                release_seconds = None  # there is nothing left to say on it
        finally:
            self._used -= 1
            # What the work came to is known by now: a connection that breaks after it changes nothing of that.
            with suppress(*DRIVER_ERRORS):
                await self._pool.release(connection, timeout=release_seconds)

    async def _acquire(self) -> Any:
        """A connection. A timeout costs a task (14 µs), so it is set only where there may be something to wait for."""
        is_waiting = self._is_doubtful or self._used >= self._used_at_most
        try:
            connection = await self._pool.acquire(timeout=limits.STORE_BUSY_SECONDS if is_waiting else None)
        except DRIVER_ERRORS as error:
            raise _BeforeCommit(error) from None
        self._used += 1
        self._used_at_most = max(self._used, self._used_at_most)
        return connection

    async def _repeat(self, work: Callable[[], Awaitable[T]], is_repeatable: Callable[[Exception], bool]) -> T:
        give_up_at = time.monotonic() + limits.STORE_BUSY_SECONDS
        attempt = 1
        while True:
            try:
                return await work()
            except (_BeforeCommit, Overtaken, *DRIVER_ERRORS) as error:
                cause = error.cause if isinstance(error, _BeforeCommit) else error
                fault = self._translate(cause)
                if not (isinstance(fault, StoreUnavailable) and (_is_undone(error) or is_repeatable(error))):
                    raise fault from None
                if attempt >= limits.STORE_ATTEMPTS or time.monotonic() >= give_up_at:
                    raise fault from None
            await asyncio.sleep(_pause_seconds(attempt, cause))
            attempt += 1

    def _translate(self, error: Exception) -> AntiphonError:
        """The project's error for one of the driver's; its text stays here, since it may quote what people wrote."""
        if isinstance(error, Overtaken) or _is_race(error):
            return StoreUnavailable()
        if _breaks(error, _CLIENT_IDS):
            return MessageIdTaken()
        state = getattr(error, "sqlstate", None) or ""
        _log.warning("database error", extra={"fault": type(error).__name__, "result": state})
        if _is_lost(error):
            self._pool_lost()
        return StoreUnavailable() if is_passing(error) else StoreFailed()

    def _pool_lost(self) -> None:
        """When one connection is lost the others are likely to be dead too: each is replaced before its next use."""
        self._is_doubtful = True
        task = asyncio.ensure_future(self._pool.expire_connections())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


class _BeforeCommit(Exception):
    """An error before any commit was sent: nothing was kept."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


def is_passing(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state in _PASSING or state.startswith(_PASSING_CLASSES) or _is_race(error)
    # What is left is the way to the server (refused, cut, timed out, closed under our hands; a connection that ends
    # while it is idle may look like a confusion of the driver's), or a value that has no form in the database.
    return not isinstance(error, ValueError)


def _is_lost(error: Exception) -> bool:
    """Whether the connection is gone, or the driver confused by its end. A value that has no form is neither."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(("08", "57P"))
    return isinstance(error, _LOST) and not isinstance(error, ValueError)


def _is_undone(error: Exception) -> bool:
    """Whether it is certain that nothing was kept: the server said so, or no commit had been sent."""
    if isinstance(error, Overtaken | _BeforeCommit):
        return True
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate in _UNDONE or _is_race(error))


def _is_race(error: Exception) -> bool:
    """Whether two made the same thing at once: the later one will find it there."""
    if not isinstance(error, asyncpg.PostgresError):
        return False
    return error.sqlstate == _TABLE_THERE or _breaks(error, *_RACES)


def _breaks(error: Exception, *names: str) -> bool:
    """Whether a unique index of one of these names stood in the way."""
    if not isinstance(error, asyncpg.PostgresError) or error.sqlstate != _UNIQUE:
        return False
    return (getattr(error, "constraint_name", None) or "").startswith(names)


def _pause_seconds(attempt: int, cause: Exception) -> float:
    """None after a race, else growing from a twentieth of a second, half of it random."""
    if isinstance(cause, Overtaken) or _is_race(cause):
        return 0.0
    ceiling: float = min(1.0, 0.05 * 4 ** (attempt - 1))
    return ceiling * (0.5 + random.random() / 2)  # noqa: S311  jitter, not a secret


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # the driver has no types
    """A connection that ends soon and in silence, whatever the network does."""

    async def close(self, *, timeout: float | None = None) -> None:
        """Say goodbye, or do without.

        The driver ends what has expired in a task that nobody waits for: where packets vanish it would stay for as long
        as a statement may take, and its failure would be a loose end in the log.
        """
        with suppress(*DRIVER_ERRORS):
            await super().close(timeout=limits.STORE_END_SECONDS if timeout is None else timeout)


async def open_database(url: str) -> Database:
    """A pool of connections to the database of a `postgresql://` URL.

    Raises StoreUnavailable when it cannot be reached now, StoreFailed when it refuses the user or has no such database.
    """
    seconds = str(limits.STORE_STATEMENT_SECONDS * 1000)
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=0,  # with a floor the driver itself would connect in the background, and log what it meets
            max_size=limits.STORE_CONNECTIONS,
            max_queries=_MANY_QUERIES,
            max_inactive_connection_lifetime=limits.STORE_IDLE_SECONDS,
            timeout=limits.STORE_CONNECT_SECONDS,
            command_timeout=limits.STORE_STATEMENT_SECONDS + limits.STORE_CONNECT_SECONDS,
            statement_cache_size=len(STATEMENTS) * 2,
            max_cached_statement_lifetime=limits.STORE_PLAN_SECONDS,  # tables grow, and nobody may have told the server
            connection_class=_Connection,
            init=_set_codecs,
            reset=_leave_as_it_is,
            server_settings={
                "application_name": APPLICATION,
                "jit": "off",
                "lock_timeout": str(limits.STORE_BUSY_SECONDS * 1000),
                "statement_timeout": seconds,
                "idle_in_transaction_session_timeout": seconds,
            },
        )
        await pool.release(await pool.acquire())
    except (*DRIVER_ERRORS, ValueError) as error:
        state = getattr(error, "sqlstate", None) or ""
        _log.error("database not opened", extra={"fault": type(error).__name__, "result": state})
        if isinstance(error, ValueError) or not is_passing(error):
            raise StoreFailed(f"the database cannot be used ({type(error).__name__})") from None
        raise StoreUnavailable(f"the database cannot be reached ({type(error).__name__})") from None
    return Database(pool)


@asynccontextmanager
async def operator_session(url: str) -> AsyncIterator[Cursor]:
    """A connection of its own for work that an operator waits for: no statement is cut short, and none is tried again.

    Each statement is its own transaction. Raises StoreUnavailable and StoreFailed; what the server refuses with its own
    words, without the details, which may quote rows.
    """
    settings = {"application_name": f"{APPLICATION} operator", "lock_timeout": f"{limits.START_SECONDS}s"}
    try:
        connection = await asyncpg.connect(url, timeout=limits.STORE_CONNECT_SECONDS, server_settings=settings)
        try:
            await _set_codecs(connection)
            yield Cursor(connection)
        finally:
            with suppress(*DRIVER_ERRORS):
                await connection.close(timeout=limits.STORE_CONNECT_SECONDS)
    except (*DRIVER_ERRORS, ValueError) as error:
        if isinstance(error, asyncpg.PostgresError):
            words = f"the database says: {' '.join(str(error.args[0]).split())}"
            raise (StoreUnavailable(words) if is_passing(error) else StoreFailed(words)) from None
        if isinstance(error, ValueError):
            raise StoreFailed(f"the database cannot be used ({type(error).__name__})") from None
        raise StoreUnavailable(f"the database cannot be reached ({type(error).__name__})") from None


async def _leave_as_it_is(_connection: Any) -> None:
    """The driver's own reset is a round trip at every release; we leave no state in a session (0 µs instead of 35).

    An open transaction is rolled back by the pool itself, before it calls this.
    """


async def _set_codecs(connection: Any) -> None:
    """UUIDs as 16 bytes, moments as whole microseconds since 1970: what the domain has, with no object in between."""
    await connection.set_type_codec("uuid", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda moment: (moment - _EPOCH,),
        decoder=lambda parts: parts[0] + _EPOCH,
        format="tuple",
    )
