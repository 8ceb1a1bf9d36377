"""Receipts on our own wire: as they were signed, with the keys that verify them."""

from __future__ import annotations

import msgspec

from antiphon.api.http import JSON, Reply, Request, json_reply, raw_json
from antiphon.api.native.bodies import read_sequence
from antiphon.api.native.errors import refusals
from antiphon.api.native.queries import (
    PAGE,
    cut_page,
    list_name,
    read_limit,
    read_sequence_cursor,
)
from antiphon.api.native.reach import Reach
from antiphon.api.native.wire import show_time
from antiphon.api.routing import Query, Route
from antiphon.core.deletion.verify import Statement
from antiphon.core.instance import Instance
from antiphon.domain.receipts import SigningKey

_ALGORITHM = "Ed25519"
_AFTER = Query("after", {"type": "integer", "minimum": 0}, "Only those whose sequence is greater.")


class ReceiptList(msgspec.Struct, frozen=True):
    """Some receipts in the order of their chain, each exactly as it was signed, and where the next are."""

    items: list[Statement]
    next: str | None


class PublicKey(msgspec.Struct, frozen=True):
    """A key that signs receipts, or did until `retired_at`; 32 bytes as base64url without padding."""

    kid: str
    algorithm: str
    public_key: str
    created_at: str
    retired_at: str | None


class PublicKeyList(msgspec.Struct, frozen=True):
    """All public keys, oldest first."""

    items: list[PublicKey]
    next: str | None


class Fault(msgspec.Struct, frozen=True):
    """The first thing that is wrong, and in which receipt; null: in none in particular."""

    sequence: int | None
    message: str


class Verdict(msgspec.Struct, frozen=True):
    """What a check of the whole chain found."""

    ok: bool
    receipts: int
    first_error: Fault | None


class Receipts:
    """The routes of receipts, for keys that reach a whole tenant; public keys are for everybody."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        listed, one = {200: ReceiptList, **refusals()}, {200: Statement, **refusals()}
        keys = {200: PublicKeyList, **refusals()}
        checked = {200: Verdict, **refusals()}
        return [
            Route("GET", f"{prefix}/receipts", self.list, "List receipts.", listed, query=(_AFTER, *PAGE)),
            Route("GET", f"{prefix}/receipts/verify", self.verify, "Check the whole chain.", checked),
            Route("GET", f"{prefix}/receipts/{{receipt_id}}", self.get, "Get a receipt as it was signed.", one),
            Route("GET", f"{prefix}/receipt-keys", self.keys, "List the public keys.", keys, is_public=True),
        ]

    async def list(self, request: Request) -> Reply:
        """GET /receipts: from a sequence on, in the order of the chain."""
        principal = await self._reach.overseer(request)
        after = read_sequence(request.query.get(_AFTER.name, "0"), _AFTER.name)
        of_list = list_name("receipts", principal.tenant_id, str(after))
        place = read_sequence_cursor(of_list, request)
        limit = read_limit(request)
        found = await self._instance.receipts.list(principal.tenant_id, after if place is None else place, limit + 1)
        page, following = cut_page(found, limit, of_list, lambda receipt: receipt.sequence)
        return json_reply(200, {"items": [raw_json(receipt.body) for receipt in page], "next": following})

    async def get(self, request: Request) -> Reply:
        """GET /receipts/{receipt_id}: the very bytes that were signed, with their signature; its hash is the `ETag`."""
        principal = await self._reach.overseer(request)
        receipt = await self._instance.receipts.get(principal.tenant_id, request.params["receipt_id"])
        return Reply(200, receipt.body.encode(), [JSON, (b"etag", f'"{receipt.hash}"'.encode())])

    async def verify(self, request: Request) -> Reply:
        """GET /receipts/verify: 200 whatever it found."""
        principal = await self._reach.overseer(request)
        verdict = await self._instance.receipts.verify(principal.tenant_id)
        fault = verdict.first_error
        shown = None if fault is None else Fault(fault.line or None, fault.text)
        return json_reply(200, Verdict(verdict.ok, verdict.receipts, shown))

    async def keys(self, request: Request) -> Reply:
        """GET /receipt-keys, all in one page and without a key."""
        found = await self._instance.receipts.keys()
        return json_reply(200, PublicKeyList([_show_key(key) for key in found], None))


def _show_key(key: SigningKey) -> PublicKey:
    return PublicKey(
        key.kid,
        _ALGORITHM,
        key.public_key,
        show_time(key.created_at),
        None if key.retired_at is None else show_time(key.retired_at),
    )
