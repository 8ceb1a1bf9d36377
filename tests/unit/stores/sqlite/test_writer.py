"""How the writer gathers what one turn of the loop asks for."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import apsw
import pytest

from antiphon.domain import limits
from antiphon.domain.errors import StoreError, StoreUnavailable
from antiphon.stores.sqlite.database import FILE_NAME
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.stores.sqlite.writer import Transaction, Writer


@pytest.fixture
async def writer(tmp_path: Path) -> Writer:
    store = await SqliteStore.open(tmp_path)
    await store.close()
    return Writer(tmp_path / FILE_NAME)


def note(done: list[int], number: int, _: Transaction) -> None:
    """An operation that leaves its number."""
    done.append(number)


async def test_what_one_turn_asks_for_is_handed_over_together_and_done_in_order(writer: Writer) -> None:
    done: list[int] = []
    asked = asyncio.gather(*(writer.run(partial(note, done, number)) for number in range(50)))
    await asyncio.sleep(0)  # one turn of the loop
    assert [len(jobs) for jobs in writer._gathered.values()] == [50]
    await asked
    assert done == list(range(50))
    await writer.close()


async def test_closing_finishes_what_was_only_gathered(writer: Writer) -> None:
    waiting = asyncio.ensure_future(writer.run(lambda _: "done"))
    await asyncio.sleep(0)  # one turn of the loop: it is gathered, and not yet handed over
    assert writer._gathered
    await writer.close()
    assert await asyncio.wait_for(waiting, 5) == "done"


async def test_a_log_that_cannot_be_looked_at_harms_nobody(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "stat", refuse)
    assert await asyncio.wait_for(writer.run(lambda _: "one"), 5) == "one"
    assert await asyncio.wait_for(writer.run(lambda _: "two"), 5) == "two"
    monkeypatch.undo()
    await writer.close()


async def test_nothing_is_acknowledged_once_the_directory_has_been_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written then is in files that nobody finds again; it goes on when the directory comes back."""
    monkeypatch.setattr(limits, "STORE_CHECK_SECONDS", 0)
    store = await SqliteStore.open(tmp_path / "data")
    await store.check()
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable):
        await store.tenants.create("one", "assistant")
    with pytest.raises(StoreUnavailable):
        await store.check()
    (tmp_path / "elsewhere").rename(tmp_path / "data")
    await store.check()
    await store.tenants.create("two", "assistant")
    await store.close()


@pytest.mark.parametrize("mistake", [RuntimeError, apsw.IOError])
async def test_a_batch_that_breaks_ends_with_an_error_and_the_next_one_works(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, mistake: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise mistake

    monkeypatch.setattr(writer, "_commit", fail)
    with pytest.raises(StoreError):
        await asyncio.wait_for(writer.run(lambda _: "lost"), 5)
    monkeypatch.undo()
    assert await asyncio.wait_for(writer.run(lambda _: "kept"), 5) == "kept"
    await writer.close()
