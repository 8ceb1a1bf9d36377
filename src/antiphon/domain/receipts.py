"""Receipt: the signed statement of what a deletion removed, one link of its tenant's chain.

A receipt is a JSON object whose canonical form (RFC 8785) without the member `signature` is what is signed, and whose
canonical form with it is what the next receipt names by its hash. Ours holds texts, whole numbers, objects and nulls
only, for which that form is: members sorted, no blanks, UTF-8.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import msgspec

from antiphon.domain.ids import Uid

VERSION: Final = 1
ID_PREFIX, DELETION_PREFIX = "rcp_", "del_"
"""What the ids of receipts and of deletions begin with, before a UUID."""

NO_PREVIOUS = "sha256:" + "0" * 64
"""What the first receipt of a chain names as the one before."""

_encode = msgspec.json.Encoder(order="sorted").encode


class Receipt(msgspec.Struct, frozen=True):
    """A stored receipt: its place in the chain of its tenant, the key that signed it, and itself as canonical JSON."""

    tenant_id: Uid
    sequence: int
    id: Uid
    deletion_id: Uid
    kid: str
    body: str
    hash: str
    issued_at: int


class SigningKey(msgspec.Struct, frozen=True):
    """The public half of a key that signs receipts: Ed25519, 32 bytes as unpadded base64url."""

    kid: str
    public_key: str
    created_at: int
    retired_at: int | None


def canonical(value: dict[str, Any]) -> bytes:
    """The canonical JSON of an object of ours."""
    return _encode(value)


def hash_of(body: bytes) -> str:
    """How the next receipt names this one."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def digest_of(secret: bytes, kind: str, text: str) -> str:
    """An id that nobody can guess back without the tenant's secret, which is destroyed with the tenant."""
    return "hmac:" + hmac.new(secret, f"{kind}\0{text}".encode(), hashlib.sha256).hexdigest()
