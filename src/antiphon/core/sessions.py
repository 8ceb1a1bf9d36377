"""Sessions: conversations of one or more chats."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.core.ports import Slice, Store
from antiphon.domain import sessions, texts
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.errors import InvalidInput, SessionNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.participants import Member, Participant
from antiphon.domain.sandboxes import Sandbox
from antiphon.domain.sessions import Overview, Session, SessionChange


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

    async def put_single(
        self,
        tenant_id: Uid,
        session_id: str,
        owner_name: str,
        metadata: str | None = None,
        configuration: str | None = None,
        members: Sequence[Member] = (),
        actor_id: Uid | None = None,
    ) -> tuple[Session, bool]:
        """The `single` session of that id, made with its chat when missing, and whether it was made now.

        On one that is there, replaces the metadata and merges the configuration by top-level key, where given, and adds
        the members. An actor must be a member of one that is there, else AccessDenied; its owner may also ask for it
        unchanged. Raises InvalidInput for an impossible id, SessionIdTaken when it names a `multi` session, and
        LimitExceeded when too many members would observe others.
        """
        if not texts.is_client_id(session_id):
            raise InvalidInput("a session's id is 1 to 512 characters", field="id")
        return await self._store.sessions.put_single(
            tenant_id, session_id, owner_name, metadata, configuration, members, actor_id
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
