"""The handshake of a socket: who connects, as whom, and to which chat."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl

from antiphon.api.auth import check_origin
from antiphon.api.http import Scope
from antiphon.api.lexicon.reach import check_scope, may_speak_for, visible_chat
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AuthenticationFailed, ChatNotFound, InvalidInput
from antiphon.domain.keys import Principal
from antiphon.domain.texts import check_text
from antiphon.domain.tickets import Grant

_HEADER_OF = {"api_key": b"x-api-key", "user_id": b"x-user-id", "chat_id": b"x-chat-id", "ticket": None}


class Given(NamedTuple):
    """What the client gave; None for what is missing or blank. A ticket goes before a key."""

    api_key: str | None
    user_id: str | None
    chat_id: str | None
    ticket: str | None = None
    origin: str | None = None


class Admitted(NamedTuple):
    """Who is let in, and the chat."""

    principal: Principal
    user_id: str
    chat: Chat


def take_given(scope: Scope) -> Given:
    """The values of a handshake: each from the query, or else from its header; a ticket has none.

    Takes the query out of the scope: it may hold a key, and servers write queries into their logs.
    """
    raw = scope["query_string"].decode("latin-1")
    query = dict(parse_qsl(raw, keep_blank_values=True, errors="surrogateescape"))
    scope["query_string"] = b""
    headers = dict(scope["headers"])
    values: dict[str, str | None] = {}
    for name, header in _HEADER_OF.items():
        found = (text for text in (query.get(name), _text_of(headers.get(header or b""))) if text and text.strip())
        values[name] = next(found, None)
    return Given(**values, origin=_text_of(headers.get(b"origin")))


def _text_of(raw: bytes | None) -> str | None:
    """A header's text: UTF-8, which most clients write, or else Latin-1, as the older rule was."""
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


async def admit(instance: Instance, given: Given) -> Admitted:
    """Check what was given, in the order of the contract.

    Raises AuthenticationFailed (also when a value is missing, and for a ticket of another chat) and ChatNotFound.
    """
    grant = await _grant(instance, given)
    user_id = _user_of(grant.holder or grant.maker, given.user_id)
    if given.chat_id is None:
        raise AuthenticationFailed("chat_id is missing")
    try:
        chat = await visible_chat(instance, grant.maker, given.chat_id)
    except ChatNotFound:
        if grant.chat_key is not None:
            raise _other_chat() from None
        raise unknown_chat(given.chat_id) from None
    if grant.chat_key not in (None, chat.key):
        raise _other_chat()
    if grant.chat_key is None and grant.holder is not None and not may_speak_for(grant.holder, chat.owner_name):
        raise unknown_chat(given.chat_id)
    return Admitted(grant.maker, user_id, chat)


def unknown_chat(chat_id: str) -> ChatNotFound:
    """The error that names the chat as it was asked for."""
    return ChatNotFound(f"Chat {chat_id[: limits.CLIENT_ID_CHARACTERS]!r} is unknown to this tenant")


def _other_chat() -> AuthenticationFailed:
    return AuthenticationFailed("the ticket is for another chat")


async def _grant(instance: Instance, given: Given) -> Grant:
    """What the ticket gives, or else the key: that of a key is its own reach."""
    if instance.everybody is not None:
        check_origin(given.origin)
        return Grant(instance.everybody, None, None)
    if given.ticket is None and given.api_key is None:
        raise AuthenticationFailed("api_key is missing")
    try:
        if given.ticket is not None:
            grant = await instance.tickets.redeem(given.ticket)
        else:
            grant = Grant(await instance.keys.authenticate(given.api_key or ""), None, None)
    except AuthenticationFailed:
        raise AuthenticationFailed("Invalid API key" if given.ticket is None else "Invalid ticket") from None
    check_scope(grant.maker)
    return grant


def _user_of(principal: Principal, user_id: str | None) -> str:
    if user_id is None:
        raise AuthenticationFailed("user_id is missing")
    try:
        check_text(user_id, "user_id", limits.LEXICON_USER_ID_CHARACTERS)
    except InvalidInput as error:
        raise AuthenticationFailed(error.message) from None
    if not may_speak_for(principal, user_id):
        raise AuthenticationFailed("this key or ticket speaks for another user_id")
    return user_id
