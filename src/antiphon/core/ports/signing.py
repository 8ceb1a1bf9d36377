"""What the core needs to issue receipts: keys that sign, and files beside the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from antiphon.domain.receipts import SigningKey


class Signer(Protocol):
    """A key that signs. `key` is its public half; the private one never leaves the signer."""

    key: SigningKey

    def sign(self, data: bytes) -> bytes:
        """The signature of the data (Ed25519: 64 bytes)."""
        ...


class Verifier(Protocol):
    """Checks signatures, of whichever process."""

    def __call__(self, public_key: str, signature: bytes, data: bytes) -> bool:
        """Whether that key (32 bytes as unpadded base64url) made that signature; a malformed key made none."""
        ...


class Ledger(Protocol):
    """The file beside the database that holds the receipts signed with one key, a line each.

    Those of a tenant stand in the order of their sequence. All raise StoreUnavailable.
    """

    def append(self, lines: Iterable[str]) -> None:
        """Cut what a crash left of a line, and add receipts (canonical JSON) in order; durable on return.

        One that stands there, or comes before one of its tenant that does, is passed over. When it raises, the file is
        as before.
        """
        ...

    def last(self, tenant: str) -> int:
        """The sequence of the last receipt of a tenant (by its digest) that stands there; 0 when there is none."""
        ...

    def sure_until(self) -> int:
        """The moment (microseconds) before which nothing is looked for that a crash may have left out; 0: everything.

        It is when the receipt was issued that stands LEDGER_TAIL_BYTES before the end.
        """
        ...


class Keyring(Protocol):
    """The keys of a data directory, shared by all processes that use it. All raise StoreError."""

    def signer(self) -> Signer:
        """The key that signs now, by whichever process it was made; made when there is none. Durable on return."""
        ...

    def rotate(self) -> Signer:
        """A new key in place of the one that signs, whose private half is removed. Durable on return."""
        ...

    def public_keys(self) -> list[SigningKey]:
        """The public halves of all keys that there have been, those that sign no more too."""
        ...

    def ledger(self, kid: str) -> Ledger:
        """The file of the receipts of one of the keys."""
        ...
