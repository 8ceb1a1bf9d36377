"""Replies: attended turns, in which the agent answers one socket and nobody else waits.

A reply lives and dies with its connection: what was not finished when the socket went is not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from antiphon.core.history import prompted
from antiphon.core.messages import Messages
from antiphon.core.ports import Agent, AgentEvent, Finished, Store, TextDelta, Utterance
from antiphon.core.tenants import Tenants
from antiphon.domain import limits, texts
from antiphon.domain.connections import Connection
from antiphon.domain.errors import AgentFailed
from antiphon.domain.messages import ASSISTANT, USER, Draft, Message


class Replies:
    """The verbs of attended turns.

    `silence_seconds` is how long the agent may say nothing before it counts as failed, whatever its own limits are;
    `tenants` remembers what the tenants have set.
    """

    def __init__(
        self,
        store: Store,
        messages: Messages,
        agent: Agent,
        silence_seconds: float = limits.MODEL_SILENCE_SECONDS,
        tenants: Tenants | None = None,
    ) -> None:
        self._store = store
        self._messages = messages
        self._agent = agent
        self._silence_seconds = silence_seconds
        self._tenants = tenants or Tenants(store)

    async def ask(self, connection: Connection, text: str, metadata: str) -> Message:
        """Store what the person at the socket said; durable on return.

        Raises ChatNotFound and ConnectionNotFound when chat or lease is gone, and ChatFull.
        """
        return await self._append(
            connection, Draft(author=connection.participant_name, role=USER, text=text, metadata=metadata)
        )

    async def answer(self, connection: Connection, model: str | None = None) -> AsyncGenerator[str | Message, None]:
        """The agent's answer to the chat as it stands: pieces of text (none empty) and, last, the stored message.

        The prompt, the agent's name and, unless one is given, the model are the tenant's. The pieces joined are the
        message's text. Closing the iterator early stops the model and stores nothing. Raises AgentFailed, also for an
        answer that is blank or has no end, ChatNotFound, ConnectionNotFound and ChatFull.
        """
        history = await self._messages.history(connection.tenant_id, connection.chat_key)
        tenant = await self._tenants.settings(connection.tenant_id)
        said = prompted([Utterance(message.role, message.text) for message in history], tenant.system_prompt)
        pieces: list[str] = []
        end: Finished | None = None
        async with aclosing(self._agent.run_turn(said, (), model or tenant.model)) as events:
            while (event := await self._next(events)) is not None:
                if isinstance(event, Finished):
                    end = event
                elif isinstance(event, TextDelta) and (piece := texts.storable(event.text)):
                    pieces.append(piece)
                    yield piece
        text = "".join(pieces)
        if end is None or not text.strip():
            raise AgentFailed
        metadata = msgspec.json.encode({"model": end.model, "tokens_used": end.tokens_used}).decode()
        draft = Draft(author=tenant.agent_name, role=ASSISTANT, text=text, metadata=metadata)
        yield await self._append(connection, draft)

    async def _next(self, events: AsyncGenerator[AgentEvent, None]) -> AgentEvent | None:
        """What the agent says next; None at its end. Raises AgentFailed when it says nothing for too long."""
        try:
            async with asyncio.timeout(self._silence_seconds):
                return await anext(events)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            raise AgentFailed("the model did not answer in time") from None

    async def _append(self, connection: Connection, draft: Draft) -> Message:
        """Store a message under the connection's lease.

        Who is cancelled meanwhile leaves only when the store has decided: so whoever waits for the end of cancelled
        work knows that it writes no more.
        """
        writing = asyncio.ensure_future(
            self._messages.append(connection.tenant_id, connection.chat_key, [draft], connection.id)
        )
        try:
            return (await asyncio.shield(writing))[0]
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            if not writing.cancelled():
                writing.exception()  # looked at, so that nobody is told of a failure that nobody waits for
            raise
