"""Compaction: what a chat was about, in few words of the agent's."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from antiphon.core.history import utterances_of_messages
from antiphon.core.messages import Messages
from antiphon.core.ports import Agent, TextDelta, Utterance
from antiphon.core.tenants import Tenants
from antiphon.domain import limits, texts
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AgentFailed
from antiphon.domain.ids import Uid
from antiphon.domain.messages import USER

_REQUEST = (
    "Summarize the conversation above in a few sentences. Keep names, numbers, decisions and what is still open. "
    "Answer with the summary alone."
)


class Compactions:
    """The verb of compaction; it stores nothing."""

    def __init__(self, messages: Messages, agent: Agent, tenants: Tenants) -> None:
        self._messages = messages
        self._tenants = tenants
        self._agent = agent

    async def compact(self, tenant_id: Uid, chat: Chat, request: str | None = None) -> str:
        """The newest HISTORY_MESSAGES of a chat in short, as the request says; of an empty chat nothing.

        Raises ChatNotFound, and AgentFailed, also when there is no end in COMPACTION_SECONDS.
        """
        newest = await self._messages.history(tenant_id, chat.key)
        if not newest:
            return ""
        history = [*utterances_of_messages(newest), Utterance(USER, request or _REQUEST)]
        model = chat.model or (await self._tenants.settings(tenant_id)).model
        try:
            async with (
                asyncio.timeout(limits.COMPACTION_SECONDS),
                aclosing(self._agent.run_turn(history, (), model)) as events,
            ):
                pieces = [event.text async for event in events if isinstance(event, TextDelta)]
        except TimeoutError:
            raise AgentFailed("the model did not answer in time") from None
        return texts.storable("".join(pieces)).strip()
