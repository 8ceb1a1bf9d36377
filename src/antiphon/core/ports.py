"""What the core needs from the outside: a store and an agent.

Every method of a store takes the tenant first and touches nothing of any other. When a method that writes returns, what
it wrote is durable (committed and synced); when it raises, nothing has changed. All raise StoreUnavailable for a
condition that passes by itself and StoreFailed for any other failure of the database. `find_…` returns None for what
is not there; the others raise. A thing whose id was set free by a deletion is not there, for every method.
Metadata and configurations are JSON objects as text; times are microseconds (`domain.times`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import msgspec

from antiphon.domain.chats import Chat
from antiphon.domain.connections import Connection
from antiphon.domain.deletions import Deletion, PurgeStep
from antiphon.domain.ids import Uid
from antiphon.domain.keys import Key, Principal
from antiphon.domain.messages import Draft, Message, Page
from antiphon.domain.participants import Member, Participant
from antiphon.domain.sessions import Session
from antiphon.domain.tenants import Tenant


class Slice(msgspec.Struct, frozen=True):
    """The part of a list that is asked for: `limit` items after the first `offset`, in either order of making."""

    offset: int
    limit: int
    is_reversed: bool = False


class Detached(msgspec.Struct, frozen=True):
    """A deletion that has taken hold, with the keys of the chats that are gone with it."""

    deletion: Deletion
    chat_keys: tuple[Uid, ...]


class Lease(msgspec.Struct, frozen=True):
    """A deletion that this worker may go on with: tenant and deletion id."""

    tenant_id: Uid
    deletion_id: Uid


class TenantStore(Protocol):
    """Tenants. Names are unique in the instance; these statements are the store's only global ones."""

    async def create(self, name: str, agent_name: str, metadata: str = "{}", configuration: str = "{}") -> Tenant:
        """Make a tenant; its agent is made when it first speaks or owns something. Raises TenantNameTaken."""
        ...

    async def find(self, tenant_id: Uid) -> Tenant | None:
        """The tenant of that id."""
        ...

    async def find_by_name(self, name: str) -> Tenant | None:
        """The tenant of that name."""
        ...

    async def update(self, tenant_id: Uid, metadata: str | None, configuration: str | None) -> Tenant:
        """Replace the metadata and merge the configuration by top-level key; None leaves it. Raises TenantNotFound."""
        ...

    async def list(self, part: Slice) -> tuple[list[Tenant], int]:
        """A part of all tenants in order of making, and how many there are."""
        ...


class KeyStore(Protocol):
    """Credentials."""

    async def create(self, key: Key) -> None:
        """Store a key. Raises TenantNotFound when the tenant is gone."""
        ...

    async def revoke(self, tenant_id: Uid, key_id: Uid) -> None:
        """End a key for good. Raises KeyNotFound; revoking twice is no error."""
        ...

    async def load(self, tenant_id: Uid, key_ids: Sequence[Uid]) -> list[tuple[Key, Principal]]:
        """The usable ones (not revoked, not expired) of these keys, with what they stand for; one statement."""
        ...

    async def list(self, tenant_id: Uid) -> list[Key]:
        """All keys of the tenant that are not revoked, oldest first."""
        ...


class ParticipantStore(Protocol):
    """Those who speak."""

    async def ensure(self, tenant_id: Uid, kind: str, name: str) -> tuple[Participant, bool]:
        """The participant of that name, made when missing, and whether it was made now."""
        ...

    async def put(
        self, tenant_id: Uid, name: str, metadata: str | None, configuration: str | None
    ) -> tuple[Participant, bool]:
        """Like `ensure` for a peer, replacing metadata and configuration where they are given."""
        ...

    async def find(self, tenant_id: Uid, kind: str, name: str) -> Participant | None:
        """The participant of that kind and name."""
        ...

    async def find_by_id(self, tenant_id: Uid, participant_id: Uid) -> Participant | None:
        """The participant of that id."""
        ...

    async def list(self, tenant_id: Uid, kind: str, part: Slice) -> tuple[list[Participant], int]:
        """A part of the participants of a kind in order of making, and how many there are."""
        ...


class SessionStore(Protocol):
    """Sessions and their members."""

    async def create_multi(
        self,
        tenant_id: Uid,
        owner_id: Uid,
        title: str,
        artist_id: str | None,
        model: str | None,
        metadata: str = "{}",
    ) -> tuple[Session, Chat]:
        """A new session of the shape `multi` with its first chat, both with ids of ours, in one act."""
        ...

    async def put_single(
        self,
        tenant_id: Uid,
        session_id: str,
        owner_name: str,
        metadata: str | None,
        configuration: str | None,
        members: Sequence[Member],
        actor_id: Uid | None = None,
    ) -> tuple[Session, bool]:
        """The `single` session of that id, made with its chat when missing; tells whether it was made now.

        On an existing one replaces the metadata and merges the configuration where given. Adds the members (who are
        made when missing); one that is a member already keeps its settings. With an actor, raises AccessDenied when the
        session is there and the actor is not a member, unless it owns the session and asks for no change. Raises
        SessionIdTaken when the id names a `multi` session, LimitExceeded when too many members would observe others.
        """
        ...

    async def find(self, tenant_id: Uid, session_id: str) -> Session | None:
        """The session of that id, of either shape."""
        ...

    async def titles(self, tenant_id: Uid, owner_id: Uid) -> set[str]:
        """The titles of all `multi` sessions of an owner."""
        ...

    async def members(self, tenant_id: Uid, session_key: Uid, part: Slice) -> tuple[list[Participant], int]:
        """A part of those who are members now, longest member first, and how many there are."""
        ...

    async def is_member(self, tenant_id: Uid, session_key: Uid, participant_id: Uid) -> bool:
        """Whether the participant is a member now."""
        ...

    async def list(self, tenant_id: Uid, shape: str, part: Slice) -> tuple[list[Session], int]:
        """A part of the sessions of a shape in order of making, and how many there are."""
        ...


class ChatStore(Protocol):
    """Chats."""

    async def create(
        self, tenant_id: Uid, session_key: Uid, owner_id: Uid, chat_id: str, title: str, model: str | None
    ) -> tuple[Chat, bool]:
        """A chat of that id in a `multi` session, and whether it was made now: one that is there is given back.

        Raises SessionNotFound, ChatIdTaken when the id names a chat of another session, and LimitExceeded when the
        session is full.
        """
        ...

    async def create_single(
        self, tenant_id: Uid, owner_name: str, title: str | None, metadata: str
    ) -> tuple[Chat, bool]:
        """A chat with a `single` session of its own under one id, and whether its owner was made with it.

        A title of None becomes `Chat`, a blank, and the moment of making to the minute.
        """
        ...

    async def find(self, tenant_id: Uid, chat_id: str) -> Chat | None:
        """The chat of that id."""
        ...

    async def find_by_key(self, tenant_id: Uid, key: Uid) -> Chat | None:
        """The chat of that generation, while it has an id."""
        ...

    async def find_of_single(self, tenant_id: Uid, session_id: str) -> Chat | None:
        """The chat of the `single` session of that id."""
        ...

    async def list_of_session(self, tenant_id: Uid, session_key: Uid) -> list[Chat]:
        """All chats of a session in order of making (at most CHATS_PER_SESSION)."""
        ...

    async def list_of_owner(self, tenant_id: Uid, owner_name: str, part: Slice) -> tuple[list[Chat], int]:
        """A part of the chats with a UUID as id that somebody owns, in order of making, and how many there are."""
        ...

    async def read_marks(self, tenant_id: Uid, session_key: Uid, participant_id: Uid) -> dict[Uid, int]:
        """When the participant last read the chats of a session, by the chat's key."""
        ...

    async def mark_read(self, tenant_id: Uid, chat_key: Uid, participant_id: Uid) -> None:
        """Set the participant's read mark to now. Raises ChatNotFound."""
        ...


class MessageStore(Protocol):
    """Messages."""

    async def append(
        self, tenant_id: Uid, chat_key: Uid, drafts: Sequence[Draft], connection_id: Uid | None = None
    ) -> list[Message]:
        """Store the drafts in order, all or none, and move the chat's counters with them.

        Authors are made when missing and become members of the session. Raises ChatNotFound when the chat is gone,
        ConnectionNotFound when `connection_id` is given and its lease is over, and ChatFull.
        """
        ...

    async def page(self, tenant_id: Uid, chat_key: Uid, part: Slice) -> Page:
        """A part of the chat's messages in order, and how many there are, from one snapshot. Raises ChatNotFound."""
        ...

    async def find(self, tenant_id: Uid, chat_key: Uid, message_id: Uid) -> Message | None:
        """The message of that id, if it is in that chat."""
        ...

    async def latest(self, tenant_id: Uid, chat_key: Uid, limit: int) -> list[Message]:
        """The newest messages of a chat, oldest of them first. Raises ChatNotFound."""
        ...


class ConnectionStore(Protocol):
    """Live sockets, as leases judged by the database's clock."""

    async def open(
        self,
        tenant_id: Uid,
        chat_key: Uid,
        participant_name: str,
        node: Uid,
        sockets_max: int,
        lease_seconds: float,
    ) -> Connection:
        """Register a socket, making the participant when missing; this and the chat's deletion exclude each other.

        Raises ChatNotFound, and ConnectionLimitExceeded when the tenant has `sockets_max` live ones (0: no limit).
        """
        ...

    async def renew(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> set[Uid]:
        """Extend all live leases of that process; the ids it still holds. One statement."""
        ...

    async def close(self, tenant_id: Uid, connection_id: Uid) -> None:
        """Forget a socket; one that is unknown is no error."""
        ...

    async def close_node(self, node: Uid) -> None:
        """Forget all sockets of a process, of every tenant."""
        ...


class DeletionStore(Protocol):
    """Deletions: the detach, and the queue of purges."""

    async def detach_chat(self, tenant_id: Uid, chat_key: Uid, mode: str, inline_messages: int) -> Detached:
        """Set the chat's id free and enqueue its purge, in one transaction that decides everything.

        A chat of a `single` session takes its session with it. Raises ChatNotFound, ChatIsLastOfSession, and, in the
        mode
        `refuse`, ChatHasActiveConnections and ChatHasActiveTurn. A chat of at most `inline_messages` messages is purged
        at once, in the same transaction (0: none is).
        """
        ...

    async def detach_session(self, tenant_id: Uid, session_key: Uid, mode: str, inline_messages: int) -> Detached:
        """The same for a session with all its chats. Raises SessionNotFound and, in the mode `refuse`, as above."""
        ...

    async def detach_tenant(self, tenant_id: Uid) -> Detached:
        """Set the tenant's name free, end its keys, enqueue its purge. Raises TenantNotFound and TenantHasSessions."""
        ...

    async def due(self) -> list[tuple[Uid, int]]:
        """Tenants with work that is not leased, each with the moment when the first of it may run. System scope."""
        ...

    async def claim(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> Lease | None:
        """Take the lease of the tenant's oldest job that may run now."""
        ...

    async def step(self, lease: Lease, node: Uid, rows_max: int, lease_seconds: float) -> PurgeStep:
        """Remove up to `rows_max` rows, children before parents, and extend the lease, in one transaction.

        Idempotent: it removes what is there. Raises NotFound when the lease has been lost.
        """
        ...

    async def postpone(self, lease: Lease, node: Uid, error: str, delay_seconds: float) -> None:
        """Give the job back after a failure: it is tried again after the delay, and shows the error until then."""
        ...

    async def release(self, node: Uid) -> None:
        """Give back all jobs that a process holds: no attempt is counted, and anybody may claim them at once."""
        ...

    async def find(self, tenant_id: Uid, deletion_id: Uid) -> Deletion | None:
        """The deletion of that id."""
        ...

    async def pending(self) -> tuple[int, int]:
        """How many deletions wait in the whole instance, and for how many microseconds the oldest. System scope."""
        ...


class Store(Protocol):
    """A database with all that the core needs. `kind` is its name for metrics and messages."""

    kind: str
    tenants: TenantStore
    keys: KeyStore
    participants: ParticipantStore
    sessions: SessionStore
    chats: ChatStore
    messages: MessageStore
    connections: ConnectionStore
    deletions: DeletionStore

    async def check(self) -> None:
        """Whether it can be read and written now. Raises StoreUnavailable or StoreFailed."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of the database."""
        ...


class Utterance(msgspec.Struct, frozen=True):
    """One thing said before, as the model is to see it. `role` is `system`, `user` or `assistant`."""

    role: str
    text: str


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the answer's text, never empty; the pieces joined are the answer."""

    text: str


class Finished(msgspec.Struct, frozen=True):
    """The end of an answer: the model that gave it, the tokens it took (0 when unknown), and why it ended."""

    model: str
    tokens_used: int
    reason: str


class Agent(Protocol):
    """Something that answers, token by token."""

    def answer(
        self, history: Sequence[Utterance], model: str | None = None
    ) -> AsyncGenerator[TextDelta | Finished, None]:
        """Pieces of text and, last, one Finished. Closing the iterator early stops the model's generation.

        The agent shortens the history to what its model can read. Raises AgentFailed.
        """
        ...

    async def close(self) -> None:
        """Let go of the model."""
        ...
