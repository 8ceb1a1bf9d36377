"""One confined command at work: held back until its limits are set, watched, and ended with everything it started.

bubblewrap runs it below a process that is the first of a process namespace: when that one is killed, the kernel kills
all others of the namespace before anybody can wait for it. So whoever has waited for it knows that none is left.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from antiphon.core.ports.sandboxes import Command, CommandEnd
from antiphon.domain import limits
from antiphon.domain.errors import SandboxFailed
from antiphon.sandbox import cgroups
from antiphon.sandbox.directories import Size, measure

_CHUNK_BYTES = 64 * 1024
_PAGE_BYTES = resource.getpagesize()
_ERROR_CHARACTERS = 200
_NICENESS = 10

CommandLine = Callable[[int, int], Sequence[str]]
"""Makes the command line, given the descriptors of the status and of the gate."""


class Confined:
    """A command that runs. `work` is the directory that it may write to, which was `before` as large as that."""

    def __init__(self, work: Path, before: Size) -> None:
        self._work = work
        self._before = before
        self._pidfd: int | None = None
        self._child = 0
        self._reason: str | None = None
        self.over = asyncio.Event()

    def kill(self, reason: str) -> None:
        """End it with everything that it started; why, is said in its end."""
        self._reason = self._reason or reason
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def run(self, line: CommandLine, command: Command) -> CommandEnd:
        """Run it to its end. Raises SandboxFailed when it cannot be confined; then it has not run."""
        process, status, gate = await _start(line, command)
        output = [
            asyncio.create_task(_collect(stream, command.output_bytes)) for stream in (process.stdout, process.stderr)
        ]
        feeding = asyncio.create_task(_feed(process.stdin, command.stdin))
        watching: asyncio.Task[None] | None = None
        cgroup: cgroups.Group | None = None
        try:
            cgroup = await self._let_go(status, gate)
            watching = asyncio.create_task(self._watch())
            with suppress(TimeoutError):
                async with asyncio.timeout(command.seconds):
                    await process.wait()
            if process.returncode is None:
                self._reason = self._reason or f"the command took longer than {command.seconds:g} seconds"
        finally:
            os.close(gate)
            await asyncio.shield(asyncio.create_task(self._end(process, cgroup, [feeding, watching])))
        (stdout, cut_out), (stderr, cut_err) = await asyncio.gather(*output)
        exit_code = await _exit_code(status)
        if exit_code is None and self._reason is None:
            raise SandboxFailed(_words_of(stderr))
        if exit_code and (excess := self._before.excess) is not None:
            self._reason = f"{excess}: nothing can be written before something is removed"
        return CommandEnd(None if self._reason else exit_code, stdout, stderr, cut_out or cut_err, self._reason)

    async def _let_go(self, status: asyncio.StreamReader, gate: int) -> cgroups.Group | None:
        """Set the limits of what waits at the gate, then open it. Does nothing when there is nobody."""
        try:
            async with asyncio.timeout(limits.SANDBOX_START_SECONDS):
                first = await status.readline()
        except TimeoutError:
            raise SandboxFailed("the sandbox did not start in time") from None
        if not first:
            return None
        self._child = int(json.loads(first)["child-pid"])
        try:
            self._pidfd = os.pidfd_open(self._child)
            file_bytes = limits.SANDBOX_FILE_BYTES if self._before.excess is None else 0
            for which, most in _limits(file_bytes):
                resource.prlimit(self._child, which, (most, most))
            os.setpriority(os.PRIO_PROCESS, self._child, _NICENESS)
        except ProcessLookupError:
            return None
        cgroup = cgroups.make(self._child)
        if self._reason is None:
            os.write(gate, b"\n")
        return cgroup

    async def _watch(self) -> None:
        """End it when it uses more than it may: of the disk more than before, or of the memory."""
        while True:
            await asyncio.sleep(limits.SANDBOX_WATCH_SECONDS)
            size, memory = await asyncio.to_thread(self._look)
            if size.excess is not None and size.is_worse_than(self._before):
                self.kill(size.excess)
            if memory > limits.SANDBOX_MEMORY_BYTES:
                self.kill(f"the command used more than {limits.SANDBOX_MEMORY_BYTES} bytes of memory")

    def _look(self) -> tuple[Size, int]:
        return measure(self._work), memory_of(self._child)

    async def _end(
        self,
        process: asyncio.subprocess.Process,
        cgroup: cgroups.Group | None,
        tasks: Sequence[asyncio.Task[None] | None],
    ) -> None:
        """Wait until nothing of it is left, which is at once."""
        for task in tasks:
            if task is not None:
                task.cancel()
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            await _wait_for(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        elif process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        if cgroup is not None:
            cgroup.remove()
        self.over.set()


async def _start(line: CommandLine, command: Command) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader, int]:
    """bubblewrap, waiting before it begins; where it tells of the command; and what to write to, to let it begin."""
    status_from, status_to = os.pipe()
    gate_from, gate_to = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *line(status_to, gate_from),
            *command.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(status_to, gate_from),
            env={},
            cwd="/",
        )
    except (OSError, ValueError) as error:
        os.close(status_from)
        os.close(gate_to)
        raise SandboxFailed(f"the command cannot be started: {error}"[:_ERROR_CHARACTERS]) from None
    finally:
        os.close(status_to)
        os.close(gate_from)
    status = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(status), os.fdopen(status_from, "rb", buffering=0)
    )
    return process, status, gate_to


def _limits(file_bytes: int) -> list[tuple[int, int]]:
    return [
        (resource.RLIMIT_AS, limits.SANDBOX_ADDRESS_BYTES),
        (resource.RLIMIT_CPU, limits.SANDBOX_CPU_SECONDS),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, limits.SANDBOX_OPEN_FILES),
        (resource.RLIMIT_NPROC, limits.SANDBOX_PROCESSES),
        (resource.RLIMIT_CORE, 0),
    ]


async def _collect(stream: asyncio.StreamReader | None, most: int) -> tuple[bytes, bool]:
    """The first bytes of a stream, and whether there were more: these are read too, so that nobody waits."""
    kept, is_cut = b"", False
    while stream is not None and (chunk := await stream.read(_CHUNK_BYTES)):
        room = most - len(kept)
        kept += chunk[:room]
        is_cut = is_cut or len(chunk) > room
    return kept, is_cut


async def _feed(stream: asyncio.StreamWriter | None, content: bytes) -> None:
    """What it reads; it may end without having read all of it."""
    if stream is not None:
        with suppress(OSError):
            stream.write(content)
            await stream.drain()
        stream.close()


async def _exit_code(status: asyncio.StreamReader) -> int | None:
    """What bubblewrap says last; None when it never began."""
    said: dict[str, Any] = {}
    for line in (await status.read()).splitlines():
        with suppress(ValueError):
            said |= json.loads(line)
    return said.get("exit-code")


async def _wait_for(pidfd: int) -> None:
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(pidfd, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(pidfd)


def memory_of(pid: int) -> int:
    """Bytes of memory that a process and all below it hold now, about."""
    total, waiting = 0, [pid]
    while waiting:
        folder = Path("/proc") / str(waiting.pop())
        with suppress(OSError, ValueError, IndexError):
            total += int((folder / "statm").read_text().split()[1]) * _PAGE_BYTES
            for task in (folder / "task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return total


def _words_of(stderr: bytes) -> str:
    """What bubblewrap complained of."""
    words = stderr.decode(errors="replace").strip().splitlines()
    return (words[-1] if words else "bubblewrap said nothing")[:_ERROR_CHARACTERS]
