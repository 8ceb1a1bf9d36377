"""Sandboxes: where a session's agent runs commands; made, come back to, and put to sleep when nobody uses them.

The files of one outlive its sleep: they go with the session. What sleeps, and when, is `domain.sandboxes`; here is who
does it: one worker a session, held by the lease `run_id` of the row, in whichever process was kicked first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec

from antiphon.core.faults import describe
from antiphon.core.ports import Store, Tool
from antiphon.core.ports.sandboxes import Command, SandboxProvider
from antiphon.core.sandbox_tools import tools_in
from antiphon.domain import limits, sandboxes, times
from antiphon.domain.errors import (
    AntiphonError,
    SandboxFailed,
    SandboxNotActive,
    SessionNotFound,
    StoreError,
)
from antiphon.domain.ids import Uid
from antiphon.domain.sandboxes import ACTIVE, ARCHIVED, HIBERNATING, Sandbox
from antiphon.domain.sessions import Session

_OFF = "sandboxes are turned off here"
_PROBE = ("/bin/true",)
_CLONE = """
[ -z "$(ls -A .)" ] || exit 0
command -v git >/dev/null || { echo 'git is not installed' >&2; exit 1; }
exec git -c credential.helper= -c http.followRedirects=false -c protocol.file.allow=never \\
    clone --quiet --depth 1 --no-recurse-submodules -- "$1" .
"""

_log = logging.getLogger(__name__)

Key = tuple[Uid, Uid]
Hook = Callable[[Sandbox], Awaitable[None]]


async def _nothing(_sandbox: Sandbox, _seconds: float = 0) -> None:
    return


class Hooks(msgspec.Struct, frozen=True):
    """What else is done in the life of a sandbox.

    `after_start` is awaited when one was made or come back to, and what it raises fails that. The others cannot fail
    anything: `before_stop` is awaited once before one is stopped, `on_timeout` when its time is over, and
    `on_timeout_extended` when it was given so many seconds more.
    """

    after_start: Hook = _nothing
    before_stop: Hook = _nothing
    on_timeout: Hook = _nothing
    on_timeout_extended: Callable[[Sandbox, float], Awaitable[None]] = _nothing


class Sandboxes:
    """The verbs of sandboxes. Without a provider there are none, and with `is_on` false no new ones.

    With `offers_tools` false the agent is not told what it could do in them.

    `clock` gives the present moment in microseconds, `sleep` waits for seconds.
    """

    def __init__(
        self,
        store: Store,
        provider: SandboxProvider | None,
        *,
        is_on: bool = True,
        offers_tools: bool = True,
        hooks: Hooks | None = None,
        clock: Callable[[], int] = times.now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._provider = provider
        self.is_on = is_on and provider is not None
        self._offers_tools = offers_tools
        self._hooks = hooks or Hooks()
        self._clock = clock
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, tenant_id: Uid, session: Session) -> Sandbox:
        """The sandbox of a session, which there may never have been. Raises SessionNotFound."""
        sandbox = await self._store.sandboxes.find(tenant_id, session.key)
        if sandbox is None:
            raise SessionNotFound
        return sandbox

    async def check_active(self, tenant_id: Uid, session: Session) -> None:
        """Raises SandboxNotActive for a session without an active one; nothing is asked while they are turned off."""
        if self.is_on and not (await self.get(tenant_id, session)).is_active(self._clock()):
            raise SandboxNotActive

    async def create(self, tenant_id: Uid, session: Session, repository: str | None = None) -> Sandbox:
        """Make the session's sandbox, or come back to it; durable on return. A repository is cloned meanwhile.

        What comes of the clone shows in the sandbox's `error`; nothing is cloned into files that are there. Raises
        SessionNotFound, and SandboxFailed when there can be none.
        """
        provider = self.provider()
        place = await provider.place()
        placed = await self._change((tenant_id, session.key), lambda sandbox: sandboxes.placed(sandbox, place))
        await provider.prepare(tenant_id, session.key)
        # A deletion that came between the two has found nothing to remove.
        if await self._store.sandboxes.find(tenant_id, session.key) is None:
            await provider.remove(tenant_id, session.key)
            raise SessionNotFound
        await self._hooks.after_start(placed)
        now = self._clock()
        sandbox = await self._change(
            (tenant_id, session.key), lambda old: sandboxes.started(sandboxes.placed(old, place), now)
        )
        if repository is not None:
            self._keep(self._clone(sandbox, repository))
        return await self._kick(sandbox, "sandbox-created")

    async def status(self, tenant_id: Uid, session: Session) -> tuple[Sandbox, int]:
        """The sandbox as the store knows it, and when it was looked at. One that only seemed to have failed recovers.

        Whoever looks also wakes a worker that is late. Raises SessionNotFound.
        """
        sandbox, now = await self.get(tenant_id, session), self._clock()
        if sandboxes.recovered(sandbox, now) is not sandbox:
            sandbox = await self._change((tenant_id, session.key), lambda old: sandboxes.recovered(old, now))
        if self.is_on and sandbox.is_active(now) and sandbox.state == ACTIVE and sandbox.is_due(now):
            sandbox = await self._kick(sandbox, "status-check-overdue")
        return sandbox, now

    async def reconnect(self, tenant_id: Uid, session: Session) -> tuple[Sandbox, bool]:
        """Ask the sandbox itself, for SANDBOX_PROBE_SECONDS at most: what is known then, and whether it is gone.

        One that cannot be asked now is left as it is. Raises SessionNotFound.
        """
        sandbox = await self.get(tenant_id, session)
        if not sandbox.is_named:
            return sandbox, False
        key = (tenant_id, session.key)
        try:
            provider = self.provider()
            if sandbox.place != await provider.place():
                return sandbox, False
            end = await provider.run(*key, Command(_PROBE, seconds=limits.SANDBOX_PROBE_SECONDS))
            if end.exit_code is None:
                return sandbox, False
            if end.exit_code:
                return await self._change(key, lambda old: sandboxes.lost(old, is_name_lost=False)), True
            await self._hooks.after_start(sandbox)
        except SandboxFailed as error:
            if not error.is_gone:
                return sandbox, False
            return await self._change(key, lambda old: sandboxes.lost(old, is_name_lost=True)), True
        now = self._clock()
        return await self._change(key, lambda old: sandboxes.reconnected(old, now)), False

    async def extend(self, tenant_id: Uid, session: Session, seconds: float) -> Sandbox:
        """Let what runs live longer, up to SANDBOX_SECONDS_MAX from now. Raises SessionNotFound."""
        now = self._clock()
        before = await self.get(tenant_id, session)
        sandbox = await self._change((tenant_id, session.key), lambda old: sandboxes.extended(old, now, seconds))
        if sandbox.expires_at != before.expires_at:
            await self._quietly(partial(self._hooks.on_timeout_extended, sandbox, seconds))
        return sandbox

    async def hibernate(self, tenant_id: Uid, session: Session) -> Sandbox:
        """Put it to sleep now, due or not: its commands end, its files stay. Raises SessionNotFound."""
        run_id = sandboxes.new_run_id(self._clock())
        key = (tenant_id, session.key)
        sandbox = await self._change(
            key,
            lambda old: msgspec.structs.replace(old, run_id=run_id, state=HIBERNATING) if old.is_named else old,
        )
        return await self._fall_asleep(sandbox, run_id) if sandbox.run_id == run_id else sandbox

    async def archive(self, tenant_id: Uid, session: Session) -> Sandbox:
        """The session is put away: its sandbox shows it at once and is stopped after that. Raises SessionNotFound."""
        sandbox = await self._change((tenant_id, session.key), sandboxes.archived)
        if sandbox.is_named and self._provider is not None:
            self._keep(self._put_away(sandbox))
        return sandbox

    async def unarchive(self, tenant_id: Uid, session: Session) -> Sandbox:
        """The session is taken out again. Raises SessionNotFound, and SandboxStopping while something runs."""
        return await self._change((tenant_id, session.key), sandboxes.unarchived)

    async def enter(self, tenant_id: Uid, chat_key: Uid) -> Sequence[Tool]:
        """A turn begins in that chat: its session's sandbox is in use, and these are the tools inside it."""
        if not self.is_on:
            return ()
        try:
            sandbox = await self._store.sandboxes.find_of_chat(tenant_id, chat_key)
            if sandbox is None or not sandbox.is_named:
                return ()
            now = self._clock()
            await self._change((tenant_id, sandbox.session_key), lambda old: sandboxes.used(old, now))
        except (StoreError, SessionNotFound) as error:
            _log.warning("sandbox not entered", extra={"code": error.code})
            return ()
        return tools_in(self.provider(), tenant_id, sandbox.session_key) if self._offers_tools else ()

    async def remove_files(self, tenant_id: Uid, session_key: Uid, place: str) -> int:
        """Remove a deleted session's directory: how many files. Raises SandboxFailed, also when it is elsewhere."""
        if self._provider is None or await self._provider.place() != place:
            raise SandboxFailed("the files are in the data directory of another server")
        return await self._provider.remove(tenant_id, session_key)

    def provider(self) -> SandboxProvider:
        """Whoever has the sandboxes. Raises SandboxFailed while they are turned off."""
        if not self.is_on or self._provider is None:
            raise SandboxFailed(_OFF)
        return self._provider

    # The worker

    async def run(self) -> None:
        """Until cancelled, kick what is overdue because its worker is gone, once directories without rows are gone."""
        if not self.is_on:
            await asyncio.Event().wait()
        await self._sweep()
        while True:
            try:
                await self._kick_overdue()
            except (StoreError, SandboxFailed) as error:
                _log.warning("sandboxes not looked at", extra={"code": error.code})
            await self._sleep(limits.SANDBOX_SWEEP_SECONDS)

    async def _sweep(self) -> None:
        """Remove directories that no row speaks of: their session was deleted just when they were made."""
        provider = self.provider()
        for tenant_id, session_key in await provider.directories():
            if not await self._store.sandboxes.is_placed(tenant_id, session_key):
                await provider.remove(tenant_id, session_key)

    async def _kick_overdue(self) -> None:
        before = self._clock() - times.micros_of(limits.SANDBOX_LEASE_GRACE_SECONDS)
        place = await self.provider().place()
        for key in await self._store.sandboxes.overdue(place, before, limits.SANDBOX_SWEEP_SANDBOXES):
            sandbox = await self._store.sandboxes.find(*key)
            if sandbox is not None:
                await self._kick(sandbox, "overdue")

    async def _kick(self, sandbox: Sandbox, reason: str) -> Sandbox:
        """See that it has a worker. A store that refuses is no reason not to answer: the next kick will do."""
        now = self._clock()
        run_id = sandboxes.new_run_id(now)
        try:
            leased = await self._change(_key(sandbox), lambda old: sandboxes.leased(old, now, run_id))
        except (StoreError, SessionNotFound) as error:
            _log.warning("sandbox not kicked", extra={"code": error.code})
            return sandbox
        if leased.run_id == run_id:
            _log.debug("sandbox kicked", extra={"reason": reason})
            self._keep(self._attend(_key(sandbox), run_id))
        return leased

    async def _attend(self, key: Key, run_id: str) -> None:
        """The worker of one session: sleeps until it is due, and puts it to sleep unless it is used."""
        has_timed_out = False
        while True:
            sandbox = await self._store.sandboxes.find(*key)
            if sandbox is None or sandbox.state == ARCHIVED or not sandbox.is_named or sandbox.run_id != run_id:
                return
            now = self._clock()
            due = max(sandbox.due_at(now), now + times.micros_of(limits.SANDBOX_SLEEP_SECONDS))
            await self._sleep((due - now) / times.SECOND)
            now = self._clock()
            sandbox = await self._change(key, partial(_tire, now, run_id))
            end = sandbox.runtime_expires_at
            if end is not None and now >= end and not has_timed_out:
                has_timed_out = True
                await self._quietly(partial(self._hooks.on_timeout, sandbox))
            if sandbox.state == HIBERNATING and sandbox.run_id == run_id:
                now = self._clock()
                sandbox = await self._change(key, partial(_reconsider, now, run_id))
                if sandbox.state == HIBERNATING:
                    await self._fall_asleep(sandbox, run_id)
                    return

    async def _fall_asleep(self, sandbox: Sandbox, run_id: str) -> Sandbox:
        key = _key(sandbox)
        try:
            await self._stop(sandbox)
        except AntiphonError as error:
            message = error.message
            return await self._change(key, lambda old: sandboxes.failed(old, run_id, message))
        return await self._change(key, lambda old: sandboxes.hibernated(old, run_id))

    async def _stop(self, sandbox: Sandbox) -> None:
        """End what runs in it."""
        await self._quietly(partial(self._hooks.before_stop, sandbox))
        if self._provider is not None:
            await self._provider.stop(*_key(sandbox))

    async def _put_away(self, sandbox: Sandbox) -> None:
        error: str | None = None
        try:
            await self._stop(sandbox)
        except AntiphonError as fault:
            error = f"Archive finalization failed: {fault.message}"
        await self._change(_key(sandbox), lambda old: sandboxes.put_away(old, error))

    async def _clone(self, sandbox: Sandbox, repository: str) -> None:
        """Fetch a repository into an empty sandbox; why that failed is noted."""
        command = Command(
            ("/bin/sh", "-c", _CLONE, "sh", repository), seconds=limits.SANDBOX_CLONE_SECONDS, has_network=True
        )
        try:
            end = await self.provider().run(*_key(sandbox), command)
        except SandboxFailed as error:
            fault = error.message
        else:
            if end.exit_code == 0:
                return
            lines = end.stderr.decode(errors="replace").strip().splitlines()
            fault = end.reason or (lines[-1] if lines else f"git ended with {end.exit_code}")
        text = f"The repository could not be cloned: {fault}".replace("\0", "")[: limits.TOOL_ERROR_CHARACTERS]
        await self._change(_key(sandbox), lambda old: sandboxes.noted(old, text))

    async def _change(self, key: Key, transition: Callable[[Sandbox], Sandbox]) -> Sandbox:
        return await self._store.sandboxes.change(*key, transition)

    async def _quietly(self, hook: Callable[[], Awaitable[None]]) -> None:
        """A hook that cannot fail anything."""
        try:
            await hook()
        except Exception as fault:  # noqa: BLE001  whatever a hook does, the sandbox's life goes on
            _log.error("hook of a sandbox failed", extra=describe(fault))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside everything else, until it is done or this process ends."""

        async def guarded() -> None:
            try:
                await work
            except SessionNotFound:
                return  # it was deleted meanwhile
            except Exception as fault:  # noqa: BLE001  as above
                _log.error("work on a sandbox failed", extra=describe(fault))

        task = asyncio.create_task(guarded(), name="sandbox")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # one that was cancelled before it began would be missed

    async def close(self) -> None:
        """End all work on sandboxes, and all commands; leases stay, and are taken over when they are stale."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._provider is not None:
            await self._provider.close()


def _key(sandbox: Sandbox) -> Key:
    return sandbox.tenant_id, sandbox.session_key


def _tire(now: int, run_id: str, sandbox: Sandbox) -> Sandbox:
    return sandboxes.tiring(sandbox, now, run_id)


def _reconsider(now: int, run_id: str, sandbox: Sandbox) -> Sandbox:
    return sandboxes.reconsidered(sandbox, now, run_id)
