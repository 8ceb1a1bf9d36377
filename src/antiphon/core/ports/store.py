"""What the core needs of a store.

Every method of a store takes the tenant first and touches nothing of any other. When a method that writes returns, what
it wrote is durable (committed and synced); when it raises, nothing has changed. All raise StoreUnavailable for a
condition that passes by itself (it alone leaves in doubt whether something has changed: the way to the database may
have broken during the commit) and StoreFailed for any other failure. `find_…` returns None for what is not there; the
others raise. A thing whose id was set free by a deletion is not there, for every method.
Metadata and configurations are JSON objects as text; times are microseconds (`domain.times`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.connections import Connection, Presence
from antiphon.domain.ids import Uid
from antiphon.domain.keys import Key, Principal
from antiphon.domain.messages import Draft, Message, Page
from antiphon.domain.participants import PEER, Member, Participant
from antiphon.domain.sandboxes import Sandbox
from antiphon.domain.sessions import NewSession, Overview, Session, SessionChange
from antiphon.domain.slices import Slice
from antiphon.domain.tenants import Tenant
from antiphon.domain.turns import Claimed, EventChunk, Turn, TurnEnding, TurnStart


class TenantStore(Protocol):
    """Tenants. Names are unique in the instance; these statements are the store's only global ones."""

    async def create(
        self, name: str, agent_name: str, metadata: str = "{}", configuration: str = "{}", settings: str = "{}"
    ) -> Tenant:
        """Make a tenant; its agent is made when it first speaks or owns something. Raises TenantNameTaken."""
        ...

    async def find(self, tenant_id: Uid) -> Tenant | None:
        """The tenant of that id."""
        ...

    async def find_by_name(self, name: str) -> Tenant | None:
        """The tenant of that name."""
        ...

    async def update(
        self,
        tenant_id: Uid,
        metadata: str | None,
        configuration: str | None,
        settings: str | None = None,
        agent_name: str | None = None,
    ) -> Tenant:
        """Replace metadata and the agent's name; merge configuration and settings by top-level key; None leaves it.

        Raises TenantNotFound.
        """
        ...

    async def list(self, part: Slice) -> tuple[list[Tenant], int]:
        """A part of all tenants in order of making, and how many there are."""
        ...


class KeyStore(Protocol):
    """Credentials."""

    async def create(self, key: Key) -> None:
        """Store a key. Raises TenantNotFound when the tenant is gone, ParticipantNotFound likewise."""
        ...

    async def revoke(self, tenant_id: Uid, key_id: Uid) -> None:
        """End a key for good. Raises KeyNotFound; revoking twice is no error."""
        ...

    async def load(self, tenant_id: Uid, key_ids: Sequence[Uid]) -> list[tuple[Key, Principal]]:
        """The usable ones (not revoked, not expired) of these keys, with what they stand for; one statement."""
        ...

    async def find(self, tenant_id: Uid, key_id: Uid) -> Key | None:
        """The key of that id, unless it is revoked."""
        ...

    async def list(self, tenant_id: Uid) -> list[Key]:
        """All keys of the tenant that are not revoked, oldest first."""
        ...


class TicketStore(Protocol):
    """Tickets, as digests of their texts, judged by the database's clock."""

    async def create(self, tenant_id: Uid, key_id: Uid, digest: bytes, lifetime_seconds: float) -> int:
        """Store a ticket of a key; when it ends. Some late ones of the tenant are removed on the way.

        Raises KeyNotFound when the tenant has no such key, or it is revoked.
        """
        ...

    async def redeem(self, tenant_id: Uid, digest: bytes) -> bool:
        """Take a ticket away, and tell whether it was there and in time: of all who try, one at most is told yes."""
        ...


class ParticipantStore(Protocol):
    """Those who speak."""

    async def ensure(self, tenant_id: Uid, kind: str, name: str) -> tuple[Participant, bool]:
        """The participant of that name, made when missing, and whether it was made now.

        One that was implied is named with this, and told as made: to one of many who do so at once.
        """
        ...

    async def put(
        self, tenant_id: Uid, name: str, metadata: str | None, configuration: str | None, kind: str = PEER
    ) -> tuple[Participant, bool]:
        """Like `ensure`, replacing metadata and configuration where they are given."""
        ...

    async def find(self, tenant_id: Uid, kind: str, name: str) -> Participant | None:
        """The participant of that kind and name, also one that is implied."""
        ...

    async def find_by_id(self, tenant_id: Uid, participant_id: Uid) -> Participant | None:
        """The participant of that id."""
        ...

    async def list(self, tenant_id: Uid, kind: str, part: Slice) -> tuple[list[Participant], int]:
        """A part of the participants of a kind in order of making, and how many there are; without those implied."""
        ...


class SessionStore(Protocol):
    """Sessions and their members."""

    async def create(self, tenant_id: Uid, new: NewSession) -> Session:
        """A session of either shape under that id, with its first chat, in one act; its owner is made when missing.

        Raises TenantNotFound, SessionIdTaken and ChatIdTaken.
        """
        ...

    async def rename(self, tenant_id: Uid, session_key: Uid, title: str, seen_at: int | None = None) -> Session:
        """Give a session of either shape another title; `updated_at` moves.

        Raises SessionNotFound, and VersionChanged when `seen_at` is given and is not its `updated_at`.
        """
        ...

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
        """A new session of the shape `multi` with its first chat, both with ids of ours, in one act.

        Raises TenantNotFound and ParticipantNotFound.
        """
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
        *,
        is_owner_implied: bool = False,
    ) -> tuple[Session, bool]:
        """The `single` session of that id, made with its chat when missing; tells whether it was made now.

        On an existing one replaces the metadata and merges the configuration where given. Adds the members (who are
        made when missing); one that is a member already keeps its settings. With an actor, raises AccessDenied when the
        session is there and the actor is not a member, unless it owns the session and asks for no change. Raises
        SessionIdTaken when the id names a `multi` session, LimitExceeded when too many members would observe others.
        `is_owner_implied` is as in `NewSession`.
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

    async def overviews(
        self, tenant_id: Uid, owner_id: Uid, part: Slice, *, is_archived: bool | None
    ) -> tuple[list[Overview], int]:
        """A part of somebody's `multi` sessions, newest first, and how many are archived in all.

        `is_archived` None means archived or not.
        """
        ...

    async def list(self, tenant_id: Uid, shape: str, part: Slice) -> tuple[list[Session], int]:
        """A part of the sessions of a shape in order of making, and how many there are."""
        ...

    async def change(self, tenant_id: Uid, session_key: Uid, change: SessionChange) -> tuple[Session, Sandbox, bool]:
        """Change a `multi` session, and its sandbox where the status says so (`sandbox_after`), in one act.

        Both as they are then, and whether the session was put away just now. `updated_at` moves in any case. Raises
        SessionNotFound and SandboxStopping.
        """
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

    async def list_said(
        self, tenant_id: Uid, owner_id: Uid | None, artist_id: str | None, limit: int
    ) -> list[tuple[Chat, str | None]]:
        """The last changed chats in which something was said, of `multi` sessions not put away, with their artists.

        Of one owner or of everybody, and of one artist (a lowercase UUID) or of all.
        """
        ...

    async def put_single(
        self, tenant_id: Uid, owner_id: Uid, chat_id: str, title: str | None, artist_id: str | None
    ) -> Chat:
        """The chat of that id (a lowercase UUID), made with a `single` session of the same id when missing.

        On one that is there replaces title and artist where given. A title of None becomes DEFAULT_TITLE in a new one.
        Raises AccessDenied for somebody else's, ChatNotFound for one of a `multi` session, SessionIdTaken when a
        session has the id and no such chat, TenantNotFound and ParticipantNotFound.
        """
        ...

    async def change(
        self, tenant_id: Uid, chat_key: Uid, title: str | None, model: str | None, seen_at: int | None = None
    ) -> Chat:
        """Change title and model where given; `updated_at` moves in any case.

        Raises ChatNotFound, and VersionChanged when `seen_at` is given and is not its `updated_at`.
        """
        ...

    async def cut(self, tenant_id: Uid, chat_key: Uid, message_id: Uid) -> int:
        """Remove a message and all that stand after it, and the stored events of the last turn: how many messages.

        Raises ChatNotFound, MessageNotFound, ChatHasActiveTurn, and LimitExceeded for more than TURN_REWIND_MESSAGES.
        """
        ...

    async def copy(self, tenant_id: Uid, source_key: Uid, target_key: Uid, *, is_clearing: bool) -> int:
        """Append a chat's messages to another, in order, with their times and new ids: how many.

        With `is_clearing` what the target has is removed first, in the same act. Raises ChatNotFound for either,
        ChatFull, LimitExceeded for more than MESSAGES_PER_COPY or COPY_CHARACTERS, and what `cut` raises when clearing.
        """
        ...

    async def read_marks(self, tenant_id: Uid, session_key: Uid, participant_id: Uid) -> dict[Uid, int]:
        """When the participant last read the chats of a session, by the chat's key."""
        ...

    async def mark_read(self, tenant_id: Uid, chat_key: Uid, participant_id: Uid) -> None:
        """Set the participant's read mark to now. Raises ChatNotFound and ParticipantNotFound."""
        ...


class MessageStore(Protocol):
    """Messages."""

    async def append(
        self, tenant_id: Uid, chat_key: Uid, drafts: Sequence[Draft], connection_id: Uid | None = None
    ) -> list[Message]:
        """Store the drafts in order, all or none, and move the chat's counters with them.

        Authors are made when missing and become members of the session. Raises ChatNotFound when the chat is gone,
        ConnectionNotFound when `connection_id` is given and its lease is over, MessageIdTaken when the chat has a
        message of a draft's client id or two drafts have the same, and ChatFull.
        """
        ...

    async def page(self, tenant_id: Uid, chat_key: Uid, part: Slice) -> Page:
        """A part of the chat's messages in order, and how many there are, from one snapshot. Raises ChatNotFound."""
        ...

    async def page_of_single(self, tenant_id: Uid, session_id: str, part: Slice) -> Page:
        """The same of the only chat of a `single` session, in as few steps. Raises ChatNotFound."""
        ...

    async def find(self, tenant_id: Uid, chat_key: Uid, message_id: Uid) -> Message | None:
        """The message of that id, if it is in that chat."""
        ...

    async def find_by_client_id(self, tenant_id: Uid, chat_key: Uid, client_id: str) -> Message | None:
        """The message of that client's id, if it is in that chat."""
        ...

    async def span(
        self,
        tenant_id: Uid,
        chat_key: Uid,
        first: int,
        last: int,
        limit: int,
        characters: int,
        *,
        is_reversed: bool = False,
    ) -> list[Message]:
        """The messages from sequence `first` to `last` in order, at most `limit` of them and about so many characters.

        At least one when there is any: so what is held at a time has a bound. Reversed, those from the last one back.
        Raises ChatNotFound.
        """
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

    async def find(self, tenant_id: Uid, connection_id: Uid) -> Presence | None:
        """The live socket of that id."""
        ...

    async def list(self, tenant_id: Uid, chat_key: Uid, after: Uid | None, limit: int) -> list[Presence]:
        """The live sockets of a chat in order of opening, behind that one."""
        ...

    async def counts(self, tenant_id: Uid, chat_keys: Sequence[Uid]) -> dict[Uid, int]:
        """How many live sockets each of these chats has; those without any are left out."""
        ...

    async def dismiss(self, tenant_id: Uid, connection_id: Uid) -> None:
        """End the lease of a live socket for good. Raises ConnectionNotFound.

        For CONNECTION_LEASE_SECONDS, or until it closes the socket, its process can find out that this is why.
        """
        ...

    async def was_dismissed(self, tenant_id: Uid, connection_id: Uid) -> bool:
        """Whether the lease of a socket that is not closed yet was ended by `dismiss`."""
        ...

    async def close_node(self, node: Uid) -> None:
        """Forget all sockets of a process, of every tenant."""
        ...


class TurnStore(Protocol):
    """Shared turns: the chat's one slot, its lease, and the events."""

    async def claim(
        self, tenant_id: Uid, turn_id: Uid, start: TurnStart, node: Uid, turns_max: int, lease_seconds: float
    ) -> Claimed:
        """Take the chat's slot under the lock that its deletion takes, and do with it all that `start` says.

        The events of the chat's earlier turns are removed. Raises ChatNotFound, ChatHasActiveTurn (also for one whose
        lease is over, and says so), ChatFull, MessageNotFound when `rewind_to` is not there any more, LimitExceeded
        when more than TURN_REWIND_MESSAGES stand after it or the tenant has `turns_max` live turns.
        """
        ...

    async def append_events(self, tenant_id: Uid, turn_id: Uid, node: Uid, chunk: EventChunk) -> bool:
        """Store the next events of a turn of this process; tells whether somebody asked it to stop.

        Raises TurnOver when the turn has ended or its chat is gone, StoreFailed when they are not the next.
        """
        ...

    async def finish(self, tenant_id: Uid, turn_id: Uid, node: Uid | None, ending: TurnEnding) -> Message | None:
        """End a turn: last events, the message, the counters, and the slot, all in one act.

        With a node the turn must be its; with None the turn's lease must be over, and nothing stored since its events
        were read. Raises TurnOver otherwise, and when the chat is gone. In a chat that is full meanwhile the turn ends
        as `failed`, without the message: a slot is never held by what cannot end.
        """
        ...

    async def renew(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> set[Uid]:
        """Extend the leases of all running turns of that process whose chats are there; their ids. One statement.

        One whose lease has run out is held again, as long as nobody has closed it.
        """
        ...

    async def request_stop(self, tenant_id: Uid, turn_id: Uid) -> None:
        """Ask the process that runs it to stop; asking for one that is over is no error."""
        ...

    async def stopping(self, tenant_id: Uid, node: Uid) -> set[Uid]:
        """The running turns of that process that somebody asked to stop."""
        ...

    async def find(self, tenant_id: Uid, turn_id: Uid) -> Turn | None:
        """The turn of that id, while its chat is there."""
        ...

    async def find_last(self, tenant_id: Uid, chat_key: Uid) -> Turn | None:
        """The newest turn of a chat that is there."""
        ...

    async def events(self, tenant_id: Uid, turn_id: Uid, first: int, limit: int) -> tuple[Turn, list[EventChunk]]:
        """A turn, and at most `limit` of its chunks that hold events from the sequence `first` on, in order.

        From one snapshot: a turn that is over has all its events. Raises TurnNotFound, also when the chat is gone.
        """
        ...

    async def expired(self, limit: int) -> list[tuple[Uid, Uid]]:
        """Running turns whose lease is over, as tenant and turn. System scope."""
        ...
