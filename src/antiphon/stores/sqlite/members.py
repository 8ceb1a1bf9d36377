"""Who is in a `single` session, and copies of sessions, in SQLite."""

from __future__ import annotations

import json
from collections.abc import Sequence

from antiphon.domain import limits
from antiphon.domain.chats import DEFAULT_TITLE
from antiphon.domain.errors import MessageNotFound, ParticipantNotFound, SessionNotFound
from antiphon.domain.ids import Uid, new_public_id
from antiphon.domain.messages import Draft, Message
from antiphon.domain.participants import PEER, Member
from antiphon.domain.sessions import SINGLE, Session
from antiphon.stores.copying import check_clone, clone_of
from antiphon.stores.sqlite.chat_rows import NewChat, add_chat
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.messages import append_in, place_of
from antiphon.stores.sqlite.participants import ensure_participant, participant_of
from antiphon.stores.sqlite.sessions import add_session, check_observers, join, new_session
from antiphon.stores.sqlite.writer import Transaction


class SqliteMembers:
    """`core.ports.members.MemberStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def join(self, tenant_id: Uid, session_ids: Sequence[str], kind: str, names: Sequence[str]) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            who = [_participant(tx, tenant_id, kind, name) for name in names]
            for session_id in session_ids:
                session = _session(tx, tenant_id, session_id)
                for participant_id in who:
                    join(tx, tenant_id, session.key, participant_id)

        await self._file.write(operation)

    async def leave(self, tenant_id: Uid, session_id: str, kind: str, names: Sequence[str]) -> Session:
        """See the port."""

        def operation(tx: Transaction) -> Session:
            session = _session(tx, tenant_id, session_id)
            _leave(tx, tenant_id, session, kind, names, is_staying=False)
            return session

        return await self._file.write(operation)

    async def replace(self, tenant_id: Uid, session_id: str, members: Sequence[Member]) -> Session:
        """See the port."""

        def operation(tx: Transaction) -> Session:
            session = _session(tx, tenant_id, session_id)
            _leave(tx, tenant_id, session, PEER, [member.name for member in members], is_staying=True)
            for member in members:
                join(tx, tenant_id, session.key, ensure_participant(tx, tenant_id, PEER, member.name)[0].id, member)
            check_observers(tx, tenant_id, session.key)
            return session

        return await self._file.write(operation)

    async def find(self, tenant_id: Uid, session_id: str, name: str) -> Member | None:
        """See the port."""
        with self._file.snapshot() as read:
            row = read.row("find_session", tenant_id=tenant_id, id=session_id)
            if row is None or (session := Session(*row)).shape != SINGLE:
                return None
            row = read.row("member_settings", tenant_id=tenant_id, session_key=session.key, name=name)
        return Member(name, *(None if flag is None else bool(flag) for flag in row)) if row else None

    async def configure(self, tenant_id: Uid, session_id: str, member: Member) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            session = _session(tx, tenant_id, session_id)
            who = _participant(tx, tenant_id, PEER, member.name)
            place = {"tenant_id": tenant_id, "session_key": session.key, "participant_id": who}
            if tx.row("find_member", **place) is None:
                join(tx, tenant_id, session.key, who, member)
            else:
                flags = {"observe_me": member.observe_me, "observe_others": member.observe_others}
                tx.run("set_member", **place, **flags)
            check_observers(tx, tenant_id, session.key)

        await self._file.write(operation)

    async def clone(self, tenant_id: Uid, session_id: str, new_id: str, last_message: Uid | None) -> Session:
        """See the port."""

        def operation(tx: Transaction) -> Session:
            source = _session(tx, tenant_id, session_id)
            drafts = _said(tx, tenant_id, source, last_message)
            made = new_session(
                tx.now, new_id, SINGLE, source.owner_id, DEFAULT_TITLE, source.metadata, source.configuration
            )
            add_session(tx, tenant_id, made)
            chat = add_chat(tx, tenant_id, NewChat(new_public_id(), made.key, made.owner_id, DEFAULT_TITLE, None, "{}"))
            if drafts:
                append_in(tx, tenant_id, chat.key, drafts)
            tx.run("drop_members", tenant_id=tenant_id, session_key=made.key)
            tx.run("copy_members", tenant_id=tenant_id, session_key=made.key, source_key=source.key)
            return made

        return await self._file.write(operation)

    async def set_metadata(self, tenant_id: Uid, chat_key: Uid, message_id: Uid, metadata: str) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            head = tx.row("chat_head", tenant_id=tenant_id, key=chat_key)
            row = tx.row("find_message", tenant_id=tenant_id, id=message_id)
            if head is None or row is None or row[0] != head[0]:
                raise MessageNotFound
            old = Message(*row[1:])
            tx.run("set_message_metadata", tenant_id=tenant_id, id=message_id, metadata=metadata)
            growth = len(metadata) - len(old.metadata)
            tx.run("grow_chat", tenant_id=tenant_id, key=chat_key, size=growth)

        await self._file.write(operation)


def _session(tx: Transaction, tenant_id: Uid, session_id: str) -> Session:
    row = tx.row("find_session", tenant_id=tenant_id, id=session_id)
    if row is None or (session := Session(*row)).shape != SINGLE:
        raise SessionNotFound
    return session


def _participant(tx: Transaction, tenant_id: Uid, kind: str, name: str) -> Uid:
    row = tx.row("find_participant", tenant_id=tenant_id, kind=kind, name=name)
    if row is None or (found := participant_of(row)).is_implied:
        raise ParticipantNotFound
    return found.id


def _leave(
    tx: Transaction, tenant_id: Uid, session: Session, kind: str, names: Sequence[str], *, is_staying: bool
) -> None:
    """These leave, or when they are staying all others of the kind."""
    tx.run(
        "leave_members",
        tenant_id=tenant_id,
        session_key=session.key,
        kind=kind,
        names=json.dumps(list(names)),
        is_staying=int(is_staying),
        now=tx.now,
    )


def _said(tx: Transaction, tenant_id: Uid, session: Session, last_message: Uid | None) -> list[Draft]:
    """The messages of a session up to one of them, to be said again now. Raises MessageNotFound, LimitExceeded."""
    row = tx.rows("find_chat_of_single", tenant_id=tenant_id, session_id=session.id)[0]
    num: int = row[1]
    high = place_of(num, limits.MESSAGES_PER_CHAT)
    if last_message is not None:
        found = tx.row("find_message", tenant_id=tenant_id, id=last_message)
        if found is None or found[0] != num:
            raise MessageNotFound
        high = place_of(num, Message(*found[1:]).seq)
    span = {"tenant_id": tenant_id, "low": place_of(num, 1), "high": high}
    check_clone(*tx.rows("messages_after", **span | {"low": place_of(num, 0)}, limit=limits.CLONE_MESSAGES + 1)[0])
    rows = tx.rows("messages_between", **span, limit=limits.CLONE_MESSAGES, offset=0)
    return [clone_of(Message(*each)) for each in rows]
