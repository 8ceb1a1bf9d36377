"""Tenants on our own wire, for administrators."""

from __future__ import annotations

import msgspec

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.native.bodies import read_body
from antiphon.api.native.errors import UnknownField, refusals
from antiphon.api.native.queries import PAGE, cut_page, list_name, read_cursor, read_limit
from antiphon.api.native.reach import Reach
from antiphon.api.native.versions import IF_MATCH, check_version, versioned
from antiphon.api.native.wire import location_of, show_time
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain import limits, tenants
from antiphon.domain.ids import text_of
from antiphon.domain.tenants import TenantSettings, read_settings

Settings = dict[str, int | str | None]
"""Settings by their names, as they are to be; null removes one."""


class NewTenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant that is to be made, and what it is to have set."""

    name: str
    settings: Settings | None = None


class TenantChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that are to be changed; those that are not named stay."""

    settings: Settings


class Tenant(msgspec.Struct, frozen=True):
    """A tenant, with all settings as they hold."""

    id: str
    name: str
    created_at: str
    settings: TenantSettings


class TenantList(msgspec.Struct, frozen=True):
    """Some tenants in order of making, and where the next are."""

    items: list[Tenant]
    next: str | None


class Tenants:
    """The routes of tenants. A tenant is named by its name or its UUID."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        path, one = f"{prefix}/tenants", f"{prefix}/tenants/{{tenant}}"
        made, changed = {201: Tenant, **refusals(409, 413)}, {200: Tenant, **refusals(412, 413)}
        return [
            Route("POST", path, self.create, "Make a tenant.", made, body=NewTenant),
            Route("GET", path, self.list, "List tenants.", {200: TenantList, **refusals()}, query=PAGE),
            Route("GET", one, self.get, "Get a tenant.", {200: Tenant, **refusals()}),
            Route(
                "PATCH", one, self.change, "Change a tenant's settings.", changed, body=TenantChange, query=(IF_MATCH,)
            ),
        ]

    async def create(self, request: Request) -> Reply:
        """POST /tenants: 201."""
        await self._reach.administrator(request)
        body = await read_body(request, NewTenant)
        tenant = await self._instance.tenants.create(body.name, settings=_known(body.settings or {}))
        shown = show_tenant(tenant)
        return versioned(201, shown, [location_of("tenants", shown.id)])

    async def get(self, request: Request) -> Reply:
        """GET /tenants/{tenant}."""
        await self._reach.administrator(request)
        return versioned(200, show_tenant(await self._instance.tenants.get(request.params["tenant"])))

    async def change(self, request: Request) -> Reply:
        """PATCH /tenants/{tenant}: settings hold in every process within a second."""
        await self._reach.administrator(request)
        body = await read_body(request, TenantChange)
        settings = _known(body.settings)
        tenant = await self._instance.tenants.get(request.params["tenant"])
        check_version(request, show_tenant(tenant))
        return versioned(200, show_tenant(await self._instance.tenants.set(tenant, settings)))

    async def list(self, request: Request) -> Reply:
        """GET /tenants, in order of making."""
        principal = await self._reach.administrator(request)
        limit, of_list = read_limit(request), list_name("tenants", principal.tenant_id)
        found = await self._instance.tenants.page(read_cursor(of_list, request), limit + 1)
        page, following = cut_page(found, limit, of_list, lambda tenant: tenant.id)
        return json_reply(200, TenantList([show_tenant(tenant) for tenant in page], following))


def _known(settings: Settings) -> Settings:
    """The settings themselves. Raises UnknownField: a setting of a name that is not known is a field like others."""
    for name in settings:
        if name not in TenantSettings.__struct_fields__:
            shown = name[: limits.NAME_CHARACTERS]
            raise UnknownField(f"there is no setting {shown!r}", field=f"settings.{shown}")
    return settings


def show_tenant(tenant: tenants.Tenant) -> Tenant:
    """A tenant."""
    return Tenant(text_of(tenant.id), tenant.name, show_time(tenant.created_at), read_settings(tenant))
