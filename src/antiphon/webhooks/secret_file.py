"""A secret that the instance makes for itself at its first start, and keeps in a file for its owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from antiphon.domain.errors import StoreUnavailable

FILE_NAME = "webhook_secret"
_BYTES = 32
_CHARACTERS_MIN = 24


def read_or_make(data_dir: Path, name: str = FILE_NAME) -> str:
    """The secret in a file of the directory, made when there is none: durable on return, whole or not there at all.

    Of processes that start at once all get the same. Raises StoreUnavailable when the directory cannot be used.
    """
    path = data_dir / name
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise StoreUnavailable(f"{path} cannot be read or made: {type(error).__name__}") from None
    if len(secret) < _CHARACTERS_MIN:
        raise StoreUnavailable(f"{path} holds no secret: remove it, and another is made")
    return secret


def _make(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # does not replace what another process has made meanwhile
        except FileExistsError:
            return
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
