"""`antiphon worker`: deletions, the index, webhooks and imports without serving, beside servers or alone."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import typer

from antiphon.cli.parts import DatabaseUrl, DataDir, parts_of
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.deletion.worker import Worker
from antiphon.core.embeddings import Embeddings
from antiphon.core.imports import Imports
from antiphon.core.indexing import Indexing
from antiphon.core.sandboxes import Sandboxes
from antiphon.core.webhooks import Webhooks
from antiphon.settings import Settings, read_settings

_log = logging.getLogger("antiphon.worker")


def worker(context: typer.Context, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Delete, index messages, send webhooks and import until stopped; workers and servers share the queues."""
    settings = read_settings(os.environ, {"data_dir": data_dir, "database_url": database_url})
    asyncio.run(_work(context, settings))


async def _work(context: typer.Context, settings: Settings) -> None:
    """Work until a signal; what breaks the work ends the process, whose leases then run out."""
    parts = parts_of(context)
    parts.start_logs(settings)
    store = await parts.open_store(settings)
    try:
        receipts = Receipts(store, parts.make_keyring(settings), parts.make_verifier())
        await receipts.start()
        sandboxes = Sandboxes(store, parts.make_sandboxes(settings))
        at_work = Worker(store, receipts, remove_files=sandboxes.remove_files)
        webhooks = Webhooks(store, parts.make_sender(settings), parts.webhook_secret(settings))
        embedder = parts.make_embedder(settings)
        embeddings = Embeddings(store, embedder)
        indexing = Indexing(store, [store.search, embeddings] if embedder else [store.search])
        imports = Imports(store, settings.imports_dir)
        works = (at_work.run, indexing.run, embeddings.run, webhooks.run, imports.run)
        working = asyncio.create_task(_do_all(*works))
        _stop_at_signals(working)
        typer.echo("ready")
        await asyncio.wait([working])
        await at_work.release()
        await webhooks.release()
        await imports.release()
        await embeddings.close()
        if not working.cancelled():
            await working
    finally:
        await store.close()
    _log.info("stopped")


async def _do_all(*works: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """All of it side by side; what breaks one ends the others."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work())


def _stop_at_signals(working: asyncio.Task[None]) -> None:
    """The first signal ends the work in good order; a second one ends the process at once, as it does anywhere."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        working.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
