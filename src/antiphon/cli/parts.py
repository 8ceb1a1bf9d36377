"""What the commands are given by the composition root, so that they know no store, no agent and no dialect."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer

from antiphon.core.instance import Instance
from antiphon.core.messages import TokenCounter
from antiphon.core.ports import Agent, Store
from antiphon.settings import Settings, read_settings

T = TypeVar("T")

Say = Callable[[str], None]
Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

DataDir = Annotated[
    str | None, typer.Option("--data-dir", metavar="PATH", help="Where the data is kept.", show_default=False)
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", metavar="URL", help="For a later version.", show_default=False)
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

    `warm_up` gets an agent ready that takes its time, and raises AgentFailed; `install_models` fetches the local model.
    """

    start_logs: Callable[[Settings], None]
    open_store: Callable[[Settings], Awaitable[Store]]
    make_agent: Callable[[Settings, Say], Agent]
    model_name: Callable[[Settings], str]
    warm_up: Callable[[Agent], Awaitable[None]]
    token_counter: Callable[[], TokenCounter]
    build_server: Callable[[Instance, Settings], Served]
    install_models: Callable[[Say], None]


def parts_of(context: typer.Context) -> Parts:
    """The parts that this run of the program was given."""
    parts = context.find_object(Parts)
    if parts is None:
        raise RuntimeError("the program was started without its parts")
    return parts


def with_store(context: typer.Context, overrides: Mapping[str, str | None], work: Callable[[Store], Awaitable[T]]) -> T:
    """What the work gives, done over the store of the settings; a running server does not mind."""
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
