"""The PostgreSQL store keeps the contract, all of it."""

from __future__ import annotations

import pytest

from antiphon.stores.contract.chats import ChatContract, OwnerContract, ReadMarkContract, SingleChatContract
from antiphon.stores.contract.concurrency import ConcurrencyContract
from antiphon.stores.contract.connections import ConnectionContract, LeaseContract, SocketLimitContract
from antiphon.stores.contract.deletions import DetachContract, PurgeContract, QueueContract
from antiphon.stores.contract.fences import FenceContract
from antiphon.stores.contract.isolation import IsolationContract
from antiphon.stores.contract.keys import KeyContract
from antiphon.stores.contract.messages import AuthorContract, ClientIdContract, FidelityContract, MessageContract
from antiphon.stores.contract.participants import ParticipantContract
from antiphon.stores.contract.sessions import MemberContract, SessionContract
from antiphon.stores.contract.tenants import TenantContract
from antiphon.stores.postgres.store import PostgresStore


@pytest.fixture
def store(postgres_store: PostgresStore) -> PostgresStore:
    return postgres_store


class TestTenants(TenantContract): ...


class TestKeys(KeyContract): ...


class TestParticipants(ParticipantContract): ...


class TestSessions(SessionContract): ...


class TestMembers(MemberContract): ...


class TestChats(ChatContract): ...


class TestSingleChats(SingleChatContract): ...


class TestOwners(OwnerContract): ...


class TestReadMarks(ReadMarkContract): ...


class TestMessages(MessageContract): ...


class TestFidelity(FidelityContract): ...


class TestClientIds(ClientIdContract): ...


class TestAuthors(AuthorContract): ...


class TestConnections(ConnectionContract): ...


class TestLeases(LeaseContract): ...


class TestSocketLimits(SocketLimitContract): ...


class TestDetach(DetachContract): ...


class TestPurge(PurgeContract): ...


class TestQueue(QueueContract): ...


class TestFences(FenceContract): ...


class TestIsolation(IsolationContract): ...


class TestConcurrency(ConcurrencyContract): ...
