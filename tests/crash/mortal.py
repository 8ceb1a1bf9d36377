"""A process over a store in a directory, which dies and is followed by the next; and a clock that jumps."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest

from antiphon.core.deletion import worker
from antiphon.core.instance import Instance
from antiphon.domain import limits, times
from antiphon.domain.errors import StoreUnavailable
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.streams.live import LiveStreams
from tests.crash.kill_points import let_leases_run_out
from tests.receipts import receipts_of
from tests.scripted_agent import ScriptedAgent
from tests.unit.core.watched_store import WatchedStore

PATIENCE_SECONDS = 30
SMALL = {
    "PURGE_ROWS": 5,
    "PURGE_ROWS_MIN": 1,
    "SILENCE_ROWS": 3,
    "SCRUB_GATHER_SECONDS": 0,
    "JOB_POLL_SECONDS": 0,
    "JOB_BLOCKED_SECONDS": 0,
    "WEBHOOK_FAREWELL_SECONDS": 0,
}
"""Limits, so small that everything takes many steps and none waits."""

T = TypeVar("T")


class Cut(dict[str, Any]):
    """What goes before every call to a store: a dead process's have no effect any more."""

    calls_left: int | None = None

    def get(self, _: object, default: object = None) -> Any:
        """The same for all."""
        return self._pass

    async def _pass(self, *_: object) -> None:
        if self.calls_left is not None:
            if self.calls_left <= 0:
                raise StoreUnavailable
            self.calls_left -= 1


class Mortal:
    """One process at a time; `store` is what it stands on, `instance` the verbs."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="antiphon-model-"))
        self.patch = pytest.MonkeyPatch()
        self.jump = 0
        real = times.now
        self.patch.setattr(times, "now", lambda: real() + self.jump)
        self.patch.setattr(worker, "backoff_seconds", lambda _: 0.001)
        for name, value in SMALL.items():
            self.patch.setattr(limits, name, value)
        self.stores: list[SqliteStore] = []

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Let it happen."""
        return self.runner.run(work)

    async def open(self) -> None:
        """The next process begins."""
        self.store = await SqliteStore.open(self.folder / "data")
        self.stores.append(self.store)
        line: Any = WatchedStore(self.store)
        line.before = self.cut = Cut()
        self.instance = Instance(
            line, ScriptedAgent(), len, "scripted", LiveStreams(line), receipts_of(line, self.folder)
        )
        await self.instance.receipts.start()

    def die(self, calls: int) -> None:
        """The process dies while its worker works, after so many calls; its leases run out, and the next begins."""
        self.cut.calls_left = calls
        self.do(self._work_until_cut())
        self.do(self._end_tasks())
        let_leases_run_out(self.folder, is_all=True)
        self.do(self.open())

    async def _work_until_cut(self) -> None:
        try:
            for _ in range(12):
                await self.instance.worker.run_once()
        except StoreUnavailable:
            pass
        self.cut.calls_left = 0

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def end_windows(self) -> None:
        """What can be undone cannot any more."""
        connection = apsw.Connection(str(self.folder / "data" / "antiphon.db"))
        connection.set_busy_timeout(PATIENCE_SECONDS * 1_000)
        connection.execute("UPDATE deletions SET undo_until = 1, run_after = 1 WHERE state = 'detached'")
        connection.close()

    def end(self) -> None:
        """No process follows, and nothing is left."""
        self.do(self._end_tasks())
        for store in self.stores:
            self.do(store.close())
        self.runner.close()
        self.patch.undo()
        shutil.rmtree(self.folder)
