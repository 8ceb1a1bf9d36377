"""Messages: appended in order, read in pages, never lost once acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from antiphon.core.ports import Slice, Store
from antiphon.domain import ids, limits, texts
from antiphon.domain.errors import InvalidInput, MessageNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Draft, Message, Page

TokenCounter = Callable[[str], int]
"""Counts the tokens of a text in OpenAI's `o200k_base`; may be called from any thread."""

_COUNT_INLINE_CHARACTERS = 20_000  # about a millisecond; more is counted in a thread, so that nobody waits for it


class Messages:
    """The verbs of messages."""

    def __init__(self, store: Store, count_tokens: TokenCounter) -> None:
        self._store = store
        self._count_tokens = count_tokens

    async def append(
        self, tenant_id: Uid, chat_key: Uid, drafts: Sequence[Draft], connection_id: Uid | None = None
    ) -> list[Message]:
        """Count tokens and store the drafts in order, all or none; durable on return.

        With a connection its lease is checked in the same transaction. Raises InvalidInput for more than
        MESSAGES_PER_APPEND, ChatNotFound, ConnectionNotFound, ChatFull.
        """
        if not 0 < len(drafts) <= limits.MESSAGES_PER_APPEND:
            raise InvalidInput(f"1 to {limits.MESSAGES_PER_APPEND} messages at a time", field="messages")
        counted = await self._counted(drafts)
        return await self._store.messages.append(tenant_id, chat_key, counted, connection_id)

    async def _counted(self, drafts: Sequence[Draft]) -> list[Draft]:
        if sum(len(draft.text) for draft in drafts) <= _COUNT_INLINE_CHARACTERS:
            counts = [self._count_tokens(draft.text) for draft in drafts]
        else:
            counts = await asyncio.to_thread(lambda: [self._count_tokens(draft.text) for draft in drafts])
        return [msgspec.structs.replace(draft, token_count=count) for draft, count in zip(drafts, counts, strict=True)]

    async def count_tokens(self, text: str) -> int:
        """The tokens of a text; a long one is counted in a thread, so that nobody waits for it."""
        if len(text) <= _COUNT_INLINE_CHARACTERS:
            return self._count_tokens(text)
        return await asyncio.to_thread(self._count_tokens, text)

    async def page(self, tenant_id: Uid, chat_key: Uid, part: Slice) -> Page:
        """A part of the chat's messages in order, and how many there are, from one snapshot. Raises ChatNotFound."""
        return await self._store.messages.page(tenant_id, chat_key, part)

    async def all(self, tenant_id: Uid, chat_key: Uid) -> list[Message]:
        """Every message of a chat in order, read page by page. Raises ChatNotFound."""
        found: list[Message] = []
        while True:
            page = await self.page(tenant_id, chat_key, Slice(len(found), limits.PAGE_ITEMS))
            found += page.items
            await asyncio.sleep(0)  # a store that never waits would keep everybody else waiting
            if len(found) >= page.total or not page.items:
                return found

    async def get(self, tenant_id: Uid, chat_key: Uid, message_id: Uid) -> Message:
        """The message of that id in that chat. Raises MessageNotFound."""
        message = await self._store.messages.find(tenant_id, chat_key, message_id)
        if message is None:
            raise MessageNotFound
        return message

    async def find_shown(self, tenant_id: Uid, chat_key: Uid, shown_id: str) -> Message | None:
        """The message that clients know by that id, in that chat: their own id, or `msg-` and the UUID of ours."""
        if not texts.is_client_id(shown_id):
            return None
        message = await self._store.messages.find_by_client_id(tenant_id, chat_key, shown_id)
        if message is None and (uid := ids.parse_message_id(shown_id)) is not None:
            message = await self._store.messages.find(tenant_id, chat_key, uid)
        return message

    async def latest(self, tenant_id: Uid, chat_key: Uid, limit: int) -> list[Message]:
        """The newest messages of a chat, oldest of them first. Raises ChatNotFound."""
        return await self._store.messages.latest(tenant_id, chat_key, limit)

    async def history(self, tenant_id: Uid, chat_key: Uid) -> list[Message]:
        """What an agent is told was said before, oldest first. Raises ChatNotFound.

        The newest messages: at most HISTORY_MESSAGES, and none before HISTORY_CHARACTERS are reached.
        """
        newest: list[Message] = []
        size = 0
        while len(newest) < limits.HISTORY_MESSAGES and size < limits.HISTORY_CHARACTERS:
            part = Slice(len(newest), min(limits.HISTORY_PART, limits.HISTORY_MESSAGES - len(newest)), is_reversed=True)
            page = await self.page(tenant_id, chat_key, part)
            older = [message for message in page.items if not newest or message.seq < newest[-1].seq]
            newest += older
            size += sum(len(message.text) + len(message.parts or "") for message in older)
            if len(page.items) < part.limit:
                break
        return newest[::-1]
