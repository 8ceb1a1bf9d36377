"""Chats: ordered threads of messages."""

from __future__ import annotations

from antiphon.core.ports import Choice, Slice, Store
from antiphon.domain import ids, limits, texts
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.errors import ChatNotFound, InvalidInput
from antiphon.domain.ids import Uid
from antiphon.domain.sessions import Session


class Chats:
    """The verbs of chats."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(
        self, tenant_id: Uid, session: Session, chat_id: str | None = None, title: str = DEFAULT_TITLE
    ) -> tuple[Chat, bool]:
        """A chat in a `multi` session, and whether it was made now; safe to repeat with an id of the client's.

        Raises InvalidInput for an impossible id, ChatIdTaken when it names a chat of another session, SessionNotFound
        when the session was deleted meanwhile, and LimitExceeded when it is full.
        """
        if chat_id is None:
            chat_id = ids.new_public_id()
        elif not texts.is_client_id(chat_id):
            raise InvalidInput("a chat's id is 1 to 512 characters", field="id")
        return await self._store.chats.create(tenant_id, session.key, session.owner_id, chat_id, title, None)

    async def create_single(
        self, tenant_id: Uid, owner_name: str, title: str | None, metadata: str
    ) -> tuple[Chat, bool]:
        """A chat with an implicit session of the same id, and whether its owner was made with it.

        A title of None becomes `Chat` and the moment of making.
        """
        return await self._store.chats.create_single(tenant_id, owner_name, title, metadata)

    async def find(self, tenant_id: Uid, chat_id: str) -> Chat | None:
        """The chat of that id."""
        return await self._store.chats.find(tenant_id, chat_id) if texts.is_client_id(chat_id) else None

    async def find_by_key(self, tenant_id: Uid, key: Uid) -> Chat | None:
        """The chat of that generation, while it is there."""
        return await self._store.chats.find_by_key(tenant_id, key)

    async def get(self, tenant_id: Uid, chat_id: str) -> Chat:
        """The chat of that id. Raises ChatNotFound."""
        chat = await self.find(tenant_id, chat_id)
        if chat is None:
            raise ChatNotFound
        return chat

    async def get_in_session(self, tenant_id: Uid, session: Session, chat_id: str) -> Chat:
        """The chat of that id in that session. Raises ChatNotFound, also when it is another session's."""
        chat = await self.get(tenant_id, chat_id)
        if chat.session_id != session.id:
            raise ChatNotFound
        return chat

    async def find_of_single(self, tenant_id: Uid, session_id: str) -> Chat | None:
        """The chat of the `single` session of that id."""
        if not texts.is_client_id(session_id):
            return None
        return await self._store.chats.find_of_single(tenant_id, session_id)

    async def list_of_session(self, tenant_id: Uid, session: Session) -> list[Chat]:
        """All chats of a session in order of making."""
        return await self._store.chats.list_of_session(tenant_id, session.key)

    async def list_of_owner(self, tenant_id: Uid, owner_name: str, part: Slice) -> tuple[list[Chat], int]:
        """A part of the chats (with a UUID as id) that somebody owns, in order of making, and how many there are."""
        if not texts.is_storable(owner_name):
            return [], 0
        return await self._store.chats.list_of_owner(tenant_id, owner_name, part)

    async def read_marks(self, tenant_id: Uid, session: Session, participant_id: Uid) -> dict[Uid, int]:
        """When the participant last read each chat of the session, by the chat's key."""
        return await self._store.chats.read_marks(tenant_id, session.key, participant_id)

    async def mark_read(self, tenant_id: Uid, chat: Chat, participant_id: Uid) -> None:
        """Set the participant's read mark to now. Raises ChatNotFound."""
        await self._store.chats.mark_read(tenant_id, chat.key, participant_id)

    async def list_said(
        self, tenant_id: Uid, owner_id: Uid | None, artist_id: str | None = None
    ) -> list[tuple[Chat, str | None]]:
        """The last CHATS_LISTED changed chats in which something was said, of `multi` sessions that are not put away.

        Of one owner or of everybody, of one artist (a lowercase UUID) or of all; each with its artist.
        """
        return await self._store.chats.list_said(tenant_id, owner_id, artist_id, limits.CHATS_LISTED)

    async def put_single(
        self, tenant_id: Uid, owner_id: Uid, chat_id: str, title: str | None, artist_id: str | None
    ) -> Chat:
        """The owner's chat of that id (a lowercase UUID) in an implicit session of the same id, made when missing.

        Title and artist are replaced where given. Raises AccessDenied for somebody else's chat, ChatNotFound for one of
        a `multi` session, and SessionIdTaken.
        """
        return await self._store.chats.put_single(tenant_id, owner_id, chat_id, title, artist_id)

    async def page(self, tenant_id: Uid, choice: Choice, before: Uid | None, limit: int) -> list[Chat]:
        """Chats, the newest first, that were made before the one of that key."""
        return await self._store.pages.chats(tenant_id, choice, before, limit)

    async def rename(self, tenant_id: Uid, chat: Chat, title: str, *, if_unchanged: bool) -> Chat:
        """Give a chat another title. Raises ChatNotFound, and VersionChanged when it is asked."""
        seen_at = chat.updated_at if if_unchanged else None
        return await self._store.chats.change(tenant_id, chat.key, title, None, seen_at)

    async def change(self, tenant_id: Uid, chat: Chat, title: str | None = None, model: str | None = None) -> Chat:
        """Change title and model where given; `updated_at` moves in any case. Raises ChatNotFound."""
        return await self._store.chats.change(tenant_id, chat.key, title, model)

    async def cut(self, tenant_id: Uid, chat: Chat, message_id: Uid) -> int:
        """Remove a message and all after it: how many.

        Raises ChatNotFound, MessageNotFound, ChatHasActiveTurn while the chat is being answered, and LimitExceeded for
        more than TURN_REWIND_MESSAGES.
        """
        return await self._store.chats.cut(tenant_id, chat.key, message_id)

    async def copy(self, tenant_id: Uid, source: Chat, target: Chat, *, is_clearing: bool) -> int:
        """Append a chat's messages to another, which is emptied first when `is_clearing`, in one act: how many.

        Raises ChatNotFound, ChatFull, LimitExceeded for more than MESSAGES_PER_COPY or COPY_CHARACTERS, and, when
        clearing, what `cut` raises.
        """
        return await self._store.chats.copy(tenant_id, source.key, target.key, is_clearing=is_clearing)
