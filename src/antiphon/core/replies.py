"""Replies: attended turns, in which the agent answers one socket and nobody else waits.

A reply lives and dies with its connection: what was not finished when the socket went is not kept.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from antiphon.core.messages import Messages
from antiphon.core.ports import Agent, Finished, Store, TextDelta, Utterance
from antiphon.domain import limits
from antiphon.domain.connections import Connection
from antiphon.domain.errors import AgentFailed
from antiphon.domain.messages import ASSISTANT, USER, Draft, Message


class Replies:
    """The verbs of attended turns."""

    def __init__(self, store: Store, messages: Messages, agent: Agent) -> None:
        self._store = store
        self._messages = messages
        self._agent = agent

    async def ask(self, connection: Connection, text: str, metadata: str) -> Message:
        """Store what the person at the socket said; durable on return.

        Raises ChatNotFound and ConnectionNotFound when chat or lease is gone.
        """
        draft = Draft(author=connection.participant_name, role=USER, text=text, metadata=metadata)
        stored = await self._messages.append(connection.tenant_id, connection.chat_key, [draft], connection.id)
        return stored[0]

    async def answer(
        self, connection: Connection, agent_name: str, model: str | None = None
    ) -> AsyncGenerator[str | Message, None]:
        """The agent's answer to the chat as it stands: pieces of text and, last, the stored message.

        Closing the iterator early stops the model and stores nothing. Raises AgentFailed, ChatNotFound,
        ConnectionNotFound.
        """
        history = await self._messages.latest(connection.tenant_id, connection.chat_key, limits.HISTORY_MESSAGES)
        said = [Utterance(message.role, message.text) for message in history]
        pieces: list[str] = []
        end: Finished | None = None
        async with aclosing(self._agent.answer(said, model)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    pieces.append(event.text)
                    yield event.text
                else:
                    end = event
        text = "".join(pieces)
        if end is None or not text.strip():
            raise AgentFailed
        metadata = msgspec.json.encode({"model": end.model, "tokens_used": end.tokens_used}).decode()
        draft = Draft(author=agent_name, role=ASSISTANT, text=text, metadata=metadata)
        stored = await self._messages.append(connection.tenant_id, connection.chat_key, [draft], connection.id)
        yield stored[0]
