"""What the core needs of a store to keep what is known of somebody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.conclusions import Conclusion, ConclusionDraft
from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid
from antiphon.domain.reasoning import SessionUnits
from antiphon.domain.slices import Slice


class ConclusionStore(Protocol):
    """Conclusions and cards. What belongs to a participant or a session that is detached is not there."""

    async def create(self, tenant_id: Uid, drafts: Sequence[ConclusionDraft]) -> list[Conclusion]:
        """Store conclusions, all or none. Raises ParticipantNotFound and SessionNotFound."""
        ...

    async def delete(self, tenant_id: Uid, conclusion_id: str) -> bool:
        """Remove a conclusion for good; whether it was there."""
        ...

    async def count_units(self, tenant_id: Uid, session_id: str | None, author: str | None) -> list[SessionUnits]:
        """Messages from which something may be derived, by `single` session; one that has none is left out.

        Of all sessions or one, of all authors or one. It reads every message that it counts.
        """
        ...

    async def find_card(self, tenant_id: Uid, observer_id: Uid, observed_id: Uid) -> str | None:
        """The lines of a card, as a JSON list of texts."""
        ...

    async def put_card(self, tenant_id: Uid, observer: str, observed: str, lines: str) -> None:
        """Store a card in place of the one there was; participants are made when missing. Raises TenantNotFound."""
        ...

    async def list(self, tenant_id: Uid, tenant_name: str, wanted: Filter, part: Slice) -> tuple[list[Conclusion], int]:
        """A part of those that a filter lets through, in order of making, and how many there are."""
        ...
