"""What the core needs of a store to change who is in a `single` session, and to copy one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.ids import Uid
from antiphon.domain.participants import Member
from antiphon.domain.sessions import Session


class MemberStore(Protocol):
    """Members of `single` sessions. All that write raise SessionNotFound for a session that is not there."""

    async def join(self, tenant_id: Uid, session_ids: Sequence[str], kind: str, names: Sequence[str]) -> None:
        """Make participants of that kind, who are there, members of each of the sessions, all or none.

        Raises ParticipantNotFound.
        """
        ...

    async def leave(self, tenant_id: Uid, session_id: str, kind: str, names: Sequence[str]) -> Session:
        """These leave; who is no member is passed over."""
        ...

    async def replace(self, tenant_id: Uid, session_id: str, members: Sequence[Member]) -> Session:
        """These peers are the members now: others leave, missing ones are made, who stays keeps the settings.

        Raises LimitExceeded when too many would observe others; then nothing has changed.
        """
        ...

    async def find(self, tenant_id: Uid, session_id: str, name: str) -> Member | None:
        """The settings of a peer that is or was a member."""
        ...

    async def configure(self, tenant_id: Uid, session_id: str, member: Member) -> None:
        """Set what is given of a peer's settings, making it a member when it never was.

        Raises ParticipantNotFound, and LimitExceeded when too many would observe others.
        """
        ...

    async def clone(self, tenant_id: Uid, session_id: str, new_id: str, last_message: Uid | None) -> Session:
        """A new session of that id with all that is in another: metadata, configuration, members and messages.

        Messages up to and with the last one, with new ids, of now. Raises MessageNotFound when the session has no such
        message, and LimitExceeded for more than CLONE_MESSAGES or CLONE_CHARACTERS.
        """
        ...

    async def set_metadata(self, tenant_id: Uid, chat_key: Uid, message_id: Uid, metadata: str) -> None:
        """Replace the metadata of a message. Raises MessageNotFound, also when the chat is gone."""
        ...
