"""What the core needs of a store to list in pages that begin behind a place, however much there is.

A page costs what it holds: nothing is counted, and no page walks over those before it. Those that have been deleted
are not there, nor is anything of a detached tenant.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from antiphon.domain.chats import Chat
from antiphon.domain.ids import Uid
from antiphon.domain.keys import Key
from antiphon.domain.participants import Participant
from antiphon.domain.sessions import SessionCard
from antiphon.domain.tenants import Tenant


class Choice(msgspec.Struct, frozen=True):
    """Which sessions, or which chats: all of the tenant, or those that one of the first three names.

    `owner_id` names what the participant owns, `member_id` what belongs to sessions of which it is a member now,
    `session_key` what belongs to that session. Of what they name only that which `only_of` owns, where it is given.
    """

    owner_id: Uid | None = None
    member_id: Uid | None = None
    session_key: Uid | None = None
    only_of: Uid | None = None

    @property
    def is_everything(self) -> bool:
        """Whether none of the first three is given."""
        return self.owner_id is None and self.member_id is None and self.session_key is None


class PageStore(Protocol):
    """Pages. `after` and `before` are where the page before ended; None begins."""

    async def tenants(self, after: Uid | None, limit: int) -> list[Tenant]:
        """Tenants in order of making. System scope."""
        ...

    async def keys(self, tenant_id: Uid, after: Uid | None, limit: int) -> list[Key]:
        """Keys that are not revoked, in order of making."""
        ...

    async def participants(
        self, tenant_id: Uid, kind: str | None, name: str | None, after: Uid | None, limit: int
    ) -> list[Participant]:
        """Participants of a kind and a name, or (None) of any, in order of making."""
        ...

    async def sessions(
        self, tenant_id: Uid, choice: Choice, shape: str | None, before: Uid | None, limit: int
    ) -> list[SessionCard]:
        """Sessions of a shape, or (None) of both, the newest first; the place is a session's key."""
        ...

    async def chats(self, tenant_id: Uid, choice: Choice, before: Uid | None, limit: int) -> list[Chat]:
        """Chats, the newest first; the place is a chat's key."""
        ...
