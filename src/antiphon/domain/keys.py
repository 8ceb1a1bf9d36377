"""Key: a credential, and what it may reach.

The text of a key is `ant_` and the base64url of 64 bytes: tenant, key id, secret. It finds its own tenant, so no global
index of keys is needed; only a hash of the secret is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from antiphon.domain.ids import Uid, text_of

ADMIN, TENANT, PARTICIPANT, SESSION = "admin", "tenant", "participant", "session"
SCOPES = (ADMIN, TENANT, PARTICIPANT, SESSION)

ID_PREFIX = "key_"

_PREFIX = "ant_"
_TEXT = re.compile(r"ant_[A-Za-z0-9_-]{86}")
_SECRET_BYTES = 32


class Key(msgspec.Struct, frozen=True):
    """A stored credential; `secret_hash` is the SHA-256 of a random secret, so it needs no salt and no slow hash."""

    id: Uid
    tenant_id: Uid
    participant_id: Uid | None
    participant_name: str | None
    session_id: str | None
    scope: str
    label: str | None
    secret_hash: bytes
    created_at: int
    expires_at: int | None
    revoked_at: int | None


class Principal(msgspec.Struct, frozen=True):
    """Who is calling, and how far the call may reach. `tenant_name` and `participant_name` are for the wires."""

    tenant_id: Uid
    tenant_name: str
    agent_name: str
    scope: str
    participant_id: Uid | None = None
    participant_name: str | None = None
    session_id: str | None = None
    key_id: Uid | None = None


class KeyText(msgspec.Struct, frozen=True):
    """The three parts of a key's text."""

    tenant_id: Uid
    key_id: Uid
    secret: bytes


def new_secret() -> bytes:
    """32 random bytes."""
    return secrets.token_bytes(_SECRET_BYTES)


def hash_of(secret: bytes) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret).digest()


def matches(secret: bytes, secret_hash: bytes) -> bool:
    """Whether the secret is the one whose hash is stored; in constant time."""
    return hmac.compare_digest(hash_of(secret), secret_hash)


def write_text(tenant_id: Uid, key_id: Uid, secret: bytes) -> str:
    """The text that is given to the owner of the key, once."""
    return _PREFIX + urlsafe_b64encode(tenant_id + key_id + secret).rstrip(b"=").decode()


def read_text(text: str) -> KeyText | None:
    """The parts of a key's text; None when it is not one."""
    if not _TEXT.fullmatch(text):
        return None
    raw = urlsafe_b64decode(text[len(_PREFIX) :] + "==")
    return KeyText(raw[:16], raw[16:32], raw[32:])


def is_key_text(text: str) -> bool:
    """Whether a text begins as those of keys do."""
    return text.startswith(_PREFIX)


def show_id(key_id: Uid) -> str:
    """A key's id as people see it: `key_` and a UUID."""
    return ID_PREFIX + text_of(key_id)
