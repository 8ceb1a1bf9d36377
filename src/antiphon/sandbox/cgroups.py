"""Control groups, where this process may make some: a limit for the memory and the processes of a command together.

Elsewhere there is none: the limits of each process and the watch over all of them remain.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

from antiphon.domain import limits

_ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("memory", "pids")
_VERSION_2 = {"memory.max": limits.SANDBOX_MEMORY_BYTES, "memory.swap.max": 0, "pids.max": limits.SANDBOX_PROCESSES}
_VERSION_1 = {
    "memory": {"memory.limit_in_bytes": limits.SANDBOX_MEMORY_BYTES},
    "pids": {"pids.max": limits.SANDBOX_PROCESSES},
}


class Group:
    """The control groups of one command."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders

    def remove(self) -> None:
        """Remove them, once nothing is in them any more. One that cannot be removed is empty and does no harm."""
        for folder in self._folders:
            with suppress(OSError):
                folder.rmdir()


def make(pid: int) -> Group | None:
    """Put a process, and all that it will start, into groups of its own; None where that cannot be done."""
    name = f"antiphon-{uuid.uuid4()}"
    own = _own_groups()
    if (_ROOT / "cgroup.controllers").exists():
        wanted = [(_ROOT / own.get("", "").lstrip("/") / name, _VERSION_2)]
        with suppress(OSError):
            (wanted[0][0].parent / "cgroup.subtree_control").write_text("+memory +pids")
    else:
        wanted = [
            (_ROOT / controller / own.get(controller, "").lstrip("/") / name, _VERSION_1[controller])
            for controller in _CONTROLLERS
        ]
    made = [folder for folder, settings in wanted if _make_one(folder, settings, pid)]
    return Group(made) if made else None


def _make_one(folder: Path, settings: dict[str, int], pid: int) -> bool:
    try:
        folder.mkdir()
    except OSError:
        return False
    for name, value in settings.items():
        with suppress(OSError):
            (folder / name).write_text(str(value))
    try:
        (folder / "cgroup.procs").write_text(str(pid))
    except OSError:
        with suppress(OSError):
            folder.rmdir()
        return False
    return True


def _own_groups() -> dict[str, str]:
    """The groups that this process is in, by controller; of version 2 there is one, without a name."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            found |= dict.fromkeys(controllers.split(","), path)
    return found
