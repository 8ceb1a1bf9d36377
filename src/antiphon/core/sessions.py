"""Sessions: conversations of one or more chats."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.core.ports import Choice, Slice, Store
from antiphon.domain import sessions, texts
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.errors import InvalidInput, SessionIdTaken, SessionNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.participants import Member, Participant
from antiphon.domain.sandboxes import Sandbox
from antiphon.domain.sessions import NewSession, Overview, Session, SessionCard, SessionChange


class Sessions:
    """The verbs of sessions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(
        self,
        tenant_id: Uid,
        owner_id: Uid,
        title: str,
        artist_id: str | None = None,
        metadata: str = "{}",
        model: str | None = None,
        chat_title: str = DEFAULT_TITLE,
    ) -> tuple[Session, Chat]:
        """A new session of the shape `multi` with its first chat (whose `model` and `chat_title` are), in one act."""
        return await self._store.sessions.create_multi(
            tenant_id, owner_id, title, artist_id, model, metadata, chat_title
        )

    async def ensure(self, tenant_id: Uid, new: NewSession) -> tuple[Session, bool]:
        """The session of that id, made with its first chat when missing, and whether it was made now.

        One that is there stays as it is, whatever else is asked for. Raises SessionIdTaken when it is of another shape,
        ChatIdTaken, and InvalidInput for an impossible id.
        """
        for text in (new.id, new.chat_id):
            if not texts.is_client_id(text):
                raise InvalidInput("a session's id is 1 to 512 characters", field="id")
        found = await self.find(tenant_id, new.id)
        if found is None:
            try:
                return await self._store.sessions.create(tenant_id, new), True
            except SessionIdTaken:
                found = await self.find(tenant_id, new.id)
        if found is None or found.shape != new.shape:
            raise SessionIdTaken
        return found, False

    async def card(self, tenant_id: Uid, session: Session) -> SessionCard:
        """A session with its owner's name and its number of chats, as they are now. Raises SessionNotFound."""
        found = await self.page(tenant_id, Choice(session_key=session.key), None, None, 1)
        if not found:
            raise SessionNotFound
        return found[0]

    async def page(
        self, tenant_id: Uid, choice: Choice, shape: str | None, before: Uid | None, limit: int
    ) -> list[SessionCard]:
        """Sessions, the newest first, that were made before the one of that key."""
        return await self._store.pages.sessions(tenant_id, choice, shape, before, limit)

    async def rename(self, tenant_id: Uid, session: Session, title: str, *, if_unchanged: bool) -> Session:
        """Give a session of either shape another title. Raises SessionNotFound, and VersionChanged when it is asked."""
        seen_at = session.updated_at if if_unchanged else None
        return await self._store.sessions.rename(tenant_id, session.key, title, seen_at)

    async def put_single(
        self,
        tenant_id: Uid,
        session_id: str,
        owner_name: str,
        metadata: str | None = None,
        configuration: str | None = None,
        members: Sequence[Member] = (),
        actor_id: Uid | None = None,
        *,
        is_owner_implied: bool = False,
    ) -> tuple[Session, bool]:
        """The `single` session of that id, made with its chat when missing, and whether it was made now.

        On one that is there, replaces the metadata and merges the configuration by top-level key, where given, and adds
        the members. An actor must be a member of one that is there, else AccessDenied; its owner may also ask for it
        unchanged. Raises InvalidInput for an impossible id, SessionIdTaken when it names a `multi` session, and
        LimitExceeded when too many members would observe others. `is_owner_implied` is as in `NewSession`.
        """
        if not texts.is_client_id(session_id):
            raise InvalidInput("a session's id is 1 to 512 characters", field="id")
        return await self._store.sessions.put_single(
            tenant_id,
            session_id,
            owner_name,
            metadata,
            configuration,
            members,
            actor_id,
            is_owner_implied=is_owner_implied,
        )

    async def find(self, tenant_id: Uid, session_id: str) -> Session | None:
        """The session of that id, of either shape."""
        return await self._store.sessions.find(tenant_id, session_id) if texts.is_client_id(session_id) else None

    async def get(self, tenant_id: Uid, session_id: str) -> Session:
        """The session of that id, of either shape. Raises SessionNotFound."""
        session = await self.find(tenant_id, session_id)
        if session is None:
            raise SessionNotFound
        return session

    async def get_of_shape(self, tenant_id: Uid, session_id: str, shape: str) -> Session:
        """The session of that id and shape. Raises SessionNotFound."""
        session = await self.get(tenant_id, session_id)
        if session.shape != shape:
            raise SessionNotFound
        return session

    async def list_single(self, tenant_id: Uid, part: Slice) -> tuple[list[Session], int]:
        """A part of the `single` sessions in order of making, and how many there are."""
        return await self._store.sessions.list(tenant_id, sessions.SINGLE, part)

    async def change(self, tenant_id: Uid, session: Session, change: SessionChange) -> tuple[Session, Sandbox, bool]:
        """Change a `multi` session, and its sandbox where the status says so, in one act; `updated_at` moves.

        Both as they are then, and whether the session was put away just now: then `Sandboxes.archive` is due. Raises
        SessionNotFound, and SandboxStopping when the session cannot be taken out again yet.
        """
        return await self._store.sessions.change(tenant_id, session.key, change)

    async def overviews(
        self, tenant_id: Uid, owner_id: Uid, part: Slice, *, is_archived: bool | None = None
    ) -> tuple[list[Overview], int]:
        """A part of somebody's `multi` sessions (archived or not, or both), newest first, and how many are archived."""
        return await self._store.sessions.overviews(tenant_id, owner_id, part, is_archived=is_archived)

    async def titles(self, tenant_id: Uid, owner_id: Uid) -> set[str]:
        """The titles of all `multi` sessions of an owner."""
        return await self._store.sessions.titles(tenant_id, owner_id)

    async def members(self, tenant_id: Uid, session: Session, part: Slice) -> tuple[list[Participant], int]:
        """A part of those who are members now, longest member first, and how many there are."""
        return await self._store.sessions.members(tenant_id, session.key, part)

    async def is_member(self, tenant_id: Uid, session: Session, participant_id: Uid) -> bool:
        """Whether the participant is a member now."""
        return await self._store.sessions.is_member(tenant_id, session.key, participant_id)
