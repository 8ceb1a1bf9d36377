"""A ticket in place of a key on the socket: once, in time, for its chat and its user, and never beyond its key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.keys import read_text
from tests.wire.lexicon.caller import NEVER, Caller, Exchange

ENTERED = ("connection_established", "")
NO_TICKET = ("AUTH_ERROR", "Invalid ticket")
OTHER_CHAT = ("AUTH_ERROR", "the ticket is for another chat")


@pytest.fixture
async def chat(ours: Caller) -> dict[str, Any]:
    return await ours.create("mara")


@pytest.fixture
def new_ticket(instance: Instance) -> Callable[..., Awaitable[str]]:
    """new_ticket(caller, chat, participant): a ticket of that caller's key."""

    async def make(caller: Caller, chat: dict[str, Any] | None = None, participant: str | None = None) -> str:
        maker = await instance.keys.authenticate(caller.key or "")
        found = None if chat is None else await instance.chats.get(maker.tenant_id, chat["id"])
        return (await instance.tickets.create(maker, found, participant))[0]

    return make


async def verdict(exchange: Exchange, **given: str) -> tuple[str, str]:
    """What a socket with these values is told first: the event, or the code and the message of an error."""
    async with exchange.dial(**given) as phone:
        event = await phone.next()
        if event["event_type"] != "error":
            return event["event_type"], ""
        code = {"AUTH_ERROR": 4401, "CHAT_NOT_FOUND": 4404}[event["error_code"]]
        await phone.closed(code, event["error_code"])
        return event["error_code"], event["error_message"]


async def test_it_opens_one_socket(ours: Caller, chat: dict[str, Any], exchange: Exchange, new_ticket: Any) -> None:
    ticket = await new_ticket(ours)
    async with exchange.dial(ticket=ticket, user_id="mara", chat_id=chat["id"]) as phone:
        await phone.until("connection_established")
        assert (await phone.exchange("hello"))[-1]["event_type"] == "message_stream_ended"
        assert await verdict(exchange, ticket=ticket, user_id="mara", chat_id=chat["id"]) == NO_TICKET
    assert len(await ours.said(chat["id"])) == 2


async def test_one_of_many_at_once_gets_in(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, new_ticket: Any
) -> None:
    ticket = await new_ticket(ours)
    verdicts = await asyncio.gather(
        *(verdict(exchange, ticket=ticket, user_id="mara", chat_id=chat["id"]) for _ in range(8))
    )
    assert sorted(verdicts) == [NO_TICKET] * 7 + [ENTERED]


async def test_it_goes_before_a_key(ours: Caller, chat: dict[str, Any], exchange: Exchange) -> None:
    given = {"ticket": "tkt_nonsense", "api_key": ours.key or "", "user_id": "mara", "chat_id": chat["id"]}
    assert await verdict(exchange, **given) == NO_TICKET
    assert await verdict(exchange, **{**given, "ticket": " "}) == ENTERED


async def test_late_is_too_late(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, new_ticket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TICKET_SECONDS", 0)
    assert await verdict(exchange, ticket=await new_ticket(ours), user_id="mara", chat_id=chat["id"]) == NO_TICKET


async def test_a_ticket_of_a_chat_opens_no_other(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, new_ticket: Any
) -> None:
    other = await ours.create("mara")
    for chat_id in (other["id"], NEVER):
        ticket = await new_ticket(ours, chat)
        assert await verdict(exchange, ticket=ticket, user_id="mara", chat_id=chat_id) == OTHER_CHAT
        assert await verdict(exchange, ticket=ticket, user_id="mara", chat_id=chat["id"]) == NO_TICKET, "it is used up"
    ticket = await new_ticket(ours, chat)
    assert await verdict(exchange, ticket=ticket, user_id="mara", chat_id=chat["id"].upper()) == ENTERED


async def test_a_ticket_of_a_user_speaks_for_nobody_else(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, new_ticket: Any
) -> None:
    """Without a chat it reaches that user's chats; with one, that chat, whoever owns it."""
    code, text = await verdict(exchange, ticket=await new_ticket(ours, chat, "mara"), user_id="zoe", chat_id=chat["id"])
    assert (code, text) == ("AUTH_ERROR", "this key or ticket speaks for another user_id")
    anothers = await ours.create("ben")
    for owned, found in ((chat, "connection_established"), (anothers, "CHAT_NOT_FOUND")):
        ticket = await new_ticket(ours, None, "mara")
        assert (await verdict(exchange, ticket=ticket, user_id="mara", chat_id=owned["id"]))[0] == found
    ticket = await new_ticket(ours, anothers, "mara")
    assert await verdict(exchange, ticket=ticket, user_id="mara", chat_id=anothers["id"]) == ENTERED


async def test_it_reaches_no_further_than_its_key(
    theirs: Caller,
    chat: dict[str, Any],
    caller: Callable[..., Awaitable[Caller]],
    exchange: Exchange,
    new_ticket: Any,
) -> None:
    """Another tenant's, a participant's, and one of a session, which this wire has no use for."""
    ben = await caller("t1", "ben")
    for maker, user in ((theirs, "mara"), (ben, "ben")):
        ticket = await new_ticket(maker)
        assert (await verdict(exchange, ticket=ticket, user_id=user, chat_id=chat["id"]))[0] == "CHAT_NOT_FOUND"
    session = await caller("t1", None, "session", session_id=chat["id"])
    given = {"ticket": await new_ticket(session, chat), "user_id": "mara", "chat_id": chat["id"]}
    assert (await verdict(exchange, **given))[0] == "AUTH_ERROR"


async def test_it_ends_with_its_key(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, instance: Instance, new_ticket: Any
) -> None:
    ticket = await new_ticket(ours)
    key = read_text(ours.key or "")
    assert key is not None
    await instance.keys.revoke(key.tenant_id, key.key_id)
    assert await verdict(exchange, ticket=ticket, user_id="mara", chat_id=chat["id"]) == NO_TICKET


async def test_a_ticket_that_somebody_changed_is_none(
    ours: Caller, chat: dict[str, Any], exchange: Exchange, new_ticket: Any
) -> None:
    """Every character counts, and what stands behind it."""
    ticket = await new_ticket(ours, chat, "mara")
    forged = [ticket[:at] + ("A" if ticket[at] != "A" else "B") + ticket[at + 1 :] for at in range(4, len(ticket), 9)]
    for text in [
        *forged,
        ticket + "A",
        ticket[:-1],
        ticket + "=",
        ticket.replace("tkt_", "ant_"),
        "tkt_",
        "ü",
        "x" * 3000,
    ]:
        assert await verdict(exchange, ticket=text, user_id="mara", chat_id=chat["id"]) == NO_TICKET, text
    assert await verdict(exchange, ticket=ticket, user_id="mara", chat_id=chat["id"]) == ENTERED
