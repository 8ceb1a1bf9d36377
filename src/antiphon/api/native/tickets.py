"""Tickets on our own wire: a key's stand-in for one socket or event stream, where the key would be seen."""

from __future__ import annotations

import msgspec

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.native.bodies import read_body
from antiphon.api.native.errors import refusals
from antiphon.api.native.reach import Reach
from antiphon.api.native.wire import show_time
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain import limits, texts
from antiphon.domain.errors import InvalidInput


class NewTicket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the ticket is to be good for: one chat, what one participant reaches; without either, all of the key."""

    chat: str | None = None
    participant: str | None = None


class Ticket(msgspec.Struct, frozen=True):
    """A ticket, shown this once."""

    ticket: str
    expires_at: str


class Tickets:
    """The route of tickets."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The route under that prefix."""
        return [
            Route(
                "POST",
                f"{prefix}/tickets",
                self.create,
                "Make a ticket: good once, within a minute, for a socket or an event stream, as `?ticket=`.",
                {201: Ticket, **refusals(413)},
                body=NewTicket,
                is_body_optional=True,
            )
        ]

    async def create(self, request: Request) -> Reply:
        """POST /tickets."""
        principal = await self._reach.caller(request)
        new = await read_body(request, NewTicket)
        if new.participant is not None:
            if not new.participant.strip():
                raise InvalidInput("a participant has a name", field="participant")
            texts.check_text(new.participant, "participant", limits.NAME_CHARACTERS)
        chat = None if new.chat is None else await self._reach.chat(principal, new.chat)
        text, expires_at = await self._instance.tickets.create(principal, chat, new.participant)
        return json_reply(201, Ticket(text, show_time(expires_at)))
