"""Ed25519 keys: one that signs, its public half beside it, and the check of signatures.

In the data directory: `receipts-key.pem` (PKCS #8, mode 0600: one that is open to others is closed) signs now;
`receipts-<kid>.pub` are the public halves of all that ever did, and `receipts-<kid>.jsonl` what they signed. All are of
forms that openssl reads.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from antiphon.core.ports.signing import Ledger, Signer
from antiphon.domain import times
from antiphon.domain.errors import StoreFailed
from antiphon.domain.receipts import SigningKey
from antiphon.signing.folder import PRIVATE, PUBLIC, locked, translated, write_whole
from antiphon.signing.ledger import FileLedger

KEY_FILE = "receipts-key.pem"
_PUBLIC_FILE = re.compile(r"receipts-([0-9a-f]{16})\.pub")
_PUBLIC_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
_PUBLIC_TEXT = re.compile(rb"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_=-])")
_KID_CHARACTERS = 16
_NANOSECONDS = 1000  # in a microsecond
_OTHERS = 0o077  # the bits of a mode that let anybody but the owner in

_log = logging.getLogger(__name__)


class Ed25519Signer:
    """A private key. `key` is its public half."""

    def __init__(self, private: Ed25519PrivateKey, created_at: int) -> None:
        self._private = private
        self.key = signing_key(_text_of(private.public_key()), created_at)

    def sign(self, data: bytes) -> bytes:
        """The signature of the data, 64 bytes."""
        return self._private.sign(data)


class FileKeyring:
    """The keys in a data directory. Processes may share it, start in it at the same time, and rotate under others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / KEY_FILE

    def signer(self) -> Signer:
        """The key that signs now, made when there is none. Durable on return.

        Raises StoreUnavailable when the directory cannot be read or written, StoreFailed for a file that is no key.
        """
        with translated(self._path):
            try:
                return self._read()
            except FileNotFoundError:
                pass
            with locked(self._folder):
                return self._read() if self._path.exists() else self._make()

    def rotate(self) -> Signer:
        """A new key in place of the one that signs, whose file is gone on return. Durable on return.

        Raises StoreUnavailable.
        """
        with translated(self._path), locked(self._folder):
            return self._make()

    def public_keys(self) -> list[SigningKey]:
        """The public halves of all keys that there have been, oldest first. Raises StoreError."""
        with translated(self._folder):
            found = [_read_public(path) for path in self._folder.iterdir() if _PUBLIC_FILE.fullmatch(path.name)]
        return sorted(found, key=lambda key: (key.created_at, key.kid))

    def ledger(self, kid: str) -> Ledger:
        """The file of the receipts of one of the keys."""
        return FileLedger(self._folder / f"receipts-{kid}.jsonl")

    def _read(self) -> Ed25519Signer:
        with self._path.open("rb") as file:
            content, state = file.read(), os.fstat(file.fileno())
            if state.st_mode & _OTHERS:
                _close_to_others(file.fileno())
        try:
            private = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise StoreFailed(f"{self._path} is no Ed25519 key; restore it, or remove it and a new one is made")
        return Ed25519Signer(private, state.st_mtime_ns // _NANOSECONDS)

    def _make(self) -> Ed25519Signer:
        """A new key: its public half first, so that there is no signature which nobody can check."""
        private = Ed25519PrivateKey.generate()
        signer = Ed25519Signer(private, times.now())
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        write_whole(self._folder / f"receipts-{signer.key.kid}.pub", public, PUBLIC)
        secret = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_whole(self._path, secret, PRIVATE)
        return signer


def _close_to_others(handle: int) -> None:
    """A copy or a restore may open the private key to others. What cannot be changed (a read-only disk) is left."""
    with suppress(OSError):
        os.fchmod(handle, PRIVATE)
        _log.warning("key of receipts was open to others", extra={"file": KEY_FILE})


def signing_key(public_key: str, created_at: int) -> SigningKey:
    """A public half with its kid: the beginning of the SHA-256 of its 32 bytes, in hexadecimal."""
    digest = hashlib.sha256(urlsafe_b64decode(f"{public_key}=")).hexdigest()
    return SigningKey(digest[:_KID_CHARACTERS], public_key, created_at, None)


def verify_signature(public_key: str, signature: bytes, data: bytes) -> bool:
    """Whether that key (32 bytes as unpadded base64url) made that signature; a malformed key made none."""
    try:
        _parsed(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_public_keys(content: bytes) -> list[SigningKey]:
    """The public keys in a file: PEM, or texts of 32 bytes in base64url, alone or in JSON. The rest is passed over.

    A file with a private key has none: it should be in nobody's hands.
    """
    if b"PRIVATE KEY" in content:
        return []
    texts = [found.decode() for found in _PUBLIC_TEXT.findall(_PUBLIC_PEM.sub(b"", content))]
    for block in _PUBLIC_PEM.findall(content):
        with suppress(ValueError, UnsupportedAlgorithm):
            public = serialization.load_pem_public_key(block)
            if isinstance(public, Ed25519PublicKey):
                texts.append(_text_of(public))
    return [signing_key(text, 0) for text in texts]


@lru_cache(maxsize=64)
def _parsed(public_key: str) -> Ed25519PublicKey:
    """Raises ValueError (also `binascii.Error`, which is one) when it is no key."""
    return Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(f"{public_key}="))


def _read_public(path: Path) -> SigningKey:
    keys = read_public_keys(path.read_bytes())
    if len(keys) != 1:
        raise StoreFailed(f"{path} is no Ed25519 public key")
    return SigningKey(keys[0].kid, keys[0].public_key, path.stat().st_mtime_ns // _NANOSECONDS, None)


def _text_of(public: Ed25519PublicKey) -> str:
    return urlsafe_b64encode(public.public_bytes_raw()).rstrip(b"=").decode()
