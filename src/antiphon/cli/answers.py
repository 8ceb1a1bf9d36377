"""What a server answers on its own wire, as far as the commands need it, and how they show that."""

from __future__ import annotations

import msgspec

from antiphon.cli.client import Blocker, Unreachable
from antiphon.cli.desk import ChatRow, DeletionRow, KeyRow, PlanRow, PublicKeyRow, TenantRow
from antiphon.domain import times
from antiphon.domain.tenants import TenantSettings


class Named(msgspec.Struct):
    """A tenant or a participant."""

    id: str
    name: str


class Whoami(msgspec.Struct):
    """Whom the key stands for."""

    tenant: Named


class Tenant(msgspec.Struct):
    """A tenant."""

    id: str
    name: str
    created_at: str
    settings: TenantSettings


class Key(msgspec.Struct):
    """A key without its text."""

    id: str
    participant: str | None
    scopes: list[str]
    session: str | None
    label: str | None
    created_at: str
    expires_at: str | None


class MadeKey(Key):
    """A key with its text."""

    key: str


class Target(msgspec.Struct):
    """What something is about: a kind, and an id or a digest of it."""

    kind: str
    id: str | None = None
    digest: str | None = None


class Planned(msgspec.Struct):
    """What a target's deletion would remove."""

    target: Target
    counts: dict[str, int]
    blocked_by: list[Blocker]


class Plan(msgspec.Struct):
    """What deletions would remove."""

    digest: str
    targets: list[Planned]


class SessionRef(msgspec.Struct):
    """The session of a chat."""

    id: str


class Progress(msgspec.Struct):
    """How far something is."""

    done: int
    total: int


class Deletion(msgspec.Struct):
    """A deletion."""

    id: str
    target: Target
    mode: str
    reason: str | None
    state: str
    requested_at: str
    undo_until: str | None
    progress: Progress
    attempts: int
    run_after: str | None
    last_error: str | None
    overdue: bool
    receipt: str | None


class Chat(msgspec.Struct):
    """A chat."""

    id: str
    session: SessionRef
    participant: str
    title: str
    message_count: int
    last_message_at: str | None
    created_at: str
    updated_at: str
    active_turn: str | None
    connections: int


class PublicKey(msgspec.Struct):
    """A public key that verifies receipts."""

    kid: str
    algorithm: str
    public_key: str
    created_at: str
    retired_at: str | None


class PublicKeys(msgspec.Struct):
    """All of them."""

    items: list[PublicKey]


class Fault(msgspec.Struct):
    """The first thing that is wrong in a chain of receipts."""

    sequence: int | None
    message: str


class Verdict(msgspec.Struct):
    """What a check of a chain found."""

    receipts: int
    first_error: Fault | None


class Import(msgspec.Struct):
    """An import."""

    id: str
    target: Target
    state: str
    done: int
    total: int
    last_error: str | None


def tenant_row(tenant: Tenant) -> TenantRow:
    """A tenant as the commands show it."""
    return TenantRow(tenant.id, tenant.name, _time(tenant.created_at), tenant.settings)


def key_row(key: Key, owner: str) -> KeyRow:
    """A key of the tenant of that name."""
    return KeyRow(
        key.id,
        owner,
        key.participant,
        key.scopes,
        key.session,
        key.label,
        _time(key.created_at),
        _time_or_none(key.expires_at),
    )


def plan_row(plan: Plan) -> PlanRow:
    """A plan of one target; what is in its way is named without the prefix of its kind."""
    (planned,) = plan.targets
    blocked_by = [
        f"{each.kind.replace('_', ' ')} {each.id.removeprefix('con_').removeprefix('trn_')}"
        for each in planned.blocked_by
    ]
    target = planned.target
    return PlanRow(target.kind, target.id or "", plan.digest, planned.counts, blocked_by)


def deletion_row(deletion: Deletion, tenant_id: str) -> DeletionRow:
    """A deletion of the tenant of that id."""
    return DeletionRow(
        id=deletion.id,
        tenant=tenant_id,
        kind=deletion.target.kind,
        target=deletion.target.id or deletion.target.digest,
        mode=deletion.mode,
        reason=deletion.reason,
        state=deletion.state,
        requested_at=_time(deletion.requested_at),
        undo_until=_time_or_none(deletion.undo_until),
        removed=deletion.progress.done,
        total=deletion.progress.total,
        attempts=deletion.attempts,
        last_error=deletion.last_error,
        next_try_at=_time_or_none(deletion.run_after),
        overdue=deletion.overdue,
        receipt=deletion.receipt,
    )


def chat_row(chat: Chat) -> ChatRow:
    """A chat as the commands show it."""
    return ChatRow(
        id=chat.id,
        session=chat.session.id,
        participant=chat.participant,
        title=chat.title,
        messages=chat.message_count,
        last_message_at=_time_or_none(chat.last_message_at),
        created_at=_time(chat.created_at),
        updated_at=_time(chat.updated_at),
        active_turn=chat.active_turn,
        connections=chat.connections,
    )


def public_key_row(key: PublicKey) -> PublicKeyRow:
    """A public key as the commands show it."""
    return PublicKeyRow(key.kid, key.algorithm, key.public_key, _time(key.created_at), _time_or_none(key.retired_at))


def _time(text: str) -> str:
    """A time as the commands write it: without a fraction that is zero."""
    try:
        return times.text_of(times.from_text(text))
    except (ValueError, OverflowError):
        raise Unreachable("what the server answered is not what Antiphon answers") from None


def _time_or_none(text: str | None) -> str | None:
    return None if text is None else _time(text)
