"""Message: one utterance in a chat."""

from __future__ import annotations

import msgspec

from antiphon.domain.ids import Uid

USER = "user"
ASSISTANT = "assistant"
"""The roles: `assistant` is what the tenant's agent says, `user` what anybody else says."""


class Draft(msgspec.Struct, frozen=True):
    """A message that is to be appended.

    `author` is a participant's name; `text` is the whole text; `parts` the typed parts as a JSON array, or None when
    the message is that text alone.
    `metadata` is a JSON object as text. `created_at` None means the moment of the append. `token_count` None means not
    counted. `client_id` is the client's own id, unique in the chat. `is_reasoned` says whether something is to be
    derived from it; None leaves that to the configurations of session and tenant.
    """

    author: str
    role: str
    text: str
    parts: str | None = None
    metadata: str = "{}"
    client_id: str | None = None
    created_at: int | None = None
    token_count: int | None = None
    is_reasoned: bool | None = None


class Message(msgspec.Struct, frozen=True):
    """A stored message. `seq` is its place in the chat: total, gapless while nothing is removed, the same for all."""

    id: Uid
    seq: int
    client_id: str | None
    role: str
    author: str
    text: str
    parts: str | None
    metadata: str
    token_count: int | None
    created_at: int


class Page(msgspec.Struct, frozen=True):
    """A page of a list: its items, and how many there are in all."""

    items: list[Message]
    total: int
