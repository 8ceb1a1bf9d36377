"""Ticket: a random text that stands for a key once, for a minute, and reaches no further than that key.

The text of a ticket is `tkt_` and the base64url of: tenant, key, secret, chat (zeros for none), and the name of a
participant in UTF-8 (nothing for none). All that it is good for stands in it, and a digest of the whole is what is
stored: so nobody can change it, and nothing of anybody is kept.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from antiphon.domain import limits
from antiphon.domain.ids import Uid
from antiphon.domain.keys import Principal

_PREFIX = "tkt_"
_UID_BYTES, _SECRET_BYTES = 16, 32
_FIXED_BYTES = 3 * _UID_BYTES + _SECRET_BYTES
_NO_CHAT = bytes(_UID_BYTES)
_TEXT = re.compile(rf"tkt_[A-Za-z0-9_-]{{{_FIXED_BYTES * 4 // 3},{limits.TICKET_CHARACTERS}}}")


class Ticket(msgspec.Struct, frozen=True):
    """What a ticket says: whose key made it, and what it is good for. None is no restriction beyond the key's own."""

    tenant_id: Uid
    key_id: Uid
    secret: bytes
    chat_key: Uid | None
    participant_name: str | None


class Grant(msgspec.Struct, frozen=True):
    """What a redeemed ticket gives: the reach of `maker`, and where set that of `holder` and one chat, all at once."""

    maker: Principal
    holder: Principal | None
    chat_key: Uid | None


def new_ticket(tenant_id: Uid, key_id: Uid, chat_key: Uid | None, participant_name: str | None) -> Ticket:
    """A ticket with a secret of its own."""
    return Ticket(tenant_id, key_id, secrets.token_bytes(_SECRET_BYTES), chat_key, participant_name)


def write_text(ticket: Ticket) -> str:
    """The text that is given out, once."""
    raw = ticket.tenant_id + ticket.key_id + ticket.secret + (ticket.chat_key or _NO_CHAT)
    return _PREFIX + urlsafe_b64encode(raw + (ticket.participant_name or "").encode()).rstrip(b"=").decode()


def read_text(text: str) -> Ticket | None:
    """What a text says; None when it is no ticket's. Whether it holds is for the store to say."""
    if not _TEXT.fullmatch(text):
        return None
    try:
        raw = urlsafe_b64decode(text[len(_PREFIX) :] + "==")
        name = raw[_FIXED_BYTES:].decode()
    except ValueError:
        return None
    chat_key = raw[_FIXED_BYTES - _UID_BYTES : _FIXED_BYTES]
    return Ticket(
        raw[:_UID_BYTES],
        raw[_UID_BYTES : 2 * _UID_BYTES],
        raw[2 * _UID_BYTES : 2 * _UID_BYTES + _SECRET_BYTES],
        None if chat_key == _NO_CHAT else chat_key,
        name or None,
    )


def digest_of(text: str) -> bytes:
    """What is stored of a ticket's text."""
    return hashlib.sha256(text.encode()).digest()
