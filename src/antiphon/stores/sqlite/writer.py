"""The one thread that writes: it takes what is waiting, does it in one transaction, and commits once (group commit).

Each operation has a savepoint of its own, so one that fails takes nothing of the others with it. But an error may also
make SQLite roll back the whole transaction (seen with a full disk): then the savepoint is gone with all operations
before it, and the whole batch fails as retryable. A caller hears of success only after the commit.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import apsw

from antiphon.domain import limits, times
from antiphon.domain.errors import StoreError, StoreFailed, StoreUnavailable
from antiphon.stores.sqlite.database import Cursor, open_writer, translate

T = TypeVar("T")

_log = logging.getLogger(__name__)

_CHECKPOINT_SECONDS = 0.25


class Transaction(Cursor):
    """What an operation sees: named statements, and one moment for all that it writes."""

    __slots__ = ("now",)

    def __init__(self, connection: apsw.Connection, now: int) -> None:
        super().__init__(connection)
        self.now = now


Operation = Callable[[Transaction], T]


class _Job:
    __slots__ = ("future", "loop", "operation")

    def __init__(self, operation: Operation[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.operation = operation
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()


class _Alone(_Job):
    """Something for the writer's connection outside of any transaction."""

    __slots__ = ()


class _BatchLost(Exception):
    """The transaction is gone, and every operation of the batch with it."""


class Writer:
    """Runs operations on a thread of its own. `close` lets what is queued finish."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_writer(path)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._dirty = threading.Event()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="antiphon-writer", daemon=True)
        self._checkpointer = threading.Thread(target=self._checkpoint, name="antiphon-checkpoint", daemon=True)
        self._thread.start()
        self._checkpointer.start()

    async def run_alone(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do it with the writer's connection, outside of any transaction and while nobody else writes."""
        loop = asyncio.get_running_loop()
        if self._closing.is_set():
            raise StoreUnavailable
        job = _Alone(lambda tx: work(tx.connection), loop)
        self._jobs.put(job)
        result: T = await job.future
        return result

    async def run(self, operation: Operation[T]) -> T:
        """Do it in a transaction; durable on return. Raises what the operation raises, and StoreError."""
        loop = asyncio.get_running_loop()
        gathered = self._gathered.get(loop)
        waiting = self._jobs.qsize() + len(gathered or ())
        if self._closing.is_set() or waiting >= limits.WRITE_QUEUE_OPERATIONS:
            raise StoreUnavailable
        if gathered is None:
            gathered = self._gathered[loop] = []
            loop.call_soon(self._hand_over, loop)
        gathered.append(job := _Job(operation, loop))
        result: T = await job.future
        return result

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Queue what a turn of the loop has gathered: one by one, the writer would wake for the first and commit it."""
        for job in self._gathered.pop(loop, ()):
            self._jobs.put(job)

    async def close(self) -> None:
        """Finish what is queued, bring the log into the database, and let go of the file."""
        if self._closing.is_set():
            return
        self._closing.set()
        for loop in list(self._gathered):
            self._hand_over(loop)
        self._jobs.put(None)
        self._dirty.set()
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        self._thread.join()
        self._checkpointer.join()

    def _work(self) -> None:
        while (first := self._jobs.get()) is not None:
            if isinstance(first, _Alone):
                _deliver([first], [self._do_alone(first)])
                continue
            batch = [first]
            is_last = False
            alone: _Alone | None = None
            while len(batch) < limits.WRITE_BATCH_OPERATIONS and not self._jobs.empty():
                job = self._jobs.get()
                if job is None:
                    is_last = True
                    break
                if isinstance(job, _Alone):
                    alone = job
                    break
                batch.append(job)
            _deliver(batch, self._commit_or_reopen(batch))
            if alone is not None:
                _deliver([alone], [self._do_alone(alone)])
            self._dirty.set()
            self._limit_log()
            if is_last:
                break
        self._finish()

    def _finish(self) -> None:
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except apsw.Error as error:
            translate(error)  # logged; the next start does it
        self._connection.close()

    def _commit_or_reopen(self, batch: list[_Job]) -> list[Any]:
        """The outcomes of a batch. A connection that cannot even roll back is replaced: this thread must not die."""
        try:
            return self._commit(batch)
        except apsw.Error as error:
            fault: StoreError = translate(error)
        except Exception as error:  # noqa: BLE001  a mistake of ours must not end the only thread that writes
            _log.error("unforeseen fault", extra={"fault": type(error).__name__})
            fault = StoreFailed()
        try:
            self._connection.close(force=True)
            self._connection = open_writer(self._path)
        except apsw.Error as error:  # the closed connection fails the next batch, which comes here again
            fault = translate(error)
        except StoreError as error:  # likewise
            fault = error
        return [fault] * len(batch)

    def _do_alone(self, job: _Alone) -> Any:
        try:
            return job.operation(Transaction(self._connection, times.now()))
        except apsw.Error as error:
            return translate(error)
        except Exception as error:  # noqa: BLE001  as in a batch
            return error

    def _commit(self, batch: list[_Job]) -> list[Any]:
        """The outcome of each job: its result, or the exception that its caller gets."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._attempt(job) for job in batch]
            connection.execute("COMMIT")
        except (apsw.Error, _BatchLost) as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            fault = translate(error) if isinstance(error, apsw.Error) else StoreUnavailable()
            return [fault] * len(batch)
        return outcomes

    def _attempt(self, job: _Job) -> Any:
        connection = self._connection
        connection.execute("SAVEPOINT operation")
        outcome: Any
        try:
            outcome = job.operation(Transaction(connection, times.now()))
        except Exception as error:  # noqa: BLE001  whatever it is goes to the caller; this thread serves all of them
            outcome = translate(error) if isinstance(error, apsw.Error) else error
            if not connection.in_transaction:
                raise _BatchLost from None
            connection.execute("ROLLBACK TO operation")
        connection.execute("RELEASE operation")
        return outcome

    def _limit_log(self) -> None:
        """Past its limit the log is brought in by the writer itself: a flood leaves the other thread no gap for it."""
        log = self._path.with_name(self._path.name + "-wal")
        try:
            if log.stat().st_size > limits.WAL_BYTES:
                self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        except OSError:  # not there, or not to be looked at: then there is nothing to shorten
            return
        except apsw.BusyError:  # the other thread is at it, or a reader: it is looked at again after the next commit
            return
        except apsw.Error as error:
            translate(error)  # logged; what was committed is committed, and the next batch tries again

    def _checkpoint(self) -> None:
        """Bring the log into the database in the background, so that no commit has to (p99 of a commit: a fifth)."""
        connection: apsw.Connection | None = None
        while not self._closing.wait(_CHECKPOINT_SECONDS):
            self._dirty.wait()
            self._dirty.clear()
            try:
                connection = connection or open_writer(self._path)
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except apsw.BusyError:  # the writer, or another process, is at it
                continue
            except apsw.Error as error:
                translate(error)
            except (StoreError, OSError):  # logged where it arose; the next commit tries again
                continue
        if connection is not None:
            connection.close()


def _deliver(batch: list[_Job], outcomes: list[Any]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for job, outcome in zip(batch, outcomes, strict=True):
        by_loop.setdefault(job.loop, []).append((job.future, outcome))
    for loop, settled in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in settled:
        if future.done():  # its caller was cancelled; what was committed stays committed
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
