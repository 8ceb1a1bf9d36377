"""Webhooks on our own wire: who is told, what they were told, and telling it again."""

from __future__ import annotations

import msgspec

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.native.bodies import read_body
from antiphon.api.native.errors import refusals
from antiphon.api.native.queries import PAGE, cut_page, list_name, read_cursor, read_limit
from antiphon.api.native.reach import Reach
from antiphon.api.native.versions import IF_MATCH, check_version, versioned
from antiphon.api.native.wire import location_of, parse_id, show_time
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain import webhooks
from antiphon.domain.ids import text_of

WEBHOOK, EVENT = "whk_", "evt_"


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is to be told of what; without a secret one is made."""

    url: str
    events: list[str]
    secret: str | None = None


class Webhook(msgspec.Struct, frozen=True):
    """A webhook; with `disabled_at` its receiver said that it is gone, and is told nothing."""

    id: str
    url: str
    events: list[str]
    created_at: str
    disabled_at: str | None


class MadeWebhook(msgspec.Struct, frozen=True):
    """The same with the secret that signs what it is told, which is shown this once."""

    id: str
    url: str
    events: list[str]
    created_at: str
    disabled_at: str | None
    secret: str


class Delivery(msgspec.Struct, frozen=True):
    """What a webhook is told, and what came of it. `id` is the header `webhook-id`, `body` what is sent."""

    id: str
    event: str
    state: str
    attempts: int
    run_after: str | None
    last_status: int | None
    last_error: str | None
    created_at: str
    settled_at: str | None
    body: msgspec.Raw


class WebhookList(msgspec.Struct, frozen=True):
    """Some webhooks of the tenant in order of making, and where the next are."""

    items: list[Webhook]
    next: str | None


class DeliveryList(msgspec.Struct, frozen=True):
    """Some deliveries, the newest first, and where the next are."""

    items: list[Delivery]
    next: str | None


class Webhooks:
    """The routes of webhooks, for keys that reach a whole tenant."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        path, one = f"{prefix}/webhooks", f"{prefix}/webhooks/{{webhook_id}}"
        made = {201: MadeWebhook, **refusals(409, 413)}
        resend = f"{one}/deliveries/{{delivery_id}}/resend"
        return [
            Route("POST", path, self.create, "Make a webhook.", made, body=NewWebhook),
            Route("GET", path, self.list, "List webhooks.", {200: WebhookList, **refusals()}, query=PAGE),
            Route("GET", one, self.get, "Get a webhook.", {200: Webhook, **refusals()}),
            Route(
                "DELETE",
                one,
                self.delete,
                "Delete a webhook with its deliveries.",
                {204: None, **refusals(412)},
                query=(IF_MATCH,),
            ),
            Route(
                "GET",
                f"{one}/deliveries",
                self.deliveries,
                "List what a webhook was told and will be, the newest first.",
                {200: DeliveryList, **refusals()},
                query=PAGE,
            ),
            Route("POST", resend, self.resend, "Send a delivery again.", {202: Delivery, **refusals()}),
        ]

    async def create(self, request: Request) -> Reply:
        """POST /webhooks: 201 with its secret."""
        principal = await self._reach.steward(request)
        body = await read_body(request, NewWebhook)
        webhook, secret = await self._instance.webhooks.create(principal.tenant_id, body.url, body.events, body.secret)
        shown = _show(webhook)
        made = MadeWebhook(**msgspec.structs.asdict(shown), secret=secret)
        return json_reply(201, made, [location_of("webhooks", shown.id)])

    async def get(self, request: Request) -> Reply:
        """GET /webhooks/{webhook_id}, without its secret."""
        principal = await self._reach.steward(request)
        webhook_id = parse_id(request.params["webhook_id"], WEBHOOK)
        return versioned(200, _show(await self._instance.webhooks.get(principal.tenant_id, webhook_id)))

    async def delete(self, request: Request) -> Reply:
        """DELETE /webhooks/{webhook_id}: 204."""
        principal = await self._reach.steward(request)
        webhook_id = parse_id(request.params["webhook_id"], WEBHOOK)
        check_version(request, _show(await self._instance.webhooks.get(principal.tenant_id, webhook_id)))
        await self._instance.webhooks.delete(principal.tenant_id, webhook_id)
        return Reply(204)

    async def deliveries(self, request: Request) -> Reply:
        """GET /webhooks/{webhook_id}/deliveries."""
        principal = await self._reach.steward(request)
        webhook_id = parse_id(request.params["webhook_id"], WEBHOOK)
        limit = read_limit(request)
        of_list = list_name("deliveries", principal.tenant_id, text_of(webhook_id))
        before = read_cursor(of_list, request)
        found = await self._instance.webhooks.deliveries(principal.tenant_id, webhook_id, before, limit + 1)
        page, following = cut_page(found, limit, of_list, lambda delivery: delivery.id)
        return json_reply(200, DeliveryList([_show_delivery(delivery) for delivery in page], following))

    async def resend(self, request: Request) -> Reply:
        """POST /webhooks/{webhook_id}/deliveries/{delivery_id}/resend: 202."""
        principal = await self._reach.steward(request)
        webhook_id = parse_id(request.params["webhook_id"], WEBHOOK)
        delivery_id = parse_id(request.params["delivery_id"], EVENT)
        delivery = await self._instance.webhooks.resend(principal.tenant_id, webhook_id, delivery_id)
        return json_reply(202, _show_delivery(delivery))

    async def list(self, request: Request) -> Reply:
        """GET /webhooks: there are few, and the page is cut from all of them."""
        principal = await self._reach.steward(request)
        limit, of_list = read_limit(request), list_name("webhooks", principal.tenant_id)
        after = read_cursor(of_list, request) or b""
        found = [each for each in await self._instance.webhooks.list(principal.tenant_id) if each.id > after]
        page, following = cut_page(found, limit, of_list, lambda webhook: webhook.id)
        return json_reply(200, WebhookList([_show(webhook) for webhook in page], following))


def _show(webhook: webhooks.Webhook) -> Webhook:
    return Webhook(
        WEBHOOK + text_of(webhook.id),
        webhook.url,
        [*webhook.events],
        show_time(webhook.created_at),
        None if webhook.disabled_at is None else show_time(webhook.disabled_at),
    )


def _show_delivery(delivery: webhooks.Delivery) -> Delivery:
    return Delivery(
        webhooks.event_id(delivery.id),
        delivery.event,
        delivery.state,
        delivery.attempts,
        show_time(delivery.run_after) if delivery.state == webhooks.WAITING else None,
        delivery.last_status,
        delivery.last_error,
        show_time(delivery.created_at),
        None if delivery.settled_at is None else show_time(delivery.settled_at),
        msgspec.Raw(delivery.body.encode()),
    )
