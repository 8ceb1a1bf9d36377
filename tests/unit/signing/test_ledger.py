"""The file of receipts: whole lines only, each once, those of a tenant in order, whoever writes and whatever dies."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain import limits
from antiphon.domain.errors import StoreUnavailable
from antiphon.domain.ids import new_uid7, text_of
from antiphon.domain.receipts import canonical
from antiphon.signing.ledger import FileLedger

MOMENT = 1_800_000_000_000_000


def line(sequence: int, tenant: str = "one") -> str:
    """A receipt as far as a ledger looks at it, issued a second after the one before."""
    uid = new_uid7(MOMENT + sequence * 1_000_000)
    return canonical({"id": f"rcp_{text_of(uid)}", "tenant": tenant, "sequence": sequence}).decode()


def sequences(path: Path) -> list[int]:
    return [json.loads(text)["sequence"] for text in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "receipts-0.jsonl"


def test_only_its_owner_may_read_it(path: Path) -> None:
    FileLedger(path).append([line(1)])
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_makes_no_file(path: Path) -> None:
    ledger = FileLedger(path)
    assert (ledger.last("one"), ledger.sure_until()) == (0, 0)
    ledger.append([])
    assert not path.exists()


def test_lines_stand_in_order_and_once(path: Path) -> None:
    ledger = FileLedger(path)
    ledger.append([line(2), line(1), line(1, "other")])
    ledger.append([line(2), line(3), line(1)])
    assert sequences(path) == [1, 1, 2, 3]
    assert (ledger.last("one"), ledger.last("other"), ledger.last("third")) == (3, 1, 0)


def test_several_may_write(path: Path) -> None:
    one, other = FileLedger(path), FileLedger(path)
    for sequence in range(1, 6):
        one.append([line(sequence)])
        other.append([line(sequence), line(sequence, "other")])
    assert sequences(path) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert (one.last("other"), other.last("one")) == (5, 5)


def test_a_file_that_was_taken_away_begins_anew(path: Path) -> None:
    ledger = FileLedger(path)
    ledger.append([line(1), line(2)])
    path.rename(path.with_name("elsewhere"))
    assert ledger.last("one") == 0
    ledger.append([line(1), line(2), line(3)])
    assert sequences(path) == [1, 2, 3]
    path.write_text("")
    assert ledger.last("one") == 0


def test_a_file_that_another_took_the_place_of_is_read_anew(path: Path) -> None:
    ledger, other = FileLedger(path), FileLedger(path.with_name("other"))
    ledger.append([line(1), line(2)])
    other.append([line(1, "other"), line(2, "other"), line(3, "other")])
    path.with_name("other").replace(path)
    assert (ledger.last("one"), ledger.last("other")) == (0, 3)


@pytest.mark.parametrize("torn", [b"{", b'{"id":"rcp_', b"\xe2\x82", b"x" * 100_000])
def test_a_torn_line_is_cut(path: Path, torn: bytes) -> None:
    FileLedger(path).append([line(1)])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    ledger = FileLedger(path)
    assert ledger.last("one") == 1
    ledger.append([])
    assert path.read_bytes() == whole
    path.write_bytes(whole + torn)
    ledger.append([line(2)])
    assert sequences(path) == [1, 2]


def test_lines_of_others_are_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff\nnot json\n[]\n")
    FileLedger(path).append([line(1)])
    assert path.read_bytes().startswith(b"\xff\nnot json\n[]\n{")


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = FileLedger(path)
    ledger.append([line(1)])
    whole = path.read_bytes()
    write = os.write

    def half(handle: int, content: Any) -> int:
        if len(memoryview(content)) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, memoryview(content)[: len(memoryview(content)) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(StoreUnavailable, match="No space left"):
            ledger.append([line(2)])
    assert path.read_bytes() == whole
    ledger.append([line(2)])
    assert sequences(path) == [1, 2]


def test_a_process_killed_in_the_middle_of_a_line_leaves_no_trace(path: Path) -> None:
    FileLedger(path).append([line(1)])
    child = f"""
import os, signal
from pathlib import Path
from typing import Any
from antiphon.signing import ledger
from antiphon.signing.ledger import FileLedger

def die(handle, content):
    os.write(handle, content[:len(content) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

ledger.write_all = die
FileLedger(Path({str(path)!r})).append([{line(2)!r}])
"""
    done = subprocess.run([sys.executable, "-c", child], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not path.read_bytes().endswith(b"\n")
    ledger = FileLedger(path)
    assert ledger.last("one") == 1
    ledger.append([line(2)])
    assert sequences(path) == [1, 2]


def test_what_is_surely_there_is_told_from_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LEDGER_TAIL_BYTES", 3 * len(line(1)))
    ledger = FileLedger(path)
    ledger.append([line(1), line(2)])
    assert FileLedger(path).sure_until() == 0
    ledger.append([line(3), line(4), line(5)])
    assert FileLedger(path).sure_until() == MOMENT + 3 * 1_000_000
