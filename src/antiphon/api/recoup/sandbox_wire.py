"""Recoup's words for sandboxes. Times are whole milliseconds since 1970; whatever provides them is called `vercel`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from antiphon.domain import limits, times
from antiphon.domain.sandboxes import HIBERNATED, Sandbox

MODE: Literal["vercel"] = "vercel"
_BRANCH = "main"


class CreateSandboxRequest(msgspec.Struct, rename="camel"):
    """The body of `POST /api/sandbox`; without a session nothing is kept."""

    repo_url: str
    session_id: str | msgspec.UnsetType = msgspec.UNSET


class Timing(msgspec.Struct, rename="camel"):
    """How long it took, in milliseconds."""

    ready_ms: int


class CreateSandboxResponse(msgspec.Struct, rename="camel"):
    """A sandbox that is ready; `timeout` is for how many milliseconds more."""

    created_at: int
    timeout: int
    current_branch: str
    mode: Literal["vercel"]
    timing: Timing


class Lifecycle(msgspec.Struct, rename="camel"):
    """Where a sandbox is in its life."""

    server_time: int
    state: str | None
    last_activity_at: int | None
    hibernate_after: int | None
    sandbox_expires_at: int | None


class SandboxStatusResponse(msgspec.Struct, rename="camel"):
    """A sandbox as it is known, without asking it."""

    status: Literal["active", "no_sandbox"]
    has_snapshot: bool
    lifecycle_version: int
    lifecycle: Lifecycle


class ReconnectSandboxResponse(msgspec.Struct, rename="camel"):
    """A sandbox that was asked."""

    status: Literal["connected", "expired", "no_sandbox"]
    has_snapshot: bool
    lifecycle: Lifecycle
    expires_at: int | msgspec.UnsetType = msgspec.UNSET


class AccountSandbox(msgspec.Struct, rename="camel"):
    """A sandbox of an account, of which there are none here."""

    sandbox_id: str
    sandbox_status: str
    timeout: int
    created_at: str


class ListSandboxesResponse(msgspec.Struct):
    """The account's sandboxes and what they were made of: nothing, here. Sandboxes belong to sessions."""

    status: Literal["success"]
    sandboxes: list[AccountSandbox]
    snapshot_id: str | None
    github_repo: str | None
    filetree: list[dict[str, Any]] | None


class DeleteSandboxesResponse(msgspec.Struct):
    """What was removed of the account's."""

    status: Literal["success"]
    deleted_snapshot: dict[str, Any] | None


def millis(moment: int) -> int:
    """A moment as this wire has it."""
    return moment * 1000 // times.SECOND


def _optional(moment: int | None) -> int | None:
    return None if moment is None else millis(moment)


def show_created(sandbox: Sandbox | None, began: int, now: int) -> CreateSandboxResponse:
    """A sandbox that was made or come back to since `began`; None for one that is not kept."""
    end = None if sandbox is None else sandbox.runtime_expires_at
    remaining = times.micros_of(limits.SANDBOX_SECONDS) if end is None else max(0, end - now)
    return CreateSandboxResponse(millis(now), millis(remaining), _BRANCH, MODE, Timing(millis(max(0, now - began))))


def show_lifecycle(sandbox: Sandbox, now: int) -> Lifecycle:
    """Where it is in its life."""
    return Lifecycle(
        millis(now),
        sandbox.state,
        _optional(sandbox.last_activity_at),
        _optional(sandbox.hibernate_after),
        _optional(sandbox.expires_at),
    )


def show_status(sandbox: Sandbox, now: int) -> SandboxStatusResponse:
    """What is known of it."""
    return SandboxStatusResponse(
        "active" if sandbox.is_active(now) else "no_sandbox",
        sandbox.state == HIBERNATED and sandbox.is_named,
        sandbox.version,
        show_lifecycle(sandbox, now),
    )


def show_reconnection(sandbox: Sandbox, now: int, *, is_lost: bool) -> ReconnectSandboxResponse:
    """What came of asking it."""
    if is_lost:
        gone = Lifecycle(millis(now), HIBERNATED, None, None, None)
        return ReconnectSandboxResponse("expired", has_snapshot=False, lifecycle=gone)
    lifecycle = show_lifecycle(sandbox, now)
    if not sandbox.is_named:
        return ReconnectSandboxResponse("no_sandbox", has_snapshot=False, lifecycle=lifecycle)
    end = sandbox.expires_at
    return ReconnectSandboxResponse(
        "connected",
        has_snapshot=False,
        lifecycle=lifecycle,
        expires_at=millis(end) if end is not None and end > now else msgspec.UNSET,
    )
