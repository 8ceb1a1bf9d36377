"""Turns in SQLite: the chat's slot, leases by the database's clock, and events in chunks."""

from __future__ import annotations

from typing import Any

from antiphon.domain import limits
from antiphon.domain.errors import (
    ChatFull,
    ChatHasActiveTurn,
    ChatNotFound,
    LimitExceeded,
    MessageNotFound,
    StoreFailed,
    TurnNotFound,
    TurnOver,
)
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Draft, Message
from antiphon.domain.times import micros_of
from antiphon.domain.turns import FAILED, Claimed, EventChunk, Turn, TurnEnding, TurnStart
from antiphon.domain.webhooks import TURN_ENDED, turn_data
from antiphon.stores.sqlite.database import Row
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.messages import append_in, place_of, size_of
from antiphon.stores.sqlite.webhooks import enqueue_event
from antiphon.stores.sqlite.writer import Transaction


class SqliteTurns:
    """`core.ports.TurnStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def claim(
        self, tenant_id: Uid, turn_id: Uid, start: TurnStart, node: Uid, turns_max: int, lease_seconds: float
    ) -> Claimed:
        """See the port."""

        def operation(tx: Transaction) -> Claimed:
            row = tx.row("chat_to_claim", tenant_id=tenant_id, key=start.chat_key)
            if row is None:
                raise ChatNotFound
            message_count, active_turn, last_turn, num = row
            check_free(tx, tenant_id, active_turn)
            if tx.rows("count_live_turns", tenant_id=tenant_id)[0][0] >= turns_max:
                raise LimitExceeded(f"at most {turns_max} answers are made at once")
            message = _ask(tx, tenant_id, start, num)
            is_first = message is not None and message_count == 0
            if last_turn is not None:
                tx.run("delete_events", tenant_id=tenant_id, turn_id=last_turn)
            tx.run(
                "insert_turn",
                tenant_id=tenant_id,
                id=turn_id,
                chat_key=start.chat_key,
                node=node,
                reply_id=start.reply_id,
                reply_parts=start.reply_parts,
                model=start.model,
                agent_name=start.agent_name,
                now=tx.now,
                lease=micros_of(lease_seconds),
            )
            tx.run(
                "take_slot",
                tenant_id=tenant_id,
                key=start.chat_key,
                turn_id=turn_id,
                title=start.title if is_first else None,
                now=tx.now,
            )
            return Claimed(_turn_of(tx.rows("find_turn", tenant_id=tenant_id, id=turn_id)[0]), message)

        return await self._file.write(operation)

    async def append_events(self, tenant_id: Uid, turn_id: Uid, node: Uid, chunk: EventChunk) -> bool:
        """See the port."""

        def operation(tx: Transaction) -> bool:
            row = tx.row("count_events", tenant_id=tenant_id, id=turn_id, node=node, count=chunk.count)
            if row is None:
                raise TurnOver
            event_count, is_stop_requested = row
            if event_count != chunk.first + chunk.count:
                raise StoreFailed("events are missing or there already")
            _insert_events(tx, tenant_id, turn_id, chunk)
            return bool(is_stop_requested)

        return await self._file.write(operation)

    async def finish(self, tenant_id: Uid, turn_id: Uid, node: Uid | None, ending: TurnEnding) -> Message | None:
        """See the port."""

        def operation(tx: Transaction) -> Message | None:
            row = tx.row("chat_of_turn", tenant_id=tenant_id, id=turn_id)
            if row is None:
                raise TurnOver
            chat_key, num, last_seq, reply_id, chat_id = row
            state, error, reply = ending.state, ending.error, ending.reply
            old = find_message_in(tx, tenant_id, num, reply_id)
            if reply and old is None and last_seq >= limits.MESSAGES_PER_CHAT:
                state, error, reply = FAILED, ChatFull().message, None
            _end(tx, tenant_id, turn_id, node, state, error, ending.events)
            message: Message | None = None
            if reply and old:
                message = _replace(tx, tenant_id, chat_key, old, reply)
                answered_at = tx.now if reply.created_at is None else reply.created_at
                tx.run("note_answer", tenant_id=tenant_id, key=chat_key, answered_at=answered_at, now=tx.now)
            elif reply:
                (message,) = append_in(tx, tenant_id, chat_key, [reply], ids=[reply_id])
            tx.run("free_slot", tenant_id=tenant_id, key=chat_key, turn_id=turn_id)
            enqueue_event(tx, tenant_id, TURN_ENDED, turn_data(turn_id, chat_id, chat_key, state))
            return message

        return await self._file.write(operation)

    async def renew(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> set[Uid]:
        """See the port."""

        def operation(tx: Transaction) -> set[Uid]:
            rows = tx.rows("renew_turns", tenant_id=tenant_id, node=node, lease=micros_of(lease_seconds))
            return {row[0] for row in rows}

        return await self._file.write(operation)

    async def request_stop(self, tenant_id: Uid, turn_id: Uid) -> None:
        """See the port."""
        await self._file.write(lambda tx: tx.run("request_stop", tenant_id=tenant_id, id=turn_id))

    async def stopping(self, tenant_id: Uid, node: Uid) -> set[Uid]:
        """See the port."""
        return {row[0] for row in self._file.rows("stopping_turns", tenant_id=tenant_id, node=node)}

    async def find(self, tenant_id: Uid, turn_id: Uid) -> Turn | None:
        """See the port."""
        row = self._file.row("find_turn", tenant_id=tenant_id, id=turn_id)
        return _turn_of(row) if row else None

    async def find_last(self, tenant_id: Uid, chat_key: Uid) -> Turn | None:
        """See the port."""
        row = self._file.row("find_last_turn", tenant_id=tenant_id, chat_key=chat_key)
        return _turn_of(row) if row else None

    async def events(self, tenant_id: Uid, turn_id: Uid, first: int, limit: int) -> tuple[Turn, list[EventChunk]]:
        """See the port."""
        with self._file.snapshot() as read:
            row = read.row("find_turn", tenant_id=tenant_id, id=turn_id)
            if row is None:
                raise TurnNotFound
            rows = read.rows("events_of_turn", tenant_id=tenant_id, turn_id=turn_id, first=first, limit=limit)
        return _turn_of(row), [EventChunk(*chunk) for chunk in rows]

    async def expired(self, limit: int) -> list[tuple[Uid, Uid]]:
        """See the port."""
        return [(tenant_id, turn_id) for tenant_id, turn_id in self._file.rows("expired_turns", limit=limit)]


def _turn_of(row: Row) -> Turn:
    """The turn of a row of `turn_rows`; SQLite has no booleans."""
    columns = list(row)
    columns[9], columns[14] = bool(columns[9]), bool(columns[14])
    return Turn(*columns)


def check_free(tx: Transaction, tenant_id: Uid, active_turn: Uid | None) -> None:
    """Raise ChatHasActiveTurn when the slot is taken; a turn that is over holds nothing."""
    if active_turn is None:
        return
    lease = tx.row("lease_of_turn", tenant_id=tenant_id, id=active_turn)
    if lease is not None:
        raise ChatHasActiveTurn(active_turn, is_expired=bool(lease[0]))


def _ask(tx: Transaction, tenant_id: Uid, start: TurnStart, num: int) -> Message | None:
    """Store the message that asks, in the place that the start names; None when nothing was stored."""
    if start.rewind_to is not None:
        return _rewind(tx, tenant_id, start, start.rewind_to, num)
    said = start.message
    if said is None:
        return None
    if said.client_id is not None and tx.row(
        "find_message_by_client_id", tenant_id=tenant_id, key=start.chat_key, client_id=said.client_id
    ):
        return None
    return append_in(tx, tenant_id, start.chat_key, [said])[0]


def _rewind(tx: Transaction, tenant_id: Uid, start: TurnStart, message_id: Uid, num: int) -> Message | None:
    """Go back to a message: what follows it goes, and it takes the new content."""
    last = find_message_in(tx, tenant_id, num, message_id)
    if last is None:
        raise MessageNotFound
    remove_after(tx, tenant_id, start.chat_key, num, place_of(num, last.seq))
    return _replace(tx, tenant_id, start.chat_key, last, start.message) if start.message else None


def span_after(num: int, place: int) -> dict[str, int]:
    """The places of a chat (by its number) after one."""
    return {"low": place, "high": place_of(num + 1, 0) - 1}


def remove_after(tx: Transaction, tenant_id: Uid, chat_key: Uid, num: int, place: int) -> int:
    """Remove what stands after a place of a chat: how many. Raises LimitExceeded over TURN_REWIND_MESSAGES."""
    places = span_after(num, place)
    span: dict[str, Any] = {"tenant_id": tenant_id, **places}
    ceiling = limits.TURN_REWIND_MESSAGES
    removed: int
    removed, size = tx.rows("messages_after", **span, limit=ceiling + 1)[0]
    if removed > ceiling:
        raise LimitExceeded(f"at most {ceiling} messages are removed at once")
    if removed:
        tx.run("purge_texts_between", low=places["low"] + 1, high=places["high"])
        tx.run(
            "drop_vectors_between",
            tenant_id=tenant_id,
            key=chat_key,
            cursor=place - place_of(num, 0),
            upto=limits.MESSAGES_PER_CHAT,
        )
        tx.run("delete_messages_after", **span)
        tx.run(
            "rewind_chat",
            tenant_id=tenant_id,
            key=chat_key,
            removed=removed,
            size=size,
            place=place,
            low=place_of(num, 1),
        )
    return removed


def find_message_in(tx: Transaction, tenant_id: Uid, num: int, message_id: Uid) -> Message | None:
    """The message of that id, if it is in the chat of that number."""
    row = tx.row("find_message", tenant_id=tenant_id, id=message_id)
    return Message(*row[1:]) if row and row[0] == num else None


def _replace(tx: Transaction, tenant_id: Uid, chat_key: Uid, old: Message, new: Draft) -> Message:
    row = tx.rows(
        "replace_message",
        tenant_id=tenant_id,
        id=old.id,
        text=new.text,
        parts=new.parts,
        metadata=new.metadata,
        token_count=new.token_count,
    )[0]
    tx.run("grow_chat", tenant_id=tenant_id, key=chat_key, size=size_of(new) - size_of(old))
    tx.run("rewind_indexing", tenant_id=tenant_id, key=chat_key, seq=old.seq, now=tx.now)
    return Message(*row)


def _end(
    tx: Transaction,
    tenant_id: Uid,
    turn_id: Uid,
    node: Uid | None,
    state: str,
    error: str | None,
    events: EventChunk | None,
) -> None:
    """End the turn itself, with its last events."""
    count = events.count if events else 0
    row = tx.row(
        "end_turn", tenant_id=tenant_id, id=turn_id, node=node, state=state, error=error, count=count, now=tx.now
    )
    if row is None:
        raise TurnOver
    if events is None:
        return
    if row[0] != events.first + count:
        if node is None:  # its process is not dead after all, and has gone on since we looked
            raise TurnOver
        raise StoreFailed("events are missing or there already")
    _insert_events(tx, tenant_id, turn_id, events)


def _insert_events(tx: Transaction, tenant_id: Uid, turn_id: Uid, chunk: EventChunk) -> None:
    tx.run("insert_events", tenant_id=tenant_id, turn_id=turn_id, first=chunk.first, count=chunk.count, body=chunk.body)
