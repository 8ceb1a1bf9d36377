"""The one thread that writes: it takes what is waiting, does it in one transaction, and commits once (group commit).

What comes while it does so is done in the same transaction.

Each operation has a savepoint of its own, so one that fails takes nothing of the others with it. But an error may also
make SQLite roll back the whole transaction (seen with a full disk): then the savepoint is gone with all operations
before it, and the whole batch fails as retryable. A caller hears of success only after the commit.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import apsw

from antiphon.domain import limits, times
from antiphon.domain.errors import StoreError, StoreFailed, StoreUnavailable
from antiphon.stores.sqlite.database import Cursor, open_cleaner, open_writer, translate
from antiphon.stores.sqlite.lanes import Alone, Job, Lanes

T = TypeVar("T")

_log = logging.getLogger(__name__)

_CHECKPOINT_SECONDS = 0.5
_LOOK_SECONDS = 0.005


class Transaction(Cursor):
    """What an operation sees: named statements, and one moment for all that it writes."""

    __slots__ = ("now",)

    def __init__(self, connection: apsw.Connection, now: int) -> None:
        super().__init__(connection)
        self.now = now


Operation = Callable[[Transaction], T]


class _BatchLost(Exception):
    """The transaction is gone, and every operation of the batch with it."""


class Writer:
    """Runs operations on a thread of its own. `close` lets what is queued finish."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log_path = path.with_name(path.name + "-wal")
        self._connection = open_writer(path)
        self._cleaner = open_cleaner(path)  # for the thread that writes
        self._background = open_cleaner(path)  # for the one that checkpoints
        self._lanes = Lanes()
        self._cleaning = threading.Lock()
        self._dirty = threading.Event()
        self._gathered: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="antiphon-writer", daemon=True)
        self._checkpointer = threading.Thread(target=self._checkpoint, name="antiphon-checkpoint", daemon=True)
        self._thread.start()
        self._checkpointer.start()

    async def run_alone(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do it with the connection that cleans, outside of any transaction, while nobody here writes or cleans."""
        loop = asyncio.get_running_loop()
        while not self._cleaning.acquire(blocking=False):  # noqa: ASYNC110  its other holder is a thread
            await asyncio.sleep(_LOOK_SECONDS)
        try:
            if self._closing.is_set():
                raise StoreUnavailable
            job = Alone(lambda tx: work(tx.connection), loop, is_patient=True)
            self._lanes.put(job)
            result: T = await job.future
            return result
        finally:
            self._cleaning.release()

    async def run(self, operation: Operation[T]) -> T:
        """Do it in a transaction; durable on return. Raises what the operation raises, and StoreError."""
        result: T = await self._queued(Job(operation, asyncio.get_running_loop()))
        return result

    async def run_patiently(
        self, operation: Operation[T], goes_on: Callable[[T], bool] | None = None, rounds: int = 1
    ) -> T:
        """The same for what lets others go first, for one batch at most.

        It is done again, in a transaction of its own, as long as its outcome `goes_on`, `rounds` times in all.
        """
        job = Job(operation, asyncio.get_running_loop(), is_patient=True, goes_on=goes_on, rounds=rounds)
        result: T = await self._queued(job)
        return result

    async def _queued(self, job: Job) -> Any:
        gathered = self._gathered.get(job.loop)
        waiting = len(self._lanes) + len(gathered or ())
        if self._closing.is_set() or waiting >= limits.WRITE_QUEUE_OPERATIONS:
            raise StoreUnavailable
        if gathered is None:
            gathered = self._gathered[job.loop] = []
            job.loop.call_soon(self._hand_over, job.loop)
        gathered.append(job)
        return await job.future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Queue what a turn of the loop has gathered: one by one, the writer would wake for the first and commit it."""
        for job in self._gathered.pop(loop, ()):
            self._lanes.put(job)

    async def close(self) -> None:
        """Finish what is queued, bring the log into the database, and let go of the file."""
        if self._closing.is_set():
            return
        self._closing.set()
        for loop in list(self._gathered):
            self._hand_over(loop)
        self._lanes.close()
        self._dirty.set()
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        self._thread.join()
        self._checkpointer.join()

    def _work(self) -> None:
        while batch := self._lanes.next_batch():
            if isinstance(batch[0], Alone):
                _deliver([(batch[0], self._do_alone(batch[0]))])
                continue
            outcomes = self._commit_or_reopen(batch)
            log_bytes = self._log_bytes()
            if log_bytes is None:  # what was committed went into files that nobody will find again
                _log.error("the database has been taken away")
                outcomes = [each if isinstance(each, BaseException) else StoreUnavailable() for each in outcomes]
            _deliver([(job, each) for job, each in zip(batch, outcomes, strict=True) if not self._again(job, each)])
            self._dirty.set()
            self._limit_log(log_bytes or 0)
        self._finish()

    def _again(self, job: Job, outcome: Any) -> bool:
        """Whether a job has more to do, and waits for its turn once more."""
        return job.has_more_after(outcome) and self._lanes.again(job)

    def _finish(self) -> None:
        try:
            self._cleaner.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except apsw.Error as error:
            translate(error)  # logged; the next start does it
        self._connection.close()
        self._cleaner.close()

    def _commit_or_reopen(self, batch: list[Job]) -> list[Any]:
        """The outcomes of a batch, to which come those who join it meanwhile.

        A connection that cannot even roll back is replaced: this thread must not die.
        """
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

    def _do_alone(self, job: Job) -> Any:
        try:
            return job.operation(Transaction(self._cleaner, times.now()))
        except apsw.Error as error:
            return translate(error)
        except Exception as error:  # noqa: BLE001  as in a batch
            return error

    def _commit(self, batch: list[Job]) -> list[Any]:
        """The outcome of each job: its result, or the exception that its caller gets."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._attempt(job) for job in batch]
            late = self._lanes.latecomers(len(batch))
            batch += late
            outcomes += [self._attempt(job) for job in late]
            connection.execute("COMMIT")
        except (apsw.Error, _BatchLost) as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            fault = translate(error) if isinstance(error, apsw.Error) else StoreUnavailable()
            return [fault] * len(batch)
        return outcomes

    def _attempt(self, job: Job) -> Any:
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

    def _log_bytes(self) -> int | None:
        """The length of the log, nothing where it is not to be looked at; None when it is not there."""
        try:
            return self._log_path.stat().st_size
        except FileNotFoundError:
            return None
        except OSError:
            return 0

    def _limit_log(self, log_bytes: int) -> None:
        """Past its limit the log is brought in by the writer itself: a flood leaves the other thread no gap for it."""
        if log_bytes <= limits.WAL_BYTES:
            return
        try:
            self._cleaner.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        except apsw.BusyError:  # the other thread is at it, or a reader: it is looked at again after the next commit
            return
        except apsw.Error as error:
            translate(error)  # logged; what was committed is committed, and the next batch tries again

    def _checkpoint(self) -> None:
        """Bring the log into the database in the background, so that no commit has to (p99 of a commit: a fifth)."""
        while not self._closing.wait(_CHECKPOINT_SECONDS):
            self._dirty.wait()
            self._dirty.clear()
            try:
                with self._cleaning:
                    self._background.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except apsw.BusyError:  # the writer, or another process, is at it
                continue
            except apsw.Error as error:
                translate(error)
        self._background.close()


def _deliver(ended: list[tuple[Job, Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for job, outcome in ended:
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
