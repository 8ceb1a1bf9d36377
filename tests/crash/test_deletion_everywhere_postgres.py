"""A deletion in PostgreSQL killed before and after everything it does: whole or gone, and gone in the end, with one
receipt. Every statement that it sends and every file operation is a point, and every point is tried.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.crash.deletion_world import TARGETS
from tests.crash.kill_points import Outcome
from tests.postgres_server import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

POINTS = {"chat": 100, "chats": 160, "single": 108, "session": 168, "participant": 270, "tenant": 265}
"""How many kills there are at least: fewer mean that the shim has lost sight of something."""

STATES = 12
"""How many states the kills leave at least: fewer mean that some are taken for one another."""

UNDO_POINTS = {"chat": 17, "session": 17, "participant": 17, "tenant": 17}
"""The same, at what is durable, for a deletion that waits, takes hold and is undone."""

PAUSES = {"chat": 8, "participant": 10}
"""After how much that is durable a worker stands still, likewise."""


def outcome_of(*words: str, module: str = "tests.crash.kill_points_postgres") -> Outcome:
    """What comes of trying every point."""
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    assert not outcome.faults, "\n".join(f"point {point}: {fault}" for point, fault in outcome.faults.items())
    return outcome


@pytest.mark.parametrize("target", TARGETS)
def test_a_deletion_killed_anywhere_is_whole_or_gone_and_ends(
    target: str, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = outcome_of(postgres_url, str(tmp_path), target)
    with capsys.disabled():
        sys.stdout.write(f"\n{target}: {outcome}\n")
    assert outcome.reached >= POINTS[target]
    assert outcome.states >= STATES


@pytest.mark.parametrize("target", PAUSES)
def test_a_worker_that_stood_still_past_its_lease_does_nothing_twice(
    target: str, postgres_url: str, tmp_path: Path
) -> None:
    outcome = outcome_of(postgres_url, str(tmp_path), target, "--pause")
    assert outcome.reached >= PAUSES[target]


@pytest.mark.parametrize("target", UNDO_POINTS)
def test_one_that_waited_is_undone_after_a_kill_at_whatever_is_durable(
    target: str, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = outcome_of(postgres_url, str(tmp_path), target, module="tests.crash.undo_points_postgres")
    with capsys.disabled():
        sys.stdout.write(f"\nundo of a {target}: {outcome}\n")
    assert outcome.reached >= UNDO_POINTS[target]
