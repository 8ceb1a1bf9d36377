"""Webhooks of this wire: addresses that are told of `queue.empty` and `test.event`, signed with the server's secret."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from antiphon.api.honcho import memory_wire, wire
from antiphon.api.honcho.bodies import read_body
from antiphon.api.honcho.errors import BODY_REFUSALS, REFUSALS
from antiphon.api.honcho.pages import PAGE_QUERY, page_reply, read_page
from antiphon.api.honcho.reach import Reach, Workspace, check_whole_workspace
from antiphon.api.http import Reply, Request, json_reply, json_text
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.core.webhooks import check_url
from antiphon.domain import limits
from antiphon.domain.addresses import is_public
from antiphon.domain.errors import Conflict, InvalidInput, LimitExceeded, NotFound, TenantNotFound
from antiphon.domain.ids import parse_short, short_of
from antiphon.domain.webhooks import HONCHO_EVENTS, TEST_EVENT, Webhook

_PATH = "/v3/workspaces/{workspace_id}/webhooks"


class Webhooks:
    """The routes of webhooks, which are for whole workspaces."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        one, gone = memory_wire.WebhookEndpoint, {404: wire.Refusal}
        made = {200: one, 201: one, **gone, 409: wire.Refusal, **BODY_REFUSALS}
        page = {200: wire.Page[memory_wire.WebhookEndpoint], **REFUSALS}
        deleted = {204: None, **gone, **REFUSALS}
        return [
            Route("POST", _PATH, self.create, "Get a webhook, or make it.", made, memory_wire.WebhookEndpointCreate),
            Route("GET", _PATH, self.list, "The webhooks of a workspace.", page, query=PAGE_QUERY),
            Route("DELETE", f"{_PATH}/{{endpoint_id}}", self.delete, "Remove a webhook.", deleted),
            Route("GET", f"{_PATH}/test", self.test, "Send an event to try them.", {200: Any, **gone, **REFUSALS}),
        ]

    async def create(self, request: Request) -> Reply:
        """POST …/webhooks: one an address."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        body = await read_body(request, memory_wire.WebhookEndpointCreate)
        _check_address(body.url)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            raise TenantNotFound
        there = await self._of(workspace)
        for webhook in there:
            if webhook.url == body.url:
                return json_reply(200, _show(webhook, workspace))
        if len(there) >= limits.HONCHO_WEBHOOKS_PER_WORKSPACE:
            raise Conflict(f"a workspace has at most {limits.HONCHO_WEBHOOKS_PER_WORKSPACE} webhooks")
        try:
            made, _ = await self._instance.webhooks.create(workspace.id, body.url, HONCHO_EVENTS)
        except LimitExceeded as error:
            raise Conflict(error.message) from None
        return json_reply(201, _show(made, workspace))

    async def list(self, request: Request) -> Reply:
        """GET …/webhooks."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        asked = read_page(request)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        found = [] if workspace is None else [_show(one, workspace) for one in await self._of(workspace)]
        part = asked.part
        return page_reply(asked, found[part.offset : part.offset + part.limit], len(found))

    async def delete(self, request: Request) -> Reply:
        """DELETE …/webhooks/{endpoint_id}."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        uid = parse_short(request.params["endpoint_id"])
        if workspace is None or uid not in {webhook.id for webhook in await self._of(workspace)}:
            raise NotFound("Webhook not found")
        await self._instance.webhooks.delete(workspace.id, uid or b"")
        return Reply(204)

    async def test(self, request: Request) -> Reply:
        """GET …/webhooks/test."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            raise TenantNotFound
        await self._instance.store.webhooks.enqueue(
            workspace.id, TEST_EVENT, json_text({"workspace_id": workspace.name})
        )
        self._instance.webhooks.wake()
        return json_reply(200, None)

    async def _of(self, workspace: Workspace) -> tuple[Webhook, ...]:
        """Those that were made on this wire."""
        found = await self._instance.webhooks.list(workspace.id)
        return tuple(webhook for webhook in found if set(webhook.events) & set(HONCHO_EVENTS))


def _check_address(url: str) -> None:
    """Raises InvalidInput for what is no address to send to, and for an IP address that is not public."""
    check_url(url)
    address = _address_of(urlsplit(url).hostname or "")
    if address is not None and not is_public(address):
        raise InvalidInput("the address is not of the public network", field="url")


def _address_of(host: str) -> str | None:
    """The IP address that a host is, in any form that a resolver takes for one (`127.1`, `0x7f000001`); None for names.

    What a name stands for is judged at each delivery.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _show(webhook: Webhook, workspace: Workspace) -> memory_wire.WebhookEndpoint:
    return memory_wire.show_webhook(webhook, short_of(webhook.id), workspace.name)
