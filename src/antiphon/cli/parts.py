"""What the commands are given by the composition root, so that they know no store, no agent and no dialect."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from antiphon.core.instance import Instance
from antiphon.core.messages import TokenCounter
from antiphon.core.ports import Agent, Store
from antiphon.core.ports.embeddings import Embedder
from antiphon.core.ports.sandboxes import SandboxProvider
from antiphon.core.ports.signing import Keyring, Verifier
from antiphon.core.ports.streams import Streams
from antiphon.core.ports.webhooks import Sender
from antiphon.core.turns import ToolsOf
from antiphon.domain.receipts import SigningKey
from antiphon.settings import URL_VARIABLE, Address, BadSetting, Settings, read_settings

T = TypeVar("T")

NOT_ELSEWHERE = f"this is done on the machine itself, not with --url ({URL_VARIABLE})"
_ADDRESS = "antiphon.address"

Say = Callable[[str], None]
Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

DataDir = Annotated[
    str | None, typer.Option("--data-dir", metavar="PATH", help="Where the data is kept.", show_default=False)
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", metavar="URL", help="PostgreSQL in place of a file.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@dataclass(frozen=True)
class Served:
    """An ASGI application, and how its sockets end.

    `close_sockets` lets answers finish for so many seconds, then closes every socket with 1001 (going away).
    """

    application: Application
    close_sockets: Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Parts:
    """Factories. Nothing is opened, imported or asked before one of them is called.

    `webhook_secret` is made when there is none, and raises StoreUnavailable when it cannot be kept; `warm_up` gets an
    agent ready that takes its time, and raises AgentFailed; `install_models` fetches the local models;
    `scan_files` searches every file of a data directory for strings, and tells which, where and at which byte;
    `distribute` distributes the tables of the database, or only plans it, and tells of each `table` its `kind`,
    `statement` and `state` (`already`, `done` or `planned`);
    `move` copies the SQLite database of a directory into the PostgreSQL of a URL, and tells of each step the state
    (`copying`, `checking` or `done`), the table, how many of its rows are done, and how many it has.
    """

    start_logs: Callable[[Settings], None]
    open_store: Callable[[Settings], Awaitable[Store]]
    make_streams: Callable[[Store], Streams]
    make_agent: Callable[[Settings, Say], Agent]
    make_tools: Callable[[Settings, Store], ToolsOf]
    make_sandboxes: Callable[[Settings], SandboxProvider]
    make_embedder: Callable[[Settings], Embedder | None]
    make_sender: Callable[[Settings], Sender]
    webhook_secret: Callable[[Settings], str]
    model_name: Callable[[Settings], str]
    warm_up: Callable[[Agent], Awaitable[None]]
    token_counter: Callable[[], TokenCounter]
    build_server: Callable[[Instance, Settings], Served]
    install_models: Callable[[Say], None]
    make_keyring: Callable[[Settings], Keyring]
    make_verifier: Callable[[], Verifier]
    scan_files: Callable[[Path, Sequence[bytes]], list[tuple[int, str, int]]]
    read_public_keys: Callable[[bytes], list[SigningKey]]
    distribute: Callable[[Settings, bool, Callable[[Mapping[str, str]], None]], Coroutine[Any, Any, None]]
    move: Callable[[Path, str, Callable[[str, str, int, int], None]], Coroutine[Any, Any, None]]


def parts_of(context: typer.Context) -> Parts:
    """The parts that this run of the program was given."""
    parts = context.find_object(Parts)
    if parts is None:
        raise RuntimeError("the program was started without its parts")
    return parts


def remember_address(context: typer.Context, address: Address | None) -> None:
    """Keep which server elsewhere this run of the program is about."""
    context.meta[_ADDRESS] = address


def address_of(context: typer.Context, overrides: Mapping[str, str | None]) -> Address | None:
    """The server that is to do it; None: this machine, which an option for it says against ANTIPHON_URL.

    Raises BadSetting when options name both.
    """
    address: Address | None = context.meta.get(_ADDRESS)
    if address is None or all(value is None for value in overrides.values()):
        return address
    if address.is_option:
        raise BadSetting("--data-dir and --database-url are for this machine: they do not go with --url")
    return None


def with_store(context: typer.Context, overrides: Mapping[str, str | None], work: Callable[[Store], Awaitable[T]]) -> T:
    """What the work gives, done over the store of the settings; a running server does not mind.

    Raises BadSetting when a server elsewhere is meant.
    """
    if address_of(context, overrides) is not None:
        raise BadSetting(NOT_ELSEWHERE)
    settings = read_settings(os.environ, overrides)
    parts = parts_of(context)

    async def run() -> T:
        store = await parts.open_store(settings)
        try:
            return await work(store)
        finally:
            await store.close()

    logging.getLogger("antiphon").addHandler(logging.NullHandler())  # what matters is raised, and told in one line
    return asyncio.run(run())
