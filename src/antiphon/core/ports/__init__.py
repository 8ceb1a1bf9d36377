"""What the core needs from the outside: a store (a protocol a noun), an agent, live streams, keys and files."""

from __future__ import annotations

from typing import Protocol

from antiphon.core.ports.agent import (
    Agent,
    AgentEvent,
    CallAnswered,
    CallDelta,
    CallMade,
    CallRefused,
    CallStarted,
    Finished,
    StepBegan,
    StepDone,
    TextDelta,
    ThoughtDelta,
    Tool,
    ToolCall,
    ToolResult,
    Utterance,
)
from antiphon.core.ports.conclusions import ConclusionStore
from antiphon.core.ports.deletions import (
    ALL_OF_IT,
    DeletionStore,
    Detached,
    Issue,
    Lease,
    ReceiptStore,
)
from antiphon.core.ports.embeddings import VectorStore
from antiphon.core.ports.idempotency import IdempotencyStore
from antiphon.core.ports.imports import ImportStore
from antiphon.core.ports.indexing import IndexingStore
from antiphon.core.ports.lists import ListStore
from antiphon.core.ports.members import MemberStore
from antiphon.core.ports.pages import Choice, PageStore
from antiphon.core.ports.sandboxes import SandboxStore
from antiphon.core.ports.search import SearchStore
from antiphon.core.ports.store import (
    ChatStore,
    ConnectionStore,
    KeyStore,
    MessageStore,
    ParticipantStore,
    SessionStore,
    TenantStore,
    TicketStore,
    TurnStore,
)
from antiphon.core.ports.webhooks import WebhookStore
from antiphon.domain.slices import Slice

__all__ = [
    "ALL_OF_IT",
    "Agent",
    "AgentEvent",
    "CallAnswered",
    "CallDelta",
    "CallMade",
    "CallRefused",
    "CallStarted",
    "ChatStore",
    "Choice",
    "ConnectionStore",
    "DeletionStore",
    "Detached",
    "Finished",
    "IdempotencyStore",
    "ImportStore",
    "IndexingStore",
    "Issue",
    "KeyStore",
    "Lease",
    "MessageStore",
    "PageStore",
    "ParticipantStore",
    "ReceiptStore",
    "SearchStore",
    "SessionStore",
    "Slice",
    "StepBegan",
    "StepDone",
    "Store",
    "TenantStore",
    "TextDelta",
    "ThoughtDelta",
    "TicketStore",
    "Tool",
    "ToolCall",
    "ToolResult",
    "TurnStore",
    "Utterance",
    "VectorStore",
]


class Store(Protocol):
    """A database with all that the core needs. `kind` is its name for metrics and messages."""

    kind: str
    tenants: TenantStore
    keys: KeyStore
    tickets: TicketStore
    participants: ParticipantStore
    sessions: SessionStore
    chats: ChatStore
    messages: MessageStore
    connections: ConnectionStore
    turns: TurnStore
    deletions: DeletionStore
    receipts: ReceiptStore
    webhooks: WebhookStore
    sandboxes: SandboxStore
    lists: ListStore
    members: MemberStore
    conclusions: ConclusionStore
    vectors: VectorStore
    indexing: IndexingStore
    search: SearchStore
    imports: ImportStore
    idempotency: IdempotencyStore
    pages: PageStore

    async def check(self) -> None:
        """Whether it can be read and written now. Raises StoreUnavailable or StoreFailed."""
        ...

    async def scrub(self) -> str:
        """Overwrite what earlier transactions removed, as far as this database can: what became of the bytes.

        `erased`: nothing of it is left in any file of the database. Raises StoreUnavailable when that could not be
        reached now (a reader holds the log), and is to be tried again.
        """
        ...

    async def orphans(self) -> dict[str, int]:
        """How many rows were left behind, by the way in which: all are zero in a sound database. System scope.

        `table.column` counts rows whose parent is gone, `table.husk` detached ones that no deletion will purge. Reads
        every row there is.
        """
        ...

    async def check_integrity(self) -> list[str]:
        """What is wrong with the database itself, as far as it can tell: none in a sound one. It may take long."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of the database."""
        ...
