"""A PostgreSQL server for those of this ring that need one."""

from __future__ import annotations

import os

from tests.postgres_server import postgres_server, postgres_store, postgres_url

# A condition, and no skip: CONTRIBUTING.md says it. Nothing of a distributed PostgreSQL can be installed for the tests.
collect_ignore = [] if os.environ.get("ANTIPHON_TEST_CITUS_URL") else ["test_citus.py"]

__all__ = ["postgres_server", "postgres_store", "postgres_url"]
