"""The PostgreSQL store: all nouns over one database."""

from __future__ import annotations

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
from antiphon.domain.errors import StoreUnavailable
from antiphon.stores.postgres.appends import Appender
from antiphon.stores.postgres.chats import PostgresChats
from antiphon.stores.postgres.connections import PostgresConnections
from antiphon.stores.postgres.database import Database, open_database
from antiphon.stores.postgres.deletions import PostgresDeletions
from antiphon.stores.postgres.keys import PostgresKeys
from antiphon.stores.postgres.messages import PostgresMessages
from antiphon.stores.postgres.migrations import migrate
from antiphon.stores.postgres.participants import PostgresParticipants
from antiphon.stores.postgres.sessions import PostgresSessions
from antiphon.stores.postgres.tenants import PostgresTenants


class PostgresStore:
    """`core.ports.Store` over one PostgreSQL database. Any number of processes may open the same one."""

    kind = "postgres"

    def __init__(self, database: Database) -> None:
        self._database = database
        self._appender = Appender(database)
        self.tenants: TenantStore = PostgresTenants(database)
        self.keys: KeyStore = PostgresKeys(database)
        self.participants: ParticipantStore = PostgresParticipants(database)
        self.sessions: SessionStore = PostgresSessions(database)
        self.chats: ChatStore = PostgresChats(database)
        self.messages: MessageStore = PostgresMessages(database, self._appender)
        self.connections: ConnectionStore = PostgresConnections(database)
        self.deletions: DeletionStore = PostgresDeletions(database)

    @classmethod
    async def open(cls, url: str) -> PostgresStore:
        """Open the database of a `postgresql://` URL, bringing it up to date.

        Raises StoreTooNew, StoreUnavailable when it cannot be reached now, StoreFailed when it cannot be used.
        """
        database = await open_database(url)
        try:
            await migrate(database)
        except BaseException:
            await database.close()
            raise
        return cls(database)

    async def check(self) -> None:
        """See the port."""
        if not (await self._database.rows("is_writable"))[0][0]:
            raise StoreUnavailable("the database is a standby: it takes no writes")

    async def close(self) -> None:
        """See the port."""
        await self._appender.close()
        await self._database.close()
