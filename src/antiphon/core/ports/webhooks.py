"""What the core needs to tell others of what happens: a queue in the store, and somebody who sends.

The rows of the queue are written by the store itself, each in the transaction of what it tells of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from antiphon.domain.ids import Uid
from antiphon.domain.webhooks import Delivery, Outcome, Webhook


class Errand(msgspec.Struct, frozen=True):
    """A delivery that this process may send now; nobody else sends anything to this webhook meanwhile."""

    webhook: Webhook
    delivery: Delivery


class WebhookStore(Protocol):
    """Webhooks and their deliveries. As in every store, what is written is durable when a method returns."""

    async def create(self, webhook: Webhook) -> None:
        """Store a webhook; what happens from now on is told.

        Raises TenantNotFound when the tenant is gone, and LimitExceeded when it has WEBHOOKS_PER_TENANT.
        """
        ...

    async def find(self, tenant_id: Uid, webhook_id: Uid) -> Webhook | None:
        """The webhook of that id."""
        ...

    async def delete(self, tenant_id: Uid, webhook_id: Uid) -> None:
        """Remove a webhook with its deliveries, in bounded steps; it is disabled by the first. Raises NotFound."""
        ...

    async def enqueue(self, tenant_id: Uid, event: str, data: str) -> int:
        """Tell the tenant's webhooks that want it of something that changes no row; how many there are.

        `data` is a JSON object.
        """
        ...

    async def due(self) -> list[Uid]:
        """Tenants with a webhook that may be sent something now, those that wait longest first. System scope."""
        ...

    async def claim(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> Errand | None:
        """Take the lease of a webhook whose first waiting delivery may be sent now, and that delivery.

        Deliveries of a webhook go out in order: one that waits for its next attempt keeps those behind it waiting.
        """
        ...

    async def settle(self, errand: Errand, node: Uid, outcome: Outcome, retry_seconds: float) -> str:
        """Note what came of it, give back the lease, and tell the delivery's state.

        Without success it is to be sent again after `retry_seconds`, unless that is past the time at which it is given
        up. A receiver that is gone has its webhook disabled. A few deliveries that were settled more than
        WEBHOOK_KEPT_SECONDS ago are removed on the way. Raises NotFound when the lease has been lost.
        """
        ...

    async def release(self, node: Uid) -> None:
        """Give back all leases of a process: what it was sending is sent again by whoever comes first. System scope."""
        ...

    async def deliveries(self, tenant_id: Uid, webhook_id: Uid, before: Uid | None, limit: int) -> list[Delivery]:
        """The newest deliveries of a webhook first, older than `before`; none for a webhook that is not there."""
        ...

    async def resend(self, tenant_id: Uid, webhook_id: Uid, delivery_id: Uid) -> Delivery:
        """Have a delivery sent again as soon as may be, whatever became of it, and enable its webhook.

        It is tried for as long as a new one. Raises NotFound.
        """
        ...

    async def list(self, tenant_id: Uid) -> list[Webhook]:
        """All webhooks of the tenant, oldest first."""
        ...


class Sender(Protocol):
    """Sends over HTTP, to public addresses only unless it was told otherwise."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """POST it, once. Redirects are not followed; anything but 2xx is a failure, as is WEBHOOK_SECONDS going by."""
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...
