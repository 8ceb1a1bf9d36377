"""`antiphon worker` does the work on messages as a server does: their words and their vectors, each text once."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from antiphon.core.ports.indexing import KINDS
from antiphon.domain.messages import USER, Draft
from antiphon.stores.contract.worlds import new_single, new_tenant, until
from antiphon.stores.sqlite.store import SqliteStore
from tests.scripted_model import ScriptedModel
from tests.server_process import PROGRAM, environment


async def test_two_workers_read_each_text_once(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "data")
    tenant = await new_tenant(store)
    chats = [(await new_single(store, tenant, f"s{n}"))[1] for n in range(8)]
    for chat in chats:
        await store.messages.append(tenant, chat.key, [Draft("ann", USER, f"{chat.id} {n}") for n in range(10)])
    async with ScriptedModel().serving() as model:
        embeddings = {"ANTIPHON_EMBEDDINGS": "auto", "ANTIPHON_EMBEDDINGS_URL": model.url}
        workers = [
            await asyncio.create_subprocess_exec(
                *PROGRAM,
                "worker",
                env=environment(tmp_path / "data", **embeddings),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            for _ in range(2)
        ]
        try:
            for worker in workers:
                assert worker.stdout is not None
                assert await worker.stdout.readline() == b"ready\n"

            async def is_done() -> bool:
                return not any([(await store.indexing.backlog(kind)).chats for kind in KINDS])

            await until(is_done, "all was indexed")
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            assert [await worker.wait() for worker in workers] == [0, 0]
        finally:
            for worker in workers:
                if worker.returncode is None:
                    worker.kill()
                    await worker.wait()
            await store.close()
    texts = [text for call in model.calls for text in call.body["input"]]
    assert sorted(texts) == sorted(f"{chat.id} {n}" for chat in chats for n in range(10))
