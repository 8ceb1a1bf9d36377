"""What a key may do on Lexicon's wire."""

from __future__ import annotations

from antiphon.api.http import Request
from antiphon.core.instance import Instance
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AuthenticationFailed, ChatNotFound
from antiphon.domain.ids import is_canonical_uuid
from antiphon.domain.keys import PARTICIPANT, SESSION, Principal


def caller_of(request: Request) -> Principal:
    """Who is calling; `Lexicon.respond` has found out before it asks a handler."""
    if request.principal is None:
        raise AuthenticationFailed
    return request.principal


def check_scope(principal: Principal) -> None:
    """Raises AuthenticationFailed for a key of one session: this wire has no use for it."""
    if principal.scope == SESSION:
        raise AuthenticationFailed("this key reaches one session only")


def may_speak_for(principal: Principal, user_id: str) -> bool:
    """Whether the key may make chats and connect as that user: a participant's key only as itself."""
    return principal.scope != PARTICIPANT or principal.participant_name == user_id


async def visible_chat(instance: Instance, principal: Principal, chat_id: str) -> Chat:
    """The chat of that id (a UUID in either case), if the key may see it. Raises ChatNotFound."""
    canonical = chat_id.lower()
    chat = await instance.chats.find(principal.tenant_id, canonical) if is_canonical_uuid(canonical) else None
    if chat is None or not may_speak_for(principal, chat.owner_name):
        raise ChatNotFound
    return chat
