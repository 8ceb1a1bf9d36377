"""Background work that breaks is logged without its words, and begins anew."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.streams.live import LiveStreams
from tests.receipts import receipts_of
from tests.scripted_agent import ScriptedAgent


async def test_work_that_breaks_is_logged_and_begun_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits, "WORK_RESTART_SECONDS", 0.001)
    instance = Instance(store, ScriptedAgent(), len, "none", LiveStreams(store), receipts_of(store, tmp_path))
    begun = 0
    third = asyncio.Event()

    async def breaks() -> None:
        nonlocal begun
        begun += 1
        if begun == 3:
            third.set()
            await asyncio.Event().wait()
        raise KeyError("what somebody wrote")

    monkeypatch.setattr(instance.worker, "run", breaks)
    with caplog.at_level(logging.ERROR):
        async with instance.running():
            await asyncio.wait_for(third.wait(), 10)
    failures = [vars(record) for record in caplog.records if record.getMessage() == "background work failed"]
    assert [(f["work"], f["fault"]) for f in failures] == [("purges", "KeyError")] * 2
    assert all(f["place"].startswith("test_supervision.py:") for f in failures)
    assert "what somebody wrote" not in caplog.text


async def test_leaving_ends_the_work(store: SqliteStore, tmp_path: Path) -> None:
    instance = Instance(store, ScriptedAgent(), len, "none", LiveStreams(store), receipts_of(store, tmp_path))
    before = asyncio.all_tasks()
    async with instance.running():
        assert {task.get_name() for task in asyncio.all_tasks() - before} >= {"keys", "leases", "purges"}
    assert asyncio.all_tasks() <= before
