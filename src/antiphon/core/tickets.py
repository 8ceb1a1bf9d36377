"""Tickets: what a key gives away for one connection, where the key itself must not be seen."""

from __future__ import annotations

import msgspec

from antiphon.core.ports import Store
from antiphon.domain import keys, limits, participants, tickets, times
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AccessDenied, AuthenticationFailed, KeyNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.keys import PARTICIPANT, Principal
from antiphon.domain.tickets import Grant


class Tickets:
    """The verbs of tickets."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, maker: Principal, chat: Chat | None, participant: str | None) -> tuple[str, int]:
        """A ticket's text, given back here and never again, and when it ends; good for one connection.

        With a chat (which the maker must be known to reach) it is good for that alone; with a participant, for what
        that participant reaches. Raises AccessDenied when the maker may not speak as that participant, or its key is
        not of this tenant.
        """
        if maker.scope == PARTICIPANT and participant not in (None, maker.participant_name):
            raise AccessDenied("this key speaks for its own participant only")
        key_id = maker.key_id
        chat_key = None if chat is None else chat.key
        ticket = tickets.new_ticket(maker.tenant_id, key_id or maker.tenant_id, chat_key, participant)
        text = tickets.write_text(ticket)
        if key_id is None:  # authentication is off: nobody will ask whether this is one
            return text, times.now() + limits.TICKET_SECONDS * times.SECOND
        try:
            digest = tickets.digest_of(text)
            expires_at = await self._store.tickets.create(maker.tenant_id, key_id, digest, limits.TICKET_SECONDS)
        except KeyNotFound:
            raise AccessDenied("a ticket is made with a key of the tenant itself") from None
        return text, expires_at

    async def redeem(self, text: str) -> Grant:
        """What a ticket gives; from here on it is used up, whatever comes of it. Raises AuthenticationFailed.

        Its key must still be a good one now.
        """
        ticket = tickets.read_text(text)
        if ticket is None or not await self._store.tickets.redeem(ticket.tenant_id, tickets.digest_of(text)):
            raise AuthenticationFailed
        found = await self._store.keys.load(ticket.tenant_id, [ticket.key_id])
        if not found:
            raise AuthenticationFailed
        _, maker = found[0]
        return Grant(maker, await self._holder(maker, ticket.participant_name), ticket.chat_key)

    async def _holder(self, maker: Principal, name: str | None) -> Principal | None:
        """The participant of that name as a caller; without an id while there is none yet."""
        if name is None:
            return None
        who = await self._store.participants.find(maker.tenant_id, participants.PEER, name)
        who_id: Uid | None = who.id if who else None
        return msgspec.structs.replace(
            maker, scope=keys.PARTICIPANT, participant_id=who_id, participant_name=name, session_id=None
        )
