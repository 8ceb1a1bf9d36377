"""The ledger: a file of receipts, a line each, that only grows.

Several processes may share it. Under the lock of the directory each first reads what others have added, so that it
knows exactly what stands there: nothing stands twice, and the receipts of a tenant stand in order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from antiphon.domain import limits
from antiphon.domain.ids import parse_uuid
from antiphon.domain.receipts import ID_PREFIX
from antiphon.signing.folder import PRIVATE, locked, sync_folder, translated, write_all

_NEW_LINE = b"\n"
_MILLISECOND = 1000  # in microseconds


class _Place(msgspec.Struct):
    """The part of a receipt that says where it belongs."""

    id: str
    tenant: str
    sequence: int


_place_of = msgspec.json.Decoder(_Place).decode


class FileLedger:
    """`receipts-<kid>.jsonl` in the data directory, mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._forget(None)

    def append(self, lines: Iterable[str]) -> None:
        """Cut what a crash left of a line, and add receipts in order; durable on return.

        One that stands there, or comes before one of its tenant that does, is passed over. Raises StoreUnavailable when
        the file cannot be written; then it is as before.
        """
        placed = sorted(((_place_of(line), line) for line in lines), key=lambda pair: pair[0].sequence)
        with translated(self._path), locked(self._path.parent):
            is_new = not self._path.exists()
            if is_new and not placed:
                return
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, PRIVATE)
            try:
                self._read_on(handle)
                self._add([(place, line) for place, line in placed if place.sequence > self._last(place)], handle)
            finally:
                os.close(handle)
            if is_new:
                sync_folder(self._path.parent)

    def last(self, tenant: str) -> int:
        """The sequence of the last receipt of a tenant that stands there; 0 for none. Raises StoreUnavailable."""
        self._look()
        return self._lasts.get(tenant, 0)

    def sure_until(self) -> int:
        """When the receipt was issued that stands LEDGER_TAIL_BYTES before the end; 0 in a shorter file.

        Raises StoreUnavailable.
        """
        self._look()
        return self._tail_from

    def _forget(self, identity: tuple[int, int] | None) -> None:
        self._identity = identity
        self._lasts: dict[str, int] = {}
        self._end = 0
        self._tail_from = 0

    def _last(self, place: _Place) -> int:
        return self._lasts.get(place.tenant, 0)

    def _look(self) -> None:
        """Read what is new, if anything is."""
        with translated(self._path):
            if not self._path.exists():
                self._forget(None)
                return
            handle = os.open(self._path, os.O_RDONLY)
            try:
                self._read_on(handle)
            finally:
                os.close(handle)

    def _read_on(self, handle: int) -> None:
        """Take note of the whole lines after those that are known; of all, when it is not the file that it was."""
        state = os.fstat(handle)
        identity = (state.st_dev, state.st_ino)
        if identity != self._identity or state.st_size < self._end:
            self._forget(identity)
        with open(handle, "rb", closefd=False) as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(_NEW_LINE):
                    break
                self._note(line, is_before_tail=state.st_size - self._end > limits.LEDGER_TAIL_BYTES)

    def _note(self, line: bytes, *, is_before_tail: bool) -> None:
        self._end += len(line)
        try:
            place = _place_of(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return  # whatever it is, it is no receipt of ours
        self._lasts[place.tenant] = max(self._last(place), place.sequence)
        if is_before_tail and (uid := parse_uuid(place.id.removeprefix(ID_PREFIX))) is not None:
            self._tail_from = int.from_bytes(uid[:6], "big") * _MILLISECOND

    def _add(self, placed: list[tuple[_Place, str]], handle: int) -> None:
        lines = [line.encode() + _NEW_LINE for _, line in placed]
        os.ftruncate(handle, self._end)
        os.lseek(handle, self._end, os.SEEK_SET)
        try:
            write_all(handle, b"".join(lines))
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, self._end)
            raise
        for line in lines:
            self._note(line, is_before_tail=False)
