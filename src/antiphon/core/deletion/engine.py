"""Deleting: the detach is the deletion; from then on nothing shows what was deleted, and no late writer finds it.

The detach is one small transaction whose cost does not depend on the number of messages. What is left is a husk that
only the worker knows (see `worker`), and the end of it is a receipt (see `receipts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from antiphon.core.ports import ALL_OF_IT, Detached, Store
from antiphon.domain import limits, texts
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import (
    CHAT,
    PARTICIPANT,
    SESSION,
    TENANT,
    WAITING,
    Deletion,
    Order,
    Survey,
    digest_of_surveys,
)
from antiphon.domain.errors import (
    ChatNotFound,
    DeletionNotFound,
    InvalidInput,
    ParticipantNotFound,
    SessionNotFound,
    TenantNotFound,
)
from antiphon.domain.ids import Uid, parse_uuid
from antiphon.domain.participants import PEER
from antiphon.domain.sessions import Session
from antiphon.domain.tenants import read_settings

LoseChats = Callable[[Uid, tuple[Uid, ...]], None]
"""Closes what is live on chats (by their keys) that are gone."""


class Target(msgspec.Struct, frozen=True):
    """What is to be deleted, as its client names it: a tenant's id is its UUID, a participant's its name.

    With the `key` of what was looked at before, nothing is deleted that was given the same id since.
    """

    kind: str
    id: str
    key: Uid | None = None


class Plan(msgspec.Struct, frozen=True):
    """What deletions would remove now, and the digest by which a deletion can be told to do exactly that."""

    digest: str
    surveys: tuple[Survey, ...]


class Deletions:
    """The verbs of deletions. `wake` tells this process's worker that there is work."""

    def __init__(self, store: Store, lose_chats: LoseChats, wake: Callable[[], None]) -> None:
        self._store = store
        self._lose_chats = lose_chats
        self._wake = wake

    async def delete_chat(self, tenant_id: Uid, chat: Chat, mode: str) -> Deletion:
        """Delete a chat; that of a `single` session takes its session with it. The rows of a small one go at once.

        Raises ChatNotFound (also when somebody else was first), ChatIsLastOfSession, and in the mode `refuse`
        ChatHasActiveConnections and ChatHasActiveTurn; in the mode `cancel` its sockets are closed and its turn ends.
        """
        order = await self._within(tenant_id, Order(mode, inline_messages=limits.PURGE_INLINE_MESSAGES))
        return self._settle(await self._store.deletions.detach_chat(tenant_id, chat.key, order))

    async def delete_session(self, tenant_id: Uid, session: Session, mode: str) -> Deletion:
        """Delete a session with all its chats; the rows go in the background.

        Raises SessionNotFound, and in the mode `refuse` as above.
        """
        order = await self._within(tenant_id, Order(mode))
        return self._settle(await self._store.deletions.detach_session(tenant_id, session.key, order))

    async def delete_tenant(self, tenant_id: Uid) -> Deletion:
        """Delete a tenant that has no sessions. Raises TenantNotFound and TenantHasSessions."""
        order = await self._within(tenant_id, ALL_OF_IT)
        return self._settle(await self._store.deletions.detach_tenant(tenant_id, order))

    async def delete(self, tenant_id: Uid, target: Target, order: Order) -> Deletion:
        """Delete anything by its name, with all that belongs to it. A tenant goes with its sessions.

        Raises InvalidInput for an unknown kind, the kind's own NotFound, PlanChanged when the order's digest does not
        fit, ChatIsLastOfSession, and in the mode `refuse` ChatHasActiveConnections and ChatHasActiveTurn.
        """
        key = await self._key_of(tenant_id, target)
        order = await self._within(tenant_id, order)
        detach = self._store.deletions
        if target.kind == CHAT:
            detached = await detach.detach_chat(tenant_id, key, order)
        elif target.kind == SESSION:
            detached = await detach.detach_session(tenant_id, key, order)
        elif target.kind == PARTICIPANT:
            detached = await detach.detach_participant(tenant_id, key, order)
        else:
            detached = await detach.detach_tenant(tenant_id, order, with_sessions=True)
        return self._settle(detached)

    async def plan(self, tenant_id: Uid, targets: Sequence[Target]) -> Plan:
        """What deleting these would remove now, and what stands in the way; changes nothing. Raises as `delete`."""
        if not 0 < len(targets) <= limits.DELETION_TARGETS:
            raise InvalidInput(f"1 to {limits.DELETION_TARGETS} targets at a time", field="targets")
        keys = [await self._key_of(tenant_id, target) for target in targets]
        found = [
            await self._store.deletions.survey(tenant_id, target.kind, key)
            for target, key in zip(targets, keys, strict=True)
        ]
        surveys = tuple(found)
        return Plan(digest_of_surveys(surveys), surveys)

    async def get(self, tenant_id: Uid, deletion_id: Uid) -> Deletion:
        """The deletion of that id. Raises DeletionNotFound."""
        deletion = await self._store.deletions.find(tenant_id, deletion_id)
        if deletion is None:
            raise DeletionNotFound
        return deletion

    async def list(
        self, tenant_id: Uid, states: Sequence[str], before: Uid | None, limit: int, *, is_overdue: bool = False
    ) -> list[Deletion]:
        """The tenant's deletions, newest first, made before `before`; overdue: requested JOB_OVERDUE_SECONDS ago."""
        overdue = limits.JOB_OVERDUE_SECONDS if is_overdue else None
        return await self._store.deletions.list(tenant_id, states, before, limit, overdue)

    async def retry(self, tenant_id: Uid, deletion_id: Uid) -> Deletion:
        """Let a deletion that waits for its next try run now. Raises DeletionNotFound."""
        await self.get(tenant_id, deletion_id)
        await self._store.deletions.retry(tenant_id, deletion_id)
        self._wake()
        return await self.get(tenant_id, deletion_id)

    async def undo(self, tenant_id: Uid, deletion_id: Uid) -> Deletion:
        """Put back all that a deletion has taken, within its window; sockets stay closed. One that waits is called off.

        Raises DeletionNotFound, UndoTooLate, UndoIdTaken, UndoParentDeleted and LimitExceeded; then nothing is back.
        """
        await self.get(tenant_id, deletion_id)
        return await self._store.deletions.undo(tenant_id, deletion_id)

    async def _within(self, tenant_id: Uid, order: Order) -> Order:
        """The order with the tenant's undo window."""
        tenant = await self._store.tenants.find(tenant_id)
        window = 0 if tenant is None else read_settings(tenant).undo_window
        return msgspec.structs.replace(order, undo_seconds=window) if window else order

    async def _key_of(self, tenant_id: Uid, target: Target) -> Uid:
        """The internal key of what a client names. Raises the kind's NotFound, InvalidInput for an unknown kind."""
        if target.key is not None:
            return target.key
        if target.kind == TENANT:
            if parse_uuid(target.id) != tenant_id or await self._store.tenants.find(tenant_id) is None:
                raise TenantNotFound
            return tenant_id
        if target.kind == CHAT:
            chat = await self._store.chats.find(tenant_id, target.id) if texts.is_client_id(target.id) else None
            return _known(chat.key if chat else None, ChatNotFound)
        if target.kind == SESSION:
            session = await self._store.sessions.find(tenant_id, target.id) if texts.is_client_id(target.id) else None
            return _known(session.key if session else None, SessionNotFound)
        if target.kind == PARTICIPANT:
            if not texts.is_storable(target.id):
                raise ParticipantNotFound
            who = await self._store.participants.find(tenant_id, PEER, target.id)
            return _known(who.id if who else None, ParticipantNotFound)
        raise InvalidInput("a target's kind is chat, session, participant or tenant", field="kind")

    def _settle(self, detached: Detached) -> Deletion:
        deletion = detached.deletion
        if deletion.state != WAITING:
            self._lose_chats(deletion.tenant_id, detached.chat_keys)
        self._wake()
        return deletion


def _known(key: Uid | None, absent: type[Exception]) -> Uid:
    if key is None:
        raise absent
    return key
