"""The data directory, as far as signing writes in it: one process at a time, and nothing is ever half there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from antiphon.domain.errors import StoreUnavailable

PRIVATE, PUBLIC = 0o600, 0o644
"""Modes of files: of those that only the owner may read, and of those that anybody may."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What the file system refuses becomes StoreUnavailable, with the path and the system's reason."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among all processes that ask likewise. The directory itself is the lock, so that no file is left behind."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Put the content in place of what is there, all or nothing; durable on return. Only under the lock.

    The name of the temporary file is fixed: what a crash leaves is overwritten by the next one.
    """
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.fchmod(handle, mode)  # whatever the process's mask takes away
        write_all(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(temporary, path)
    sync_folder(path.parent)


def write_all(handle: int, content: bytes) -> None:
    """Write until nothing is left: the system may take less than it is given."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def sync_folder(folder: Path) -> None:
    """Make the names in the directory durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
