"""What the core needs for sandboxes: their lives in the store, and a provider of places where commands run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from antiphon.domain import limits
from antiphon.domain.ids import Uid
from antiphon.domain.sandboxes import Sandbox

Transition = Callable[[Sandbox], Sandbox]
"""Gives a sandbox as it is after something has happened; the same object when that changes nothing. No input, no
output: it runs inside a transaction, and perhaps more than once."""


class SandboxStore(Protocol):
    """The lives of sandboxes. A session of the shape `multi` has one from the beginning, as a row or not yet."""

    async def find(self, tenant_id: Uid, session_key: Uid) -> Sandbox | None:
        """The sandbox of a session that is there, None when it is not, or is of another shape."""
        ...

    async def find_of_chat(self, tenant_id: Uid, chat_key: Uid) -> Sandbox | None:
        """The sandbox of a chat's session, if there ever was one."""
        ...

    async def change(self, tenant_id: Uid, session_key: Uid, transition: Transition) -> Sandbox:
        """Apply a transition in one transaction: the sandbox after it. What changes moves the session's `updated_at`.

        Raises SessionNotFound, and what the transition raises: then nothing has changed.
        """
        ...

    async def is_placed(self, tenant_id: Uid, session_key: Uid) -> bool:
        """Whether a row says that there is, or may be, a directory: of a session that is there or of a deleted one."""
        ...

    async def overdue(self, place: str, now: int, limit: int) -> list[tuple[Uid, Uid]]:
        """Active sandboxes of a place that should have hibernated before `now`, as tenant and session. System scope."""
        ...


class Command(msgspec.Struct, frozen=True):
    """Something to run in a sandbox: a program with its arguments, what it reads, and for how many seconds at most.

    Of each of its two outputs so many bytes are kept. `has_network` lets it reach the network, which nothing that the
    agent asks for may.
    """

    argv: tuple[str, ...]
    stdin: bytes = b""
    seconds: float = 0
    output_bytes: int = limits.SANDBOX_OUTPUT_BYTES
    has_network: bool = False


class CommandEnd(msgspec.Struct, frozen=True):
    """How a command ended. No process of it is left.

    `exit_code` is None when it was ended from outside, and `reason` says why, fit for a reader. Of what it wrote the
    first bytes are kept, and `is_cut` says that there was more.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    is_cut: bool
    reason: str | None = None


class SandboxProvider(Protocol):
    """Directories, and commands that are confined to them. Raises SandboxFailed throughout, in words for a reader."""

    async def place(self) -> str:
        """The name of where its directories are; another process that can reach them gives the same one."""
        ...

    async def prepare(self, tenant_id: Uid, session_key: Uid) -> None:
        """Make the directory of a session; one that is there is left as it is."""
        ...

    async def run(self, tenant_id: Uid, session_key: Uid, command: Command) -> CommandEnd:
        """Run a command in a session's directory, confined. Without confinement it is refused, never run."""
        ...

    async def stop(self, tenant_id: Uid, session_key: Uid) -> None:
        """End all commands of a session that this process runs, and wait until they are gone."""
        ...

    async def remove(self, tenant_id: Uid, session_key: Uid) -> int:
        """Stop, and remove the directory with all that is in it: how many files there were. Idempotent."""
        ...

    async def directories(self) -> list[tuple[Uid, Uid]]:
        """All directories there are, as tenant and session."""
        ...

    async def close(self) -> None:
        """End all commands of this process."""
        ...
