"""What several clients of one dialect share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node_packages import installed


@pytest.fixture(scope="session")
def modules() -> Path:
    """What `lexicon/package-lock.json` names, exactly as locked: React, a bundler, a browser, a schema."""
    return installed(Path(__file__).parent / "lexicon")
