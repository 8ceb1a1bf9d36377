"""Tenants: made by an administrator, found by name on the way to nearly everything else."""

from __future__ import annotations

import time
from collections.abc import Mapping

from antiphon.core.ports import Slice, Store
from antiphon.domain import limits, participants
from antiphon.domain.errors import TenantNotFound
from antiphon.domain.ids import parse_uuid
from antiphon.domain.tenants import Tenant, check_name, check_settings, is_name


class Tenants:
    """The verbs of tenants. A name is looked up in memory for at most KEY_CACHE_SECONDS."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_name: dict[str, tuple[float, Tenant]] = {}

    async def create(
        self,
        name: str,
        metadata: str = "{}",
        configuration: str = "{}",
        agent_name: str = participants.DEFAULT_AGENT_NAME,
    ) -> Tenant:
        """Make a tenant; its agent speaks as `agent_name`. Raises InvalidInput for a bad name, and TenantNameTaken."""
        return await self._store.tenants.create(check_name(name), agent_name, metadata, configuration)

    async def find_by_name(self, name: str) -> Tenant | None:
        """The tenant of that name; at most a second old."""
        cached = self._by_name.get(name)
        if cached is not None and time.monotonic() - cached[0] <= limits.KEY_CACHE_SECONDS:
            return cached[1]
        asked_at = time.monotonic()
        tenant = await self._store.tenants.find_by_name(name) if is_name(name) else None
        if tenant is None:
            self._by_name.pop(name, None)
            return None
        if len(self._by_name) >= limits.KEY_CACHE_ENTRIES:
            self._by_name.clear()
        self._by_name[name] = (asked_at, tenant)
        return tenant

    async def get(self, name_or_id: str) -> Tenant:
        """The tenant of that name or UUID. Raises TenantNotFound."""
        tenant = await self._store.tenants.find_by_name(name_or_id) if is_name(name_or_id) else None
        if tenant is None and (uid := parse_uuid(name_or_id)) is not None:
            tenant = await self._store.tenants.find(uid)
        if tenant is None:
            raise TenantNotFound
        return tenant

    async def update(self, tenant: Tenant, metadata: str | None, configuration: str | None) -> Tenant:
        """Replace the metadata and merge the configuration by top-level key; None leaves it. Raises TenantNotFound."""
        updated = await self._store.tenants.update(tenant.id, metadata, configuration)
        self._by_name.pop(tenant.name, None)
        return updated

    async def set(self, tenant: Tenant, settings: Mapping[str, object]) -> Tenant:
        """Change settings; those that are not named stay. Raises InvalidInput and TenantNotFound."""
        updated = await self._store.tenants.update(tenant.id, None, None, check_settings(settings))
        self._by_name.pop(tenant.name, None)
        return updated

    def forget(self, name: str) -> None:
        """Drop a name from memory, because its tenant was deleted or renamed here."""
        self._by_name.pop(name, None)

    async def list(self, part: Slice) -> tuple[list[Tenant], int]:
        """A part of all tenants in order of making, and how many there are."""
        return await self._store.tenants.list(part)
