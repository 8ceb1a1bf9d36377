"""Webhooks in PostgreSQL: who is told, and what is still to be told."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.core.ports.webhooks import Errand
from antiphon.domain import limits
from antiphon.domain.errors import LimitExceeded, NotFound, TenantNotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.reasoning import is_reasoned
from antiphon.domain.webhooks import (
    MESSAGE_APPENDED,
    QUEUE_EMPTY,
    Delivery,
    Outcome,
    Said,
    Webhook,
    event_body,
    message_data,
    queue_data,
)
from antiphon.stores.postgres.database import Cursor, Database, Row

_EVENTS = msgspec.json.Decoder(tuple[str, ...])


async def enqueue_event(tx: Cursor, tenant_id: Uid, event: str, data: str) -> int:
    """Tell the tenant's webhooks that want it, once this transaction is committed; how many there are.

    `data` is a JSON object: ids of ours and digests only.
    """
    return await _enqueue(tx, tenant_id, event, [data])


async def _enqueue(tx: Cursor, tenant_id: Uid, event: str, datas: Sequence[str]) -> int:
    return await tx.run(
        "enqueue_event",
        tenant_id=tenant_id,
        event_ids=[new_uid7() for _ in datas],
        event=event,
        quoted_event=f'"{event}"',
        bodies=[event_body(event, tx.now, data) for data in datas],
        patience_seconds=limits.WEBHOOK_GIVE_UP_SECONDS,
        now=tx.now,
    )


async def tell_of_appends(tx: Cursor, tenant_id: Uid, appends: Sequence[Said]) -> bool:
    """Tell of appends, each in one event, and in others that what was to be derived of them is.

    Whether anybody wants to know of appends.
    """
    wanted = {
        event for (events,) in await tx.rows("list_events", tenant_id=tenant_id) for event in _EVENTS.decode(events)
    }
    if MESSAGE_APPENDED in wanted:
        await _enqueue(tx, tenant_id, MESSAGE_APPENDED, [message_data(said) for said in appends])
    if QUEUE_EMPTY in wanted:
        datas = []
        for said in appends:
            row = await tx.row("configurations_of_chat", tenant_id=tenant_id, key=said.chat_key)
            datas += queue_data(said, is_on=is_reasoned(*row)) if row is not None else []
        await _enqueue(tx, tenant_id, QUEUE_EMPTY, datas)
    return bool(wanted & {MESSAGE_APPENDED, QUEUE_EMPTY})


class PostgresWebhooks:
    """`core.ports.webhooks.WebhookStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, webhook: Webhook) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> None:
            if await tx.row("lock_tenant", tenant_id=webhook.tenant_id) is None:
                raise TenantNotFound
            if not await tx.run(
                "insert_webhook",
                tenant_id=webhook.tenant_id,
                id=webhook.id,
                url=webhook.url,
                events=msgspec.json.encode(webhook.events).decode(),
                secret=webhook.secret,
                created_at=webhook.created_at,
                webhooks_max=limits.WEBHOOKS_PER_TENANT,
            ):
                raise LimitExceeded(f"a tenant has at most {limits.WEBHOOKS_PER_TENANT} webhooks")

        await self._database.transact(operation)

    async def find(self, tenant_id: Uid, webhook_id: Uid) -> Webhook | None:
        """See the port."""
        row = await self._database.row("find_webhook", tenant_id=tenant_id, id=webhook_id)
        return _webhook_of(row) if row else None

    async def delete(self, tenant_id: Uid, webhook_id: Uid) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> bool:
            if not await tx.run("disable_webhook", tenant_id=tenant_id, id=webhook_id, now=tx.now):
                raise NotFound
            limit = limits.WEBHOOK_DELETE_ROWS
            if await tx.run("delete_deliveries", tenant_id=tenant_id, id=webhook_id, limit=limit) == limit:
                return False
            await tx.run("delete_webhook", tenant_id=tenant_id, id=webhook_id)
            return True

        while not await self._database.transact(operation):
            pass

    async def enqueue(self, tenant_id: Uid, event: str, data: str) -> int:
        """See the port."""
        return await self._database.transact(lambda tx: enqueue_event(tx, tenant_id, event, data))

    async def due(self) -> list[Uid]:
        """See the port."""
        return [row[0] for row in await self._database.rows("due_webhooks")]

    async def claim(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> Errand | None:
        """See the port."""

        async def operation(tx: Cursor) -> Errand | None:
            row = await tx.row("claim_webhook", tenant_id=tenant_id, node=node, lease_seconds=lease_seconds)
            if row is None:
                return None
            webhook = _webhook_of(row)
            first = await tx.row("first_delivery", tenant_id=tenant_id, webhook_id=webhook.id)
            if first is None:
                await tx.run("return_webhook", tenant_id=tenant_id, id=webhook.id, node=node)
                return None
            return Errand(webhook, Delivery(*first))

        return await self._database.transact(operation)

    async def settle(self, errand: Errand, node: Uid, outcome: Outcome, retry_seconds: float) -> str:
        """See the port."""
        webhook = errand.webhook

        async def operation(tx: Cursor) -> str:
            if not await tx.run("return_webhook", tenant_id=webhook.tenant_id, id=webhook.id, node=node):
                raise NotFound
            row = await tx.row(
                "settle_delivery",
                tenant_id=webhook.tenant_id,
                webhook_id=webhook.id,
                id=errand.delivery.id,
                error=outcome.error,
                status=outcome.status,
                is_last=outcome.is_gone,
                delay_seconds=retry_seconds,
            )
            if row is None:
                raise NotFound
            if outcome.is_gone and webhook.disabled_at is None:
                await tx.run("disable_webhook", tenant_id=webhook.tenant_id, id=webhook.id, now=tx.now)
            await tx.run(
                "prune_deliveries",
                tenant_id=webhook.tenant_id,
                webhook_id=webhook.id,
                kept_seconds=limits.WEBHOOK_KEPT_SECONDS,
                limit=limits.WEBHOOK_PRUNE_ROWS,
            )
            state: str = row[0]
            return state

        return await self._database.transact(operation)

    async def release(self, node: Uid) -> None:
        """See the port."""
        await self._database.write_rows("release_webhooks", is_idempotent=True, node=node)

    async def deliveries(self, tenant_id: Uid, webhook_id: Uid, before: Uid | None, limit: int) -> list[Delivery]:
        """See the port."""
        rows = await self._database.rows(
            "list_deliveries", tenant_id=tenant_id, webhook_id=webhook_id, before=before, limit=limit
        )
        return [Delivery(*row) for row in rows]

    async def resend(self, tenant_id: Uid, webhook_id: Uid, delivery_id: Uid) -> Delivery:
        """See the port."""

        async def operation(tx: Cursor) -> Delivery:
            row = await tx.row(
                "resend_delivery",
                tenant_id=tenant_id,
                webhook_id=webhook_id,
                id=delivery_id,
                patience_seconds=limits.WEBHOOK_GIVE_UP_SECONDS,
            )
            if row is None:
                raise NotFound
            await tx.run("enable_webhook", tenant_id=tenant_id, id=webhook_id)
            return Delivery(*row)

        return await self._database.transact(operation)

    async def list(self, tenant_id: Uid) -> list[Webhook]:
        """See the port."""
        return [_webhook_of(row) for row in await self._database.rows("list_webhooks", tenant_id=tenant_id)]


def _webhook_of(row: Row) -> Webhook:
    columns = list(row)
    columns[3] = _EVENTS.decode(columns[3])
    return Webhook(*columns)
