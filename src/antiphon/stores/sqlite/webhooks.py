"""Webhooks in SQLite: who is told, and what is still to be told."""

from __future__ import annotations

import msgspec

from antiphon.core.ports.webhooks import Errand
from antiphon.domain import limits, times
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
from antiphon.stores.sqlite.database import Row
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.writer import Transaction

_EVENTS = msgspec.json.Decoder(tuple[str, ...])


def _micros(seconds: float) -> int:
    return int(seconds * times.SECOND)


def enqueue_event(tx: Transaction, tenant_id: Uid, event: str, data: str) -> int:
    """Tell the tenant's webhooks that want it, once this transaction is committed; how many there are.

    `data` is a JSON object: ids of ours and digests only.
    """
    return tx.run(
        "enqueue_event",
        tenant_id=tenant_id,
        event_id=new_uid7(),
        event=event,
        quoted_event=f'"{event}"',
        body=event_body(event, tx.now, data),
        patience=_micros(limits.WEBHOOK_GIVE_UP_SECONDS),
        now=tx.now,
    )


def tell_of_append(tx: Transaction, tenant_id: Uid, said: Said) -> None:
    """Tell of one append: all its messages in one event, and in another that what was to be derived of them is."""
    wanted = {event for (events,) in tx.rows("list_events", tenant_id=tenant_id) for event in _EVENTS.decode(events)}
    if MESSAGE_APPENDED in wanted:
        enqueue_event(tx, tenant_id, MESSAGE_APPENDED, message_data(said))
    if QUEUE_EMPTY in wanted:
        row = tx.row("configurations_of_chat", tenant_id=tenant_id, key=said.chat_key)
        for data in queue_data(said, is_on=is_reasoned(*row)) if row is not None else ():
            enqueue_event(tx, tenant_id, QUEUE_EMPTY, data)


class SqliteWebhooks:
    """`core.ports.webhooks.WebhookStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def create(self, webhook: Webhook) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            if tx.row("find_tenant", tenant_id=webhook.tenant_id) is None:
                raise TenantNotFound
            if not tx.run(
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

        await self._file.write(operation)

    async def find(self, tenant_id: Uid, webhook_id: Uid) -> Webhook | None:
        """See the port."""
        row = self._file.row("find_webhook", tenant_id=tenant_id, id=webhook_id)
        return _webhook_of(row) if row else None

    async def delete(self, tenant_id: Uid, webhook_id: Uid) -> None:
        """See the port."""

        def operation(tx: Transaction) -> bool:
            if not tx.run("disable_webhook", tenant_id=tenant_id, id=webhook_id, now=tx.now):
                raise NotFound
            limit = limits.WEBHOOK_DELETE_ROWS
            if tx.run("delete_deliveries", tenant_id=tenant_id, id=webhook_id, limit=limit) == limit:
                return False
            tx.run("delete_webhook", tenant_id=tenant_id, id=webhook_id)
            return True

        while not await self._file.write(operation):
            pass

    async def enqueue(self, tenant_id: Uid, event: str, data: str) -> int:
        """See the port."""
        return await self._file.write(lambda tx: enqueue_event(tx, tenant_id, event, data))

    async def due(self) -> list[Uid]:
        """See the port."""
        return [row[0] for row in self._file.rows("due_webhooks")]

    async def claim(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> Errand | None:
        """See the port."""

        def operation(tx: Transaction) -> Errand | None:
            row = tx.row("claim_webhook", tenant_id=tenant_id, node=node, lease=_micros(lease_seconds))
            if row is None:
                return None
            first = tx.rows("first_delivery", tenant_id=tenant_id, webhook_id=row[0])[0]
            return Errand(_webhook_of(row), Delivery(*first))

        return await self._file.write(operation)

    async def settle(self, errand: Errand, node: Uid, outcome: Outcome, retry_seconds: float) -> str:
        """See the port."""
        webhook = errand.webhook

        def operation(tx: Transaction) -> str:
            if not tx.run("return_webhook", tenant_id=webhook.tenant_id, id=webhook.id, node=node):
                raise NotFound
            row = tx.row(
                "settle_delivery",
                tenant_id=webhook.tenant_id,
                webhook_id=webhook.id,
                id=errand.delivery.id,
                error=outcome.error,
                status=outcome.status,
                is_last=outcome.is_gone,
                delay=_micros(retry_seconds),
            )
            if row is None:
                raise NotFound
            if outcome.is_gone and webhook.disabled_at is None:
                tx.run("disable_webhook", tenant_id=webhook.tenant_id, id=webhook.id, now=tx.now)
            tx.run(
                "prune_deliveries",
                tenant_id=webhook.tenant_id,
                webhook_id=webhook.id,
                kept=_micros(limits.WEBHOOK_KEPT_SECONDS),
                limit=limits.WEBHOOK_PRUNE_ROWS,
            )
            state: str = row[0]
            return state

        return await self._file.write(operation)

    async def release(self, node: Uid) -> None:
        """See the port."""
        await self._file.write(lambda tx: tx.run("release_webhooks", node=node))

    async def deliveries(self, tenant_id: Uid, webhook_id: Uid, before: Uid | None, limit: int) -> list[Delivery]:
        """See the port."""
        rows = self._file.rows(
            "list_deliveries", tenant_id=tenant_id, webhook_id=webhook_id, before=before, limit=limit
        )
        return [Delivery(*row) for row in rows]

    async def resend(self, tenant_id: Uid, webhook_id: Uid, delivery_id: Uid) -> Delivery:
        """See the port."""

        def operation(tx: Transaction) -> Delivery:
            row = tx.row(
                "resend_delivery",
                tenant_id=tenant_id,
                webhook_id=webhook_id,
                id=delivery_id,
                patience=_micros(limits.WEBHOOK_GIVE_UP_SECONDS),
            )
            if row is None:
                raise NotFound
            tx.run("enable_webhook", tenant_id=tenant_id, id=webhook_id)
            return Delivery(*row)

        return await self._file.write(operation)

    async def list(self, tenant_id: Uid) -> list[Webhook]:
        """See the port."""
        return [_webhook_of(row) for row in self._file.rows("list_webhooks", tenant_id=tenant_id)]


def _webhook_of(row: Row) -> Webhook:
    columns = list(row)
    columns[3] = _EVENTS.decode(columns[3])
    return Webhook(*columns)
