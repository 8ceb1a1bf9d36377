"""A ticket in place of a key on the socket: once, in time, for its chat and its user, and never beyond its key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.keys import read_text
from tests.wire.lexicon.caller import CLOSED, Caller, Exchange

TICKETS = "/antiphon/v1/tickets"


@pytest.fixture
async def chat(ours: Caller) -> dict[str, Any]:
    return await ours.create("mara")


async def new_ticket(caller: Caller, **body: str) -> str:
    answer = await caller.http.post(TICKETS, headers={"X-API-Key": caller.key or ""}, json=body)
    assert answer.status_code == 201, answer.text
    ticket: str = answer.json()["ticket"]
    return ticket


async def verdict(exchange: Exchange, **given: str) -> tuple[str, str]:
    """The first event of a socket: its kind, and the code and message of an error."""
    async with exchange.dial(**given) as phone:
        event = await phone.next()
        if event["event_type"] != "error":
            return event["event_type"], ""
        assert (await phone.next())["event_type"] == CLOSED
        return event["error_code"], event["error_message"]


ENTERED = ("connection_established", "")
NO_TICKET = ("AUTH_ERROR", "Invalid ticket")


@pytest.fixture
def http(plain_http: Any) -> Any:
    return plain_http
