"""A watched store for the tests of the core."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.stores.sqlite.store import SqliteStore
from tests.unit.core.watched_store import WatchedStore


@pytest.fixture
def watched(store: SqliteStore) -> Any:
    """The store, every call of which is noted and can be disturbed. Typed loosely: it is any port."""
    return WatchedStore(store)
