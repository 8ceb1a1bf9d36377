"""Sandbox: the place where a session's agent runs commands, and its life.

A life is a row that only pure functions change: each takes the sandbox and the moment, and gives the sandbox as it is
then, the same object when nothing changes. Stores apply them inside a transaction.
"""

from __future__ import annotations

import uuid

import msgspec

from antiphon.domain import limits, times
from antiphon.domain.errors import SandboxStopping
from antiphon.domain.ids import Uid

PROVISIONING, ACTIVE, HIBERNATING, HIBERNATED = "provisioning", "active", "hibernating", "hibernated"
ARCHIVED, FAILED = "archived", "failed"
"""The states; None is one too, of a session that was taken out of the archive."""

_NAME_PREFIX = "session-"


class Sandbox(msgspec.Struct, frozen=True):
    """A session's sandbox. Times are microseconds, None where there is none.

    `place` names the directory of the provider that holds the files (None: there never were any), and `is_named` says
    that it can be come back to. `expires_at` is when it stops at the latest; `runtime_expires_at` is the same as long
    as something runs, and outlives an archived session's by a moment. `run_id` is the lease of its worker. `is_busy`
    says that a chat of the session is being answered, and `touched_at` when the session changed last.
    """

    tenant_id: Uid
    session_key: Uid
    session_id: str
    place: str | None = None
    is_named: bool = False
    state: str | None = PROVISIONING
    version: int = 0
    last_activity_at: int | None = None
    expires_at: int | None = None
    runtime_expires_at: int | None = None
    hibernate_after: int | None = None
    run_id: str | None = None
    error: str | None = None
    is_busy: bool = False
    touched_at: int = 0

    @property
    def name(self) -> str | None:
        """What clients know it by, once there was one."""
        return _NAME_PREFIX + self.session_id if self.is_named else None

    def is_active(self, now: int) -> bool:
        """Whether there is one that has not expired, or is about to. Its state does not matter."""
        return self.is_named and (self.expires_at is None or now < self.expires_at - _buffer())

    def due_at(self, now: int) -> int:
        """When it is to hibernate, unless it is used meanwhile."""
        idle_since = self.last_activity_at or self.touched_at or now
        due = self.hibernate_after if self.hibernate_after is not None else idle_since + _idle()
        return due if self.expires_at is None else min(due, self.expires_at - _buffer())

    def is_due(self, now: int) -> bool:
        """Whether it should be hibernating by now."""
        return now >= self.due_at(now)


def new_run_id(now: int) -> str:
    """The name of a lease, which says when it was taken."""
    return f"lifecycle:{now * 1000 // times.SECOND}:{uuid.uuid4()}"


def placed(sandbox: Sandbox, place: str) -> Sandbox:
    """Its directory is about to be made there."""
    return msgspec.structs.replace(sandbox, place=place)


def started(sandbox: Sandbox, now: int) -> Sandbox:
    """It was made, or come back to: what still runs keeps its end, anything else gets a new one."""
    runs_on = sandbox.is_named and sandbox.runtime_expires_at is not None and sandbox.runtime_expires_at > now
    expires_at = sandbox.runtime_expires_at if runs_on else now + times.micros_of(limits.SANDBOX_SECONDS)
    return msgspec.structs.replace(
        sandbox,
        is_named=True,
        state=ACTIVE,
        version=sandbox.version + 1,
        last_activity_at=now,
        expires_at=expires_at,
        runtime_expires_at=expires_at,
        hibernate_after=now + _idle(),
        error=None,
    )


def used(sandbox: Sandbox, now: int) -> Sandbox:
    """A turn begins in the session. Without a sandbox nothing changes."""
    if not sandbox.is_named:
        return sandbox
    return msgspec.structs.replace(
        sandbox,
        state=ACTIVE,
        error=None,
        last_activity_at=now,
        hibernate_after=now + _idle(),
        expires_at=sandbox.runtime_expires_at,
    )


def extended(sandbox: Sandbox, now: int, seconds: float) -> Sandbox:
    """It may live longer by that much, never longer than SANDBOX_SECONDS_MAX from now on."""
    if sandbox.runtime_expires_at is None or sandbox.runtime_expires_at <= now:
        return sandbox
    end = min(sandbox.runtime_expires_at + times.micros_of(seconds), now + times.micros_of(limits.SANDBOX_SECONDS_MAX))
    return msgspec.structs.replace(sandbox, expires_at=end, runtime_expires_at=end)


def leased(sandbox: Sandbox, now: int, run_id: str) -> Sandbox:
    """A worker takes it, unless there is nothing to do or somebody has it.

    A lease whose holder is dead is taken over: what was due SANDBOX_LEASE_GRACE_SECONDS ago was nobody's.
    """
    if not sandbox.is_named or sandbox.state == ARCHIVED:
        return sandbox
    is_stale = sandbox.state in {ACTIVE, HIBERNATING} and now > sandbox.due_at(now) + times.micros_of(
        limits.SANDBOX_LEASE_GRACE_SECONDS
    )
    if sandbox.run_id is not None and not is_stale:
        return sandbox
    return msgspec.structs.replace(sandbox, run_id=run_id)


def released(sandbox: Sandbox, run_id: str) -> Sandbox:
    """The worker goes; a lease that is not its own is left alone."""
    return msgspec.structs.replace(sandbox, run_id=None) if sandbox.run_id == run_id else sandbox


def tiring(sandbox: Sandbox, now: int, run_id: str) -> Sandbox:
    """Its worker looks: what is due and not busy begins to hibernate."""
    if sandbox.run_id != run_id or sandbox.state == ARCHIVED or sandbox.is_busy or not sandbox.is_due(now):
        return sandbox
    return msgspec.structs.replace(sandbox, state=HIBERNATING)


def reconsidered(sandbox: Sandbox, now: int, run_id: str) -> Sandbox:
    """Its worker looks again before it stops anything: what is used again stays."""
    if sandbox.run_id != run_id or sandbox.state != HIBERNATING:
        return sandbox
    if sandbox.is_busy or not sandbox.is_due(now):
        return msgspec.structs.replace(sandbox, state=ACTIVE)
    return sandbox


def hibernated(sandbox: Sandbox, run_id: str) -> Sandbox:
    """It was stopped by its worker; somebody who used it meanwhile has it running."""
    if sandbox.run_id != run_id or sandbox.state != HIBERNATING:
        return sandbox
    return msgspec.structs.replace(
        sandbox,
        state=HIBERNATED,
        expires_at=None,
        runtime_expires_at=None,
        hibernate_after=None,
        run_id=None,
        error=None,
    )


def failed(sandbox: Sandbox, run_id: str, error: str) -> Sandbox:
    """Its worker could not stop it."""
    if sandbox.run_id != run_id:
        return sandbox
    return msgspec.structs.replace(sandbox, state=FAILED, run_id=None, error=error)


def noted(sandbox: Sandbox, error: str) -> Sandbox:
    """Something went wrong beside it, which does not stop it."""
    return msgspec.structs.replace(sandbox, error=error)


def recovered(sandbox: Sandbox, now: int) -> Sandbox:
    """Somebody sees that it is there after all."""
    if sandbox.state != FAILED or not sandbox.is_active(now):
        return sandbox
    return msgspec.structs.replace(sandbox, state=ACTIVE, error=None, expires_at=sandbox.runtime_expires_at)


def reconnected(sandbox: Sandbox, now: int) -> Sandbox:
    """It answered. One whose end nobody knows is taken to live for SANDBOX_RECONNECT_SECONDS more."""
    end = sandbox.runtime_expires_at or now + times.micros_of(limits.SANDBOX_RECONNECT_SECONDS)
    is_failed = sandbox.state == FAILED
    return msgspec.structs.replace(
        sandbox,
        expires_at=end,
        runtime_expires_at=end,
        state=ACTIVE if is_failed else sandbox.state,
        error=None if is_failed else sandbox.error,
    )


def lost(sandbox: Sandbox, *, is_name_lost: bool) -> Sandbox:
    """It is gone for good; with the name lost, nothing of it can be come back to."""
    return msgspec.structs.replace(
        sandbox,
        state=HIBERNATED,
        is_named=sandbox.is_named and not is_name_lost,
        expires_at=None,
        runtime_expires_at=None,
        hibernate_after=None,
    )


def archived(sandbox: Sandbox) -> Sandbox:
    """The session is put away; what runs is stopped after that."""
    return msgspec.structs.replace(
        sandbox, state=ARCHIVED, error=None, run_id=None, expires_at=None, hibernate_after=None
    )


def put_away(sandbox: Sandbox, error: str | None) -> Sandbox:
    """What an archived session had running was stopped, or could not be."""
    if sandbox.state != ARCHIVED:
        return sandbox
    return msgspec.structs.replace(
        sandbox, runtime_expires_at=None, run_id=None, expires_at=None, hibernate_after=None, error=error
    )


def unarchived(sandbox: Sandbox) -> Sandbox:
    """The session is taken out again. Raises SandboxStopping while its sandbox is neither asleep nor put away."""
    if sandbox.is_named and sandbox.state not in {HIBERNATED, ARCHIVED}:
        raise SandboxStopping
    return msgspec.structs.replace(sandbox, state=None, error=None)


def _idle() -> int:
    return times.micros_of(limits.SANDBOX_IDLE_SECONDS)


def _buffer() -> int:
    return times.micros_of(limits.SANDBOX_EXPIRY_BUFFER_SECONDS)
