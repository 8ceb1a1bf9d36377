"""Sessions and their members in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.core.ports import Slice
from antiphon.domain import limits, times
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.errors import (
    AccessDenied,
    ChatIdTaken,
    LimitExceeded,
    ParticipantNotFound,
    SessionIdTaken,
    SessionNotFound,
    TenantNotFound,
    VersionChanged,
)
from antiphon.domain.ids import Uid, is_canonical_uuid, new_public_id, new_uid7
from antiphon.domain.participants import Member, Participant
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
from antiphon.stores.postgres.database import Cursor, Database, Overtaken, Row
from antiphon.stores.postgres.participants import ensure_participants
from antiphon.stores.sandbox_rows import sandbox_of, values_of
from antiphon.stores.session_rows import overview_of


class NewSingle(msgspec.Struct, frozen=True):
    """What a `single` session and its chat are made of; a `multi` one and its first chat in the same way.

    `is_owner_implied`: the owner is not named with it, as `domain.sessions.NewSession` says.
    """

    session_id: str
    owner_name: str
    title: str
    metadata: str
    configuration: str
    chat_id: str
    chat_metadata: str
    session_key: Uid
    chat_key: Uid
    shape: str = SINGLE
    chat_title: str | None = None
    is_owner_implied: bool = False

    def session_of(self, owner_id: Uid, now: int) -> Session:
        """The session as it is at first."""
        return Session(
            self.session_key,
            self.session_id,
            self.shape,
            owner_id,
            self.title,
            DEFAULT_STATUS,
            None,
            self.metadata,
            self.configuration,
            now,
            now,
        )

    def chat_of(self, owner_id: Uid, now: int) -> Chat:
        """The chat as it is at first."""
        return Chat(
            self.chat_key,
            self.chat_id,
            self.session_id,
            SINGLE,
            owner_id,
            self.owner_name,
            self.title,
            None,
            self.chat_metadata,
            0,
            0,
            now,
            now,
            None,
            None,
            None,
        )

    def values(self, tenant_id: Uid, now: int) -> dict[str, Any]:
        """What the statement `create_single` asks for."""
        rest = {"chat_title": self.title if self.chat_title is None else self.chat_title}
        rest["status"] = DEFAULT_STATUS
        is_uuid = is_canonical_uuid(self.chat_id)
        return msgspec.structs.asdict(self) | rest | {"tenant_id": tenant_id, "is_uuid": is_uuid, "now": now}


def owner_of_single(rows: Sequence[Row]) -> Uid | None:
    """The owner that `create_single` found, None when there is none yet. Raises TenantNotFound."""
    if not rows:
        return None
    owner_id: Uid = rows[0][0]
    if not rows[0][1]:
        raise TenantNotFound
    return owner_id


async def add_single(tx: Cursor, tenant_id: Uid, new: NewSingle) -> tuple[Uid, bool]:
    """Make a session whose owner may be new: the owner's id, and whether it was made now."""
    _, made = await ensure_participants(tx, tenant_id, [new.owner_name], is_implied=new.is_owner_implied)
    owner_id = owner_of_single(await tx.rows("create_single", **new.values(tenant_id, tx.now)))
    if owner_id is None:
        raise Overtaken  # the owner has just been deleted: the next time it is made anew, if the tenant is there
    return owner_id, bool(made)


async def join(tx: Cursor, tenant_id: Uid, session_key: Uid, members: Sequence[tuple[Uid, Member | None]]) -> None:
    """Make these participants members, in this order; who is one keeps the settings, who had left gets these."""
    first: dict[Uid, Member | None] = {}
    for who, member in members:
        first.setdefault(who, member)
    places = [(who, new_uid7(), member) for who, member in first.items()]
    places.sort(key=lambda place: place[0])  # rows are locked in one order, whoever writes them
    await tx.run(
        "join_members",
        tenant_id=tenant_id,
        session_key=session_key,
        participant_ids=[who for who, _, _ in places],
        join_keys=[join_key for _, join_key, _ in places],
        observe_me=[member.observe_me if member else None for _, _, member in places],
        observe_others=[member.observe_others if member else None for _, _, member in places],
        now=tx.now,
    )


class PostgresSessions:
    """`core.ports.SessionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant_id: Uid, new: NewSession) -> Session:
        """See the port."""
        made = NewSingle(
            session_id=new.id,
            owner_name=new.owner_name,
            title=new.title,
            metadata="{}",
            configuration="{}",
            chat_id=new.chat_id,
            chat_metadata="{}",
            session_key=new_uid7(),
            chat_key=new_uid7(),
            shape=new.shape,
            chat_title=new.chat_title,
            is_owner_implied=new.is_owner_implied,
        )

        async def operation(tx: Cursor) -> Session:
            taken = await tx.row("find_chat", tenant_id=tenant_id, id=new.chat_id)
            # The session is looked for last: who makes both at once has made it by then, if the chat was seen.
            if await tx.row("find_session", tenant_id=tenant_id, id=new.id) is not None:
                raise SessionIdTaken
            if taken is not None:
                raise ChatIdTaken
            owner_id, _ = await add_single(tx, tenant_id, made)
            return made.session_of(owner_id, tx.now)

        return await self._database.transact(operation)

    async def rename(self, tenant_id: Uid, session_key: Uid, title: str, seen_at: int | None = None) -> Session:
        """See the port."""
        asked: dict[str, Any] = {"tenant_id": tenant_id, "key": session_key}
        rows = await self._database.write_rows("rename_session", **asked, title=title, seen_at=seen_at, now=times.now())
        if not rows:
            row = await self._database.row("is_session_attached", **asked)
            raise SessionNotFound if row is None else VersionChanged
        return Session(*rows[0])

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
        now, session_key, chat_key = times.now(), new_uid7(), new_uid7()
        session_id, chat_id = new_public_id(), new_public_id()
        session = Session(
            session_key, session_id, MULTI, owner_id, title, DEFAULT_STATUS, artist_id, metadata, "{}", now, now
        )
        rows = await self._database.write_rows(
            "create_multi",
            tenant_id=tenant_id,
            owner_id=owner_id,
            session_key=session_key,
            session_id=session_id,
            title=title,
            status=DEFAULT_STATUS,
            artist_id=artist_id,
            metadata=metadata,
            chat_key=chat_key,
            chat_id=chat_id,
            chat_title=chat_title,
            model=model,
            now=now,
        )
        if not rows and await self._database.row("find_tenant", tenant_id=tenant_id) is not None:
            raise ParticipantNotFound
        if not rows or not rows[0][1]:
            raise TenantNotFound
        owner_name = rows[0][0]
        head = (chat_key, chat_id, session_id, MULTI, owner_id, owner_name, chat_title, model, "{}")
        return session, Chat(*head, 0, 0, now, now, None, None, None)

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

        async def operation(tx: Cursor) -> tuple[Session, bool]:
            row = await tx.row("lock_session" if is_change else "find_session", tenant_id=tenant_id, id=session_id)
            if row is None:
                new = _new_single(session_id, owner_name, metadata, configuration, is_owner_implied=is_owner_implied)
                owner_id, _ = await add_single(tx, tenant_id, new)
                session = new.session_of(owner_id, tx.now)
            else:
                session = Session(*row)
                await _check_actor(tx, tenant_id, session, actor_id, is_change)
                session = await _change_single(tx, tenant_id, session, metadata, configuration)
            if members:
                ids, _ = await ensure_participants(tx, tenant_id, [member.name for member in members])
                await join(tx, tenant_id, session.key, [(ids[member.name], member) for member in members])
                await check_observers(tx, tenant_id, session.key)
            return session, row is None

        return await self._database.transact(operation)

    async def find(self, tenant_id: Uid, session_id: str) -> Session | None:
        """See the port."""
        row = await self._database.row("find_session", tenant_id=tenant_id, id=session_id)
        return Session(*row) if row else None

    async def titles(self, tenant_id: Uid, owner_id: Uid) -> set[str]:
        """See the port."""
        rows = await self._database.rows("session_titles", tenant_id=tenant_id, owner_id=owner_id)
        return {row[0] for row in rows}

    async def members(self, tenant_id: Uid, session_key: Uid, part: Slice) -> tuple[list[Participant], int]:
        """See the port."""
        rows = await self._database.rows(
            "list_members_reversed" if part.is_reversed else "list_members",
            tenant_id=tenant_id,
            session_key=session_key,
            limit=part.limit,
            offset=part.offset,
        )
        return [Participant(*row[1:]) for row in rows if row[1] is not None], rows[0][0]

    async def is_member(self, tenant_id: Uid, session_key: Uid, participant_id: Uid) -> bool:
        """See the port."""
        row = await self._database.row(
            "is_member", tenant_id=tenant_id, session_key=session_key, participant_id=participant_id
        )
        return row is not None

    async def overviews(
        self, tenant_id: Uid, owner_id: Uid, part: Slice, *, is_archived: bool | None
    ) -> tuple[list[Overview], int]:
        """See the port."""
        owned = {"tenant_id": tenant_id, "owner_id": owner_id}
        rows = await self._database.rows(
            "list_overviews", **owned, is_archived=is_archived, limit=part.limit, offset=part.offset
        )
        archived = await self._database.rows("count_archived", **owned)
        return [overview_of(row) for row in rows], archived[0][0]

    async def list(self, tenant_id: Uid, shape: str, part: Slice) -> tuple[list[Session], int]:
        """See the port."""
        rows = await self._database.rows(
            "list_sessions_reversed" if part.is_reversed else "list_sessions",
            tenant_id=tenant_id,
            shape=shape,
            limit=part.limit,
            offset=part.offset,
        )
        return [Session(*row[1:]) for row in rows if row[1] is not None], rows[0][0] if rows else 0

    async def change(self, tenant_id: Uid, session_key: Uid, change: SessionChange) -> tuple[Session, Sandbox, bool]:
        """See the port."""

        async def operation(tx: Cursor) -> tuple[Session, Sandbox, bool]:
            held = await tx.row("lock_multi", tenant_id=tenant_id, session_key=session_key)
            row = await tx.row("find_sandbox", tenant_id=tenant_id, session_key=session_key) if held else None
            if row is None:
                raise SessionNotFound
            sandbox = sandbox_of(row)
            asked = {"tenant_id": tenant_id, "id": sandbox.session_id}
            before = Session(*(await tx.rows("find_session", **asked))[0])
            moved = sandbox_after(sandbox, before.status, change.status)
            if moved != sandbox:
                await tx.run("put_sandbox", **values_of(moved))
            values = msgspec.structs.asdict(change)
            await tx.run("change_session", tenant_id=tenant_id, key=session_key, now=tx.now, **values)
            after = Session(*(await tx.rows("find_session", **asked))[0])
            return after, moved, after.status == ARCHIVED != before.status

        return await self._database.transact(operation)


def _new_single(
    session_id: str, owner_name: str, metadata: str | None, configuration: str | None, *, is_owner_implied: bool
) -> NewSingle:
    return NewSingle(
        session_id=session_id,
        owner_name=owner_name,
        title=DEFAULT_TITLE,
        metadata=metadata or "{}",
        configuration=configuration or "{}",
        chat_id=new_public_id(),
        chat_metadata="{}",
        session_key=new_uid7(),
        chat_key=new_uid7(),
        is_owner_implied=is_owner_implied,
    )


async def _change_single(
    tx: Cursor, tenant_id: Uid, old: Session, metadata: str | None, configuration: str | None
) -> Session:
    if old.shape != SINGLE:
        raise SessionIdTaken
    if metadata is None and configuration is None:
        return old
    new = msgspec.structs.replace(
        old,
        metadata=old.metadata if metadata is None else metadata,
        configuration=merge(old.configuration, configuration),
        updated_at=tx.now,
    )
    await tx.run(
        "update_session",
        tenant_id=tenant_id,
        key=old.key,
        metadata=new.metadata,
        configuration=new.configuration,
        now=tx.now,
    )
    return new


async def _check_actor(tx: Cursor, tenant_id: Uid, session: Session, actor_id: Uid | None, is_change: bool) -> None:
    """A member may do anything here; the owner that is no member may look."""
    if actor_id is None or (session.owner_id == actor_id and not is_change):
        return
    row = await tx.row("find_member", tenant_id=tenant_id, session_key=session.key, participant_id=actor_id)
    if row is None or row[0]:
        raise AccessDenied


async def check_observers(tx: Cursor, tenant_id: Uid, session_key: Uid) -> None:
    """Raise LimitExceeded when too many members of a session observe others.

    Two who add observers at once hold the session's lock one after the other, so the count is right.
    """
    count = (await tx.rows("count_observers", tenant_id=tenant_id, session_key=session_key))[0][0]
    if count > limits.HONCHO_OBSERVERS_PER_SESSION:
        raise LimitExceeded(
            f"the session would have {count} observers. "
            f"Maximum allowed is {limits.HONCHO_OBSERVERS_PER_SESSION} observers"
        )
