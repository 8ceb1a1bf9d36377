"""What the core needs to see to messages after they were stored: for an index, for vectors, for whatever is derived.

An append does none of that work: it only makes its chat *due* for every kind, in the statement that takes the place.
Each kind has of each chat a cursor, the sequence up to which its work is done, and a moment at which somebody should
see to it (none while nothing is to be done). So a kind that fails or is switched off holds up no other, and one that is
switched on later finds all that was said before.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from antiphon.domain.ids import Uid

TEXT, VECTORS = "text", "vectors"
KINDS = (TEXT, VECTORS)
"""The kinds of work: the words of messages, and what they mean."""


class Behind(msgspec.Struct, frozen=True):
    """A chat that is due for a kind of work: messages after the sequence `cursor` up to `last_seq` wait for it."""

    chat_key: Uid
    cursor: int
    last_seq: int


class Backlog(msgspec.Struct, frozen=True):
    """How much waits for a kind of work: so many chats, at most so many messages, the longest of them for so long."""

    chats: int
    messages: int
    oldest_seconds: float


class IndexingStore(Protocol):
    """How far each kind of work has come."""

    async def tenants_behind(self, kind: str, limit: int) -> list[Uid]:
        """Some tenants of chats that are due now. System scope."""
        ...

    async def chats_behind(self, kind: str, tenant_id: Uid, limit: int) -> list[Behind]:
        """The chats of a tenant that are due now, longest first."""
        ...

    async def claim(self, kind: str, tenant_id: Uid, chat: Behind, seconds: float) -> bool:
        """Let nobody else see to a chat for so long, or until the cursor moves: false when it is not due any more.

        It saves work that costs much from being done twice; the fence is the cursor.
        """
        ...

    async def put_off(self, kind: str, tenant_id: Uid, chat_key: Uid, seconds: float) -> None:
        """Let nobody see to a chat for so long, after a failure.

        A chat that is not due stays so; what is appended meanwhile waits too.
        """
        ...

    async def settle(self, kind: str, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> bool:
        """Move the cursor of a chat that is there from `cursor` to `upto`; no more is due if that is its last place.

        False, and nothing is changed, when the chat is gone or the cursor is elsewhere by now: the fence of whatever
        was written in the same transaction.
        """
        ...

    async def backlog(self, kind: str) -> Backlog:
        """What waits for a kind of work. System scope."""
        ...


class IndexWork(Protocol):
    """One kind of work. `batch` is how many sequences it takes at a time.

    A step that costs much is claimed for `claim_seconds`; 0 where a claim would cost as much as the work.
    """

    kind: str
    batch: int
    claim_seconds: float

    async def advance(self, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> int:
        """Do the work for the messages after `cursor` up to `upto`, or for as many of them as it takes at a time.

        What it writes and the cursor (`IndexingStore.settle`) are one transaction, durable on return; the new cursor,
        or `cursor` itself when the fence has refused. Doing it again does no harm: two processes may try at once, and
        a message that is changed is given again. Raises StoreUnavailable when it is to be tried later, AgentFailed when
        nothing of this kind can be done now; what else it raises is the fault of one of the messages, which is then
        looked for and passed over: at once where it is InvalidInput.
        """
        ...
