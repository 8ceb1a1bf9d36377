"""The desk that works on the store of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from antiphon.cli.desk import (
    ALREADY_THERE,
    LOOK_SECONDS,
    ChatRow,
    DeletionRow,
    ImportFailed,
    ImportRow,
    KeyOrder,
    KeyRow,
    PlanRow,
    PublicKeyRow,
    Tell,
    TenantRow,
    with_way_out,
)
from antiphon.core.chats import Chats
from antiphon.core.deletion.engine import Deletions, Target
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.deletion.verify import Verdict
from antiphon.core.export import Exports, make_form
from antiphon.core.imports import Imports
from antiphon.core.keys import Keys
from antiphon.core.participants import Participants
from antiphon.core.ports import Choice, Slice, Store
from antiphon.core.sessions import Sessions
from antiphon.core.tenants import Tenants
from antiphon.domain import limits, times
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import CHAT, DONE, TENANT, UNDONE, Deletion, Order
from antiphon.domain.errors import (
    ChatHasActiveConnections,
    ChatHasActiveTurn,
    DeletionNotFound,
    KeyNotFound,
    NotFound,
    TenantNotFound,
)
from antiphon.domain.ids import Uid, parse_uuid, text_of
from antiphon.domain.imports import FAILED, Import
from antiphon.domain.keys import ID_PREFIX as KEY_PREFIX
from antiphon.domain.keys import Key, show_id
from antiphon.domain.receipts import DELETION_PREFIX, ID_PREFIX, SigningKey
from antiphon.domain.tenants import Tenant, read_settings

ALGORITHM = "Ed25519"
TURN_PREFIX, IMPORT_PREFIX = "trn_", "imp_"


class LocalDesk:
    """See the protocol. `make_receipts` is called by the verbs of receipts only."""

    poll_seconds = LOOK_SECONDS

    def __init__(self, store: Store, tenant: str | None, make_receipts: Callable[[], Receipts]) -> None:
        self._store = store
        self._tenant = tenant
        self._make_receipts = make_receipts
        self._known: Tenant | None = None
        self._tenants = Tenants(store)
        self._deletions = Deletions(store, _nobody_is_here, lambda: None)

    async def tenant_name(self) -> str:
        """See the protocol."""
        try:
            return (await self._own()).name
        except TenantNotFound:
            return text_of(await self._id())

    async def create_tenant(self, name: str) -> TenantRow:
        """See the protocol."""
        return _tenant_row(await self._tenants.create(name))

    async def change_tenant(self, name: str, settings: Mapping[str, str | int | None]) -> TenantRow:
        """See the protocol."""
        return _tenant_row(await self._tenants.set(await self._tenants.get(name), settings))

    async def tenants(self) -> list[TenantRow]:
        """See the protocol."""
        return [_tenant_row(tenant) for tenant in await self._everybody()]

    async def create_key(self, order: KeyOrder) -> tuple[KeyRow, str]:
        """See the protocol."""
        owner, keys = await self._own(), Keys(self._store)
        key, text = await keys.create(
            owner.id, order.participant, order.scope, order.session, order.expires_at, order.label
        )
        return _key_row(key, owner.name), text

    async def keys(self) -> list[KeyRow]:
        """See the protocol."""
        owner = await self._own()
        return [_key_row(key, owner.name) for key in await Keys(self._store).list(owner.id)]

    async def revoke_key(self, key_id: str) -> None:
        """See the protocol."""
        uid = parse_uuid(key_id.removeprefix(KEY_PREFIX))
        if uid is None:
            raise KeyNotFound
        owners = [await self._own()] if self._tenant is not None else await self._everybody()
        for owner in owners:
            with contextlib.suppress(KeyNotFound):
                await Keys(self._store).revoke(owner.id, uid)
                return
        raise KeyNotFound

    async def plan(self, kind: str, target_id: str) -> PlanRow:
        """See the protocol."""
        tenant_id, target = await self._target(kind, target_id)
        plan = await self._deletions.plan(tenant_id, [target])
        (survey,) = plan.surveys
        blocked_by = [f"{blocker.kind.replace('_', ' ')} {blocker.id}" for blocker in survey.blocked_by]
        return PlanRow(survey.kind, survey.id, plan.digest, survey.counts, blocked_by)

    async def delete(self, kind: str, target_id: str, order: Order) -> DeletionRow:
        """See the protocol."""
        tenant_id, target = await self._target(kind, target_id)
        try:
            return _deletion_row(await self._deletions.delete(tenant_id, target, order))
        except (ChatHasActiveConnections, ChatHasActiveTurn) as error:
            raise with_way_out(error.message) from None

    async def deletions(self, states: Sequence[str], *, is_overdue: bool) -> list[DeletionRow]:
        """See the protocol."""
        overdue = limits.JOB_OVERDUE_SECONDS if is_overdue else None
        found: list[Deletion] = []
        for tenant_id in await self._ids():
            before: Uid | None = None
            while page := await self._store.deletions.list(tenant_id, states, before, limits.PAGE_ITEMS, overdue):
                found += page
                before = page[-1].id
        return [_deletion_row(deletion) for deletion in found]

    async def deletion(self, deletion_id: str) -> DeletionRow:
        """See the protocol."""
        return _deletion_row(await self._find(deletion_id))

    async def retry_deletion(self, deletion_id: str) -> DeletionRow:
        """See the protocol."""
        deletion = await self._find(deletion_id)
        return _deletion_row(await self._deletions.retry(deletion.tenant_id, deletion.id))

    async def undo_deletion(self, deletion_id: str) -> DeletionRow:
        """See the protocol."""
        deletion = await self._find(deletion_id)
        return _deletion_row(await self._deletions.undo(deletion.tenant_id, deletion.id))

    async def is_neglected(self, deletion_id: str) -> bool:
        """See the protocol. It may run, and no lease is in the way."""
        tenant_id, now = (await self._find(deletion_id)).tenant_id, times.now()
        return any(due_id == tenant_id and at <= now for due_id, at in await self._store.deletions.due())

    async def receipts(self) -> list[str]:
        """See the protocol."""
        found = self._make_receipts().all_of(await self._id())
        return [receipt.body async for part in found for receipt in part]

    async def receipt(self, receipt_id: str) -> str:
        """See the protocol."""
        receipts = self._make_receipts()
        if self._tenant is not None:
            return (await receipts.get(await self._id(), receipt_id)).body
        for each in await self._everybody():
            with contextlib.suppress(NotFound):
                return (await receipts.get(each.id, receipt_id)).body
        raise NotFound("There is no such receipt. That of a tenant which is deleted needs --tenant ID.")

    async def verify_receipts(self) -> Verdict:
        """See the protocol."""
        return await self._make_receipts().verify(await self._id())

    async def public_keys(self) -> list[PublicKeyRow]:
        """See the protocol."""
        return [public_key_row(key) for key in await self._make_receipts().keys()]

    async def chats(self, session: str | None, participant: str | None, limit: int | None) -> list[ChatRow]:
        """See the protocol."""
        owner = await self._own()
        key = None if session is None else (await Sessions(self._store).get(owner.id, session)).key
        choice = Choice(session_key=key)
        if participant is not None:
            who = await Participants(self._store).find(owner.id, participant)
            if who is None:
                return []
            choice = Choice(owner_id=who.id) if key is None else Choice(session_key=key, only_of=who.id)
        found: list[Chat] = []
        while limit is None or len(found) < limit:
            size = limits.PAGE_ITEMS if limit is None else min(limits.PAGE_ITEMS, limit - len(found))
            page = await Chats(self._store).page(owner.id, choice, found[-1].key if found else None, size)
            if not page:
                break
            found += page
        return await self._chat_rows(owner.id, found)

    async def chat(self, chat_id: str) -> ChatRow:
        """See the protocol."""
        owner = await self._own()
        return (await self._chat_rows(owner.id, [await Chats(self._store).get(owner.id, chat_id)]))[0]

    async def export(self, kind: str, name: str, form_name: str) -> AsyncIterator[bytes]:
        """See the protocol."""
        form, owner, exports = make_form(form_name), await self._own(), Exports(self._store)
        if kind == CHAT:
            pieces = exports.chat(owner.id, await Chats(self._store).get(owner.id, name), form)
        else:
            pieces = await exports.session(owner.id, await Sessions(self._store).get(owner.id, name), form)
        async for piece in pieces:
            yield piece

    async def bring(self, file: Path, size: int, tell: Tell) -> ImportRow:
        """See the protocol."""
        owner, imports = await self._own(), Imports(self._store)

        def written(current: Import) -> None:
            tell("writing", current.done, current.total)

        try:
            done, is_mine = await imports.bring(owner.id, file, lambda count: tell("checking", count, size), written)
        finally:
            await imports.release()
        if done.state == FAILED:
            raise ImportFailed(f"the import was given up ({done.last_error}), and nothing of it is there")
        state = done.state if is_mine else ALREADY_THERE
        return ImportRow(IMPORT_PREFIX + text_of(done.id), done.kind, done.target_id, done.total, state)

    async def _own(self) -> Tenant:
        """Its tenant, also when it has been deleted since it was found. Raises TenantNotFound."""
        if self._known is None:
            self._known = await self._tenants.get(self._tenant or "")
        return self._known

    async def _id(self) -> Uid:
        """The id of its tenant: one that is deleted is named by that, and has no name any more."""
        known = parse_uuid(self._tenant or "")
        return known if known is not None else (await self._own()).id

    async def _ids(self) -> list[Uid]:
        """The tenant's id, or those of all; with those that are being deleted, which have no name any more."""
        if self._tenant is not None:
            return [await self._id()]
        named = [found.id for found in await self._everybody()]
        waiting = [tenant_id for tenant_id, _ in await self._store.deletions.due()]
        return list(dict.fromkeys([*named, *waiting]))

    async def _everybody(self) -> list[Tenant]:
        """Every tenant, oldest first, read page by page."""
        found: list[Tenant] = []
        while True:
            page, total = await self._tenants.list(Slice(len(found), limits.PAGE_ITEMS))
            found += page
            if not page or len(found) >= total:
                return found

    async def _target(self, kind: str, target_id: str) -> tuple[Uid, Target]:
        owner = await self._own()
        return owner.id, Target(kind, text_of(owner.id) if kind == TENANT else target_id)

    async def _find(self, deletion_id: str) -> Deletion:
        uid = parse_uuid(deletion_id.removeprefix(DELETION_PREFIX))
        for tenant_id in await self._ids():
            if uid is not None and (deletion := await self._store.deletions.find(tenant_id, uid)):
                return deletion
        raise DeletionNotFound("There is no such deletion. That of a tenant which is deleted needs --tenant ID.")

    async def _chat_rows(self, tenant_id: Uid, found: Sequence[Chat]) -> list[ChatRow]:
        """Chats, each with how many sockets are open on it now."""
        counts: dict[Uid, int] = {}
        for at in range(0, len(found), limits.PAGE_ITEMS):
            part = [chat.key for chat in found[at : at + limits.PAGE_ITEMS]]
            counts |= await self._store.connections.counts(tenant_id, part)
        return [_chat_row(chat, counts.get(chat.key, 0)) for chat in found]


def _nobody_is_here(_tenant_id: Uid, _chat_keys: tuple[Uid, ...]) -> None:
    """A command holds no sockets and no turns; servers learn of the deletion from the store."""


def _time(moment: int | None) -> str | None:
    return None if moment is None else times.text_of(moment)


def _tenant_row(tenant: Tenant) -> TenantRow:
    return TenantRow(text_of(tenant.id), tenant.name, times.text_of(tenant.created_at), read_settings(tenant))


def _key_row(key: Key, owner: str) -> KeyRow:
    return KeyRow(
        show_id(key.id),
        owner,
        key.participant_name,
        [key.scope],
        key.session_id,
        key.label,
        times.text_of(key.created_at),
        _time(key.expires_at),
    )


def _deletion_row(deletion: Deletion) -> DeletionRow:
    is_over, now = deletion.state in (DONE, UNDONE), times.now()
    removed = sum(deletion.counts.values())
    age = now - (deletion.undo_until or deletion.requested_at)
    return DeletionRow(
        id=f"{DELETION_PREFIX}{text_of(deletion.id)}",
        tenant=text_of(deletion.tenant_id),
        kind=deletion.kind,
        target=deletion.target_id or deletion.target_digest,
        mode=deletion.mode,
        reason=deletion.reason,
        state=deletion.state,
        requested_at=times.text_of(deletion.requested_at),
        undo_until=_time(deletion.undo_until),
        removed=removed,
        total=removed if is_over else max(removed, deletion.total),
        attempts=deletion.attempts,
        last_error=deletion.last_error,
        next_try_at=_time(deletion.run_after) if deletion.run_after > now and not is_over else None,
        overdue=not is_over and age > limits.JOB_OVERDUE_SECONDS * times.SECOND,
        receipt=None if deletion.receipt_id is None else f"{ID_PREFIX}{text_of(deletion.receipt_id)}",
    )


def _chat_row(chat: Chat, connections: int) -> ChatRow:
    return ChatRow(
        id=chat.id,
        session=chat.session_id,
        participant=chat.owner_name,
        title=chat.title,
        messages=chat.message_count,
        last_message_at=_time(chat.last_message_at),
        created_at=times.text_of(chat.created_at),
        updated_at=times.text_of(chat.updated_at),
        active_turn=None if chat.active_turn is None else TURN_PREFIX + text_of(chat.active_turn),
        connections=connections,
    )


def public_key_row(key: SigningKey) -> PublicKeyRow:
    """A public key as the commands show it."""
    retired_at = _time(key.retired_at)
    return PublicKeyRow(key.kid, ALGORITHM, key.public_key, times.text_of(key.created_at), retired_at)
