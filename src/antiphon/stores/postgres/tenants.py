"""Tenants in PostgreSQL."""

from __future__ import annotations

import os

import msgspec

from antiphon.core.ports import Slice
from antiphon.domain.errors import TenantNameTaken, TenantNotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.tenants import Tenant
from antiphon.stores.merging import merge
from antiphon.stores.postgres.database import Cursor, Database


class PostgresTenants:
    """`core.ports.TenantStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, name: str, agent_name: str, metadata: str = "{}", configuration: str = "{}", settings: str = "{}"
    ) -> Tenant:
        """See the port."""

        async def operation(tx: Cursor) -> Tenant:
            tenant = Tenant(new_uid7(), name, tx.now, agent_name, metadata, configuration, settings)
            if await tx.row("take_tenant_name", name=name, tenant_id=tenant.id) is None:
                raise TenantNameTaken
            await tx.run(
                "insert_tenant",
                tenant_id=tenant.id,
                name=name,
                agent_name=agent_name,
                metadata=metadata,
                configuration=configuration,
                settings=settings,
                digest_secret=os.urandom(32),
                now=tx.now,
            )
            return tenant

        return await self._database.transact(operation)

    async def find(self, tenant_id: Uid) -> Tenant | None:
        """See the port."""
        row = await self._database.row("find_tenant", tenant_id=tenant_id)
        return Tenant(*row) if row else None

    async def find_by_name(self, name: str) -> Tenant | None:
        """See the port."""
        row = await self._database.row("find_tenant_by_name", name=name)
        return Tenant(*row) if row else None

    async def update(
        self,
        tenant_id: Uid,
        metadata: str | None,
        configuration: str | None,
        settings: str | None = None,
        agent_name: str | None = None,
    ) -> Tenant:
        """See the port."""
        is_change = any(given is not None for given in (metadata, configuration, settings, agent_name))

        async def operation(tx: Cursor) -> Tenant:
            row = await tx.row("lock_tenant" if is_change else "find_tenant", tenant_id=tenant_id)
            if row is None:
                raise TenantNotFound
            old = Tenant(*row)
            if not is_change:
                return old
            new = msgspec.structs.replace(
                old,
                metadata=old.metadata if metadata is None else metadata,
                configuration=merge(old.configuration, configuration),
                settings=merge(old.settings, settings),
                agent_name=old.agent_name if agent_name is None else agent_name,
            )
            await tx.run(
                "update_tenant",
                tenant_id=tenant_id,
                metadata=new.metadata,
                configuration=new.configuration,
                settings=new.settings,
                agent_name=new.agent_name,
            )
            return new

        return await self._database.transact(operation)

    async def list(self, part: Slice) -> tuple[list[Tenant], int]:
        """See the port."""
        statement = "list_tenants_reversed" if part.is_reversed else "list_tenants"
        rows = await self._database.rows(statement, limit=part.limit, offset=part.offset)
        return [Tenant(*row[1:]) for row in rows if row[1] is not None], rows[0][0] if rows else 0
