"""Turns in PostgreSQL: the chat's slot, leases by the database's clock, and events in chunks.

Whatever decides something about a turn holds its chat first, then, where it needs them, the tenant and the turn: the
order of the locks everywhere (see `deletions`).
"""

from __future__ import annotations

from antiphon.domain import limits
from antiphon.domain.errors import (
    ChatFull,
    ChatHasActiveTurn,
    ChatNotFound,
    LimitExceeded,
    MessageNotFound,
    StoreFailed,
    TenantNotFound,
    TurnNotFound,
    TurnOver,
)
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Draft, Message
from antiphon.domain.turns import FAILED, RUNNING, Claimed, EventChunk, Turn, TurnEnding, TurnStart
from antiphon.domain.webhooks import TURN_ENDED, turn_data
from antiphon.stores.postgres.appends import Append, append_in
from antiphon.stores.postgres.database import Cursor, Database
from antiphon.stores.postgres.webhooks import enqueue_event


class PostgresTurns:
    """`core.ports.TurnStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, tenant_id: Uid, turn_id: Uid, start: TurnStart, node: Uid, turns_max: int, lease_seconds: float
    ) -> Claimed:
        """See the port."""

        async def operation(tx: Cursor) -> Claimed:
            chat = await tx.row("chat_to_claim", tenant_id=tenant_id, key=start.chat_key)
            if chat is None:
                raise ChatNotFound
            message_count, active_turn, last_turn = chat
            await check_free(tx, tenant_id, active_turn)
            await _check_room(tx, tenant_id, turns_max)
            message = await _ask(tx, tenant_id, start)
            is_first = message is not None and message_count == 0
            if last_turn is not None:
                await tx.run("delete_events", tenant_id=tenant_id, turn_id=last_turn)
            await tx.run(
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
                lease_seconds=lease_seconds,
            )
            await tx.run(
                "take_slot",
                tenant_id=tenant_id,
                key=start.chat_key,
                turn_id=turn_id,
                title=start.title if is_first else None,
                now=tx.now,
            )
            return Claimed(Turn(*(await tx.rows("find_turn", tenant_id=tenant_id, id=turn_id))[0]), message)

        return await self._database.transact(operation)

    async def append_events(self, tenant_id: Uid, turn_id: Uid, node: Uid, chunk: EventChunk) -> bool:
        """See the port."""
        rows = await self._database.write_rows(
            "append_events",
            tenant_id=tenant_id,
            id=turn_id,
            node=node,
            first=chunk.first,
            count=chunk.count,
            body=chunk.body,
        )
        if rows:
            is_stop_requested: bool = rows[0][0]
            return is_stop_requested
        turn = await self.find(tenant_id, turn_id)
        if turn is not None and turn.state == RUNNING and turn.node == node:
            raise StoreFailed("events are missing or there already")
        raise TurnOver

    async def finish(self, tenant_id: Uid, turn_id: Uid, node: Uid | None, ending: TurnEnding) -> Message | None:
        """See the port."""

        async def operation(tx: Cursor) -> Message | None:
            row = await tx.row("chat_of_turn", tenant_id=tenant_id, id=turn_id)
            if row is None:
                raise TurnOver
            chat_key, last_seq, reply_id, chat_id = row
            state, error, reply = ending.state, ending.error, ending.reply
            old = await tx.row("find_message", tenant_id=tenant_id, key=chat_key, id=reply_id) if reply else None
            if reply and old is None and last_seq >= limits.MESSAGES_PER_CHAT:
                state, error, reply = FAILED, ChatFull().message, None
            await _end(tx, tenant_id, turn_id, node, state, error, ending.events)
            message: Message | None = None
            if reply and old:
                message = await _replace(tx, tenant_id, chat_key, reply_id, reply)
                answered_at = tx.now if reply.created_at is None else reply.created_at
                await tx.run("note_answer", tenant_id=tenant_id, key=chat_key, answered_at=answered_at, now=tx.now)
            elif reply:
                (message,) = await append_in(tx, tenant_id, Append(chat_key, [reply], None), [reply_id])
            await tx.run("free_slot", tenant_id=tenant_id, key=chat_key, turn_id=turn_id)
            await enqueue_event(tx, tenant_id, TURN_ENDED, turn_data(turn_id, chat_id, chat_key, state))
            return message

        return await self._database.transact(operation)

    async def renew(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> set[Uid]:
        """See the port."""
        rows = await self._database.write_rows(
            "renew_turns", is_idempotent=True, tenant_id=tenant_id, node=node, lease_seconds=lease_seconds
        )
        return {row[0] for row in rows}

    async def request_stop(self, tenant_id: Uid, turn_id: Uid) -> None:
        """See the port."""
        await self._database.write_rows("request_stop", is_idempotent=True, tenant_id=tenant_id, id=turn_id)

    async def stopping(self, tenant_id: Uid, node: Uid) -> set[Uid]:
        """See the port."""
        return {row[0] for row in await self._database.rows("stopping_turns", tenant_id=tenant_id, node=node)}

    async def find(self, tenant_id: Uid, turn_id: Uid) -> Turn | None:
        """See the port."""
        row = await self._database.row("find_turn", tenant_id=tenant_id, id=turn_id)
        return Turn(*row) if row else None

    async def find_last(self, tenant_id: Uid, chat_key: Uid) -> Turn | None:
        """See the port."""
        row = await self._database.row("find_last_turn", tenant_id=tenant_id, chat_key=chat_key)
        return Turn(*row) if row else None

    async def events(self, tenant_id: Uid, turn_id: Uid, first: int, limit: int) -> tuple[Turn, list[EventChunk]]:
        """See the port."""
        row = await self._database.row("events_of_turn", tenant_id=tenant_id, id=turn_id, first=first, limit=limit)
        if row is None:
            raise TurnNotFound
        firsts, counts, bodies, *turn = row
        return Turn(*turn), [EventChunk(*chunk) for chunk in zip(firsts, counts, bodies, strict=True)]

    async def expired(self, limit: int) -> list[tuple[Uid, Uid]]:
        """See the port."""
        return [(tenant_id, turn_id) for tenant_id, turn_id in await self._database.rows("expired_turns", limit=limit)]


async def check_free(tx: Cursor, tenant_id: Uid, active_turn: Uid | None) -> None:
    """Raise ChatHasActiveTurn when the slot is taken; a turn that is over holds nothing."""
    if active_turn is None:
        return
    lease = await tx.row("lease_of_turn", tenant_id=tenant_id, id=active_turn)
    if lease is not None:
        raise ChatHasActiveTurn(active_turn, is_expired=lease[0])


async def _check_room(tx: Cursor, tenant_id: Uid, turns_max: int) -> None:
    """Raise LimitExceeded when too many turns run. The tenant is held, so that one is counted at a time."""
    if await tx.row("lock_tenant", tenant_id=tenant_id) is None:
        raise TenantNotFound
    if (await tx.rows("count_live_turns", tenant_id=tenant_id))[0][0] >= turns_max:
        raise LimitExceeded(f"at most {turns_max} answers are made at once")


async def _ask(tx: Cursor, tenant_id: Uid, start: TurnStart) -> Message | None:
    """Store the message that asks, in the place that the start names; None when nothing was stored."""
    if start.rewind_to is not None:
        return await _rewind(tx, tenant_id, start, start.rewind_to)
    said = start.message
    if said is None:
        return None
    if said.client_id is not None and await tx.row(
        "find_message_by_client_id", tenant_id=tenant_id, key=start.chat_key, client_id=said.client_id
    ):
        return None
    return (await append_in(tx, tenant_id, Append(start.chat_key, [said], None)))[0]


async def _rewind(tx: Cursor, tenant_id: Uid, start: TurnStart, message_id: Uid) -> Message | None:
    """Go back to a message: what follows it goes, and it takes the new content."""
    row = await tx.row("find_message", tenant_id=tenant_id, key=start.chat_key, id=message_id)
    if row is None:
        raise MessageNotFound
    await remove_after(tx, tenant_id, start.chat_key, Message(*row).seq)
    return await _replace(tx, tenant_id, start.chat_key, message_id, start.message) if start.message else None


async def remove_after(tx: Cursor, tenant_id: Uid, chat_key: Uid, seq: int) -> int:
    """Remove what stands after a place of a chat: how many. Raises LimitExceeded over TURN_REWIND_MESSAGES."""
    after = {"tenant_id": tenant_id, "key": chat_key, "seq": seq}
    ceiling = limits.TURN_REWIND_MESSAGES
    removed: int = (await tx.rows("messages_after", **after, limit=ceiling + 1))[0][0]
    if removed > ceiling:
        raise LimitExceeded(f"at most {ceiling} messages are removed at once")
    if removed:
        span = {"tenant_id": tenant_id, "key": chat_key, "cursor": seq, "upto": limits.MESSAGES_PER_CHAT}
        await tx.run("drop_vectors_between", **span)
        await tx.run("purge_texts_after", **after)
        await tx.run("delete_messages_after", **after)
        await tx.run("rewind_chat", **after, removed=removed)
    return removed


async def _replace(tx: Cursor, tenant_id: Uid, chat_key: Uid, message_id: Uid, new: Draft) -> Message:
    rows = await tx.rows(
        "replace_message",
        tenant_id=tenant_id,
        id=message_id,
        text=new.text,
        parts=new.parts,
        metadata=new.metadata,
        token_count=new.token_count,
    )
    message = Message(*rows[0])
    await tx.run("rewind_indexing", tenant_id=tenant_id, key=chat_key, seq=message.seq, now=tx.now)
    return message


async def _end(
    tx: Cursor,
    tenant_id: Uid,
    turn_id: Uid,
    node: Uid | None,
    state: str,
    error: str | None,
    events: EventChunk | None,
) -> None:
    """End the turn itself, with its last events."""
    count = events.count if events else 0
    row = await tx.row(
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
    await tx.run(
        "insert_events", tenant_id=tenant_id, turn_id=turn_id, first=events.first, count=count, body=events.body
    )
