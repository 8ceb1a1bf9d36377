"""The SQLite store: all nouns over one file."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

from antiphon.core.ports import (
    ChatStore,
    ConnectionStore,
    DeletionStore,
    IdempotencyStore,
    KeyStore,
    MessageStore,
    PageStore,
    ParticipantStore,
    ReceiptStore,
    SessionStore,
    TenantStore,
    TicketStore,
    TurnStore,
)
from antiphon.core.ports.conclusions import ConclusionStore
from antiphon.core.ports.embeddings import VectorStore
from antiphon.core.ports.imports import ImportStore
from antiphon.core.ports.indexing import IndexingStore
from antiphon.core.ports.lists import ListStore
from antiphon.core.ports.members import MemberStore
from antiphon.core.ports.sandboxes import SandboxStore
from antiphon.core.ports.search import SearchStore
from antiphon.core.ports.webhooks import WebhookStore
from antiphon.domain import limits
from antiphon.domain.deletions import ERASED
from antiphon.domain.errors import StoreUnavailable
from antiphon.stores.graph import check_declared, orphan_queries
from antiphon.stores.sqlite.chats import SqliteChats
from antiphon.stores.sqlite.conclusions import SqliteConclusions
from antiphon.stores.sqlite.connections import SqliteConnections
from antiphon.stores.sqlite.database import FILE_NAME, STATEMENTS, Cursor, Row, open_writer
from antiphon.stores.sqlite.deletions import SqliteDeletions
from antiphon.stores.sqlite.detach import SEQ_BITS
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.idempotency import SqliteIdempotency
from antiphon.stores.sqlite.imports import SqliteImports
from antiphon.stores.sqlite.indexing import SqliteIndexing
from antiphon.stores.sqlite.keys import SqliteKeys
from antiphon.stores.sqlite.lists import SqliteLists
from antiphon.stores.sqlite.members import SqliteMembers
from antiphon.stores.sqlite.messages import SqliteMessages
from antiphon.stores.sqlite.migrations import migrate
from antiphon.stores.sqlite.pages import SqlitePages
from antiphon.stores.sqlite.participants import SqliteParticipants
from antiphon.stores.sqlite.receipts import SqliteReceipts
from antiphon.stores.sqlite.sandboxes import SqliteSandboxes
from antiphon.stores.sqlite.search import SqliteSearch, merge_texts
from antiphon.stores.sqlite.sessions import SqliteSessions
from antiphon.stores.sqlite.tenants import SqliteTenants
from antiphon.stores.sqlite.tickets import SqliteTickets
from antiphon.stores.sqlite.turns import SqliteTurns
from antiphon.stores.sqlite.vectors import SqliteVectors
from antiphon.stores.sqlite.webhooks import SqliteWebhooks

_PAUSE_SECONDS = 0.1
_JOINS = {"messages.chat_key": f"p.num = c.place >> {SEQ_BITS}", "message_vectors.seq": "p.place = c.place"}


class SqliteStore:
    """`core.ports.Store` over one SQLite file. Several processes of one host may open the same one."""

    kind = "sqlite"

    def __init__(self, file: File) -> None:
        self._file = file
        self._checked_until = 0.0
        self.tenants: TenantStore = SqliteTenants(file)
        self.keys: KeyStore = SqliteKeys(file)
        self.tickets: TicketStore = SqliteTickets(file)
        self.participants: ParticipantStore = SqliteParticipants(file)
        self.sessions: SessionStore = SqliteSessions(file)
        self.chats: ChatStore = SqliteChats(file)
        self.messages: MessageStore = SqliteMessages(file)
        self.connections: ConnectionStore = SqliteConnections(file)
        self.turns: TurnStore = SqliteTurns(file)
        self.deletions: DeletionStore = SqliteDeletions(file)
        self.receipts: ReceiptStore = SqliteReceipts(file)
        self.webhooks: WebhookStore = SqliteWebhooks(file)
        self.sandboxes: SandboxStore = SqliteSandboxes(file)
        self.lists: ListStore = SqliteLists(file)
        self.members: MemberStore = SqliteMembers(file)
        self.conclusions: ConclusionStore = SqliteConclusions(file)
        self.vectors: VectorStore = SqliteVectors(file)
        self.imports: ImportStore = SqliteImports(file)
        self.pages: PageStore = SqlitePages(file)
        self.indexing: IndexingStore = SqliteIndexing(file)
        self.search: SearchStore = SqliteSearch(file)
        self.idempotency: IdempotencyStore = SqliteIdempotency(file)

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

    async def scrub(self) -> str:
        """See the port."""
        await merge_texts(self._file)
        await self._file.scrub()
        return ERASED

    async def orphans(self) -> dict[str, int]:
        """See the port."""
        queries = orphan_queries(_JOINS)
        queries["texts.seq"] = "SELECT count(*) FROM texts_docsize WHERE id NOT IN (SELECT place FROM messages)"

        def count(read: Cursor) -> dict[str, int]:
            return {name: _number(read.connection.execute(query).fetchall()) for name, query in queries.items()}

        return await self._file.read_apart(count)

    async def check_integrity(self) -> list[str]:
        """See the port."""

        def check(read: Cursor) -> list[str]:
            read.rows("look_at_texts")
            faults = [str(row[0]) for row in read.connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            keys = read.connection.execute("PRAGMA foreign_key_check").fetchall()
            return faults + [f"row {row[1]} of {row[0]} names a row of {row[2]} that is not there" for row in keys]

        return await self._file.read_apart(check)

    async def close(self) -> None:
        """See the port."""
        await self._file.close()


def _number(rows: list[Row]) -> int:
    count: int = rows[0][0]
    return count


def _open_file(data_dir: Path) -> File:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"the data directory {data_dir} cannot be made: {error.strerror}") from None
    path = data_dir / FILE_NAME
    _make_private(path)
    for attempt in range(1, limits.STORE_ATTEMPTS):
        with suppress(StoreUnavailable):  # others who start or stop at the same moment hold it for longer than usual
            return _open_once(path)
        time.sleep(_PAUSE_SECONDS * attempt)
    return _open_once(path)


def _open_once(path: Path) -> File:
    connection = open_writer(path)
    try:
        migrate(connection)
        check_declared({row[0] for row in Cursor(connection).rows("list_tables")}, STATEMENTS.keys())
    finally:
        connection.close()
    return File(path)


def _make_private(path: Path) -> None:
    """Make the file for its owner alone, whatever the directory is: SQLite gives its companions the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {error.strerror}") from None
