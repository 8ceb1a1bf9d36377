"""Receipts on our own wire: the chain as it was signed, its check, and the keys for whoever wants to do it alone."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from antiphon.core.deletion.verify import Verification
from antiphon.core.instance import Instance
from antiphon.domain.receipts import hash_of
from antiphon.signing.ed25519 import verify_signature
from tests.wire.native.caller import PREFIX, Caller, chat_path, good, problem
from tests.wire.native.conftest import MakeCaller, MakeChat

NEVER = "rcp_00000000-0000-7000-8000-000000000000"


async def delete_some(ours: Caller, make_chat: MakeChat, count: int) -> list[str]:
    """The ids of the receipts of so many chats, in the order of their chain."""
    for _ in range(count):
        good(await ours.ask("DELETE", chat_path(await make_chat())), 202)
    async with asyncio.timeout(20):
        while True:
            items = good(await ours.ask("GET", "/receipts"))["items"]
            if len(items) >= count:
                return [item["id"] for item in items]
            await asyncio.sleep(0.02)  # between two questions


async def test_whoever_has_the_keys_can_check_what_the_wire_gives(
    ours: Caller, make_chat: MakeChat, http: httpx.AsyncClient
) -> None:
    names = await delete_some(ours, make_chat, 3)
    answer = await http.get(f"{PREFIX}/receipt-keys")
    assert answer.json()["next"] is None
    (key,) = answer.json()["items"]
    assert key == {**key, "algorithm": "Ed25519", "retired_at": None}
    assert key["created_at"].endswith("Z")
    verification = Verification({key["kid"]: key["public_key"]}, verify_signature)
    for sequence, name in enumerate(names, start=1):
        one = await ours.ask("GET", f"/receipts/{name}")
        assert good(one)["sequence"] == sequence
        assert one.headers["etag"] == f'"{hash_of(one.content)}"'
        verification.read("wire", sequence, one.content + b"\n")
    verdict = verification.verdict()
    assert (verdict.first_error, verdict.receipts) == (None, 3)
    listed = await ours.ask("GET", "/receipts")
    assert one.content in listed.content, "the very bytes that were signed"


async def test_they_come_in_pages(ours: Caller, make_chat: MakeChat) -> None:
    names = await delete_some(ours, make_chat, 5)

    async def page(**params: Any) -> tuple[list[str], str | None]:
        found = good(await ours.ask("GET", "/receipts", params=params))
        return [item["id"] for item in found["items"]], found["next"]

    first, cursor = await page(limit=2)
    second, following = await page(limit=2, cursor=cursor)
    third, end = await page(limit=2, cursor=following)
    assert [*first, *second, *third] == names
    assert end is None
    assert await page(after=3) == (names[3:], None)
    assert await page(after=5) == ([], None)
    assert (await page(after=1, limit=1))[0] == [names[1]]
    problem(await ours.ask("GET", "/receipts", params={"cursor": cursor, "after": "1"}), 400, "invalid_cursor")


async def test_the_check_names_what_is_wrong(
    ours: Caller, make_chat: MakeChat, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    await delete_some(ours, make_chat, 2)
    assert good(await ours.ask("GET", "/receipts/verify")) == {"ok": True, "receipts": 2, "first_error": None}
    listed = instance.store.receipts.list

    async def without_the_first(tenant_id: bytes, after: int, limit: int) -> Any:
        return [receipt for receipt in await listed(tenant_id, after, limit) if receipt.sequence > 1]

    monkeypatch.setattr(instance.store.receipts, "list", without_the_first)
    verdict = good(await ours.ask("GET", "/receipts/verify"))
    assert (verdict["ok"], verdict["first_error"]["sequence"]) == (False, 2)
    assert "receipt 1 is missing" in verdict["first_error"]["message"]


async def test_each_tenant_has_its_own(ours: Caller, make_chat: MakeChat, caller: MakeCaller) -> None:
    (name,) = await delete_some(ours, make_chat, 1)
    theirs = await caller("t2")
    assert good(await theirs.ask("GET", "/receipts")) == {"items": [], "next": None}
    assert good(await theirs.ask("GET", "/receipts/verify")) == {"ok": True, "receipts": 0, "first_error": None}
    foreign = problem(await theirs.ask("GET", f"/receipts/{name}"), 404, "not_found")
    unknown = problem(await theirs.ask("GET", f"/receipts/{NEVER}"), 404, "not_found")
    assert {**foreign, "request_id": ""} == {**unknown, "request_id": ""}


@pytest.mark.parametrize("name", [NEVER, NEVER[4:], "rcp_", "rcp_x"])
async def test_what_is_no_receipt_is_not_found(ours: Caller, name: str) -> None:
    problem(await ours.ask("GET", f"/receipts/{name}"), 404, "not_found")


@pytest.mark.parametrize(
    "params", [{"after": "x"}, {"after": "-1"}, {"after": ""}, {"limit": "0"}, {"limit": "201"}, {"cursor": "x"}]
)
async def test_a_list_that_there_is_not(ours: Caller, params: dict[str, str]) -> None:
    code = "invalid_cursor" if "cursor" in params else "invalid_input"
    problem(await ours.ask("GET", "/receipts", params=params), 400, code)
