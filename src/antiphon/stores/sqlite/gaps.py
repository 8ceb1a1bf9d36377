"""The file layer of the connections that bring the log into the database: the unused part of every page is zeros.

`secure_delete` overwrites what is deleted where it stands. But when SQLite balances a tree it lays a page out anew
(`rebuildPage` in its btree.c), and what stood there before and now stands on another page stays behind, in the part
between the cells' places and the cells. Deleting the row overwrites the one that is in use. (Seen: of 250 deletions
with writers beside them one left a name so.) Nothing reads that part, and the log is the only way by which pages come
into the file; so it is emptied on this way, where no reader and no writer waits for it.
"""

from __future__ import annotations

import os
from typing import Any

import apsw

LAYER = "antiphon-gaps"
"""By this name SQLite opens files through it."""

_PAGE_BYTES = 4096  # SQLite's own default, and nothing here chooses another: of others nothing is touched
_NOTHING = bytes(_PAGE_BYTES)
_FILE_HEADER_BYTES = 100  # before the header of the first page
_INNER, _LEAF = (2, 5), (10, 13)
"""The first bytes of the pages of trees."""
_INNER_HEADER_BYTES, _LEAF_HEADER_BYTES = 12, 8
_CELL_PLACE_BYTES = 2
_PAGES_PER_MAP = _PAGE_BYTES // 5 + 1
"""So far apart are, from the second page on, those that map pages to parents (auto_vacuum): they look like anything."""
_PAGES_MAX = 1 << 25
"""In a file of more pages (128 GiB) one that continues a long value may begin like one of a tree: it begins with the
number of the next."""


class _Layer(apsw.VFS):
    def __init__(self) -> None:
        super().__init__(LAYER, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  the driver's name
        return (_Database if flags[0] & apsw.SQLITE_OPEN_MAIN_DB else _File)(name, flags)


class _File(apsw.VFSFile):
    """A file whose syncs stop nobody else: during one of the driver's own no thread of this process runs Python."""

    def __init__(self, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._status = os.stat(name if isinstance(name, str) else name.filename())
        self._descriptor = -1

    def xSync(self, flags: int) -> None:  # noqa: N802  the driver's name
        try:
            if not _is_same(self._descriptor, self._status):
                self._descriptor = _descriptor_of(self._status)
            os.fdatasync(self._descriptor)
            if _is_same(self._descriptor, self._status):
                return
        except (OSError, AttributeError):  # a system without one of these: then others wait
            pass
        super().xSync(flags)


class _Database(_File):
    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802  the driver's name
        start, end = gap_of(data, offset)
        nothing = _NOTHING[start:end]
        if data[start:end] != nothing and self.xFileSize() <= _PAGES_MAX * _PAGE_BYTES:
            data = b"".join((data[:start], nothing, data[end:]))
        super().xWrite(data, offset)


def _descriptor_of(status: os.stat_result) -> int:
    """One of this process's descriptors of a file, whoever's it is; OSError when there is none.

    One of our own would not do: closing it would take all locks away that this process holds on the file (POSIX).
    """
    for name in os.listdir("/proc/self/fd"):
        if _is_same(int(name), status):
            return int(name)
    raise FileNotFoundError


def _is_same(descriptor: int, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), status)
    except OSError:
        return False


def gap_of(page: bytes, offset: int) -> tuple[int, int]:
    """Where, in a page that stands at that byte of the file, the unused part begins and ends; nowhere: (0, 0)."""
    number, rest = divmod(offset, _PAGE_BYTES)
    if len(page) != _PAGE_BYTES or rest or number % _PAGES_PER_MAP == 1:
        return 0, 0
    header = 0 if number else _FILE_HEADER_BYTES
    kind = page[header]
    if kind not in _INNER and kind not in _LEAF:
        return 0, 0
    cells = int.from_bytes(page[header + 3 : header + 5], "big")
    places = header + (_INNER_HEADER_BYTES if kind in _INNER else _LEAF_HEADER_BYTES)
    start, end = places + cells * _CELL_PLACE_BYTES, int.from_bytes(page[header + 5 : header + 7], "big")
    return (start, end) if start < end <= _PAGE_BYTES else (0, 0)


_LAYER = _Layer()  # known to SQLite as long as it lives
