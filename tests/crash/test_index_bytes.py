"""What the index of texts knew of deleted messages is in no file any more, and what it knows of others still is.

The index keeps runs of three characters and no words, so a word is not to be looked for in its pages: each message here
holds a run that no other has, of characters from which nothing is left out when neighbours in the index share a
beginning.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from antiphon.core.deletion.engine import Deletions, Target
from antiphon.core.deletion.worker import Worker
from antiphon.core.indexing import Indexing
from antiphon.core.search import search_texts
from antiphon.domain import limits
from antiphon.domain.deletions import CANCEL, SESSION, Order
from antiphon.domain.filters import EVERYTHING
from antiphon.domain.messages import USER, Draft
from antiphon.stores.contract.worlds import LONG_LEASE_SECONDS, new_single, new_tenant, remove
from antiphon.stores.scan import files_of
from antiphon.stores.sqlite import search
from antiphon.stores.sqlite.store import SqliteStore
from tests.receipts import receipts_of

RUNS, A_TIME = 3_000, 10
FIRST, LAST = 0x4E00, 0x9FFF
KEEPING, GOING = 0, 1


@pytest.fixture
def runs() -> list[str]:
    """Runs of three characters of which no two have one in common that is not their first."""
    chance = random.Random(1)
    letters = chance.sample(range(FIRST, LAST + 1), 2 * RUNS)
    return [
        chr(chance.randint(FIRST, LAST)) + chr(a) + chr(b) for a, b in zip(letters[::2], letters[1::2], strict=True)
    ]


def held(folder: Path, runs: list[str]) -> set[int]:
    """Which of the runs the files hold, but for their first character, which the index may have from a neighbour."""
    content = b"".join(file.read_bytes() for file in files_of(folder))
    return {number for number, run in enumerate(runs) if run[1:].encode() in content}


@pytest.mark.parametrize("every", [2, RUNS // A_TIME])
async def test_of_deleted_messages_the_index_keeps_nothing(
    store: SqliteStore, tmp_path: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """Half of them, or a few old ones, whose part of the index has hardly lost anything."""
    monkeypatch.setattr(limits, "SCRUB_GATHER_SECONDS", 0)
    monkeypatch.setattr(limits, "MERGE_PAGES", 4)
    tenant = await new_tenant(store)
    chats = [(await new_single(store, tenant, name))[1] for name in ("keeping", "going")]
    fates: dict[int, set[int]] = {KEEPING: set(), GOING: set()}
    indexing = Indexing(store, [store.search])
    for first in range(0, RUNS, A_TIME):
        fate = GOING if first // A_TIME % every == 1 else KEEPING
        fates[fate].update(range(first, first + A_TIME))
        drafts = [Draft("ann", USER, f"some more words {run}") for run in runs[first : first + A_TIME]]
        await store.messages.append(tenant, chats[fate].key, drafts)
        await indexing.catch_up()
    worker = Worker(store, receipts_of(store, tmp_path / "data"))
    deletions = Deletions(store, lambda *_: None, worker.wake)
    await deletions.delete(tenant, Target(SESSION, "going"), Order(CANCEL))
    (lease,) = await store.deletions.claim(tenant, b"n" * 16, LONG_LEASE_SECONDS)
    await remove(store, lease, b"n" * 16)
    assert len(held(tmp_path / "data", runs) & fates[GOING]) > len(fates[GOING]) / 2, "deleting alone erases nothing"
    await store.scrub()
    left = held(tmp_path / "data", runs)
    assert left & fates[GOING] == set()
    assert left == fates[KEEPING], "in the messages, if not in the index"
    for number in fates[KEEPING]:
        hits = await search_texts(store, tenant, "t", runs[number], EVERYTHING)
        assert [message.text[-3:] for _, message in hits] == [runs[number]]
    monkeypatch.setattr(search, "_merge", None)
    await store.scrub()  # where nothing was deleted nothing is written
    assert await store.check_integrity() == []
    assert not any((await store.orphans()).values())
