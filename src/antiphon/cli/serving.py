"""A server's life: start, say `ready`, serve, and stop in good order.

Stopping is ours, not uvicorn's, which would close every socket before any code of ours runs: no new connections; then
turns end as interrupted, with their texts kept, and whoever follows them is told; attended answers may finish, and
sockets are closed; then requests finish, then the background work ends and the store is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import uvicorn
import uvloop

from antiphon.cli.first_start import make_first_tenant, welcome
from antiphon.cli.parts import Parts, Served
from antiphon.cli.protocol import SocketProtocol, StrictProtocol
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.faults import describe
from antiphon.core.instance import Instance
from antiphon.core.ports import Agent
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed, AntiphonError, StoreUnavailable
from antiphon.settings import Settings, unknown_variables

_log = logging.getLogger("antiphon.serve")

_READY_PAUSE_SECONDS = 0.02
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  the address by which such a server is reached from here
_READY_QUESTION = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


class CannotListen(AntiphonError):
    """The address cannot be listened on."""

    code = "cannot_listen"


def serve_until_stopped(parts: Parts, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once. Raises AntiphonError."""
    parts.start_logs(settings)
    for name in unknown_variables(os.environ):
        _log.warning("unknown setting", extra={"variable": name})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(parts, settings))


async def _run(parts: Parts, settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_loose_end)
    work = asyncio.create_task(_serve(parts, settings, stop := _Stop()))
    stop.starting = work
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.hear, number)
    try:
        await work
    except asyncio.CancelledError:
        if not stop.asked.is_set():
            raise
    _log.info("stopped")


async def _serve(parts: Parts, settings: Settings, stop: _Stop) -> None:
    listener = _listen(settings)
    url = _url_of(settings, listener)
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        instance, agent = await _open(parts, settings, stack)
        keys = await make_first_tenant(instance)
        if keys is not None:
            _print(welcome(url, keys))
        if settings.auth == "off":
            instance.everybody = await instance.keys.open_principal()
        served = parts.build_server(instance, settings)
        server = _Server(_config(served, settings))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stack.push_async_callback(_stop_serving, server, served, serving, instance)
        await _until_ready(listener, serving)
        stop.starting = None
        _print(f"ready {url}\n")
        await stack.enter_async_context(_warming(parts, agent))
        await asyncio.wait({serving, stop.waiting()}, return_when=asyncio.FIRST_COMPLETED)
        _log.info("stopping")


class _Stop:
    """What a signal does: the first asks for an orderly end, the second ends the process at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.starting: asyncio.Task[None] | None = None

    def hear(self, number: int) -> None:
        """Take a signal. During the start it breaks the start off: nobody is served yet."""
        if self.asked.is_set():
            logging.shutdown()
            os._exit(128 + number)
        self.asked.set()
        if self.starting is not None:
            self.starting.cancel()

    def waiting(self) -> asyncio.Task[bool]:
        """A task that is done when the end was asked for."""
        return asyncio.create_task(self.asked.wait())


class _Server(uvicorn.Server):
    """uvicorn without its own handling of signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections that are open go on."""
        for listening in getattr(self, "servers", []):
            listening.close()


def _config(served: Served, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        served.application,
        loop="none",
        http=StrictProtocol,
        ws=SocketProtocol,
        ws_per_message_deflate=False,
        ws_max_size=limits.FRAME_BYTES,
        ws_ping_interval=limits.SOCKET_PING_SECONDS,
        ws_ping_timeout=limits.SOCKET_PONG_SECONDS,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        timeout_keep_alive=limits.KEEP_ALIVE_SECONDS,
        backlog=limits.CONNECTIONS_WAITING,
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=limits.CONNECTIONS_WAITING
        )
    except OSError as error:
        raise CannotListen(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}") from None
    # Connections inherit it. What the kernel takes for a client that does not read is memory too: megabytes otherwise.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.SEND_BUFFER_BYTES)
    listener.setblocking(False)
    return listener


def _url_of(settings: Settings, listener: socket.socket) -> str:
    host = _WILDCARDS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


async def _open(parts: Parts, settings: Settings, stack: AsyncExitStack) -> tuple[Instance, Agent]:
    """The instance at work over its store and agent; the stack ends and closes them in the reverse order."""
    count_tokens = parts.token_counter()
    async with _patience("opening the store"):
        store = await parts.open_store(settings)
    stack.push_async_callback(store.close)
    agent = parts.make_agent(settings, _log.info)
    stack.push_async_callback(agent.close)
    instance = Instance(
        store,
        agent,
        count_tokens,
        parts.model_name(settings),
        streams=parts.make_streams(store),
        receipts=Receipts(store, parts.make_keyring(settings), parts.make_verifier()),
        tools_of=parts.make_tools(settings, store),
        sender=parts.make_sender(settings),
        webhook_secret=parts.webhook_secret(settings),
        sandboxes=parts.make_sandboxes(settings),
        embedder=parts.make_embedder(settings),
        has_sandboxes=settings.sandbox == "on",
        has_sandbox_tools=settings.tools == "on",
        imports_folder=settings.imports_dir,
    )
    await stack.enter_async_context(instance.running())
    return instance, agent


async def _stop_serving(server: _Server, served: Served, serving: asyncio.Task[None], instance: Instance) -> None:
    ends = time.monotonic() + limits.STOP_GRACE_SECONDS
    server.stop_accepting()
    if not serving.done():
        try:
            async with asyncio.timeout(limits.STOP_GRACE_SECONDS + 1):
                await asyncio.gather(_end_turns(instance), served.close_sockets(limits.STOP_GRACE_SECONDS))
        except Exception as fault:  # noqa: BLE001  the rest must be closed all the same
            _log.error("sockets not closed", extra=describe(fault))
        server.config.timeout_graceful_shutdown = max(1, int(ends - time.monotonic()))
    server.should_exit = True
    await asyncio.wait({serving})
    if not serving.cancelled() and (broken := serving.exception()) is not None:
        _log.error("server broke", extra=describe(broken))


async def _end_turns(instance: Instance) -> None:
    """End the turns, whose followers then have their ends, and let go of those who follow turns of other processes.

    uvicorn waits for streams that are open: they must have come to their ends before.
    """
    await instance.turns.close()
    await instance.streams.close()


async def _until_ready(listener: socket.socket, serving: asyncio.Task[None]) -> None:
    """Return when /readyz is 200. Raises StoreUnavailable when it is not within START_SECONDS."""
    host, port = listener.getsockname()[:2]
    try:
        async with asyncio.timeout(limits.START_SECONDS), _patience("waiting for the store"):
            while not await _is_ready(_WILDCARDS.get(host, host), port):
                if serving.done():
                    await serving
                    raise CannotListen("the server ended before it was ready")
                await asyncio.sleep(_READY_PAUSE_SECONDS)
    except TimeoutError:
        raise StoreUnavailable(f"the store was not ready within {limits.START_SECONDS} seconds") from None


async def _is_ready(host: str, port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(_READY_QUESTION)
            return (await reader.readline()).split()[1:2] == [b"200"]
        finally:
            writer.close()
    except OSError:
        return False


@asynccontextmanager
async def _warming(parts: Parts, agent: Agent) -> AsyncIterator[None]:
    """Get the agent ready in the background; the first answer waits for it, the server does not."""

    async def warm_up() -> None:
        try:
            await parts.warm_up(agent)
        except AgentFailed as error:
            _log.warning("no model to answer with", extra={"reason": error.message})

    warming = asyncio.create_task(warm_up())
    try:
        yield
    finally:
        warming.cancel()
        await asyncio.wait({warming})


@asynccontextmanager
async def _patience(what: str) -> AsyncIterator[None]:
    """Say what is being done when it takes longer than PROGRESS_SECONDS, and that it is done."""
    began = time.monotonic()
    timer = asyncio.get_running_loop().call_later(limits.PROGRESS_SECONDS, _log.info, what)
    try:
        yield
        if (seconds := time.monotonic() - began) > limits.PROGRESS_SECONDS:
            _log.info("%s: done", what, extra={"seconds": round(seconds, 1)})
    finally:
        timer.cancel()


def _print(text: str) -> None:
    """Write to standard output. When nobody reads it, that is no reason not to serve: the rest goes nowhere."""
    try:
        print(text, end="", flush=True)
    except (OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, sys.stdout.fileno())  # what is left in its buffer would fail again when the process ends
        os.close(nowhere)


def _log_loose_end(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the loop finds and nobody waited for: the loop's own handler would log the words of the exception."""
    fault = context.get("exception")
    extra = describe(fault) if isinstance(fault, BaseException) else {}
    _log.error("loose end: %s", context.get("message", "unknown"), extra=extra)
