"""Tenants in SQLite."""

from __future__ import annotations

import os

import msgspec

from antiphon.core.ports import Slice
from antiphon.domain.errors import TenantNameTaken, TenantNotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.tenants import Tenant
from antiphon.stores.merging import merge
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.writer import Transaction


class SqliteTenants:
    """`core.ports.TenantStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def create(
        self, name: str, agent_name: str, metadata: str = "{}", configuration: str = "{}", settings: str = "{}"
    ) -> Tenant:
        """See the port."""

        def operation(tx: Transaction) -> Tenant:
            tenant = Tenant(new_uid7(), name, tx.now, agent_name, metadata, configuration, settings)
            if tx.row("take_tenant_name", name=name, tenant_id=tenant.id) is None:
                raise TenantNameTaken
            tx.run(
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

        return await self._file.write(operation)

    async def find(self, tenant_id: Uid) -> Tenant | None:
        """See the port."""
        row = self._file.row("find_tenant", tenant_id=tenant_id)
        return Tenant(*row) if row else None

    async def find_by_name(self, name: str) -> Tenant | None:
        """See the port."""
        row = self._file.row("find_tenant_by_name", name=name)
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

        def operation(tx: Transaction) -> Tenant:
            row = tx.row("find_tenant", tenant_id=tenant_id)
            if row is None:
                raise TenantNotFound
            old = Tenant(*row)
            new = msgspec.structs.replace(
                old,
                metadata=old.metadata if metadata is None else metadata,
                configuration=merge(old.configuration, configuration),
                settings=merge(old.settings, settings),
                agent_name=old.agent_name if agent_name is None else agent_name,
            )
            if new != old:
                tx.run(
                    "update_tenant",
                    tenant_id=tenant_id,
                    metadata=new.metadata,
                    configuration=new.configuration,
                    settings=new.settings,
                    agent_name=new.agent_name,
                )
            return new

        return await self._file.write(operation)

    async def list(self, part: Slice) -> tuple[list[Tenant], int]:
        """See the port."""
        statement = "list_tenants_reversed" if part.is_reversed else "list_tenants"
        with self._file.snapshot() as read:
            rows = read.rows(statement, limit=part.limit, offset=part.offset)
            return [Tenant(*row) for row in rows], read.rows("count_tenants")[0][0]
