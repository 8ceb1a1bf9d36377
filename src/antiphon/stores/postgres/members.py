"""Who is in a `single` session, and copies of sessions, in PostgreSQL. The session's lock comes first."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain import limits
from antiphon.domain.chats import DEFAULT_TITLE
from antiphon.domain.errors import MessageNotFound, ParticipantNotFound, SessionNotFound
from antiphon.domain.ids import Uid, new_public_id, new_uid7
from antiphon.domain.messages import Draft, Message
from antiphon.domain.participants import PEER, Member, Participant
from antiphon.domain.sessions import SINGLE, Session
from antiphon.stores.copying import check_clone, clone_of
from antiphon.stores.postgres.appends import Append, append_in
from antiphon.stores.postgres.database import Cursor, Database
from antiphon.stores.postgres.participants import ensure_participants
from antiphon.stores.postgres.sessions import NewSingle, add_single, check_observers, join


class PostgresMembers:
    """`core.ports.members.MemberStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def join(self, tenant_id: Uid, session_ids: Sequence[str], kind: str, names: Sequence[str]) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> None:
            locked = {each: await _session(tx, tenant_id, each) for each in sorted(set(session_ids))}
            who = [await _participant(tx, tenant_id, kind, name) for name in names]
            for session_id in session_ids:
                await join(tx, tenant_id, locked[session_id].key, [(participant_id, None) for participant_id in who])

        await self._database.transact(operation)

    async def leave(self, tenant_id: Uid, session_id: str, kind: str, names: Sequence[str]) -> Session:
        """See the port."""

        async def operation(tx: Cursor) -> Session:
            session = await _session(tx, tenant_id, session_id)
            await _leave(tx, tenant_id, session, kind, names, is_staying=False)
            return session

        return await self._database.transact(operation)

    async def replace(self, tenant_id: Uid, session_id: str, members: Sequence[Member]) -> Session:
        """See the port."""
        names = [member.name for member in members]

        async def operation(tx: Cursor) -> Session:
            session = await _session(tx, tenant_id, session_id)
            await _leave(tx, tenant_id, session, PEER, names, is_staying=True)
            if members:
                ids, _ = await ensure_participants(tx, tenant_id, names)
                await join(tx, tenant_id, session.key, [(ids[member.name], member) for member in members])
            await check_observers(tx, tenant_id, session.key)
            return session

        return await self._database.transact(operation)

    async def find(self, tenant_id: Uid, session_id: str, name: str) -> Member | None:
        """See the port."""
        row = await self._database.row("find_session", tenant_id=tenant_id, id=session_id)
        if row is None or (session := Session(*row)).shape != SINGLE:
            return None
        found = await self._database.row("member_settings", tenant_id=tenant_id, session_key=session.key, name=name)
        return Member(name, *found) if found else None

    async def configure(self, tenant_id: Uid, session_id: str, member: Member) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> None:
            session = await _session(tx, tenant_id, session_id)
            who = await _participant(tx, tenant_id, PEER, member.name)
            place = {"tenant_id": tenant_id, "session_key": session.key, "participant_id": who}
            if await tx.row("find_member", **place) is None:
                await join(tx, tenant_id, session.key, [(who, member)])
            else:
                flags = {"observe_me": member.observe_me, "observe_others": member.observe_others}
                await tx.run("set_member", **place, **flags)
            await check_observers(tx, tenant_id, session.key)

        await self._database.transact(operation)

    async def clone(self, tenant_id: Uid, session_id: str, new_id: str, last_message: Uid | None) -> Session:
        """See the port."""

        async def operation(tx: Cursor) -> Session:
            source = await _session(tx, tenant_id, session_id)
            drafts = await _said(tx, tenant_id, source, last_message)
            owner = await tx.rows("find_participant_by_id", tenant_id=tenant_id, id=source.owner_id)
            if not owner:
                raise SessionNotFound  # its owner is being deleted, and it with the owner
            new = NewSingle(
                session_id=new_id,
                owner_name=owner[0][2],
                title=DEFAULT_TITLE,
                metadata=source.metadata,
                configuration=source.configuration,
                chat_id=new_public_id(),
                chat_metadata="{}",
                session_key=new_uid7(),
                chat_key=new_uid7(),
                is_owner_implied=True,
            )
            owner_id, _ = await add_single(tx, tenant_id, new)
            if drafts:
                await append_in(tx, tenant_id, Append(new.chat_key, drafts, None))
            await tx.run("drop_members", tenant_id=tenant_id, session_key=new.session_key)
            await tx.run("copy_members", tenant_id=tenant_id, session_key=new.session_key, source_key=source.key)
            return new.session_of(owner_id, tx.now)

        return await self._database.transact(operation)

    async def set_metadata(self, tenant_id: Uid, chat_key: Uid, message_id: Uid, metadata: str) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> None:
            values = {"tenant_id": tenant_id, "key": chat_key}
            if await tx.row("lock_chat", **values) is None or not await tx.rows(
                "set_message_metadata", **values, id=message_id, metadata=metadata
            ):
                raise MessageNotFound

        await self._database.transact(operation)


async def _session(tx: Cursor, tenant_id: Uid, session_id: str) -> Session:
    row = await tx.row("lock_session", tenant_id=tenant_id, id=session_id)
    if row is None or (session := Session(*row)).shape != SINGLE:
        raise SessionNotFound
    return session


async def _participant(tx: Cursor, tenant_id: Uid, kind: str, name: str) -> Uid:
    row = await tx.row("find_participant", tenant_id=tenant_id, kind=kind, name=name)
    if row is None or (found := Participant(*row)).is_implied:
        raise ParticipantNotFound
    return found.id


async def _leave(
    tx: Cursor, tenant_id: Uid, session: Session, kind: str, names: Sequence[str], *, is_staying: bool
) -> None:
    """These leave, or when they are staying all others of the kind."""
    await tx.run(
        "leave_members",
        tenant_id=tenant_id,
        session_key=session.key,
        kind=kind,
        names=list(names),
        is_staying=is_staying,
        now=tx.now,
    )


async def _said(tx: Cursor, tenant_id: Uid, session: Session, last_message: Uid | None) -> list[Draft]:
    """The messages of a session up to one of them, to be said again now. Raises MessageNotFound, LimitExceeded."""
    found = await tx.row("find_chat_of_single", tenant_id=tenant_id, session_id=session.id)
    if found is None:
        raise SessionNotFound
    whose = {"tenant_id": tenant_id, "key": found[3]}
    seq = limits.MESSAGES_PER_CHAT
    if last_message is not None:
        message = await tx.row("find_message", **whose, id=last_message)
        if message is None:
            raise MessageNotFound
        seq = message[1]
    (size,) = await tx.rows("size_up_to", **whose, seq=seq, limit=limits.CLONE_MESSAGES + 1)
    check_clone(*size)
    rows = await tx.rows("messages_between", **whose, limit=size[0], offset=0)
    return [clone_of(Message(*row[1:])) for row in rows if row[1] is not None]
