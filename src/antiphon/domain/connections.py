"""Connection: one live socket on a chat, held by a lease that its process must renew."""

from __future__ import annotations

import msgspec

from antiphon.domain.ids import Uid


class Connection(msgspec.Struct, frozen=True):
    """A registered socket. `node` is the process that holds it."""

    id: Uid
    tenant_id: Uid
    chat_key: Uid
    chat_id: str
    participant_name: str
    is_new_participant: bool


class Presence(msgspec.Struct, frozen=True):
    """A live socket as others see it. `until` is when it stops counting if its process is dead."""

    id: Uid
    chat_key: Uid
    participant_name: str
    node: Uid
    since: int
    until: int
