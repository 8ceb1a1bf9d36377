"""Tenants: made by an administrator, found by name on the way to nearly everything else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from antiphon.core.ports import Slice, Store
from antiphon.domain import limits, participants
from antiphon.domain.errors import TenantNotFound
from antiphon.domain.ids import Uid, parse_uuid
from antiphon.domain.tenants import (
    AGENT_NAME,
    Tenant,
    TenantSettings,
    check_name,
    check_settings,
    is_name,
    read_settings,
)


class Tenants:
    """The verbs of tenants.

    A name is looked up in memory for at most KEY_CACHE_SECONDS, settings for TENANT_SETTINGS_SECONDS.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_name: dict[str, tuple[float, Tenant]] = {}
        self._settings: dict[Uid, tuple[float, TenantSettings]] = {}

    async def create(
        self,
        name: str,
        metadata: str = "{}",
        configuration: str = "{}",
        agent_name: str = participants.DEFAULT_AGENT_NAME,
        settings: Mapping[str, object] = MappingProxyType({}),
    ) -> Tenant:
        """Make a tenant with these settings; its agent speaks as `agent_name`, or as they say.

        Raises InvalidInput for a bad name or setting, and TenantNameTaken.
        """
        check_settings(settings)
        text, named = _split(settings)
        return await self._store.tenants.create(check_name(name), named or agent_name, metadata, configuration, text)

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
        """Change settings; those that are not named stay, and None removes one. Raises InvalidInput, TenantNotFound.

        They hold at once in this process, within a second in every other. What has been said stays as it was said: a
        new `agent_name` is that of the answers from then on.
        """
        check_settings(settings)
        text, agent_name = _split(settings)
        updated = await self._store.tenants.update(tenant.id, None, None, text, agent_name)
        self._by_name.pop(tenant.name, None)
        self._settings.pop(tenant.id, None)
        return updated

    async def settings(self, tenant_id: Uid) -> TenantSettings:
        """The settings of a tenant, at most a second old; of one that is gone, the default ones."""
        cached = self._settings.get(tenant_id)
        if cached is not None and time.monotonic() - cached[0] <= limits.TENANT_SETTINGS_SECONDS:
            return cached[1]
        asked_at = time.monotonic()
        tenant = await self._store.tenants.find(tenant_id)
        settings = TenantSettings() if tenant is None else read_settings(tenant)
        if len(self._settings) >= limits.TENANT_SETTINGS_ENTRIES:
            self._settings.clear()
        self._settings[tenant_id] = (asked_at, settings)
        return settings

    def forget(self, name: str) -> None:
        """Drop a name from memory, because its tenant was deleted or renamed here."""
        self._by_name.pop(name, None)

    async def page(self, after: Uid | None, limit: int) -> list[Tenant]:
        """Tenants in order of making, behind the one of that id."""
        return await self._store.pages.tenants(after, limit)

    async def list(self, part: Slice) -> tuple[list[Tenant], int]:
        """A part of all tenants in order of making, and how many there are."""
        return await self._store.tenants.list(part)


def _split(settings: Mapping[str, object]) -> tuple[str, str | None]:
    """Settings as JSON text, and apart from them the agent's name, where it is among them."""
    rest = {name: value for name, value in settings.items() if name != AGENT_NAME}
    agent_name = str(settings[AGENT_NAME] or participants.DEFAULT_AGENT_NAME) if AGENT_NAME in settings else None
    return msgspec.json.encode(rest).decode(), agent_name
