"""A deletion killed before and after everything it does: untouched or gone, never half there, and gone in the end."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest

from antiphon.core import ports
from antiphon.core.ports.deletions import DeletionStore, ReceiptStore
from antiphon.stores.sqlite.store import SqliteStore
from tests.crash.deletion_view import view_of
from tests.crash.deletion_world import TARGETS, make_world
from tests.crash.kill_points import Outcome
from tests.unit.core.watched_store import WatchedStore

POINTS = {"chat": 185, "chats": 345, "single": 230, "session": 415, "participant": 770, "tenant": 860}
"""How many kill points there are at least: fewer mean that the shim has lost sight of something."""

STATES = 15
"""How many states the kills leave at least: fewer mean that some are taken for one another."""

UNDO_POINTS = {"chat": 95, "session": 100, "participant": 115, "tenant": 98}
"""The same for a deletion that waits, takes hold and is undone."""

PAUSES = {"chat": 5, "participant": 10}
"""At how many commits a worker stands still, likewise."""

SILENT: dict[str, set[str]] = {
    "tenants": {"create", "update"},
    "keys": {"create", "revoke"},
    "participants": {"ensure", "put"},
    "sessions": {"create", "create_multi", "put_single", "change", "rename"},
    "chats": {"create", "create_single", "put_single", "change", "cut", "copy", "mark_read"},
    "messages": {"append"},
    "turns": {"claim", "append_events", "finish", "renew", "request_stop", "stopping", "expired"},
    "webhooks": {"create", "delete", "enqueue", "due", "claim", "settle", "release", "resend"},
    "sandboxes": {"change", "is_placed", "overdue"},
    "search": {"advance"},
    "deletions": {name for name in vars(DeletionStore) if name != "survey"},
    "receipts": set(vars(ReceiptStore)),
    "tickets": {"create", "redeem"},
    "connections": {"open", "renew", "close", "dismiss", "close_node"},
    "members": {"join", "leave", "replace", "configure", "clone", "set_metadata"},
    "conclusions": {"create", "delete", "put_card"},
    "indexing": {"tenants_behind", "chats_behind", "claim", "put_off", "settle", "backlog"},
    "vectors": {"keep", "keep_conclusions", "conclusions_without", "forget_others"},
    "imports": {"begin", "claim", "write", "finish", "give_up", "release", "sweep"},
    "idempotency": {"claim", "renew", "keep", "release", "late", "sweep"},
}
"""The methods that tell nothing of what was there: they write, are for the process's own work, or tell of deletions.

(A kept answer is asked for by a claim, which takes the place of one that is not there: that is seen to in the end.)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory in memory, where there is such a thing: nobody cuts the power here, and a sync is worth nothing."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def outcome_of(*words: str, module: str = "tests.crash.kill_points") -> Outcome:
    """What comes of trying every point."""
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    assert not outcome.faults, "\n".join(f"point {point}: {fault}" for point, fault in outcome.faults.items())
    return outcome


@pytest.mark.parametrize("target", TARGETS)
def test_a_deletion_killed_anywhere_is_whole_or_gone_and_ends(
    target: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = outcome_of(str(folder), target)
    with capsys.disabled():
        sys.stdout.write(f"\n{target}: {outcome}\n")
    assert outcome.reached >= POINTS[target]
    assert outcome.states >= STATES


@pytest.mark.parametrize("target", ["chat", "participant"])
def test_a_worker_that_stood_still_past_its_lease_does_nothing_twice(target: str, folder: Path) -> None:
    outcome = outcome_of(str(folder), target, "--pause")
    assert outcome.reached >= PAUSES[target]


@pytest.mark.parametrize("target", UNDO_POINTS)
def test_one_that_waited_is_undone_after_a_kill_anywhere(
    target: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = outcome_of(str(folder), target, module="tests.crash.undo_points")
    with capsys.disabled():
        sys.stdout.write(f"\nundo of a {target}: {outcome}\n")
    assert outcome.reached >= UNDO_POINTS[target]


async def test_every_reading_method_is_asked(store: SqliteStore) -> None:
    watched: Any = WatchedStore(store)
    world = await make_world(store, "one")
    await view_of(watched, world)
    reading = {
        f"{noun}.{name}"
        for noun, port in inspect.get_annotations(ports.Store, eval_str=True).items()
        for name, _ in inspect.getmembers(port, inspect.isfunction)
        if not name.startswith("_") and name not in SILENT.get(noun, set())
    }
    assert set(watched.calls) == reading
