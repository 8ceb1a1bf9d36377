"""A search for bytes in files, to see with one's own eyes that what was deleted is gone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_BLOCK_BYTES = 4 * 1024 * 1024


class Hit(msgspec.Struct, frozen=True):
    """A string that was found: which of those searched for (its number from 0), in which file, at which byte."""

    needle: int
    file: str
    offset: int


def files_of(data_dir: Path) -> list[Path]:
    """Every file of a data directory (database, log, shared memory, receipts), and SQLite's temporary ones."""
    own = sorted(path for path in data_dir.rglob("*") if path.is_file())
    return [*own, *sorted(Path(tempfile.gettempdir()).glob("etilqs_*"))]


def scan(files: Sequence[Path], needles: Sequence[bytes]) -> Iterator[Hit]:
    """Where the files hold the strings (none empty). A file that goes away meanwhile holds nothing."""
    overlap = max((len(needle) for needle in needles), default=1) - 1
    for path in files:
        try:
            yield from _scan_file(path, needles, overlap)
        except FileNotFoundError:
            continue


def _scan_file(path: Path, needles: Sequence[bytes], overlap: int) -> Iterator[Hit]:
    """Block by block; what lies across two blocks is found in the second, which begins with the end of the first."""
    with path.open("rb") as file:
        start, tail = 0, b""
        while block := file.read(_BLOCK_BYTES):
            text = tail + block
            for number, needle in enumerate(needles):
                at = text.find(needle)
                while at >= 0:
                    if at + len(needle) > len(tail):  # what lies in the tail alone was found before
                        yield Hit(number, str(path), start + at)
                    at = text.find(needle, at + 1)
            keep = text[max(len(text) - overlap, 0) :]
            start += len(text) - len(keep)
            tail = keep
