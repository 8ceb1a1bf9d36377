"""Participants: those who speak in a tenant."""

from __future__ import annotations

from antiphon.core.ports import Slice, Store
from antiphon.domain import limits, texts
from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import Uid
from antiphon.domain.participants import PEER, SCOPE, Participant


class Participants:
    """The verbs of participants (of the kind `peer`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(
        self, tenant_id: Uid, name: str, metadata: str | None = None, configuration: str | None = None
    ) -> tuple[Participant, bool]:
        """The participant of that name, made when missing, and whether it was made now.

        Metadata and configuration that are given replace what is stored. Raises InvalidInput for a name that cannot be.
        """
        if not texts.is_storable(name) or not 0 < len(name) <= limits.NAME_CHARACTERS:
            raise InvalidInput(f"a participant's name is 1 to {limits.NAME_CHARACTERS} characters", field="name")
        return await self._store.participants.put(tenant_id, name, metadata, configuration)

    async def put_scope(self, tenant_id: Uid, name: str, metadata: str | None) -> tuple[Participant, bool]:
        """The same for a set of sessions, which is a participant of a kind of its own."""
        return await self._store.participants.put(tenant_id, name, metadata, None, SCOPE)

    async def find(self, tenant_id: Uid, name: str) -> Participant | None:
        """The participant of that name, if somebody has named it."""
        found = await self.find_owner(tenant_id, name)
        return None if found is None or found.is_implied else found

    async def find_owner(self, tenant_id: Uid, name: str) -> Participant | None:
        """The participant of that name, also one whom nobody has named: it may own sessions."""
        return await self._store.participants.find(tenant_id, PEER, name) if texts.is_storable(name) else None

    async def find_by_id(self, tenant_id: Uid, participant_id: Uid) -> Participant | None:
        """The participant of that id."""
        return await self._store.participants.find_by_id(tenant_id, participant_id)

    async def page(
        self, tenant_id: Uid, kind: str | None, name: str | None, after: Uid | None, limit: int
    ) -> list[Participant]:
        """Participants of a kind and a name, or (None) of any, in order of making, behind the one of that id.

        Those implied are among them.
        """
        if name is not None and not texts.is_storable(name):
            return []
        return await self._store.pages.participants(tenant_id, kind, name, after, limit)

    async def list(self, tenant_id: Uid, part: Slice) -> tuple[list[Participant], int]:
        """A part of the participants in order of making, and how many there are; without those implied."""
        return await self._store.participants.list(tenant_id, PEER, part)
