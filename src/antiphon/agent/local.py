"""A real model on this machine, in a process of its own: what it does to memory or crashes on stays there."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from antiphon.agent import models
from antiphon.agent.local_tools import LocalSteps, named_tools
from antiphon.agent.openai_chat import OpenAiAgent
from antiphon.agent.tool_loop import run_steps
from antiphon.core.ports import AgentEvent, Tool, Utterance
from antiphon.domain.errors import AgentFailed

_START_SECONDS = 60
_STOP_SECONDS = 3
_HISTORY_TOKENS = 400  # it reads 100 to 190 tokens a second: an answer begins within a few seconds
_ANSWER_TOKENS = 256
_PROGRESS_SECONDS = 1


class LocalAgent:
    """`core.ports.Agent` over a small model in a child process, started at the first answer or by `warm_up`.

    The child ends with this process, however it ends, and is started again when it died. `log_file` gets what it
    prints; `on_progress` is told when starting takes longer than a second.
    """

    def __init__(self, log_file: Path | None = None, on_progress: Callable[[str], None] | None = None) -> None:
        self._log_file = log_file
        self._on_progress = on_progress or (lambda _: None)
        self._lock = asyncio.Lock()
        self._child: asyncio.subprocess.Process | None = None
        self._agent: OpenAiAgent | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def run_turn(
        self, history: Sequence[Utterance], tools: Sequence[Tool] = (), model: str | None = None
    ) -> AsyncGenerator[AgentEvent, None]:
        """See the port. There is one model, so the name that is asked for does not matter.

        It knows no tools: see `local_tools`.
        """
        agent = await self.warm_up()
        name = await agent.default_model()
        async with aclosing(run_steps(LocalSteps(agent).ask, history, named_tools(history, tools), name)) as events:
            async for event in events:
                yield event

    async def warm_up(self) -> OpenAiAgent:
        """Start the model if it does not run. Raises AgentFailed."""
        async with self._lock:
            if self._agent is None or self.pid is None:
                await self._stop()
                self._agent = await self._start()
            return self._agent

    async def close(self) -> None:
        """End the child, within three seconds; one that is starting too."""
        if self._agent is None and self._child is not None and self.pid is not None:
            self._child.kill()  # whoever waits for its start holds the lock, and meets its end
        async with self._lock:
            await self._stop()

    async def _start(self) -> OpenAiAgent:
        weights = models.find_weights()
        if weights is None or importlib.util.find_spec("xllamacpp") is None:
            raise AgentFailed("no local model is installed: run `antiphon models install`, or set ANTIPHON_MODEL_URL")
        key = secrets.token_urlsafe(16)
        log = os.open(self._log_file or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "antiphon.agent.local_server",
                str(weights),
                env={**os.environ, **_library_path(), "ANTIPHON_LOCAL_MODEL_KEY": key},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # an interrupt at the terminal is for the server, which ends its child itself
            )
        finally:
            os.close(log)
        address = await self._await_address(self._child)
        return OpenAiAgent(f"{address}/v1", key, history_tokens=_HISTORY_TOKENS, answer_tokens=_ANSWER_TOKENS)

    async def _await_address(self, child: asyncio.subprocess.Process) -> str:
        """The address that the child prints once it listens."""
        if child.stdout is None:
            raise AgentFailed("the local model has no output")
        line = asyncio.ensure_future(child.stdout.readline())
        try:
            done, _ = await asyncio.wait([line], timeout=_PROGRESS_SECONDS)
            if not done:
                self._on_progress("starting the local model")
                done, _ = await asyncio.wait([line], timeout=_START_SECONDS)
        finally:
            line.cancel()
        if not done or not (address := line.result().decode().strip()):
            await self._stop()
            raise AgentFailed("the local model did not start")
        return address

    async def _stop(self) -> None:
        if self._agent is not None:
            await self._agent.close()
            self._agent = None
        child, self._child = self._child, None
        if child is None or child.returncode is not None:
            return
        if child.stdin is not None:
            child.stdin.close()  # it ends when nobody holds the other end
        try:
            async with asyncio.timeout(_STOP_SECONDS / 2):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()


def _library_path() -> dict[str, str]:
    """Where the OpenMP library is that set-up unpacks for users who may not install it in the system."""
    folder = Path(sys.prefix) / "lib"
    if not (folder / "libgomp.so.1").exists():
        return {}
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("LD_LIBRARY_PATH")]))}
