"""A PostgreSQL server for those of this ring that need one."""

from __future__ import annotations

from tests.postgres_server import postgres_server, postgres_store, postgres_url

__all__ = ["postgres_server", "postgres_store", "postgres_url"]
