"""What deleting and balancing leave in the unused parts of pages does not come into the file."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import apsw
import pytest

from antiphon.stores.sqlite.database import FILE_NAME, open_cleaner, open_writer
from antiphon.stores.sqlite.gaps import gap_of

PAGE = 4096


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of many lengths, in many orders, half of them removed again: pages split and are put together."""
    path = tmp_path_factory.mktemp("gaps") / FILE_NAME
    chance, writer, cleaner = random.Random(4), open_writer(path), open_cleaner(path)
    for connection in (writer, cleaner):
        connection.execute("PRAGMA synchronous = OFF")
    writer.execute("CREATE TABLE words (place INTEGER PRIMARY KEY, name TEXT UNIQUE, text TEXT)")
    places = chance.sample(range(100_000), 4_000)
    for begin in range(0, len(places), 500):
        some = places[begin : begin + 500]
        writer.execute("BEGIN IMMEDIATE")
        for place in some:
            text = f"text {place} " * chance.choice((1, 3, 20, 400))
            writer.execute("INSERT INTO words VALUES (?, ?, ?)", (place, f"name {place}", text))
        for place in chance.sample(places[: begin + 500], 250):
            writer.execute("DELETE FROM words WHERE place = ?", (place,))
        writer.execute("COMMIT")
        cleaner.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    writer.close()
    cleaner.close()
    return path


def test_the_file_has_nothing_in_its_gaps(path: Path) -> None:
    content = path.read_bytes()
    pages = {offset: content[offset : offset + PAGE] for offset in range(0, len(content), PAGE)}
    gaps = {offset: page[slice(*gap_of(page, offset))] for offset, page in pages.items()}
    assert sum(map(len, gaps.values())) > 100_000, "there is unused room"
    assert [offset for offset, gap in gaps.items() if any(gap)] == []
    found = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert found.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for place, name, text in found.execute("SELECT place, name, text FROM words"):
        assert (name, text[: len(f"text {place} ")]) == (f"name {place}", f"text {place} ")


def test_what_was_deleted_is_nowhere(path: Path) -> None:
    content = path.read_bytes()
    kept = {row[0] for row in apsw.Connection(str(path)).execute("SELECT place FROM words")}
    gone = set(random.Random(4).sample(range(100_000), 4_000)) - kept
    assert len(gone) > 1_000
    found = {int(number) for number in re.findall(rb"(?:name|text) (\d+)", content)}
    assert kept <= found
    assert gone & found == set()


@pytest.mark.parametrize(
    ("kind", "offset", "gap"),
    [
        (13, 0, (0, 0)),  # the kind of the first page stands behind the file's header
        (13, 2 * PAGE, (8 + 2 * 3, 4000)),
        (10, 2 * PAGE, (8 + 2 * 3, 4000)),
        (2, 2 * PAGE, (12 + 2 * 3, 4000)),
        (5, 2 * PAGE, (12 + 2 * 3, 4000)),
        (0, 2 * PAGE, (0, 0)),
        (5, PAGE, (0, 0)),  # a map of pages
        (5, 821 * PAGE, (0, 0)),  # the next one
        (5, 820 * PAGE, (12 + 2 * 3, 4000)),
        (5, 2 * PAGE + 1, (0, 0)),
    ],
)
def test_which_pages_have_a_gap(kind: int, offset: int, gap: tuple[int, int]) -> None:
    page = bytes([kind, 0, 0, 0, 3, *(4000).to_bytes(2, "big")]).ljust(PAGE, b"x")
    assert gap_of(page, offset) == gap


def test_a_page_of_another_size_is_left_alone() -> None:
    assert gap_of(bytes([13, 0, 0, 0, 3, 1, 0]).ljust(512, b"x"), 4 * PAGE) == (0, 0)


def test_a_sync_leaves_the_interpreter_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes by a call that does, and is of the log and of the file."""
    synced: list[str] = []
    sync = os.fdatasync

    def note(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    writer, cleaner = open_writer(tmp_path / FILE_NAME), open_cleaner(tmp_path / FILE_NAME)
    writer.execute("CREATE TABLE words (text TEXT)")
    monkeypatch.setattr(os, "fdatasync", note)
    cleaner.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert {*synced} == {FILE_NAME, f"{FILE_NAME}-wal"}
    writer.close()
    cleaner.close()


def test_where_descriptors_cannot_be_found_the_driver_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on systems without /proc."""
    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "fdatasync", refuse)
    writer, cleaner = open_writer(tmp_path / FILE_NAME), open_cleaner(tmp_path / FILE_NAME)
    writer.execute("CREATE TABLE words (text TEXT)")
    assert cleaner.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall() == [(0, 0, 0)]
    writer.close()
    cleaner.close()


def refuse(*_: object) -> None:
    """What is not there."""
    raise FileNotFoundError
