"""Chat: one ordered thread of messages."""

from __future__ import annotations

import msgspec

from antiphon.domain.ids import Uid

DEFAULT_TITLE = "New chat"


class Chat(msgspec.Struct, frozen=True):
    """A chat. `key` is its generation: an id that is used again names another key.

    `updated_at` moves with the row itself, `last_message_at` with its messages. `model` None means the server's
    default.
    `metadata` is a JSON object as text. `owner_name` is the name of the participant `owner_id`.
    `active_turn` is the id of the shared turn that holds the chat's slot.
    """

    key: Uid
    id: str
    session_id: str
    session_shape: str
    owner_id: Uid
    owner_name: str
    title: str
    model: str | None
    metadata: str
    message_count: int
    last_seq: int
    created_at: int
    updated_at: int
    last_message_at: int | None
    last_answer_at: int | None
    active_turn: Uid | None
