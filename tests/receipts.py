"""Receipts for tests: real keys and files, in a directory that goes with the test."""

from __future__ import annotations

from pathlib import Path

from antiphon.core.deletion.receipts import Receipts
from antiphon.core.ports import Store
from antiphon.signing.ed25519 import FileKeyring, verify_signature


def receipts_of(store: Store, folder: Path) -> Receipts:
    """The verbs of receipts over a store, with keys in that directory."""
    return Receipts(store, FileKeyring(folder / "receipts"), verify_signature)
