"""Turns: the agent's shared answers. One at a time in a chat, any number of followers, ended by a stop only.

A turn holds its chat's slot by a lease that its process renews. A process that dies leaves a slot that whoever meets it
closes as `interrupted`, keeping what was stored of the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from antiphon.core.history import prompted, utterances_of_messages
from antiphon.core.messages import Messages
from antiphon.core.ports import Agent, Store, Tool, Utterance
from antiphon.core.ports.streams import Follower, Streams
from antiphon.core.tenants import Tenants
from antiphon.core.turn_run import INTERRUPTED_TEXT, Prepare, TurnRun, closing_events, make_reply, opening_event
from antiphon.domain import limits
from antiphon.domain.answers import Answer
from antiphon.domain.chats import Chat
from antiphon.domain.errors import (
    ChatHasActiveTurn,
    StoreError,
    StoreUnavailable,
    TurnNotFound,
    TurnOver,
    TurnStillRunning,
)
from antiphon.domain.events import Event, StepEnded, StepStarted, decode_events, encode_events
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.turns import INTERRUPTED, RUNNING, Claimed, EventChunk, Turn, TurnEnding, TurnStart

ToolsOf = Callable[[Uid, Uid], Sequence[Tool]]
"""The tools of a turn in that tenant and chat (by its key)."""

Enter = Callable[[Uid, Uid], Awaitable[Sequence[Tool]]]
"""Called when a turn begins in that tenant and chat; gives more tools."""


async def no_more_tools(_tenant_id: Uid, _chat_key: Uid) -> Sequence[Tool]:
    """None."""
    return ()


T = TypeVar("T")

_CLAIM_ATTEMPTS = 3
_STOP_POLL_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Turns:
    """The verbs of shared turns. `node` names this process; `tenants` remembers what the tenants have set."""

    def __init__(
        self,
        store: Store,
        messages: Messages,
        agent: Agent,
        streams: Streams,
        tools_of: ToolsOf,
        enter: Enter = no_more_tools,
        tenants: Tenants | None = None,
    ) -> None:
        self.node = new_uid7()
        self._store = store
        self._messages = messages
        self._agent = agent
        self._streams = streams
        self._tools_of = tools_of
        self._enter = enter
        self._tenants = tenants or Tenants(store)
        self._runs: dict[Uid, TurnRun] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._strays: set[Uid] = set()
        self._is_closed = False
        streams.set_closer(self.close_dead)

    async def start(self, tenant_id: Uid, start: TurnStart, history: Sequence[Utterance] | None = None) -> Claimed:
        """Take the chat's slot, store the message that asks, and let the agent answer; durable on return.

        The agent sees `history`, or else the newest HISTORY_MESSAGES of the chat as they then stand; before it, the
        tenant's prompt, unless the history has one. Without a model in `start` it is the tenant's. Who is cancelled
        meanwhile leaves either no turn or one that runs. Raises what `TurnStore.claim` raises: ChatNotFound,
        ChatHasActiveTurn, MessageNotFound, ChatFull, LimitExceeded.
        """
        if self._is_closed:
            raise StoreUnavailable("the server is about to stop")
        if start.model is None:
            start = msgspec.structs.replace(start, model=(await self._tenants.settings(tenant_id)).model)
        if start.message is not None:
            count = await self._messages.count_tokens(start.message.text)
            start = msgspec.structs.replace(start, message=msgspec.structs.replace(start.message, token_count=count))
        return await asyncio.shield(self._keep(self._start(tenant_id, start, history), "start"))

    async def _start(self, tenant_id: Uid, start: TurnStart, history: Sequence[Utterance] | None) -> Claimed:
        claimed = await self._claim(tenant_id, start)
        turn = claimed.turn
        run = TurnRun(self._store, self._messages, self._agent, turn, self._streams.open(turn))
        self._runs[turn.id] = run
        if self._is_closed:
            run.stop(INTERRUPTED)
        self._keep(self._carry_out(run, partial(self._prepare, turn, history)), "turn")
        return claimed

    async def _carry_out(self, run: TurnRun, prepare: Prepare) -> None:
        turn = run.turn
        try:
            if await run.run(prepare):
                return
            try:
                await self.close_dead(turn.tenant_id, turn.id, self.node)
            except StoreError as error:
                _log.warning("a turn was not closed", extra={"code": error.code})  # that is tried again as for a stray
            finally:
                run.give_up()
        finally:
            self._runs.pop(turn.id, None)

    async def _claim(self, tenant_id: Uid, start: TurnStart) -> Claimed:
        """Take the slot; one whose holder is dead is cleared first."""
        attempts = _CLAIM_ATTEMPTS
        while True:
            try:
                return await self._store.turns.claim(
                    tenant_id, new_uid7(), start, self.node, limits.TURNS_PER_TENANT, limits.TURN_LEASE_SECONDS
                )
            except ChatHasActiveTurn as refusal:
                attempts -= 1
                if not refusal.is_expired or refusal.turn_id is None or not attempts:
                    raise
                await self.close_dead(tenant_id, refusal.turn_id)

    async def _prepare(
        self, turn: Turn, history: Sequence[Utterance] | None
    ) -> tuple[Sequence[Utterance], Sequence[Tool]]:
        """What the agent is given; done as part of the turn, so that whatever goes wrong here ends it."""
        if history is None:
            newest = await self._messages.history(turn.tenant_id, turn.chat_key)
            history = utterances_of_messages(newest)
        history = prompted(history, (await self._tenants.settings(turn.tenant_id)).system_prompt)
        own = self._tools_of(turn.tenant_id, turn.chat_key)
        return history, [*own, *await self._enter(turn.tenant_id, turn.chat_key)]

    def _keep(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Do it in a task that lives as long as it needs, whoever asked for it."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def get(self, tenant_id: Uid, turn_id: Uid) -> Turn:
        """The turn of that id, while its chat is there. Raises TurnNotFound."""
        turn = await self._store.turns.find(tenant_id, turn_id)
        if turn is None:
            raise TurnNotFound
        return turn

    async def find_running(self, tenant_id: Uid, chat: Chat) -> Turn | None:
        """The turn that holds the chat's slot; one whose process is dead is closed and does not count."""
        turn = await self._store.turns.find(tenant_id, chat.active_turn) if chat.active_turn is not None else None
        if turn is None or turn.state != RUNNING:
            return None
        if not turn.is_live:
            await self.close_dead(tenant_id, turn.id)
            return None
        return turn

    async def find_last(self, tenant_id: Uid, chat: Chat) -> Turn | None:
        """The newest turn of a chat, running or over."""
        return await self._store.turns.find_last(tenant_id, chat.key)

    async def follow(
        self, tenant_id: Uid, turn_id: Uid, first: int, on_cut: Callable[[], None], *, is_stored_only: bool = False
    ) -> Follower:
        """Follow a turn from the event of the sequence `first` on; see `Streams.follow`. Raises TurnNotFound."""
        return await self._streams.follow(tenant_id, turn_id, first, on_cut, is_stored_only=is_stored_only)

    async def stop(self, tenant_id: Uid, turn_id: Uid) -> Turn:
        """Stop a turn, wherever it runs, and wait until it is over; what was said so far is kept.

        Gives back the turn as it ended, also when it was over already. Raises TurnNotFound, and TurnStillRunning when
        it has not ended in TURN_STOP_SECONDS.
        """
        turn = await self.get(tenant_id, turn_id)
        if turn.state != RUNNING:
            return turn
        run = self._runs.get(turn_id)
        if run is not None:
            run.stop()
        elif turn.is_live:
            await self._store.turns.request_stop(tenant_id, turn_id)
        try:
            async with asyncio.timeout(limits.TURN_STOP_SECONDS):
                return await self._wait_for_end(turn, run)
        except TimeoutError:
            raise TurnStillRunning from None

    async def _wait_for_end(self, turn: Turn, run: TurnRun | None) -> Turn:
        if run is not None:
            await run.over.wait()
        while (now := await self.get(turn.tenant_id, turn.id)).state == RUNNING:
            if not now.is_live:
                await self.close_dead(now.tenant_id, now.id)
            await asyncio.sleep(_STOP_POLL_SECONDS)
        return now

    def lose_chats(self, chat_keys: Sequence[Uid]) -> None:
        """End the turns and streams of chats that are gone; from here on nobody is given another word of them."""
        gone = set(chat_keys)
        self._streams.lose_chats(chat_keys)
        for run in list(self._runs.values()):
            if run.turn.chat_key in gone:
                run.lose(is_deleted=True)

    async def close_dead(self, tenant_id: Uid, turn_id: Uid, node: Uid | None = None) -> None:
        """Close a turn whose lease is over as interrupted: its text so far becomes its message, the slot is free.

        One that is over or alive by now is left alone, unless it is that node's, which knows that nobody runs it.
        """
        try:
            turn, events = await self._stored_events(tenant_id, turn_id)
            if turn.state != RUNNING or (turn.is_live and turn.node != node):
                return
            answer, is_in_step = Answer(turn.reply_parts), False
            for event in events:
                answer.take(event)
                is_in_step = isinstance(event, StepStarted) or (is_in_step and not isinstance(event, StepEnded))
            closing = closing_events(answer, INTERRUPTED, INTERRUPTED_TEXT, is_in_step)
            for event in closing:
                answer.take(event)
            if not events:
                closing.insert(0, opening_event(turn))
            reply = make_reply(turn, answer, await self._messages.count_tokens(answer.text))
            chunk = EventChunk(turn.event_count, len(closing), encode_events(closing))
            await self._store.turns.finish(
                tenant_id, turn_id, node, TurnEnding(INTERRUPTED, chunk, reply, INTERRUPTED_TEXT)
            )
        except (TurnNotFound, TurnOver):
            return
        _log.warning("a turn was interrupted: its process is gone")

    async def _stored_events(self, tenant_id: Uid, turn_id: Uid) -> tuple[Turn, list[Event]]:
        events: list[Event] = []
        while True:
            turn, chunks = await self._store.turns.events(tenant_id, turn_id, len(events), limits.FOLLOW_CHUNKS)
            for chunk in chunks:
                events += decode_events(chunk.body)[len(events) - chunk.first :]
                await asyncio.sleep(0)  # a store that never waits would keep everybody else waiting
            if not chunks or len(events) >= turn.event_count:
                return turn, events

    async def keep_renewing(self) -> None:
        """Until cancelled, renew the leases of this process's turns, and hear of stops that others ask for."""
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + limits.TURN_RENEW_SECONDS
        while True:
            await asyncio.sleep(limits.TURN_STOP_POLL_SECONDS)
            is_due = loop.time() >= renew_at
            if await self._attend(is_due) and is_due:
                renew_at = loop.time() + limits.TURN_RENEW_SECONDS

    async def _attend(self, is_due: bool) -> bool:
        """Whether all tenants could be attended to; where the rows of one cannot be reached, the others are."""
        by_tenant: dict[Uid, list[TurnRun]] = defaultdict(list)
        for run in self._runs.values():
            by_tenant[run.turn.tenant_id].append(run)
        is_done = True
        for tenant_id, runs in by_tenant.items():
            try:
                await self._attend_to(tenant_id, runs, is_due)
            except StoreError as error:
                _log.warning("turns not renewed", extra={"code": error.code})
                is_done = False
        return is_done

    async def _attend_to(self, tenant_id: Uid, runs: Sequence[TurnRun], is_due: bool) -> None:
        if is_due:
            held = await self._store.turns.renew(tenant_id, self.node, limits.TURN_LEASE_SECONDS)
            for run in runs:
                if run.turn.id not in held and not run.is_ending:
                    run.lose(is_deleted=False)
            await self._close_strays(tenant_id, held)
        stopping = await self._store.turns.stopping(tenant_id, self.node)
        for run in runs:
            if run.turn.id in stopping:
                run.stop()

    async def _close_strays(self, tenant_id: Uid, held: set[Uid]) -> None:
        """Close what is renewed as this process's and runs nowhere in it, seen twice: the first may be on its way."""
        strays = held - self._runs.keys()
        for turn_id in strays & self._strays:
            await self.close_dead(tenant_id, turn_id, self.node)
        self._strays = (self._strays - held) | strays

    async def keep_reaping(self) -> None:
        """Until cancelled, close the turns of dead processes."""
        while True:
            await asyncio.sleep(limits.TURN_REAP_SECONDS)
            try:
                expired = await self._store.turns.expired(limits.TURN_REAP_TURNS)
            except StoreError as error:
                _log.warning("dead turns not found", extra={"code": error.code})
                continue
            for tenant_id, turn_id in expired:
                try:
                    await self.close_dead(tenant_id, turn_id)
                except StoreError as error:  # the next is closed all the same
                    _log.warning("a dead turn was not closed", extra={"code": error.code})

    async def close(self) -> None:
        """End all turns of this process as interrupted, keeping their texts; no turn starts any more."""
        self._is_closed = True
        for run in list(self._runs.values()):
            run.stop(INTERRUPTED)
        loop = asyncio.get_running_loop()
        ends = loop.time() + limits.STOP_GRACE_SECONDS / 2
        while (under_way := [task for task in self._tasks if not task.done()]) and (left := ends - loop.time()) > 0:
            await asyncio.wait(under_way, timeout=left)  # a claim that was under way begins a turn, to be ended too
        for task in under_way:
            task.cancel()

    @property
    def count(self) -> int:
        """How many turns this process runs."""
        return len(self._runs)
