"""How a chat becomes a row and a row a chat: shared by those who make chats and those who read them."""

from __future__ import annotations

import msgspec

from antiphon.domain.chats import Chat
from antiphon.domain.ids import Uid, is_canonical_uuid, new_uid7
from antiphon.stores.sqlite.database import Row
from antiphon.stores.sqlite.writer import Transaction


class NewChat(msgspec.Struct, frozen=True):
    """What a chat is made of."""

    id: str
    session_key: Uid
    owner_id: Uid
    title: str
    model: str | None
    metadata: str


def chat_of(row: Row) -> Chat:
    """The chat of a row of `chat_rows`: three columns of the store's own, the chat, and whether its id is a UUID."""
    return Chat(*row[3:-1])


def add_chat(tx: Transaction, tenant_id: Uid, new: NewChat) -> Chat:
    """Store a chat whose session counts it already."""
    key = new_uid7()
    is_uuid = is_canonical_uuid(new.id)
    tx.run(
        "insert_chat",
        tenant_id=tenant_id,
        key=key,
        id=new.id,
        is_uuid=int(is_uuid),
        session_key=new.session_key,
        owner_id=new.owner_id,
        title=new.title,
        model=new.model,
        metadata=new.metadata,
        now=tx.now,
    )
    if is_uuid:
        tx.run("count_owned_chats", tenant_id=tenant_id, id=new.owner_id, by=1)
    return chat_of(tx.rows("find_chat_by_key", tenant_id=tenant_id, key=key)[0])
