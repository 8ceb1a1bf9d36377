"""Sessions and their members in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict

from antiphon.core.ports import Slice
from antiphon.domain import limits
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.errors import (
    AccessDenied,
    ChatIdTaken,
    LimitExceeded,
    SessionIdTaken,
    SessionNotFound,
    TenantNotFound,
    VersionChanged,
)
from antiphon.domain.ids import Uid, new_public_id, new_uid7
from antiphon.domain.participants import PEER, Member, Participant
from antiphon.domain.sandboxes import Sandbox
from antiphon.domain.sessions import (
    ARCHIVED,
    DEFAULT_STATUS,
    MULTI,
    SINGLE,
    NewSession,
    Overview,
    Session,
    SessionChange,
    sandbox_after,
)
from antiphon.stores.merging import merge
from antiphon.stores.sandbox_rows import sandbox_of, values_of
from antiphon.stores.session_rows import overview_of
from antiphon.stores.sqlite.chat_rows import NewChat, add_chat
from antiphon.stores.sqlite.database import Cursor
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.participants import check_participant, ensure_participant
from antiphon.stores.sqlite.writer import Transaction


def add_session(tx: Transaction, tenant_id: Uid, session: Session) -> None:
    """Store a new session that will have one chat. Raises TenantNotFound once the tenant is detached."""
    if tx.row("count_single" if session.shape == SINGLE else "count_multi", tenant_id=tenant_id, by=1) is None:
        raise TenantNotFound
    tx.run(
        "insert_session",
        tenant_id=tenant_id,
        key=session.key,
        id=session.id,
        shape=session.shape,
        owner_id=session.owner_id,
        title=session.title,
        status=session.status,
        artist_id=session.artist_id,
        metadata=session.metadata,
        configuration=session.configuration,
        now=session.created_at,
    )


def new_session(
    now: int,
    session_id: str,
    shape: str,
    owner_id: Uid,
    title: str,
    metadata: str = "{}",
    configuration: str = "{}",
) -> Session:
    """A session as it is at first."""
    return Session(
        new_uid7(),
        session_id,
        shape,
        owner_id,
        title,
        DEFAULT_STATUS,
        None,
        metadata,
        configuration,
        now,
        now,
    )


def join(tx: Transaction, tenant_id: Uid, session_key: Uid, participant_id: Uid, member: Member | None = None) -> None:
    """Make somebody a member. One who is a member keeps the settings; one who had left comes back with these."""
    settings: dict[str, Any] = {
        "tenant_id": tenant_id,
        "session_key": session_key,
        "participant_id": participant_id,
    }
    row = tx.row("find_member", **settings)
    if row == (0,):
        return
    settings |= {
        "observe_me": _flag(member.observe_me if member else None),
        "observe_others": _flag(member.observe_others if member else None),
        "now": tx.now,
    }
    tx.run("insert_member" if row is None else "rejoin_member", **settings)


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)


class SqliteSessions:
    """`core.ports.SessionStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def create(self, tenant_id: Uid, new: NewSession) -> Session:
        """See the port."""

        def operation(tx: Transaction) -> Session:
            if tx.row("find_session", tenant_id=tenant_id, id=new.id) is not None:
                raise SessionIdTaken
            if tx.row("find_chat", tenant_id=tenant_id, id=new.chat_id) is not None:
                raise ChatIdTaken
            owner, _ = ensure_participant(tx, tenant_id, PEER, new.owner_name, is_implied=new.is_owner_implied)
            session = new_session(tx.now, new.id, new.shape, owner.id, new.title)
            add_session(tx, tenant_id, session)
            add_chat(tx, tenant_id, NewChat(new.chat_id, session.key, owner.id, new.chat_title, None, "{}"))
            return session

        return await self._file.write(operation)

    async def rename(self, tenant_id: Uid, session_key: Uid, title: str, seen_at: int | None = None) -> Session:
        """See the port."""

        def operation(tx: Transaction) -> Session:
            asked = {"tenant_id": tenant_id, "key": session_key}
            row = tx.row("rename_session", **asked, title=title, seen_at=seen_at, now=tx.now)
            if row is None:
                raise SessionNotFound if tx.row("is_session_attached", **asked) is None else VersionChanged
            return Session(*row)

        return await self._file.write(operation)

    async def create_multi(
        self,
        tenant_id: Uid,
        owner_id: Uid,
        title: str,
        artist_id: str | None,
        model: str | None,
        metadata: str = "{}",
        chat_title: str = DEFAULT_TITLE,
    ) -> tuple[Session, Chat]:
        """See the port."""

        def operation(tx: Transaction) -> tuple[Session, Chat]:
            session = Session(
                new_uid7(),
                new_public_id(),
                MULTI,
                owner_id,
                title,
                DEFAULT_STATUS,
                artist_id,
                metadata,
                "{}",
                tx.now,
                tx.now,
            )
            add_session(tx, tenant_id, session)
            check_participant(tx, tenant_id, owner_id)
            chat = NewChat(new_public_id(), session.key, owner_id, chat_title, model, "{}")
            return session, add_chat(tx, tenant_id, chat)

        return await self._file.write(operation)

    async def put_single(
        self,
        tenant_id: Uid,
        session_id: str,
        owner_name: str,
        metadata: str | None,
        configuration: str | None,
        members: Sequence[Member],
        actor_id: Uid | None = None,
        *,
        is_owner_implied: bool = False,
    ) -> tuple[Session, bool]:
        """See the port."""
        is_change = metadata is not None or configuration is not None or bool(members)
        if not is_change and actor_id is None:
            found = await self.find(tenant_id, session_id)
            if found and found.shape == SINGLE:
                return found, False

        def operation(tx: Transaction) -> tuple[Session, bool]:
            row = tx.row("find_session", tenant_id=tenant_id, id=session_id)
            if row is not None and actor_id is not None:
                _check_actor(tx, tenant_id, Session(*row), actor_id, is_change)
            if row is None:
                owner, _ = ensure_participant(tx, tenant_id, PEER, owner_name, is_implied=is_owner_implied)
                session = _make_single(tx, tenant_id, session_id, owner.id, metadata, configuration)
            else:
                session = _change_single(tx, tenant_id, Session(*row), metadata, configuration)
            for member in members:
                who, _ = ensure_participant(tx, tenant_id, PEER, member.name)
                join(tx, tenant_id, session.key, who.id, member)
            check_observers(tx, tenant_id, session.key)
            return session, row is None

        return await self._file.write(operation)

    async def find(self, tenant_id: Uid, session_id: str) -> Session | None:
        """See the port."""
        row = self._file.row("find_session", tenant_id=tenant_id, id=session_id)
        return Session(*row) if row else None

    async def titles(self, tenant_id: Uid, owner_id: Uid) -> set[str]:
        """See the port."""
        rows = await self._file.read_apart(
            lambda read: read.rows("session_titles", tenant_id=tenant_id, owner_id=owner_id)
        )
        return {row[0] for row in rows}

    async def members(self, tenant_id: Uid, session_key: Uid, part: Slice) -> tuple[list[Participant], int]:
        """See the port."""
        statement = "list_members_reversed" if part.is_reversed else "list_members"
        with self._file.snapshot() as read:
            rows = read.rows(
                statement, tenant_id=tenant_id, session_key=session_key, limit=part.limit, offset=part.offset
            )
            total = read.rows("count_members", tenant_id=tenant_id, session_key=session_key)[0][0]
            return [Participant(*row) for row in rows], total

    async def is_member(self, tenant_id: Uid, session_key: Uid, participant_id: Uid) -> bool:
        """See the port."""
        row = self._file.row("is_member", tenant_id=tenant_id, session_key=session_key, participant_id=participant_id)
        return row is not None

    async def overviews(
        self, tenant_id: Uid, owner_id: Uid, part: Slice, *, is_archived: bool | None
    ) -> tuple[list[Overview], int]:
        """See the port."""
        owned = {"tenant_id": tenant_id, "owner_id": owner_id}

        def read_all(read: Cursor) -> tuple[list[Overview], int]:
            asked = owned | {"is_archived": is_archived, "limit": part.limit, "offset": part.offset}
            rows = read.rows("list_overviews", **asked)
            return [overview_of(row) for row in rows], read.rows("count_archived", **owned)[0][0]

        return await self._file.read_apart(read_all)

    async def list(self, tenant_id: Uid, shape: str, part: Slice) -> tuple[list[Session], int]:
        """See the port."""
        statement = "list_sessions_reversed" if part.is_reversed else "list_sessions"
        with self._file.snapshot() as read:
            totals = read.row("totals", tenant_id=tenant_id)
            if totals is None:
                return [], 0
            rows = read.rows(statement, tenant_id=tenant_id, shape=shape, limit=part.limit, offset=part.offset)
            return [Session(*row) for row in rows], totals[2] if shape == SINGLE else totals[3]

    async def change(self, tenant_id: Uid, session_key: Uid, change: SessionChange) -> tuple[Session, Sandbox, bool]:
        """See the port."""

        def operation(tx: Transaction) -> tuple[Session, Sandbox, bool]:
            row = tx.row("find_sandbox", tenant_id=tenant_id, session_key=session_key)
            if row is None:
                raise SessionNotFound
            sandbox = sandbox_of(row)
            asked = {"tenant_id": tenant_id, "id": sandbox.session_id}
            before = Session(*tx.rows("find_session", **asked)[0])
            moved = sandbox_after(sandbox, before.status, change.status)
            if moved != sandbox:
                tx.run("put_sandbox", **values_of(moved))
            tx.run("change_session", tenant_id=tenant_id, key=session_key, now=tx.now, **asdict(change))
            after = Session(*tx.rows("find_session", **asked)[0])
            return after, moved, after.status == ARCHIVED != before.status

        return await self._file.write(operation)


def _make_single(
    tx: Transaction, tenant_id: Uid, session_id: str, owner_id: Uid, metadata: str | None, configuration: str | None
) -> Session:
    session = new_session(tx.now, session_id, SINGLE, owner_id, DEFAULT_TITLE, metadata or "{}", configuration or "{}")
    add_session(tx, tenant_id, session)
    add_chat(tx, tenant_id, NewChat(new_public_id(), session.key, owner_id, DEFAULT_TITLE, None, "{}"))
    return session


def _change_single(
    tx: Transaction, tenant_id: Uid, old: Session, metadata: str | None, configuration: str | None
) -> Session:
    if old.shape != SINGLE:
        raise SessionIdTaken
    if metadata is None and configuration is None:
        return old
    tx.run(
        "update_session",
        tenant_id=tenant_id,
        key=old.key,
        metadata=old.metadata if metadata is None else metadata,
        configuration=merge(old.configuration, configuration),
        now=tx.now,
    )
    return Session(*tx.rows("find_session", tenant_id=tenant_id, id=old.id)[0])


def _check_actor(tx: Transaction, tenant_id: Uid, session: Session, actor_id: Uid, is_change: bool) -> None:
    """A member may do anything here; the owner that is no member may look."""
    if session.owner_id == actor_id and not is_change:
        return
    if tx.row("find_member", tenant_id=tenant_id, session_key=session.key, participant_id=actor_id) != (0,):
        raise AccessDenied


def check_observers(tx: Transaction, tenant_id: Uid, session_key: Uid) -> None:
    """Raise LimitExceeded when too many members of a session observe others."""
    count = tx.rows("count_observers", tenant_id=tenant_id, session_key=session_key)[0][0]
    if count > limits.HONCHO_OBSERVERS_PER_SESSION:
        raise LimitExceeded(
            f"the session would have {count} observers. "
            f"Maximum allowed is {limits.HONCHO_OBSERVERS_PER_SESSION} observers"
        )
