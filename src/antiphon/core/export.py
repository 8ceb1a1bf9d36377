"""Exports: a chat or a session as one file, streamed page by page, as it was when the export began.

Which messages belong to it is settled by their sequences at the start: later ones are left out. Between two pages no
read is open, so a message that is removed meanwhile (since its author is deleted) may be missing; what was deleted is
never shown. An export that cannot be carried to its end has no last line.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from antiphon.core.export_forms import FORMS, Form
from antiphon.core.ports import Store
from antiphon.domain import limits, times
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import CHAT, SESSION
from antiphon.domain.errors import ChatNotFound, InvalidInput
from antiphon.domain.ids import Uid
from antiphon.domain.imports import ImportedMember
from antiphon.domain.messages import Message
from antiphon.domain.participants import Participant
from antiphon.domain.sessions import Session

Finish = Callable[[], Awaitable[dict[str, Any]]]
"""Done when all messages have been taken, before the last line: what that line says beside the rest."""


class Exports:
    """The verbs of exports."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def chat(self, tenant_id: Uid, chat: Chat, form: Form, finish: Finish | None = None) -> AsyncGenerator[bytes]:
        """A chat up to its `last_seq`, in pieces of about EXPORT_PAGE_CHARACTERS.

        Raises ChatNotFound when it is deleted before the end, and what `finish` raises.
        """
        return self._file(tenant_id, form, form.head(CHAT, chat.id, times.now()), [chat], None, finish)

    async def session(self, tenant_id: Uid, session: Session, form: Form) -> AsyncGenerator[bytes]:
        """A session with all its chats, in order of making; one that is deleted before its turn comes is left out.

        Raises ChatNotFound when one is deleted in the middle of its messages.
        """
        owner = await self._store.participants.find_by_id(tenant_id, session.owner_id)
        chats = await self._store.chats.list_of_session(tenant_id, session.key)
        head = form.head(SESSION, session.id, times.now()) + _session(form, session, owner)
        return self._file(tenant_id, form, head, chats, session, None)

    async def _file(
        self, tenant_id: Uid, form: Form, head: bytes, chats: list[Chat], session: Session | None, finish: Finish | None
    ) -> AsyncGenerator[bytes]:
        digest, count, piece = hashlib.sha256(), 0, head
        if session is not None and form.is_complete:
            async for members in self._members(tenant_id, session):
                piece += form.members(members)
                digest.update(piece)
                yield piece
                piece = b""
        for chat in chats:
            is_begun = False
            try:
                async for page in self._pages(tenant_id, chat):
                    piece += b"" if is_begun else await self._open_chat(tenant_id, form, chat)
                    piece += await self._messages(tenant_id, form, chat, page)
                    is_begun, count = True, count + len(page)
                    digest.update(piece)
                    yield piece
                    piece = b""
            except ChatNotFound:
                if is_begun or session is None:
                    raise
        piece += form.close()
        digest.update(piece)
        yield piece
        said = {} if finish is None else await finish()
        yield form.end({"end": True, "messages": count, "sha256": digest.hexdigest(), **said})

    async def _members(self, tenant_id: Uid, session: Session) -> AsyncGenerator[list[ImportedMember]]:
        offset = 0
        while page := await self._store.imports.members(tenant_id, session.key, offset, limits.EXPORT_PAGE_MESSAGES):
            yield page
            offset += len(page)

    async def _open_chat(self, tenant_id: Uid, form: Form, chat: Chat) -> bytes:
        """What stands before the messages of a chat: as many read marks as there are people who read it."""
        owner = await self._store.participants.find_by_id(tenant_id, chat.owner_id) if form.is_complete else None
        piece, offset = form.chat(chat, is_owner_implied=owner is not None and owner.is_implied), 0
        while form.is_complete and (
            page := await self._store.imports.reads(tenant_id, chat.key, offset, limits.EXPORT_PAGE_MESSAGES)
        ):
            piece += form.reads(page)
            offset += len(page)
        return piece

    async def _messages(self, tenant_id: Uid, form: Form, chat: Chat, page: list[Message]) -> bytes:
        marks: dict[Uid, bool] = {}
        if form.is_complete and page:
            marks = await self._store.imports.marks(tenant_id, chat.key, [message.id for message in page])
        return b"".join([form.message(message, is_reasoned=marks.get(message.id)) for message in page])

    async def _pages(self, tenant_id: Uid, chat: Chat) -> AsyncGenerator[list[Message]]:
        """The messages of a chat; the first page is given also when it is empty."""
        first, is_first = 1, True
        while is_first or first <= chat.last_seq:
            page = await self._store.messages.span(
                tenant_id,
                chat.key,
                first,
                chat.last_seq,
                limits.EXPORT_PAGE_MESSAGES,
                limits.EXPORT_PAGE_CHARACTERS,
            )
            if is_first or page:
                yield page
            if not page:
                return
            first, is_first = page[-1].seq + 1, False


def _session(form: Form, session: Session, owner: Participant | None) -> bytes:
    if owner is None:
        return form.session(session, "", is_owner_implied=False)
    return form.session(session, owner.name, is_owner_implied=owner.is_implied)


def make_form(name: str) -> Form:
    """A new form of that name. Raises InvalidInput."""
    if name not in FORMS:
        raise InvalidInput(f"format is {', '.join(list(FORMS)[:-1])} or {list(FORMS)[-1]}", field="format")
    return FORMS[name]()
