"""Imports: files that an export wrote, checked whole, then written step by step where nobody sees it, then shown.

A file is kept in a private folder of the process until its import is over. The folder is the list of what this process
has to do: whoever shares it takes a lease before each import, and goes on where the last one stopped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from antiphon.core.faults import describe
from antiphon.core.import_lines import Tell, check_file, read_batch
from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.errors import (
    AntiphonError,
    ImportNotFound,
    RateLimitExceeded,
    StoreError,
    StoreUnavailable,
)
from antiphon.domain.ids import Uid, new_uid7, text_of
from antiphon.domain.imports import WRITING, Import, Opening

_SPOOLED, _ARRIVING = ".jsonl", ".part"
_BUFFER_BYTES = 1024 * 1024

_log = logging.getLogger(__name__)


class Imports:
    """The verbs of imports. Without a folder files are kept in one that is made for this process."""

    def __init__(self, store: Store, folder: Path | None = None, node: Uid | None = None) -> None:
        self._store = store
        self._folder_given = folder
        self._node = node or new_uid7()
        self._bell = asyncio.Event()
        self._held: dict[Uid, Import] = {}
        self._arriving = 0
        self._sweep_at = 0.0

    async def receive(self, tenant_id: Uid, pieces: AsyncIterator[bytes]) -> tuple[Import, bool]:
        """Keep a file, check it whole, and begin its import; whether it is new here. Durable on return.

        Raises ImportRefused and its kinds, ImportIdTaken, TenantNotFound, RateLimitExceeded when IMPORT_UPLOADS come in
        already, StoreUnavailable when the file cannot be kept.
        """
        if self._arriving >= limits.IMPORT_UPLOADS:
            raise RateLimitExceeded(1, f"at most {limits.IMPORT_UPLOADS} files are taken at a time")
        self._arriving += 1
        import_id = new_uid7()
        try:
            path = self._folder() / f"{import_id.hex()}{_ARRIVING}"
            try:
                await _keep(path, pieces)
                opening = await asyncio.to_thread(check_file, path, import_id)
                spooled = await asyncio.to_thread(self._file_away, path, tenant_id, import_id)
                known, is_new = await self._begin(tenant_id, opening, spooled)
            finally:
                _remove(path)
        except OSError as error:
            raise StoreUnavailable(f"the file cannot be kept: {error.strerror}") from None
        finally:
            self._arriving -= 1
        self._bell.set()
        return known, is_new

    async def get(self, tenant_id: Uid, import_id: Uid) -> Import:
        """The import of that id, for as long as it is known. Raises ImportNotFound."""
        found = await self._store.imports.find(tenant_id, import_id)
        if found is None:
            raise ImportNotFound
        return found

    async def bring(
        self, tenant_id: Uid, path: Path, read: Tell, tell: Callable[[Import], None]
    ) -> tuple[Import, bool]:
        """Import a file that stays where it is, to the end; as it is then, and whether this did something.

        `read` is told how many bytes are checked, `tell` of each step. An import of the same file that was cut off goes
        on; one that another process is at is waited for. Raises as `receive`, what ended it, and OSError.
        """
        opening = await asyncio.to_thread(check_file, path, new_uid7(), read)
        current, is_new = await self._store.imports.begin(tenant_id, opening)
        is_mine = is_new
        while current.state == WRITING:
            claimed = await self._claim(tenant_id, current.id)
            if claimed is None:
                await asyncio.sleep(limits.IMPORT_POLL_SECONDS)
                current = await self.get(tenant_id, current.id)
            else:
                is_mine = True
                current = await self._step(tenant_id, claimed, path)
            tell(current)
        return current, is_mine

    async def run(self) -> None:
        """Go on with every import whose file is here, a step of each in turn, until cancelled."""
        while True:
            if await self.run_once():
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(limits.IMPORT_POLL_SECONDS):
                    await self._bell.wait()
            self._bell.clear()

    async def run_once(self) -> bool:
        """One step of each; whether there is more to do at once."""
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + limits.IMPORT_SWEEP_SECONDS
            await self._sweep()
        files = sorted(self._folder().glob(f"*{_SPOOLED}")) if self._has_folder else []
        return any([await self._advance(path) for path in files])

    async def release(self) -> None:
        """Let go of what is held, at the orderly end of the process: another need not wait for the leases."""
        self._held.clear()
        try:
            async with asyncio.timeout(limits.GOODBYE_SECONDS):
                await self._store.imports.release(self._node)
        except (StoreError, TimeoutError) as error:
            _log.warning("imports not given back", extra=describe(error))

    async def _begin(self, tenant_id: Uid, opening: Opening, spooled: Path) -> tuple[Import, bool]:
        """Begin with a file that is in its place; one of a known import that goes on takes over from a lost one."""
        try:
            known, is_new = await self._store.imports.begin(tenant_id, opening)
        except AntiphonError:
            _remove(spooled)
            raise
        if not is_new and known.state == WRITING:
            os.replace(spooled, self._place_of(tenant_id, known.id))
        elif not is_new:
            _remove(spooled)
        return known, is_new

    async def _advance(self, path: Path) -> bool:
        """One step of the import of a file here; whether it can take another at once."""
        tenant_id, import_id = _named_by(path)
        try:
            current = self._held.get(import_id) or await self._claim(tenant_id, import_id)
            if current is None:
                await self._look_after(tenant_id, import_id, path)
                return False
            self._held[import_id] = current = await self._step(tenant_id, current, path)
        except (StoreError, ImportNotFound, OSError) as error:
            self._held.pop(import_id, None)
            _log.warning("import put off", extra={"import": text_of(import_id), **describe(error)})
            return False
        except AntiphonError:  # noted in the store: nothing of it can be shown
            self._held.pop(import_id, None)
            return True
        if current.state != WRITING:
            del self._held[import_id]
            _remove(path)
            _log.info("import done", extra={"import": text_of(import_id)})
        return True

    async def _step(self, tenant_id: Uid, current: Import, path: Path) -> Import:
        """The next step of an import that is held. Raises what has ended it, once that is noted."""
        store = self._store.imports
        try:
            batch = await asyncio.to_thread(read_batch, path, current.cursor)
            if batch is None:
                return await store.finish(tenant_id, current.id, self._node)
            lease = limits.IMPORT_LEASE_SECONDS
            return await store.write(tenant_id, current.id, self._node, current.cursor, batch, lease)
        except (StoreUnavailable, ImportNotFound):
            raise
        except AntiphonError as error:
            _log.warning("import given up", extra={"import": text_of(current.id), "code": error.code})
            await store.give_up(tenant_id, current.id, error.code)
            raise

    async def _claim(self, tenant_id: Uid, import_id: Uid) -> Import | None:
        return await self._store.imports.claim(tenant_id, import_id, self._node, limits.IMPORT_LEASE_SECONDS)

    async def _look_after(self, tenant_id: Uid, import_id: Uid, path: Path) -> None:
        """Remove the file of an import that is over; one that nobody knows may be about to begin, for a while."""
        found = await self._store.imports.find(tenant_id, import_id)
        if (found is None and _is_stale(path)) or (found is not None and found.state != WRITING):
            _remove(path)

    async def _sweep(self) -> None:
        """Give up what nobody goes on with, and remove what a killed process has left half received."""
        try:
            await self._store.imports.sweep(limits.IMPORT_KEPT_SECONDS, limits.IMPORT_ABANDONED_SECONDS)
        except StoreError as error:
            _log.warning("imports not swept", extra={"code": error.code})
        if self._has_folder:
            for path in self._folder().glob(f"*{_ARRIVING}"):
                if _is_stale(path):
                    _remove(path)

    def _place_of(self, tenant_id: Uid, import_id: Uid) -> Path:
        return self._folder() / f"{tenant_id.hex()}-{import_id.hex()}{_SPOOLED}"

    def _file_away(self, path: Path, tenant_id: Uid, import_id: Uid) -> Path:
        """Put a checked file where it is found again, durably."""
        place = self._place_of(tenant_id, import_id)
        os.replace(path, place)
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return place

    def _folder(self) -> Path:
        """The folder, made for its owner alone."""
        if self._folder_given is None:
            self._folder_given = Path(tempfile.mkdtemp(prefix="antiphon-imports-"))
        self._folder_given.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder_given

    @property
    def _has_folder(self) -> bool:
        return self._folder_given is not None and self._folder_given.is_dir()


async def _keep(path: Path, pieces: AsyncIterator[bytes]) -> None:
    """Write what comes into a new file for its owner alone; on the disk on return."""
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    try:
        waiting, size = [], 0
        async for piece in pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= _BUFFER_BYTES:
                await asyncio.to_thread(file.write, b"".join(waiting))
                waiting, size = [], 0
        await asyncio.to_thread(_finish, file, b"".join(waiting))
    finally:
        file.close()


def _finish(file: BinaryIO, rest: bytes) -> None:
    file.write(rest)
    file.flush()
    os.fsync(file.fileno())


def _named_by(path: Path) -> tuple[Uid, Uid]:
    """Whose import of which id a file is of."""
    tenant, _, name = path.name.removesuffix(_SPOOLED).partition("-")
    return bytes.fromhex(tenant), bytes.fromhex(name)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _is_stale(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > limits.IMPORT_STALE_SECONDS
    except OSError:
        return False
