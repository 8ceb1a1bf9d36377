"""What the core needs of a store to list by filters. Each list comes from one snapshot, with how many there are in all.

Of what a filter lets through only what is there counts: nothing detached, and of sessions only the `single` ones.
`tenant_name` is what the field `tenant` of a filter is compared with.
"""

from __future__ import annotations

from typing import Protocol

from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message, Page
from antiphon.domain.participants import Participant
from antiphon.domain.sessions import Session
from antiphon.domain.slices import Slice
from antiphon.domain.tenants import Tenant


class ListStore(Protocol):
    """Filtered lists."""

    async def tenants(self, wanted: Filter, part: Slice) -> tuple[list[Tenant], int]:
        """Tenants in order of making. System scope."""
        ...

    async def participants(
        self, tenant_id: Uid, tenant_name: str, kind: str | None, wanted: Filter, part: Slice
    ) -> tuple[list[Participant], int]:
        """Participants of a kind, or (None) of all kinds, in order of making."""
        ...

    async def sessions(
        self, tenant_id: Uid, tenant_name: str, participant_id: Uid | None, wanted: Filter, part: Slice
    ) -> tuple[list[Session], int]:
        """Sessions in order of making: all, or those in which the participant is or was a member."""
        ...

    async def sessions_of_member(self, tenant_id: Uid, participant_id: Uid, part: Slice) -> tuple[list[Session], int]:
        """The sessions in which the participant is a member now, the longest first."""
        ...

    async def messages(self, tenant_id: Uid, tenant_name: str, chat_key: Uid, wanted: Filter, part: Slice) -> Page:
        """Messages of a chat in order; none when it is gone."""
        ...

    async def newest_messages(
        self, tenant_id: Uid, tenant_name: str, wanted: Filter, limit: int
    ) -> list[tuple[str, Message]]:
        """The newest messages of all sessions, the newest first, each with the public id of its session."""
        ...
