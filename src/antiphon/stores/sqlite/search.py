"""The index of texts in SQLite: FTS5 over runs of three characters, beside the messages and without their words.

A row of it stands at its message's place, so that a chat is one range of it. Deleting a row only marks it as deleted;
what it said leaves the file when the index is merged, which the scrub does (docs/decisions/0009).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from zlib import crc32

from antiphon.core.ports.indexing import TEXT
from antiphon.domain import limits
from antiphon.domain.errors import StoreUnavailable
from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message
from antiphon.stores.grams import runs_of
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.indexing import settle_in
from antiphon.stores.sqlite.lists import MESSAGES
from antiphon.stores.sqlite.messages import place_of
from antiphon.stores.sqlite.writer import Transaction

_PRIVATE, _PRIVATE_COUNT = 0xE000, 6_400  # the private-use code points: no language has words of them
_CHATS = 1 << 40  # more numbers than places have room for
_FEW_CHANGES = 2  # of a merge that had nothing to do
_FIRST_DELETED = 1 << 53  # of FTS5's rows: a part's number times 2^37, and 2^16 more for what was deleted from it


class SqliteSearch:
    """`core.ports.search.SearchStore`."""

    kind = TEXT
    claim_seconds = 0.0

    def __init__(self, file: File) -> None:
        self._file = file
        self.batch = limits.INDEX_MESSAGES

    async def advance(self, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> int:
        """See the port."""
        return await self._file.write_patiently(lambda tx: _index(tx, tenant_id, chat_key, cursor, upto))

    async def candidates(
        self, tenant_id: Uid, tenant_name: str, chat_key: Uid | None, wanted: Filter, pieces: Sequence[str], limit: int
    ) -> list[tuple[str, Message]] | None:
        """See the port."""
        runs = runs_of(pieces)
        if not runs:
            return None
        low, high = 0, place_of(_CHATS, 0) - 1
        if chat_key is not None:
            head = self._file.row("chat_head", tenant_id=tenant_id, key=chat_key)
            if head is None:
                return []
            low, high = place_of(head[0], 0), place_of(head[0] + 1, 0) - 1
        values: dict[str, Any] = {
            "tenant_id": tenant_id,
            "tenant_name": tenant_name,
            "runs": " AND ".join(map(_quoted, [_mark_of(tenant_id), *runs])),
            "low": low,
            "high": high,
            "hits_max": limits.INDEX_HITS,
            "limit": limit,
        }
        rows = await self._file.read_apart(lambda read: read.filtered("search_texts", wanted, MESSAGES, **values))
        if rows[0][0] >= limits.INDEX_HITS:
            return None
        return [(row[1], Message(*row[2:])) for row in rows if row[1] is not None]


def _index(tx: Transaction, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> int:
    row = tx.row("chat_to_index", tenant_id=tenant_id, key=chat_key, cursor=cursor)
    if row is None:
        return cursor
    first, last = place_of(row[0], max(cursor, 0) + 1), place_of(row[0], upto)
    span = {"tenant_id": tenant_id, "low": first, "high": last}
    over: int | None = tx.rows("place_over", **span, characters=limits.INDEX_CHARACTERS)[0][0]
    if over is not None:
        span["high"], upto = over - 1, upto - (last - over + 1)
    tx.run("index_texts", **span, whose=_mark_of(tenant_id))
    settle_in(tx, TEXT, tenant_id, chat_key, cursor, upto)
    return upto


async def merge_texts(file: File) -> None:
    """Write anew what of the index has deleted rows in it, without them, in steps between which others write.

    First the parts of which a hundredth or more was deleted: those that are new, and small. What is left then is in an
    old part, and all is written anew, as one. Nothing is written where nothing was deleted. Raises StoreUnavailable
    when it took more than MERGE_STEPS.
    """
    begins_all = False
    for _ in range(limits.MERGE_STEPS):
        if not file.rows("deleted_texts", first=_FIRST_DELETED):
            return
        changes = await file.write_patiently(partial(_merge, begins_all=begins_all))
        begins_all = changes < _FEW_CHANGES
    raise StoreUnavailable("the index of texts is being written faster than it is merged")


def _merge(tx: Transaction, *, begins_all: bool) -> int:
    """One step, the first of all of the index or the next: how many rows of its own tables the index has changed."""
    tx.run("set_deletemerge", percent=1)
    before = tx.connection.total_changes()
    tx.run("merge_texts", pages=-limits.MERGE_PAGES if begins_all else limits.MERGE_PAGES)
    changes = tx.connection.total_changes() - before
    tx.run("set_deletemerge", percent=0)
    return changes


def _mark_of(tenant_id: Uid) -> str:
    """Three private-use characters, one run: that of other tenants is another, but for one in 262 thousand millions."""
    number = crc32(tenant_id) << 32 | crc32(tenant_id[::-1])
    digits = []
    for _ in range(3):
        number, digit = divmod(number, _PRIVATE_COUNT)
        digits.append(chr(_PRIVATE + digit))
    return "".join(digits)


def _quoted(run: str) -> str:
    return '"' + run.replace('"', '""') + '"'
