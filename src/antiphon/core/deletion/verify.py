"""Verifying receipts with nothing but themselves and public keys: no store, no network, no trust in who brings them.

What it finds: a byte that was changed, a line that is cut off, a receipt that is missing in a chain, that was put in
another's place, that stands twice in a file or out of order, and one signed with an unknown key. What nobody can see in
a chain is that its end is missing: for that the caller names the hash of a receipt that must be there.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from antiphon.core.ports.signing import Verifier
from antiphon.domain.receipts import NO_PREVIOUS, canonical, hash_of

_EXACT_MAX = 2**53 - 1  # greater whole numbers have no canonical form that every reader keeps
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{86}")

Count = Annotated[int, msgspec.Meta(ge=0, le=_EXACT_MAX)]
Place = Annotated[int, msgspec.Meta(ge=1, le=_EXACT_MAX)]


class Deleted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was deleted: its kind, and a digest of its id."""

    kind: str
    digest: str


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a receipt says; times are RFC 3339 texts, `signature` is base64url without padding."""

    version: Literal[1]
    id: str
    tenant: str
    sequence: Place
    previous: str
    kid: str
    deletion: str
    target: Deleted
    mode: str
    reason: str | None
    counts: dict[str, Count]
    requested_at: str
    detached_at: str | None
    purged_at: str | None
    scrubbed_at: str | None
    bytes_state: str | None = msgspec.field(name="bytes")
    signature: str

    def signed_part(self) -> bytes:
        """The bytes that the signature is over: the canonical JSON of everything else."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        del plain["signature"]
        return canonical(plain)


class Fault(msgspec.Struct, frozen=True):
    """The first thing that is wrong: in which file, on which line (from 1 on; 0: none in particular), and what."""

    file: str
    line: int
    text: str


class Chain(msgspec.Struct, frozen=True):
    """The receipts of one tenant: how many, and the hash of the last."""

    tenant: str
    receipts: int
    head: str


class Verdict(msgspec.Struct, frozen=True):
    """The outcome. With a `first_error` nothing else is to be relied on."""

    receipts: int
    chains: tuple[Chain, ...]
    first_error: Fault | None

    @property
    def ok(self) -> bool:
        """Whether everything is as it was signed, and nothing is missing between."""
        return self.first_error is None


class _Link(msgspec.Struct, frozen=True, gc=False):
    """What the chain needs of a receipt that is good by itself, and where it stands."""

    previous: str
    deletion: str
    hash: str
    file: str
    line: int


class _Bad(Exception):
    """What is wrong with a line."""


class Verification:
    """Takes lines, of any number of files in any order, and says in the end what is wrong first.

    `public_keys` are those to be trusted, by their kid; `verify` checks a signature.
    """

    def __init__(self, public_keys: Mapping[str, str], verify: Verifier) -> None:
        self._public_keys = public_keys
        self._verify = verify
        self._chains: dict[str, dict[int, _Link]] = {}
        self._latest: dict[tuple[str, str], int] = {}
        self._fault: Fault | None = None

    def read(self, file: str, number: int, line: bytes) -> None:
        """Check a line, which ends in a line feed, by itself. After the first fault nothing is looked at any more."""
        if self._fault is not None:
            return
        try:
            statement = self._checked(line)
            link = _Link(statement.previous, statement.deletion, hash_of(line.removesuffix(b"\n")), file, number)
            self._place(statement.tenant, statement.sequence, link)
        except _Bad as error:
            self._fault = Fault(file, number, str(error))

    def verdict(self, heads: Sequence[str] = ()) -> Verdict:
        """The outcome for all that was read, and for the hashes of receipts that must be among it."""
        chains = {tenant: sorted(links.items()) for tenant, links in sorted(self._chains.items())}
        fault = self._fault or _first(
            fault for links in chains.values() if (fault := _fault_of_chain(links)) is not None
        )
        if fault is None:
            there = {link.hash for links in self._chains.values() for link in links.values()}
            missing = [head for head in heads if head not in there]
            if missing:
                fault = Fault("", 0, f"no receipt has the hash {missing[0]}: a chain ends before it")
        return Verdict(
            sum(map(len, chains.values())),
            tuple(Chain(tenant, len(links), links[-1][1].hash) for tenant, links in chains.items()),
            fault,
        )

    def _checked(self, line: bytes) -> Statement:
        if not line.endswith(b"\n"):
            raise _Bad("the line has no end: the file was cut off here")
        try:
            statement = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _Bad(f"this is no receipt: {error}") from None
        if canonical(msgspec.to_builtins(statement)) + b"\n" != line:
            raise _Bad("the receipt is not in canonical form: something was changed")
        public_key = self._public_keys.get(statement.kid)
        if public_key is None:
            raise _Bad(f"the receipt names the key {statement.kid}, which is not among those given")
        signature = _bytes_of(statement.signature)
        if signature is None or not self._verify(public_key, signature, statement.signed_part()):
            raise _Bad("the signature does not fit: something was changed, or another key signed")
        return statement

    def _place(self, tenant: str, sequence: int, link: _Link) -> None:
        """Note where a receipt belongs; in a file those of a tenant stand in order, and each once."""
        latest = self._latest.get((link.file, tenant), 0)
        if sequence == latest:
            raise _Bad(f"receipt {sequence} of the chain stands twice in this file")
        if sequence < latest:
            raise _Bad(f"receipt {sequence} of the chain stands after receipt {latest}: lines were swapped")
        self._latest[link.file, tenant] = sequence
        other = self._chains.setdefault(tenant, {}).setdefault(sequence, link)
        if other.hash != link.hash:
            raise _Bad(f"another receipt has the place {sequence} of the chain: line {other.line} of {other.file}")


def _fault_of_chain(links: Sequence[tuple[int, _Link]]) -> Fault | None:
    """The first thing that is wrong between the receipts of a tenant, which are in order."""
    expected, previous = 1, NO_PREVIOUS
    deletions: set[str] = set()
    for sequence, link in links:
        if sequence != expected:
            gap = f"receipts {expected} to {sequence - 1} are" if sequence > expected + 1 else f"receipt {expected} is"
            return Fault(link.file, link.line, f"{gap} missing in the chain before this one")
        if link.previous != previous:
            return Fault(link.file, link.line, "the receipt does not follow from the one before it in its chain")
        if link.deletion in deletions:
            return Fault(link.file, link.line, f"{link.deletion} has a receipt already")
        deletions.add(link.deletion)
        expected, previous = sequence + 1, link.hash
    return None


def _first(faults: Any) -> Fault | None:
    return next(iter(faults), None)


_decode = msgspec.json.Decoder(Statement).decode


def text_of_signature(signature: bytes) -> str:
    """A signature as receipts write it."""
    return urlsafe_b64encode(signature).rstrip(b"=").decode()


def _bytes_of(text: str) -> bytes | None:
    """The bytes of a signature; None when the text is not the only one that stands for them."""
    if not _SIGNATURE.fullmatch(text):
        return None
    signature = urlsafe_b64decode(f"{text}==")
    return signature if text_of_signature(signature) == text else None
