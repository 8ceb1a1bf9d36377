"""The SQLite store: all nouns over one file."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from antiphon.core.ports import (
    ChatStore,
    ConnectionStore,
    DeletionStore,
    KeyStore,
    MessageStore,
    ParticipantStore,
    SessionStore,
    TenantStore,
)
from antiphon.domain import limits
from antiphon.domain.errors import StoreUnavailable
from antiphon.stores.sqlite.chats import SqliteChats
from antiphon.stores.sqlite.connections import SqliteConnections
from antiphon.stores.sqlite.database import FILE_NAME, open_writer
from antiphon.stores.sqlite.deletions import SqliteDeletions
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.keys import SqliteKeys
from antiphon.stores.sqlite.messages import SqliteMessages
from antiphon.stores.sqlite.migrations import migrate
from antiphon.stores.sqlite.participants import SqliteParticipants
from antiphon.stores.sqlite.sessions import SqliteSessions
from antiphon.stores.sqlite.tenants import SqliteTenants


class SqliteStore:
    """`core.ports.Store` over one SQLite file. Several processes of one host may open the same one."""

    kind = "sqlite"

    def __init__(self, file: File) -> None:
        self._file = file
        self._checked_until = 0.0
        self.tenants: TenantStore = SqliteTenants(file)
        self.keys: KeyStore = SqliteKeys(file)
        self.participants: ParticipantStore = SqliteParticipants(file)
        self.sessions: SessionStore = SqliteSessions(file)
        self.chats: ChatStore = SqliteChats(file)
        self.messages: MessageStore = SqliteMessages(file)
        self.connections: ConnectionStore = SqliteConnections(file)
        self.deletions: DeletionStore = SqliteDeletions(file)

    @classmethod
    async def open(cls, data_dir: Path) -> SqliteStore:
        """Open the database in a directory, making both (the directory for its owner alone) and bringing it up to date.

        Raises StoreTooNew, and StoreError when the directory cannot be used.
        """
        return cls(await asyncio.to_thread(_open_file, data_dir))

    async def check(self) -> None:
        """See the port."""
        if time.monotonic() >= self._checked_until:  # anybody may ask, and each time costs a write
            await self._file.write(lambda tx: tx.run("touch_migrations"))
            self._checked_until = time.monotonic() + limits.STORE_CHECK_SECONDS
        self._file.rows("count_tenants")

    async def close(self) -> None:
        """See the port."""
        await self._file.close()


def _open_file(data_dir: Path) -> File:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"the data directory {data_dir} cannot be made: {error.strerror}") from None
    path = data_dir / FILE_NAME
    _make_private(path)
    connection = open_writer(path)
    try:
        migrate(connection)
    finally:
        connection.close()
    return File(path)


def _make_private(path: Path) -> None:
    """Make the file for its owner alone, whatever the directory is: SQLite gives its companions the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {error.strerror}") from None
