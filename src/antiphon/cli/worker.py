"""`antiphon worker`: carry deletions out without serving anything, beside servers or alone."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import typer

from antiphon.cli.parts import DatabaseUrl, DataDir, parts_of
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.deletion.worker import Worker
from antiphon.core.sandboxes import Sandboxes
from antiphon.settings import Settings, read_settings

_log = logging.getLogger("antiphon.worker")


def worker(context: typer.Context, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Carry out deletions until stopped; any number of workers and servers share the queue."""
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
        working = asyncio.create_task(at_work.run())
        _stop_at_signals(working)
        typer.echo("ready")
        await asyncio.wait([working])
        await at_work.release()
        if not working.cancelled():
            await working
    finally:
        await store.close()
    _log.info("stopped")


def _stop_at_signals(working: asyncio.Task[None]) -> None:
    """The first signal ends the work in good order; a second one ends the process at once, as it does anywhere."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        working.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
