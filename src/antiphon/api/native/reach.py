"""What a key may do on our own wire: by scope, and with one answer for what is not there and what is not yours."""

from __future__ import annotations

import msgspec

from antiphon.api.auth import api_key_of, authenticate, bearer_of
from antiphon.api.http import Request
from antiphon.api.native.rates import Rates
from antiphon.core.instance import Instance
from antiphon.core.ports import Choice
from antiphon.domain.chats import Chat
from antiphon.domain.errors import (
    AccessDenied,
    AuthenticationFailed,
    ChatNotFound,
    InvalidInput,
    SessionNotFound,
    TenantNotFound,
    TurnNotFound,
)
from antiphon.domain.ids import Uid, parse_uuid, text_of
from antiphon.domain.keys import ADMIN, PARTICIPANT, TENANT, Principal
from antiphon.domain.messages import ASSISTANT, USER
from antiphon.domain.participants import DEFAULT_USER_NAME
from antiphon.domain.sessions import Session
from antiphon.domain.turns import RUNNING, Turn


class Reach:
    """Finds what a key may reach; everything else is not there."""

    def __init__(self, instance: Instance, rates: Rates) -> None:
        self._instance = instance
        self._rates = rates

    async def caller(self, request: Request) -> Principal:
        """Who is calling, in the tenant that is meant; counted against its rate, once a request.

        Raises AuthenticationFailed, RateLimitExceeded, and as `_in_tenant`.
        """
        key = bearer_of(request) or api_key_of(request)
        principal = await authenticate(self._instance, request, key)
        principal = request.principal = await self._in_tenant(principal, request.header(b"x-tenant"))
        await self._rates.admit(request, principal)
        return principal

    async def overseer(self, request: Request) -> Principal:
        """The caller, if the key reaches a whole tenant; that may be one whose records are all that is left.

        An administrator names such a tenant by its UUID. Raises AccessDenied, and as `caller`.
        """
        try:
            principal = await self.caller(request)
        except TenantNotFound:
            gone, admin = parse_uuid(request.header(b"x-tenant") or ""), request.principal
            if gone is None or admin is None or not await self._instance.deletions.list(gone, [], None, 1):
                raise
            principal = request.principal = msgspec.structs.replace(
                admin, tenant_id=gone, tenant_name=text_of(gone), participant_id=None, participant_name=None
            )
        if principal.scope not in {ADMIN, TENANT}:
            raise AccessDenied
        return principal

    async def steward(self, request: Request) -> Principal:
        """The caller, if the key reaches the whole of a tenant that is there. Raises AccessDenied, and as `caller`."""
        principal = await self.caller(request)
        if principal.scope not in {ADMIN, TENANT}:
            raise AccessDenied
        return principal

    async def administrator(self, request: Request) -> Principal:
        """The caller, if it is an administrator. Raises AccessDenied, and as `caller`."""
        principal = await self.caller(request)
        if principal.scope != ADMIN:
            raise AccessDenied
        return principal

    async def caller_of_key(self, key: str, tenant: str | None) -> Principal:
        """The same for a key that came another way than in a header."""
        return await self._in_tenant(await self._instance.keys.authenticate(key), tenant)

    async def follower(self, request: Request, chat_id: str) -> tuple[Principal, Chat]:
        """Who follows a chat, and the chat: by the ticket in the query, or else by the key. Raises as `caller`, `chat`.

        A ticket is used up by this; for another chat than its own it is none.
        """
        ticket = request.query.get("ticket")
        if not ticket or self._instance.everybody is not None:
            principal = await self.caller(request)
            return principal, await self.chat(principal, chat_id)
        grant = await self._instance.tickets.redeem(ticket)
        request.principal = grant.maker
        await self._rates.admit(request, grant.maker)
        if grant.chat_key is not None:
            chat = await self._instance.chats.find(grant.maker.tenant_id, chat_id)
            if chat is None or chat.key != grant.chat_key or not await self._reaches(grant.maker, chat):
                raise AuthenticationFailed
            return grant.maker, chat
        chat = await self.chat(grant.maker, chat_id)
        if grant.holder is not None and not await self._reaches(grant.holder, chat):
            raise ChatNotFound
        return grant.maker, chat

    async def _in_tenant(self, principal: Principal, name: str | None) -> Principal:
        """The caller in the tenant of that name or UUID; None is its own.

        Only an administrator reaches another, and is nobody's participant there. Raises AccessDenied for everybody
        else, whether there is such a tenant or not, and TenantNotFound.
        """
        if not name or name in {principal.tenant_name, text_of(principal.tenant_id)}:
            return principal
        if principal.scope != ADMIN:
            raise AccessDenied
        tenant = await self._instance.tenants.get(name)
        return msgspec.structs.replace(
            principal,
            tenant_id=tenant.id,
            tenant_name=tenant.name,
            agent_name=tenant.agent_name,
            participant_id=None,
            participant_name=None,
        )

    async def chat(self, principal: Principal, chat_id: str) -> Chat:
        """The chat of that id. Raises ChatNotFound."""
        chat = await self._instance.chats.find(principal.tenant_id, chat_id)
        if chat is None or not await self._reaches(principal, chat):
            raise ChatNotFound
        return chat

    async def session(self, principal: Principal, session_id: str) -> Session:
        """The session of that id. Raises SessionNotFound."""
        session = await self._instance.sessions.find(principal.tenant_id, session_id)
        if session is None or not await self._reaches_session(principal, session):
            raise SessionNotFound
        return session

    async def choice(self, principal: Principal, owner: str | None, session: Session | None = None) -> Choice | None:
        """Which sessions and chats a list is of: what the key reaches, of that owner, in that session; None: none.

        The session must be one that the key reaches: then it reaches all chats of it.
        """
        owner_id = None
        if owner is not None:
            who = await self._instance.participants.find_owner(principal.tenant_id, owner)
            if who is None:
                return None
            owner_id = who.id
        if principal.scope not in {ADMIN, TENANT, PARTICIPANT} and session is None:
            session = await self._instance.sessions.find(principal.tenant_id, principal.session_id or "")
            if session is None:
                return None
        if session is not None:
            return Choice(session_key=session.key, only_of=owner_id)
        mine = principal.participant_id
        if principal.scope != PARTICIPANT or mine == owner_id:
            return Choice(owner_id=owner_id)
        return Choice(owner_id=None if owner_id else mine, member_id=mine, only_of=owner_id)

    @staticmethod
    def check_ownership(principal: Principal, owner_id: Uid) -> None:
        """Raise AccessDenied when a participant's key would delete what the participant can see and does not own."""
        if principal.scope == PARTICIPANT and principal.participant_id != owner_id:
            raise AccessDenied

    async def turn(self, principal: Principal, turn_id: Uid | None) -> tuple[Turn, Chat]:
        """The turn of that id, with its chat; a turn of a dead process is closed first. Raises TurnNotFound."""
        if turn_id is None:
            raise TurnNotFound
        turn = await self._settled(await self._instance.turns.get(principal.tenant_id, turn_id))
        chat = await self._instance.chats.find_by_key(principal.tenant_id, turn.chat_key)
        if chat is None or not await self._reaches(principal, chat):
            raise TurnNotFound
        return turn, chat

    async def last_turn(self, principal: Principal, chat: Chat) -> Turn | None:
        """The newest turn of a chat; one of a dead process is closed first."""
        turn = await self._instance.turns.find_last(principal.tenant_id, chat)
        return None if turn is None else await self._settled(turn)

    async def _settled(self, turn: Turn) -> Turn:
        if turn.state != RUNNING or turn.is_live:
            return turn
        await self._instance.turns.close_dead(turn.tenant_id, turn.id)
        return await self._instance.turns.get(turn.tenant_id, turn.id)

    async def _reaches(self, principal: Principal, chat: Chat) -> bool:
        if principal.scope in {ADMIN, TENANT}:
            return True
        if principal.scope != PARTICIPANT:
            return chat.session_id == principal.session_id
        if principal.participant_id is None or chat.owner_id == principal.participant_id:
            return principal.participant_id is not None
        session = await self._instance.sessions.find(principal.tenant_id, chat.session_id)
        if session is None:
            return False
        return await self._instance.sessions.is_member(principal.tenant_id, session, principal.participant_id)

    async def _reaches_session(self, principal: Principal, session: Session) -> bool:
        if principal.scope in {ADMIN, TENANT}:
            return True
        if principal.scope != PARTICIPANT:
            return session.id == principal.session_id
        if principal.participant_id is None or session.owner_id == principal.participant_id:
            return principal.participant_id is not None
        return await self._instance.sessions.is_member(principal.tenant_id, session, principal.participant_id)


def default_speaker(principal: Principal, chat: Chat, role: str | None) -> str:
    """Who says what names nobody: the agent what an assistant says; else the key's participant, else the chat's owner.

    Where the owner is the agent, that is `user`.
    """
    if role == ASSISTANT:
        return principal.agent_name
    owner = DEFAULT_USER_NAME if chat.owner_name == principal.agent_name else chat.owner_name
    return principal.participant_name or owner


def check_role(principal: Principal, author: str, role: str | None, at: str) -> str:
    """The role of what somebody says. Raises InvalidInput for another one; its field is below `at`."""
    fitting = ASSISTANT if author == principal.agent_name else USER
    if role not in {None, fitting}:
        raise InvalidInput(
            f"assistant is the role of {principal.agent_name}, and user that of others", field=f"{at}.role"
        )
    return fitting


def may_speak_as(principal: Principal, name: str) -> bool:
    """Whether the key may say something under that name: a participant's key only under its own."""
    return principal.scope != PARTICIPANT or principal.participant_name == name


def owner_for(principal: Principal, name: str | None) -> tuple[str, bool]:
    """Whose something new is: the one who is named, else the key's participant, else the tenant's agent.

    Also whether it is the last, which nobody has named. Raises AccessDenied when the key may not speak for the one who
    is named.
    """
    named = name or principal.participant_name
    owner = named or principal.agent_name
    if not may_speak_as(principal, owner):
        raise AccessDenied
    return owner, named is None
