"""`POST /tickets`, and tickets for the events of a chat: a stream or a socket, once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from antiphon.domain import limits, times
from tests.wire.native.caller import PREFIX, Caller, events_path, good, problem
from tests.wire.native.conftest import MakeCaller, MakeChat
from tests.wire.native.test_sockets import Open, close_of, frames_of_a_turn, open_socket

__all__ = ["open_socket"]


async def ticket_of(caller: Caller, **body: Any) -> str:
    ticket: str = good(await caller.ask("POST", "/tickets", json=body), 201)["ticket"]
    return ticket


async def follow(http: httpx.AsyncClient, chat: str, ticket: str) -> httpx.Response:
    return await http.get(PREFIX + events_path(chat), params={"ticket": ticket})


async def test_a_ticket_says_when_it_ends(ours: Caller) -> None:
    body = good(await ours.ask("POST", "/tickets"), 201)
    assert set(body) == {"ticket", "expires_at"}
    left = times.from_text(body["expires_at"]) - times.now()
    assert 0 < left <= limits.TICKET_SECONDS * times.SECOND
    assert body["ticket"] != good(await ours.ask("POST", "/tickets"), 201)["ticket"]


async def test_it_opens_one_stream(ours: Caller, http: httpx.AsyncClient, chat: str) -> None:
    await ours.start(chat)
    await ours.events(chat)
    ticket = await ticket_of(ours, chat=chat)
    assert (await follow(http, chat, ticket)).status_code == 200
    problem(await follow(http, chat, ticket), 401, "authentication_failed")


async def test_it_opens_one_socket(ours: Caller, chat: str, open_socket: Open) -> None:
    await ours.start(chat)
    ticket = await ticket_of(ours)
    socket = await open_socket(chat, None, f"?ticket={ticket}")
    assert await frames_of_a_turn(socket)
    assert await close_of(await open_socket(chat, None, f"?ticket={ticket}")) == (4401, "authentication_failed")


async def test_it_opens_nothing_else(ours: Caller, http: httpx.AsyncClient, chat: str) -> None:
    ticket = await ticket_of(ours)
    for path in ("/whoami", f"/chats/{chat}", "/webhooks"):
        problem(await http.get(PREFIX + path, params={"ticket": ticket}), 401, "authentication_failed")
        problem(
            await http.get(PREFIX + path, headers={"authorization": f"Bearer {ticket}"}), 401, "authentication_failed"
        )


async def test_for_another_chat_it_is_none(
    ours: Caller, http: httpx.AsyncClient, chat: str, make_chat: MakeChat
) -> None:
    other = await make_chat()
    for chat_id in (other, "never"):
        ticket = await ticket_of(ours, chat=chat)
        problem(await follow(http, chat_id, ticket), 401, "authentication_failed")


async def test_late_is_too_late(
    ours: Caller, http: httpx.AsyncClient, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TICKET_SECONDS", 0)
    problem(await follow(http, chat, await ticket_of(ours)), 401, "authentication_failed")


async def test_it_reaches_no_further_than_its_key(
    ours: Caller, caller: MakeCaller, http: httpx.AsyncClient, chat: str
) -> None:
    """The chat is ann's: ben has a ticket for nothing of it, nor has one of the tenant's that is for ben."""
    ben, theirs = await caller("t1", "ben"), await caller("t2")
    problem(await ben.ask("POST", "/tickets", json={"chat": chat}), 404, "not_found")
    problem(await theirs.ask("POST", "/tickets", json={"chat": chat}), 404, "not_found")
    problem(await ben.ask("POST", "/tickets", json={"participant": "ann"}), 403, "access_denied")
    for ticket in (
        await ticket_of(ben),
        await ticket_of(ben, participant="ben"),
        await ticket_of(theirs),
        await ticket_of(ours, participant="ben"),
        await ticket_of(ours, participant="nobody yet"),
    ):
        problem(await follow(http, chat, ticket), 404, "not_found")
    for body in ({"participant": "ann"}, {"chat": chat, "participant": "ben"}):
        assert (await follow(http, chat, await ticket_of(ours, **body))).status_code == 204


async def test_an_administrator_makes_none_in_another_tenant(caller: MakeCaller) -> None:
    await caller("t1")
    admin = await caller("t9", None, "admin")
    assert await ticket_of(admin)
    problem(await admin.ask("POST", "/tickets", headers={"x-tenant": "t1"}), 403, "access_denied")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"participant": " "}, 400, "invalid_input"),
        ({"participant": "x" * 513}, 400, "invalid_input"),
        ({"participant": "nul\0"}, 400, "invalid_input"),
        ({"chat": "never"}, 404, "not_found"),
        ({"user": "ann"}, 400, "unknown_field"),
        ({"chat": 7}, 400, "invalid_input"),
    ],
)
async def test_what_makes_no_ticket(ours: Caller, body: dict[str, Any], status: int, code: str) -> None:
    problem(await ours.ask("POST", "/tickets", json=body), status, code)


async def test_the_longest_name_fits(ours: Caller, http: httpx.AsyncClient, make_chat: MakeChat) -> None:
    name = "🦜" * limits.NAME_CHARACTERS
    chat = await make_chat(name)
    assert (await follow(http, chat, await ticket_of(ours, participant=name))).status_code == 204
