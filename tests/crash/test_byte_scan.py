"""What was deleted is in no file any more, to the byte, and what was not deleted is in them still."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

from antiphon.core.deletion.engine import Deletions, Target
from antiphon.core.deletion.worker import Worker
from antiphon.core.indexing import Indexing
from antiphon.core.ports import Slice, Store
from antiphon.core.ports.embeddings import Said, Vector
from antiphon.core.ports.indexing import TEXT
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.conclusions import ConclusionDraft
from antiphon.domain.deletions import CANCEL, CHAT, DONE, ERASED, PARTICIPANT, SESSION, TENANT, Order
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import Uid, text_of
from antiphon.domain.messages import USER, Draft
from antiphon.stores.contract.worlds import add_chat, new_multi, new_single, new_tenant
from antiphon.stores.scan import files_of, scan
from antiphon.stores.sqlite.store import SqliteStore
from tests.receipts import receipts_of
from tests.server_process import ServerProcess

MESSAGES = 3_000
A_TIME = 100
PATIENCE_SECONDS = 120
DOOMED, KEPT = "doomed", "kept"
_MARKER = re.compile(rb"(doomed|kept)-(\d{5})-marker")
READER = """
import sys, time, apsw
reader = apsw.Connection(sys.argv[1], flags=apsw.SQLITE_OPEN_READONLY)
print("reading", flush=True)
while True:
    reader.execute("BEGIN")
    list(reader.execute("SELECT text FROM messages LIMIT 50"))
    time.sleep(0.05)  # holds a snapshot for a while, as readers do
    reader.execute("COMMIT")
    time.sleep(0.2)  # and lets go of it: the scrub must find its moment
"""


def marker(fate: str, number: int) -> str:
    """A text that stands nowhere else: of a length, so that none is the beginning of another."""
    return f"{fate}-{number:05d}-marker"


def vector_of(text: str) -> Vector:
    """A vector that holds the text: the bytes of a deleted one are looked for like its words."""
    return f"vector of {text} ".encode().ljust(1536, b".")


def found(data_dir: Path) -> dict[str, set[int]]:
    """Which markers the files of a directory hold, by their fate."""
    hits: dict[str, set[int]] = {DOOMED: set(), KEPT: set()}
    for file in files_of(data_dir):
        for fate, number in _MARKER.findall(file.read_bytes()):
            hits[fate.decode()].add(int(number))
    if not hits[DOOMED]:  # nor any part of one
        assert not list(scan(files_of(data_dir), [f"{DOOMED}-0".encode()]))
    return hits


ALL = set(range(MESSAGES // 2))


class Scene:
    """Chats that are said markers in turn, kept ones and doomed ones, so that they share the pages of the file."""

    def __init__(self, store: Store, tenant_id: Uid) -> None:
        self.store, self.tenant_id = store, tenant_id
        self.targets: list[tuple[Uid, Target]] = []
        self.doomed: list[tuple[Uid, Chat, str]] = []
        self.kept: list[tuple[Uid, Chat, str]] = []

    async def make(self) -> None:
        """Things of each kind that are to go: a chat, two sessions, a participant's own and her words, a tenant."""
        store, tenant = self.store, self.tenant_id
        session, stays = await new_multi(store, tenant, "ben")
        chat, _ = await add_chat(store, tenant, session, "goes")
        many, first = await new_multi(store, tenant, "ben")
        more, _ = await add_chat(store, tenant, many, "more")
        single, alone = await new_single(store, tenant, "single", "ben")
        _, own = await new_multi(store, tenant, "eve")
        other = await new_tenant(store)
        _, elsewhere = await new_multi(store, other, "ann")
        self.kept = [(tenant, stays, "ben"), (tenant, stays, "ann")]
        self.doomed = [(tenant, each, "ben") for each in (chat, first, more, alone)]
        self.doomed += [(tenant, own, "eve"), (tenant, stays, "eve"), (other, elsewhere, "ann")]
        targets = [(CHAT, "goes"), (SESSION, many.id), (SESSION, single.id), (PARTICIPANT, "eve")]
        self.targets = [(tenant, Target(*target)) for target in targets] + [(other, Target(TENANT, text_of(other)))]

    async def speak(self) -> None:
        """Say every marker once, some at a time."""
        for first in range(0, MESSAGES // 2, A_TIME // 2):
            for fate, places in ((DOOMED, self.doomed), (KEPT, self.kept)):
                for number in range(first, first + A_TIME // 2, 10):
                    tenant, chat, author = places[number // 10 % len(places)]
                    drafts = [_draft(author, marker(fate, each)) for each in range(number, number + 10)]
                    stored = await self.store.messages.append(tenant, chat.key, drafts)
                    vectors = [(Said(one.seq, one.text), vector_of(one.text)) for one in stored]
                    first_seq, last_seq = stored[0].seq - 1, stored[-1].seq
                    assert await self.store.vectors.keep(tenant, chat.key, first_seq, last_seq, "model", vectors)

    async def derive(self) -> None:
        """All that is made of messages, or tells of them: the index of words, conclusions, cards and kept answers."""
        store, tenant = self.store, self.tenant_id
        await Indexing(store, [store.search]).catch_up()
        assert (await store.indexing.backlog(TEXT)).chats == 0
        places = {fate: places[0][1].key for fate, places in ((DOOMED, self.doomed), (KEPT, self.kept))}
        drafts = [(DOOMED, "eve", None), (DOOMED, "ben", "single"), (KEPT, "ben", None)]
        texts = [marker(fate, number) for number, (fate, *_) in enumerate(drafts)]
        conclusions = await store.conclusions.create(
            tenant,
            [ConclusionDraft(text, who, "ben", at) for text, (_, who, at) in zip(texts, drafts, strict=True)],
        )
        await store.vectors.keep_conclusions(tenant, "model", [(one.id, vector_of(one.content)) for one in conclusions])
        for fate, who in ((DOOMED, "eve"), (KEPT, "ben")):
            text = marker(fate, 3)
            await store.conclusions.put_card(tenant, who, "ben", f'["{text}"]')
            await store.idempotency.claim(tenant, fate.encode(), b"asked", tenant, PATIENCE_SECONDS)
            told = Subject(places[fate])
            kept = await store.idempotency.keep(tenant, fate.encode(), tenant, text.encode(), told, PATIENCE_SECONDS)
            assert kept

    async def read(self) -> int:
        """How many messages the kept chat shows."""
        tenant, chat, _ = self.kept[0]
        return (await self.store.messages.page(tenant, chat.key, Slice(0, 1))).total


def _draft(author: str, text: str) -> Draft:
    return Draft(author, USER, text, parts=f'[{{"type":"text","text":"{text}"}}]', metadata=f'{{"said":"{text}"}}')


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for more to scrub."""
    monkeypatch.setattr(limits, "SCRUB_GATHER_SECONDS", 0)


async def delete_half(store: Store, folder: Path) -> None:
    """Make the scene, delete the doomed half, and see every deletion to its end."""
    scene = Scene(store, await new_tenant(store))
    await scene.make()
    await scene.speak()
    await scene.derive()
    assert found(folder / "data") == {DOOMED: ALL, KEPT: ALL}
    worker = Worker(store, receipts_of(store, folder / "data"))
    deletions = Deletions(store, lambda *_: None, worker.wake)
    jobs = [await deletions.delete(tenant, target, Order(CANCEL)) for tenant, target in scene.targets]
    async with at_work(worker), asyncio.timeout(PATIENCE_SECONDS):
        for job in jobs:
            while (now := await deletions.get(job.tenant_id, job.id)).state != DONE:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.01)
            assert now.bytes == ERASED
    assert await scene.read() == MESSAGES // 2


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nothing_of_what_was_deleted_is_in_any_file(store: SqliteStore, tmp_path: Path) -> None:
    await delete_half(store, tmp_path)
    assert found(tmp_path / "data") == {DOOMED: set(), KEPT: ALL}


@contextmanager
def reading(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the log open, again and again."""
    database = str(data_dir / "antiphon.db")
    reader = subprocess.Popen([sys.executable, "-c", READER, database], stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        yield reader
    finally:
        reader.kill()
        reader.wait()
        if reader.stdout is not None:
            reader.stdout.close()


async def test_the_same_while_another_process_reads_now_and_then(store: SqliteStore, tmp_path: Path) -> None:
    with reading(tmp_path / "data") as reader:
        await delete_half(store, tmp_path)
        assert reader.poll() is None, "it has read to the end"
        assert found(tmp_path / "data") == {DOOMED: set(), KEPT: ALL}


def test_the_same_in_a_real_server(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with ServerProcess(data_dir) as server:
        base, headers = f"{server.url}/v3/workspaces/default", {"authorization": f"Bearer {server.key('user')}"}
        with httpx.Client(base_url=base, headers=headers, timeout=30) as http:
            for fate in (DOOMED, KEPT):
                http.post("/sessions", json={"id": fate}).raise_for_status()
            for first in range(0, MESSAGES // 2, A_TIME):
                for fate in (DOOMED, KEPT):
                    texts = [marker(fate, number) for number in range(first, first + A_TIME)]
                    messages = [{"content": text, "peer_id": "ann", "metadata": {"said": text}} for text in texts]
                    http.post(f"/sessions/{fate}/messages", json={"messages": messages}).raise_for_status()
            assert found(data_dir) == {DOOMED: ALL, KEPT: ALL}
            assert http.delete(f"/sessions/{DOOMED}").status_code == 202
            ends = time.monotonic() + PATIENCE_SECONDS
            while http.get(f"{server.url}/readyz").json()["deletions"]["pending"]:
                assert time.monotonic() < ends, "the deletion does not end"
                time.sleep(0.05)  # between two looks at another process
            assert found(data_dir) == {DOOMED: set(), KEPT: ALL}
            assert "marker" not in server.log
