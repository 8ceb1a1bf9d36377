"""The directories of sandboxes: made, measured and removed, whatever somebody has put into them.

Nothing here follows a link out of the directory, and nothing here recurses: trees may be as deep as the disk is.
"""

from __future__ import annotations

import os
import stat
import uuid
from contextlib import suppress
from pathlib import Path

import msgspec

from antiphon.domain import limits
from antiphon.domain.ids import Uid

_PLACE_FILE = "place"
_PRIVATE = 0o700
_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's is


class Size(msgspec.Struct):
    """What a directory holds: bytes on the disk, entries, how deep the deepest is, and what cannot be looked into."""

    bytes: int = 0
    files: int = 0
    depth: int = 0
    hidden: int = 0

    @property
    def excess(self) -> str | None:
        """Which limit it breaks, fit for a reader; None when it is within all of them."""
        if self.bytes > limits.SANDBOX_BYTES:
            return f"the sandbox holds more than {limits.SANDBOX_BYTES} bytes"
        if self.files > limits.SANDBOX_FILES:
            return f"the sandbox holds more than {limits.SANDBOX_FILES} files"
        if self.depth > limits.SANDBOX_DEPTH:
            return f"the sandbox holds directories nested deeper than {limits.SANDBOX_DEPTH}"
        if self.hidden:
            return "the sandbox holds a directory that cannot be read"
        return None

    def is_worse_than(self, other: Size) -> bool:
        """Whether it has grown in anything."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return any(mine > theirs for mine, theirs in pairs)


class Directories:
    """All of one place: `root`, below it a directory a tenant, below that one a session."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def place(self) -> str:
        """The place's name, made when there is none. Raises OSError."""
        self._root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        path = self._root / _PLACE_FILE
        made = self._root / f"{_PLACE_FILE}.{uuid.uuid4()}"
        if not path.exists():
            made.write_text(str(uuid.uuid4()), encoding="ascii")
            with suppress(FileExistsError):
                os.link(made, path)  # unlike a rename it leaves the name that another process has given meanwhile
            made.unlink()
        return path.read_text(encoding="ascii").strip()

    def path_of(self, tenant_id: Uid, session_key: Uid) -> Path:
        """Where a session's files are, or would be."""
        return self._root / tenant_id.hex() / session_key.hex()

    def make(self, tenant_id: Uid, session_key: Uid, owner: int | None) -> Path:
        """Make a session's directory for the process, or for that user. Raises OSError."""
        path = self.path_of(tenant_id, session_key)
        path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        os.chmod(path, _PRIVATE)  # a command may have locked itself out
        if owner is not None:
            os.chown(path, owner, owner, follow_symlinks=False)
        return path

    def all(self) -> list[tuple[Uid, Uid]]:
        """All directories there are."""
        found = []
        for tenant_id in _ids_in(self._root):
            found += [(tenant_id, session_key) for session_key in _ids_in(self._root / tenant_id.hex())]
        return found

    def remove(self, tenant_id: Uid, session_key: Uid) -> int:
        """Remove a session's directory, and its tenant's when that is empty then: how many files. Raises OSError."""
        path = self.path_of(tenant_id, session_key)
        count = remove_tree(path)
        with suppress(OSError):
            path.parent.rmdir()
        return count


def _ids_in(folder: Path) -> list[Uid]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [bytes.fromhex(name) for name in names if len(name) == 32 and set(name) <= set("0123456789abcdef")]


def measure(path: Path) -> Size:
    """What a directory holds, counted no further than its limits. Something that changes meanwhile is guessed."""
    size = Size()
    level = [path]
    while level and size.excess is None:
        deeper: list[Path] = []
        for folder in level:
            if size.files <= limits.SANDBOX_FILES:
                _measure_folder(folder, size, deeper)
        level = deeper
        size.depth += bool(level)
    return size


def _measure_folder(folder: Path, size: Size, deeper: list[Path]) -> None:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                _measure_entry(folder, entry, size, deeper)
                if size.files > limits.SANDBOX_FILES:
                    return
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        size.hidden += 1


def _measure_entry(folder: Path, entry: os.DirEntry[str], size: Size, deeper: list[Path]) -> None:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    size.files += 1
    size.bytes += found.st_blocks * _BLOCK_BYTES
    if stat.S_ISDIR(found.st_mode):
        deeper.append(folder / entry.name)


def remove_tree(path: Path) -> int:
    """Remove a directory and all below it: how many files were in it; one that is not there has none.

    Directories are moved up to the top before they are emptied, so two open ones are enough for any depth. Raises
    OSError, also when somebody goes on putting files into it.
    """
    try:
        top = _open(path)
    except FileNotFoundError:
        return 0
    count = 0
    try:
        while names := os.listdir(top):
            for name in names:
                count += _remove_entry(top, name)
    finally:
        os.close(top)
    os.rmdir(path)
    return count


def _remove_entry(top: int, name: str) -> int:
    """Remove something at the top; of a directory, move what is below it up: how many files went."""
    if not _is_directory(name, top):
        os.unlink(name, dir_fd=top)
        return 1
    folder = _open(name, top)
    count = 0
    try:
        for inner in os.listdir(folder):
            if _is_directory(inner, folder):
                os.close(_open(inner, folder))
                os.rename(inner, f".{uuid.uuid4()}", src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(inner, dir_fd=folder)
                count += 1
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)
    return count


def _is_directory(name: str, parent: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _open(name: str | Path, parent: int | None = None) -> int:
    """A directory, open and made writable. Never what a link leads to, even if it has become one just now."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{handle}", _PRIVATE)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    finally:
        os.close(handle)
