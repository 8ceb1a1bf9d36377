"""The SQLite store keeps the contract."""

from __future__ import annotations

from antiphon.stores.contract.chats import ChatContract, OwnerContract, ReadMarkContract, SingleChatContract
from antiphon.stores.contract.concurrency import ConcurrencyContract
from antiphon.stores.contract.connections import (
    ConnectionContract,
    LeaseContract,
    PresenceContract,
    SocketLimitContract,
)
from antiphon.stores.contract.deletions import DetachContract, PurgeContract, QueueContract
from antiphon.stores.contract.fences import FenceContract
from antiphon.stores.contract.forgetting import ForgettingContract
from antiphon.stores.contract.idempotency import IdempotencyContract
from antiphon.stores.contract.implied import ImpliedOwnerContract
from antiphon.stores.contract.imports import ImportContract
from antiphon.stores.contract.isolation import IsolationContract
from antiphon.stores.contract.keys import KeyContract
from antiphon.stores.contract.lists import FilterContract
from antiphon.stores.contract.messages import (
    AuthorContract,
    ClientIdContract,
    FidelityContract,
    MessageContract,
    SpanContract,
)
from antiphon.stores.contract.orders import AfterContract, ListContract, PlanContract, UndoWindowContract
from antiphon.stores.contract.pages import PageContract
from antiphon.stores.contract.participants import ParticipantContract
from antiphon.stores.contract.receipts import ReceiptContract
from antiphon.stores.contract.rooms import (
    ChatChangeContract,
    CopyContract,
    CutContract,
    OverviewContract,
    SessionChangeContract,
)
from antiphon.stores.contract.sandboxes import SandboxContract, SandboxDeletionContract
from antiphon.stores.contract.sessions import ChosenIdContract, MemberContract, SessionContract
from antiphon.stores.contract.soundness import SoundnessContract
from antiphon.stores.contract.tenants import TenantContract
from antiphon.stores.contract.tickets import TicketContract
from antiphon.stores.contract.turn_races import TurnDeletionContract, TurnRaceContract
from antiphon.stores.contract.turns import (
    ClaimContract,
    EndingContract,
    RewindContract,
    TurnEventContract,
    TurnLeaseContract,
)
from antiphon.stores.contract.undo import UndoConflictContract, UndoContract
from antiphon.stores.contract.vectors import ConclusionVectorContract, VectorContract
from antiphon.stores.contract.webhooks import CourierContract, FarewellContract, OutboxContract, WebhookContract
from tests.contract.indexing import IndexingContract
from tests.contract.search import SearchContract


class TestTenants(TenantContract): ...


class TestKeys(KeyContract): ...


class TestFilters(FilterContract): ...


class TestTickets(TicketContract): ...


class TestIdempotency(IdempotencyContract): ...


class TestParticipants(ParticipantContract): ...


class TestImpliedOwners(ImpliedOwnerContract): ...


class TestSessions(SessionContract): ...


class TestMembers(MemberContract): ...


class TestChosenIds(ChosenIdContract): ...


class TestPages(PageContract): ...


class TestSpans(SpanContract): ...


class TestPresence(PresenceContract): ...


class TestSessionChanges(SessionChangeContract): ...


class TestOverviews(OverviewContract): ...


class TestChats(ChatContract): ...


class TestChatChanges(ChatChangeContract): ...


class TestCuts(CutContract): ...


class TestCopies(CopyContract): ...


class TestSingleChats(SingleChatContract): ...


class TestOwners(OwnerContract): ...


class TestReadMarks(ReadMarkContract): ...


class TestSearch(SearchContract): ...


class TestIndexing(IndexingContract): ...


class TestMessages(MessageContract): ...


class TestFidelity(FidelityContract): ...


class TestClientIds(ClientIdContract): ...


class TestAuthors(AuthorContract): ...


class TestConnections(ConnectionContract): ...


class TestLeases(LeaseContract): ...


class TestSocketLimits(SocketLimitContract): ...


class TestClaims(ClaimContract): ...


class TestRewinds(RewindContract): ...


class TestTurnEvents(TurnEventContract): ...


class TestEndings(EndingContract): ...


class TestTurnLeases(TurnLeaseContract): ...


class TestTurnRaces(TurnRaceContract): ...


class TestTurnDeletions(TurnDeletionContract): ...


class TestDetach(DetachContract): ...


class TestPurge(PurgeContract): ...


class TestQueue(QueueContract): ...


class TestForgetting(ForgettingContract): ...


class TestAfter(AfterContract): ...


class TestPlans(PlanContract): ...


class TestUndoWindow(UndoWindowContract): ...


class TestUndo(UndoContract): ...


class TestUndoConflicts(UndoConflictContract): ...


class TestLists(ListContract): ...


class TestReceipts(ReceiptContract): ...


class TestSoundness(SoundnessContract): ...


class TestFences(FenceContract): ...


class TestImports(ImportContract): ...


class TestIsolation(IsolationContract): ...


class TestConcurrency(ConcurrencyContract): ...


class TestWebhooks(WebhookContract): ...


class TestOutbox(OutboxContract): ...


class TestFarewell(FarewellContract): ...


class TestCouriers(CourierContract): ...


class TestSandboxes(SandboxContract): ...


class TestSandboxDeletions(SandboxDeletionContract): ...


class TestVectors(VectorContract): ...


class TestConclusionVectors(ConclusionVectorContract): ...
