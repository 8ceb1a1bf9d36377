"""Webhooks: the verbs, and the background work that tells each of them what happened, in order, at least once.

What is to be told is a row, written in the transaction of what it tells of. Whoever holds a webhook's lease sends its
first row, notes what came of it and gives the lease back; a process that dies in between has the same event sent again,
under the same id.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec

from antiphon.core.faults import describe
from antiphon.core.ports import Store
from antiphon.core.ports.webhooks import Errand, Sender
from antiphon.domain import limits, times
from antiphon.domain.errors import InvalidInput, NotFound, StoreError
from antiphon.domain.ids import Uid, new_uid7, parse_uuid, text_of
from antiphon.domain.webhooks import (
    EVENTS,
    HONCHO_EVENTS,
    QUEUE_EMPTY,
    Delivery,
    Outcome,
    Webhook,
    event_id,
    made_from,
    parse_secret,
    plain_signature_of,
    secret_of,
    signature_of,
)

_DISABLED = Outcome("disabled", is_gone=True)
_SECRET_UNKNOWN = Outcome("secret_unknown")
_UNFORESEEN = Outcome("unforeseen")

_log = logging.getLogger(__name__)


class Webhooks:
    """Who is told of what, and the telling.

    `instance_secret` is what the secrets of webhooks are made from that bring none. Without a sender nothing is sent
    from this process: what is to be told waits for one that has one.
    """

    def __init__(self, store: Store, sender: Sender | None, instance_secret: str, node: Uid | None = None) -> None:
        self._store = store
        self._sender = sender
        self._instance_secret = instance_secret
        self._node = node or new_uid7()
        self._bell = asyncio.Event()
        self._known: list[Uid] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def create(
        self, tenant_id: Uid, url: str, events: Sequence[str], secret: str | None = None
    ) -> tuple[Webhook, str]:
        """A new webhook, and the secret that its deliveries are signed with, which is shown this once.

        Raises InvalidInput, LimitExceeded, TenantNotFound.
        """
        check_url(url)
        known = HONCHO_EVENTS if tuple(events) == HONCHO_EVENTS else EVENTS
        if not events or not set(events) <= set(known):
            raise InvalidInput(f"a list of at least one of {', '.join(EVENTS)}", field="events")
        if secret is not None and parse_secret(secret) is None:
            raise InvalidInput(
                f"`whsec_` and {limits.WEBHOOK_SECRET_BYTES_MIN} to {limits.WEBHOOK_SECRET_BYTES} bytes as base64",
                field="secret",
            )
        kept = secret or made_from(self._instance_secret)
        wanted = tuple(event for event in known if event in events)
        webhook = Webhook(new_uid7(), tenant_id, url, wanted, kept, times.now())
        await self._store.webhooks.create(webhook)
        return webhook, secret_of(webhook, self._instance_secret) or ""

    async def get(self, tenant_id: Uid, webhook_id: Uid) -> Webhook:
        """The webhook of that id. Raises NotFound."""
        webhook = await self._store.webhooks.find(tenant_id, webhook_id)
        if webhook is None:
            raise NotFound
        return webhook

    async def delete(self, tenant_id: Uid, webhook_id: Uid) -> None:
        """Remove a webhook, with what it was told and what waits. Raises NotFound."""
        await self._store.webhooks.delete(tenant_id, webhook_id)

    async def deliveries(self, tenant_id: Uid, webhook_id: Uid, before: Uid | None, limit: int) -> list[Delivery]:
        """The newest deliveries first, older than `before`. Raises NotFound when there is no such webhook."""
        await self.get(tenant_id, webhook_id)
        return await self._store.webhooks.deliveries(tenant_id, webhook_id, before, limit)

    async def resend(self, tenant_id: Uid, webhook_id: Uid, delivery_id: Uid) -> Delivery:
        """Send a delivery again, whatever became of it; a webhook that was disabled is enabled. Raises NotFound."""
        delivery = await self._store.webhooks.resend(tenant_id, webhook_id, delivery_id)
        self.wake()
        return delivery

    def wake(self) -> None:
        """There is something to tell: look at once instead of at the next poll."""
        self._bell.set()

    async def run(self) -> None:
        """Send until cancelled. What is cut off on the way is sent again, by this process or by another."""
        if self._sender is None:
            return
        try:
            while True:
                self._bell.clear()
                await self._take(self._sender)
                await self._wait()
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def release(self) -> None:
        """Give back what is held, at the orderly end of the process, and let go of the sender."""
        try:
            async with asyncio.timeout(limits.GOODBYE_SECONDS):
                await self._store.webhooks.release(self._node)
                if self._sender is not None:
                    await self._sender.close()
        except (StoreError, TimeoutError) as error:
            _log.warning("webhooks not given back", extra=describe(error))

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.WEBHOOK_POLL_SECONDS):
                await self._bell.wait()

    async def _take(self, sender: Sender) -> None:
        """Begin to send what may be sent now, one webhook of each tenant in turn, while there is room."""
        waiting = await self._waiting_tenants()
        while waiting and len(self._sending) < limits.WEBHOOKS_AT_ONCE:
            for tenant_id in waiting[: limits.WEBHOOKS_AT_ONCE - len(self._sending)]:
                errand = await self._claim(tenant_id)
                if errand is None:
                    waiting.remove(tenant_id)
                else:
                    task = asyncio.create_task(self._tell(sender, errand))
                    self._sending.add(task)
                    task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self.wake()

    async def _waiting_tenants(self) -> list[Uid]:
        """The tenants with something to send; when the scan over all of them fails, those known from before."""
        try:
            self._known = await self._store.webhooks.due()
        except StoreError as error:
            _log.warning("webhooks not scanned", extra={"code": error.code})
        return list(self._known)

    async def _claim(self, tenant_id: Uid) -> Errand | None:
        try:
            return await self._store.webhooks.claim(tenant_id, self._node, limits.WEBHOOK_LEASE_SECONDS)
        except StoreError as error:
            _log.warning("webhook not claimed", extra={"code": error.code})
            return None

    async def _tell(self, sender: Sender, errand: Errand) -> None:
        """Send a delivery and note what came of it. When that fails, the lease runs out and it is sent again."""
        try:
            outcome = await self._send(sender, errand)
        except Exception as fault:  # noqa: BLE001  a mistake of ours, too, is an attempt that failed
            _log.error("webhook not sent", extra=describe(fault))
            outcome = _UNFORESEEN
        names = {"webhook": text_of(errand.webhook.id), "delivery": text_of(errand.delivery.id)}
        try:
            state = await self._store.webhooks.settle(
                errand, self._node, outcome, backoff_seconds(errand.delivery.attempts + 1)
            )
        except (NotFound, StoreError) as error:
            _log.warning("delivery not noted", extra={**names, "code": error.code})
            return
        if outcome.error is not None:
            _log.warning("delivery failed", extra={**names, "code": outcome.error, "state": state})

    async def _send(self, sender: Sender, errand: Errand) -> Outcome:
        webhook, delivery = errand.webhook, errand.delivery
        if webhook.disabled_at is not None:
            return _DISABLED
        secret = secret_of(webhook, self._instance_secret)
        if secret is None:
            return _SECRET_UNKNOWN
        body, seconds, name = await self._body_of(errand), times.now() // times.SECOND, event_id(delivery.id)
        headers = {
            "content-type": "application/json",
            "user-agent": "antiphon-webhooks",
            "webhook-id": name,
            "webhook-timestamp": str(seconds),
            "webhook-signature": signature_of(secret, name, seconds, body),
        }
        if webhook.events == HONCHO_EVENTS:
            headers["x-honcho-signature"] = plain_signature_of(self._instance_secret, body)
        return await sender.send(webhook.url, headers, body)

    async def _body_of(self, errand: Errand) -> bytes:
        """What is sent: what the row holds, and to a webhook of Honcho's wire that in its form and words.

        The words are looked up now: in the row they would outlast what they name.
        """
        if errand.webhook.events != HONCHO_EVENTS:
            return errand.delivery.body.encode()
        event = msgspec.json.decode(errand.delivery.body)
        if errand.delivery.event == QUEUE_EMPTY:
            event["data"] = await self._words_of(errand.webhook.tenant_id, event["data"])
        return msgspec.json.encode(event, order="sorted")

    async def _words_of(self, tenant_id: Uid, data: dict[str, Any]) -> dict[str, Any]:
        """Which queue is empty, by the names of what is still there."""
        tenant = await self._store.tenants.find(tenant_id)
        chat = await self._store.chats.find_by_key(tenant_id, parse_uuid(data["chat"]["key"]) or b"")
        message = None
        if chat is not None and data["message"] is not None:
            message = await self._store.messages.find(tenant_id, chat.key, parse_uuid(data["message"]) or b"")
        return {
            "workspace_id": tenant.name if tenant else None,
            "queue_type": "representation",
            "session_id": chat.session_id if chat else None,
            "observer": None,
            "observed": message.author if message else None,
        }

    async def list(self, tenant_id: Uid) -> list[Webhook]:
        """All webhooks of the tenant, oldest first; at most WEBHOOKS_PER_TENANT."""
        return await self._store.webhooks.list(tenant_id)


def check_url(url: str) -> None:
    """Raises InvalidInput for what is no address to send to: what its name stands for is judged at each delivery."""
    try:
        parts = urlsplit(url)
        is_good = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and parts.port != 0
            and len(url) <= limits.WEBHOOK_URL_CHARACTERS
            and not parts.fragment
            and url.isprintable()
            and url.isascii()
            and not set(url) & set(' \\"<>^`{|}')
        )
    except ValueError:
        is_good = False
    if not is_good:
        raise InvalidInput(
            f"an http or https URL in ASCII of at most {limits.WEBHOOK_URL_CHARACTERS} characters, without user, "
            "password and fragment",
            field="url",
        )


def backoff_seconds(attempts: int) -> float:
    """Seconds to wait after that many attempts: doubling from WEBHOOK_RETRY_SECONDS to the cap, half of it random."""
    ceiling: float = min(limits.WEBHOOK_BACKOFF_SECONDS, limits.WEBHOOK_RETRY_SECONDS * 2 ** min(attempts - 1, 16))
    return ceiling * (0.5 + random.random() / 2)  # noqa: S311  jitter, not a secret
