"""The PostgreSQL store: all nouns over one database."""

from __future__ import annotations

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
from antiphon.domain.deletions import REMOVED
from antiphon.domain.errors import StoreFailed, StoreUnavailable
from antiphon.stores.graph import check_declared, orphan_queries
from antiphon.stores.postgres.appends import Appender
from antiphon.stores.postgres.chats import PostgresChats
from antiphon.stores.postgres.conclusions import PostgresConclusions
from antiphon.stores.postgres.connections import PostgresConnections
from antiphon.stores.postgres.database import STATEMENTS, Cursor, Database, open_database
from antiphon.stores.postgres.deletions import PostgresDeletions
from antiphon.stores.postgres.distribution import own_tables
from antiphon.stores.postgres.idempotency import PostgresIdempotency
from antiphon.stores.postgres.imports import PostgresImports
from antiphon.stores.postgres.indexing import PostgresIndexing
from antiphon.stores.postgres.keys import PostgresKeys
from antiphon.stores.postgres.lists import PostgresLists
from antiphon.stores.postgres.members import PostgresMembers
from antiphon.stores.postgres.messages import PostgresMessages
from antiphon.stores.postgres.migrations import migrate
from antiphon.stores.postgres.pages import PostgresPages
from antiphon.stores.postgres.participants import PostgresParticipants
from antiphon.stores.postgres.receipts import PostgresReceipts
from antiphon.stores.postgres.sandboxes import PostgresSandboxes
from antiphon.stores.postgres.search import PostgresSearch
from antiphon.stores.postgres.sessions import PostgresSessions
from antiphon.stores.postgres.tenants import PostgresTenants
from antiphon.stores.postgres.tickets import PostgresTickets
from antiphon.stores.postgres.turns import PostgresTurns
from antiphon.stores.postgres.vectors import PostgresVectors
from antiphon.stores.postgres.webhooks import PostgresWebhooks

_OF_MESSAGE = "p.chat_key = c.chat_key AND p.seq = c.seq"
_JOINS = {"texts.seq": _OF_MESSAGE, "message_vectors.seq": _OF_MESSAGE}


class PostgresStore:
    """`core.ports.Store` over one PostgreSQL database. Any number of processes may open the same one."""

    kind = "postgres"

    def __init__(self, database: Database) -> None:
        self._database = database
        self._appender = Appender(database)
        self.tenants: TenantStore = PostgresTenants(database)
        self.keys: KeyStore = PostgresKeys(database)
        self.tickets: TicketStore = PostgresTickets(database)
        self.participants: ParticipantStore = PostgresParticipants(database)
        self.sessions: SessionStore = PostgresSessions(database)
        self.chats: ChatStore = PostgresChats(database)
        self.messages: MessageStore = PostgresMessages(database, self._appender)
        self.connections: ConnectionStore = PostgresConnections(database)
        self.turns: TurnStore = PostgresTurns(database)
        self.deletions: DeletionStore = PostgresDeletions(database)
        self.receipts: ReceiptStore = PostgresReceipts(database)
        self.webhooks: WebhookStore = PostgresWebhooks(database)
        self.sandboxes: SandboxStore = PostgresSandboxes(database)
        self.lists: ListStore = PostgresLists(database)
        self.members: MemberStore = PostgresMembers(database)
        self.conclusions: ConclusionStore = PostgresConclusions(database)
        self.indexing: IndexingStore = PostgresIndexing(database)
        self.search: SearchStore = PostgresSearch(database)
        self.vectors: VectorStore = PostgresVectors(database)
        self.imports: ImportStore = PostgresImports(database)
        self.pages: PageStore = PostgresPages(database)
        self.idempotency: IdempotencyStore = PostgresIdempotency(database)

    @classmethod
    async def open(cls, url: str) -> PostgresStore:
        """Open the database of a `postgresql://` URL, bringing it up to date.

        Raises StoreTooNew, StoreUnavailable when it cannot be reached now, StoreFailed when it cannot be used.
        """
        database = await open_database(url)
        try:
            await migrate(database)
            await _check_moved(database)
            check_declared(own_tables(), STATEMENTS.keys())
        except BaseException:
            await database.close()
            raise
        return cls(database)

    async def check(self) -> None:
        """See the port."""
        if not (await self._database.rows("is_writable"))[0][0]:
            raise StoreUnavailable("the database is a standby: it takes no writes")

    async def scrub(self) -> str:
        """See the port: never more than `removed`, since nothing here can be overwritten.

        The rows are gone; dead tuples stay in the files until VACUUM lets their space be used again, and copies in the
        write-ahead log, on standbys and in backups for as long as those are kept.
        """
        return REMOVED

    async def orphans(self) -> dict[str, int]:
        """See the port. All is counted as it was at one moment; on large databases it is stopped after a while."""

        async def operation(tx: Cursor) -> dict[str, int]:
            await tx.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await tx.script(f"SET LOCAL statement_timeout = '{limits.START_SECONDS}s'")
            return {name: await tx.count(query) for name, query in orphan_queries(_JOINS).items()}

        return await self._database.transact(operation)

    async def check_integrity(self) -> list[str]:
        """See the port: what the catalogue knows. Pages are checked by the server, when it reads them."""
        return [f"{part} is not valid" for (part,) in await self._database.rows("invalid_parts")]

    async def close(self) -> None:
        """See the port."""
        await self._appender.close()
        await self._database.close()


async def _check_moved(database: Database) -> None:
    """Raise StoreFailed for a database that holds a part of another instance only."""
    if await database.rows("list_sources"):
        raise StoreFailed("a move into this database is not finished: run `antiphon move` again")
