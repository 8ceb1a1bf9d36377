"""What tests of deletions do: put words into chats, open sockets on them, order deletions and watch them."""

from __future__ import annotations

import asyncio
from typing import Any

from antiphon.core.instance import Instance
from antiphon.domain.ids import new_uid7
from antiphon.domain.messages import USER, Draft
from antiphon.domain.participants import PEER
from tests.wire.native.caller import Caller, chat_path, good


async def tenant_id(instance: Instance, name: str = "t1") -> bytes:
    return (await instance.tenants.get(name)).id


async def say(instance: Instance, chat_id: str, *words: str, author: str = "ann") -> None:
    """Messages in a chat of `t1`."""
    whose = await tenant_id(instance)
    chat = await instance.chats.get(whose, chat_id)
    await instance.messages.append(whose, chat.key, [Draft(author, USER, word) for word in words])


async def make_multi(instance: Instance, owner: str = "ann") -> tuple[str, str]:
    """The ids of a session with room for more chats, and of its only chat."""
    whose = await tenant_id(instance)
    who, _ = await instance.store.participants.ensure(whose, PEER, owner)
    session, chat = await instance.sessions.create(whose, who.id, "Harbour")
    return session.id, chat.id


async def connect(instance: Instance, chat_id: str) -> bytes:
    """The id of a socket that is open on a chat, as another process knows it."""
    whose = await tenant_id(instance)
    chat = await instance.chats.get(whose, chat_id)
    opened = await instance.store.connections.open(whose, chat.key, "ann", new_uid7(), 0, 30)
    return opened.id


def aim(chat_id: str, kind: str = "chat") -> dict[str, str]:
    return {"kind": kind, "id": chat_id}


async def order(caller: Caller, target: dict[str, str], status: int = 202, **more: Any) -> dict[str, Any]:
    """A deletion that was asked for."""
    headers = more.pop("headers", {})
    return good(await caller.ask("POST", "/deletions", json={"target": target, **more}, headers=headers), status)


async def is_there(caller: Caller, chat_id: str) -> bool:
    return (await caller.ask("GET", chat_path(chat_id))).status_code == 200


async def watch(caller: Caller, deletion: dict[str, Any], *, until: str = "scrubbed_at") -> dict[str, Any]:
    """The deletion, once that is there: by default when it is done."""
    async with asyncio.timeout(20):
        while True:
            found = good(await caller.ask("GET", f"/deletions/{deletion['id']}"))
            if found[until]:
                return found
            await asyncio.sleep(0.02)  # between two questions
