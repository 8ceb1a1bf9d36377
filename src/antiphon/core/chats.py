"""Chats: ordered threads of messages."""

from __future__ import annotations

from antiphon.core.ports import Slice, Store
from antiphon.domain import ids, texts
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.errors import ChatNotFound, InvalidInput
from antiphon.domain.ids import Uid
from antiphon.domain.sessions import Session


class Chats:
    """The verbs of chats."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, tenant_id: Uid, session: Session, chat_id: str | None = None) -> tuple[Chat, bool]:
        """A chat in a `multi` session, and whether it was made now; safe to repeat with an id of the client's.

        Raises InvalidInput for an impossible id, ChatIdTaken when it names a chat of another session, SessionNotFound
        when the session was deleted meanwhile, and LimitExceeded when it is full.
        """
        if chat_id is None:
            chat_id = ids.new_public_id()
        elif not texts.is_client_id(chat_id):
            raise InvalidInput("a chat's id is 1 to 512 characters", field="id")
        return await self._store.chats.create(tenant_id, session.key, session.owner_id, chat_id, DEFAULT_TITLE, None)

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
