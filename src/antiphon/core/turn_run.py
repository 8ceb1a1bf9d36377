"""One turn while it runs in this process: the model is heard, followers are told, the store keeps up.

Events go to followers at once and to the store in chunks, every TURN_FLUSH_SECONDS or TURN_FLUSH_EVENTS. The end is
told only when it is stored: who hears of it finds the message and a free slot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import msgspec

from antiphon.core.faults import describe
from antiphon.core.messages import Messages
from antiphon.core.ports import Agent, Store, Tool, Utterance
from antiphon.core.ports.streams import Channel
from antiphon.core.transcript import Transcript
from antiphon.domain import limits
from antiphon.domain.answers import Answer
from antiphon.domain.errors import AgentFailed, AntiphonError, StoreError, StoreUnavailable, TurnOver
from antiphon.domain.events import (
    Event,
    StepEnded,
    StepSummary,
    TurnEnded,
    TurnFailed,
    TurnStarted,
    TurnStopped,
    encode_events,
)
from antiphon.domain.ids import text_of
from antiphon.domain.messages import ASSISTANT, Draft
from antiphon.domain.turns import COMPLETED, FAILED, INTERRUPTED, RUNNING, STOPPED, EventChunk, Turn, TurnEnding

DELETED = "deleted"
"""What followers are told of a turn whose chat is gone; the store has no such state."""

INTERRUPTED_TEXT = "The answer was interrupted."

Prepare = Callable[[], Awaitable[tuple[Sequence[Utterance], Sequence[Tool]]]]
"""Finds what was said before, and the tools."""

_RETRY_SECONDS = 0.2

_log = logging.getLogger(__name__)


class TurnRun:
    """A turn of this process. `run` is its task; `stop` and `lose` end it from outside; `over` is set at its end."""

    def __init__(self, store: Store, messages: Messages, agent: Agent, turn: Turn, channel: Channel) -> None:
        self.turn = turn
        self.over = asyncio.Event()
        self._store = store
        self._agent = agent
        self._messages = messages
        self._channel = channel
        self._transcript = Transcript()
        self._answer = Answer(turn.reply_parts)
        self._unstored: list[Event] = []
        self._stored = 0
        self._is_in_doubt = False
        self._wakes = asyncio.Event()
        self._is_full = asyncio.Event()
        self._verdict: str | None = None
        self._listening: asyncio.Task[None] | None = None

    async def run(self, prepare: Prepare) -> bool:
        """Carry the turn out to its end; never raises but when cancelled.

        False when the end could not be stored: then somebody has to close the turn, and to `give_up`.
        """
        self._publish([opening_event(self.turn)])
        self._listening = asyncio.create_task(self._listen(prepare), name="model")
        if self._verdict is not None:  # told to end before it began
            self._listening.cancel()
        try:
            await self._keep_stored(self._listening)
            await self._end(await self._outcome(self._listening))
        except TurnOver:
            await self._let_go()
        except Exception as fault:  # noqa: BLE001  whatever it is, followers must hear of an end
            _log.error("turn failed", extra=describe(fault))
            return False
        finally:
            self._verdict = self._verdict or INTERRUPTED
            self._listening.cancel()
            self.over.set()
        return True

    def give_up(self) -> None:
        """Tell followers that it was interrupted: what is not stored by now never will be."""
        self._channel.lose([TurnFailed(INTERRUPTED_TEXT), TurnEnded(INTERRUPTED)], self._stored)

    @property
    def is_ending(self) -> bool:
        """Whether the model is done, so that only the end is left to be stored."""
        return self._verdict is not None

    def stop(self, verdict: str = STOPPED) -> None:
        """End it as soon as can be; what was said so far is kept. The first verdict holds."""
        self._verdict = self._verdict or verdict
        self._break_off()

    def lose(self, *, is_deleted: bool) -> None:
        """End it without another word: its chat is gone, or it is not this process's any more."""
        self._verdict = DELETED
        if is_deleted:
            self._channel.lose([TurnEnded(DELETED)], 0)
        self._break_off()

    def _break_off(self) -> None:
        """Hear no more of the model; it is not waited for, whether it ends or not."""
        if self._listening is not None:
            self._listening.cancel()
            self._rouse()

    async def _listen(self, prepare: Prepare) -> None:
        """Hear the model out. Raises AgentFailed, also for an answer without an end."""
        history, tools = await prepare()
        async with aclosing(self._agent.run_turn(history, tools, self.turn.model)) as heard:
            async for event in heard:
                if self._verdict is None and (events := self._transcript.take(event)):
                    self._publish(events)
                if self._channel.count > limits.TURN_EVENTS:
                    raise AgentFailed("the answer has no end")
        if self._answer.is_empty:
            raise AgentFailed("the model gave no text")

    def _publish(self, events: Sequence[Event]) -> None:
        for event in events:
            self._answer.take(event)
        self._unstored += events
        self._channel.publish(events)
        self._wakes.set()
        if len(self._unstored) >= limits.TURN_FLUSH_EVENTS:
            self._is_full.set()

    async def _keep_stored(self, listening: asyncio.Task[None]) -> None:
        """Store what is said, until the model is done. Raises TurnOver when the turn is not this process's any more."""
        listening.add_done_callback(self._rouse)
        while not self._is_heard_out(listening):
            await self._wakes.wait()
            if self._is_heard_out(listening):
                return
            try:
                async with asyncio.timeout(limits.TURN_FLUSH_SECONDS):
                    await self._is_full.wait()
            except TimeoutError:
                pass
            if self._is_heard_out(listening):
                return
            await self._flush()

    def _is_heard_out(self, listening: asyncio.Task[None]) -> bool:
        return self._verdict is not None or listening.done()

    def _rouse(self, _: object = None) -> None:
        self._wakes.set()
        self._is_full.set()

    async def _flush(self) -> None:
        events, self._unstored = self._unstored, []
        self._wakes.clear()
        self._is_full.clear()
        if not events:
            return
        try:
            if self._is_in_doubt:
                events = events[await self._find_stored() :]
            if events and await self._store.turns.append_events(
                self.turn.tenant_id, self.turn.id, self.turn.node, self._chunk(events)
            ):
                self.stop()
        except StoreUnavailable:
            self._is_in_doubt = True
            self._unstored = events + self._unstored
            self._wakes.set()
            await asyncio.sleep(_RETRY_SECONDS)
            return
        self._note_stored(len(events))

    def _chunk(self, events: list[Event]) -> EventChunk:
        return EventChunk(self._stored, len(events), encode_events(events))

    def _note_stored(self, count: int) -> None:
        self._is_in_doubt = False
        self._stored += count
        self._channel.confirm(self._stored)

    async def _find_stored(self) -> int:
        """How many more events are stored than was known: a write that came to nothing may have been done after all.

        Raises TurnOver when the turn does not run any more.
        """
        turn = await self._store.turns.find(self.turn.tenant_id, self.turn.id)
        if turn is None or turn.state != RUNNING:
            raise TurnOver
        more = turn.event_count - self._stored
        self._note_stored(more)
        return more

    async def _outcome(self, listening: asyncio.Task[None]) -> tuple[str, str | None]:
        """The state that the turn ends in, and the error to be shown."""
        await asyncio.wait([listening], timeout=limits.TURN_STOP_SECONDS / 2)
        if self._verdict == DELETED:
            raise TurnOver
        if self._verdict is not None:
            return self._verdict, INTERRUPTED_TEXT if self._verdict == INTERRUPTED else None
        if listening.cancelled() or not listening.done():
            return INTERRUPTED, INTERRUPTED_TEXT
        fault = listening.exception()
        if fault is None:
            return COMPLETED, None
        if isinstance(fault, AntiphonError):
            return FAILED, fault.message
        _log.error("unforeseen fault in a turn", extra=describe(fault))
        return FAILED, AgentFailed().message

    async def _end(self, outcome: tuple[str, str | None]) -> None:
        state, error = outcome
        self._verdict = self._verdict or state
        events = closing_events(self._answer, state, error, self._transcript.is_in_step)
        for event in events:
            self._answer.take(event)
        await self._store_end(state, error, [*self._unstored, *events])
        self._tell(events)

    async def _store_end(self, state: str, error: str | None, events: list[Event]) -> None:
        """Store the end; a store that is away is waited for, TURN_END_SECONDS at most."""
        tokens = await self._messages.count_tokens(self._answer.text)
        reply = make_reply(self.turn, self._answer, tokens)
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + limits.TURN_END_SECONDS
        is_tried = False
        while True:
            try:
                if self._is_in_doubt:
                    events = events[await self._find_stored() :]
                ending = TurnEnding(state, self._chunk(events), reply, error)
                await self._store.turns.finish(self.turn.tenant_id, self.turn.id, self.turn.node, ending)
                return
            except TurnOver:
                if is_tried and await self._has_ended(state, len(events)):
                    return
                raise
            except StoreUnavailable:
                self._is_in_doubt = is_tried = True
                if loop.time() > give_up_at or self._verdict == DELETED:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)

    async def _has_ended(self, state: str, count: int) -> bool:
        """Whether it was this process that ended the turn so: the answer of the store was lost."""
        turn = await self._store.turns.find(self.turn.tenant_id, self.turn.id)
        return turn is not None and (turn.state, turn.event_count) == (state, self._stored + count)

    async def _let_go(self) -> None:
        """The turn is not this process's any more: followers are told what became of it."""
        try:
            turn = await self._store.turns.find(self.turn.tenant_id, self.turn.id)
        except StoreError:  # "could not find out" is not "nothing there"
            self.give_up()
            return
        if turn is None:
            self._channel.lose([TurnEnded(DELETED)], 0)
        elif turn.state == RUNNING:
            self.give_up()
        else:
            self._channel.lose([TurnEnded(turn.state)], self._stored)

    def _tell(self, events: Sequence[Event]) -> None:
        self._channel.publish(events)
        self._channel.close()


def opening_event(turn: Turn) -> Event:
    """The first event of a turn, whatever becomes of it."""
    return TurnStarted(f"msg-{text_of(turn.reply_id)}")


def closing_events(answer: Answer, state: str, error: str | None, is_in_step: bool) -> list[Event]:
    """The events that end a turn in that state: what is open is closed, then why it ends, then the end."""
    events = answer.closing(is_complete=state == COMPLETED)
    if state == STOPPED:
        events.append(TurnStopped())
    elif error is not None:
        events.append(TurnFailed(error))
        if is_in_step:
            events += [StepEnded(), StepSummary("error")]
    events.append(TurnEnded(state))
    return events


def make_reply(turn: Turn, answer: Answer, tokens: int) -> Draft | None:
    """The message that stays of a turn; None when nothing was said. `tokens` is the length of its text."""
    if answer.is_empty:
        return None
    said = {"model": answer.model or turn.model, "tokens_used": answer.tokens, "finish_reason": answer.reason}
    return Draft(
        author=turn.agent_name,
        role=ASSISTANT,
        text=answer.text,
        parts=answer.parts(),
        metadata=msgspec.json.encode({name: value for name, value in said.items() if value}).decode(),
        token_count=tokens,
    )
