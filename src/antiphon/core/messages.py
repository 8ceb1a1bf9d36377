"""Messages: appended in order, read in pages, never lost once acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from antiphon.core.ports import Slice, Store
from antiphon.domain import ids, limits, texts
from antiphon.domain.errors import ChatNotFound, InvalidInput, MessageIdTaken, MessageNotFound
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
        self,
        tenant_id: Uid,
        chat_key: Uid,
        drafts: Sequence[Draft],
        connection_id: Uid | None = None,
        messages_max: int = limits.MESSAGES_PER_APPEND,
    ) -> list[Message]:
        """Count tokens and store the drafts in order, all or none; durable on return.

        With a connection its lease is checked in the same transaction. Raises InvalidInput for more than
        `messages_max`, ChatNotFound, ConnectionNotFound, ChatFull.
        """
        if not 0 < len(drafts) <= messages_max:
            raise InvalidInput(f"1 to {messages_max} messages at a time", field="messages")
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

    async def page_of_single(self, tenant_id: Uid, session_id: str, part: Slice) -> Page:
        """The same of the only chat of a `single` session. Raises ChatNotFound."""
        if not texts.is_client_id(session_id):
            raise ChatNotFound
        return await self._store.messages.page_of_single(tenant_id, session_id, part)

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

    async def span(
        self, tenant_id: Uid, chat_key: Uid, first: int, last: int, limit: int, *, is_reversed: bool = False
    ) -> list[Message]:
        """The messages from sequence `first` to `last`, or back from the last: at most `limit`, at least one if any.

        Of NATIVE_PAGE_CHARACTERS in all, but for a single one that is longer. Raises ChatNotFound.
        """
        characters = limits.NATIVE_PAGE_CHARACTERS
        return await self._store.messages.span(
            tenant_id, chat_key, first, last, limit, characters, is_reversed=is_reversed
        )

    async def append_new(self, tenant_id: Uid, chat_key: Uid, drafts: Sequence[Draft]) -> list[tuple[Message, bool]]:
        """The message of each draft, and whether it was made now: one whose client id is there already is that one.

        All that are new are stored together, or none. No two drafts may have the same client id. Raises as `append`.
        """
        there: dict[str, Message] = {}
        for _ in range(limits.MESSAGES_PER_APPEND):  # each round but the last finds one more, or one has been deleted
            missing = [draft for draft in drafts if draft.client_id is None or draft.client_id not in there]
            try:
                made = iter(await self.append(tenant_id, chat_key, missing) if missing else ())
            except MessageIdTaken:
                there |= await self._find_all(tenant_id, chat_key, missing)
                continue
            new = {id(draft) for draft in missing}
            return [
                (next(made), True) if id(draft) in new else (there[draft.client_id or ""], False) for draft in drafts
            ]
        raise MessageIdTaken

    async def _find_all(self, tenant_id: Uid, chat_key: Uid, drafts: Sequence[Draft]) -> dict[str, Message]:
        """Those that are there of the drafts' client ids."""
        found = {}
        for client_id in {draft.client_id for draft in drafts if draft.client_id is not None}:
            message = await self._store.messages.find_by_client_id(tenant_id, chat_key, client_id)
            if message is not None:
                found[client_id] = message
        return found

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
