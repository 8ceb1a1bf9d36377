"""One of everything that a path or a body of our own wire can name, made when it is first asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from antiphon.core.instance import Instance
from antiphon.domain import keys
from antiphon.domain.ids import Uid, new_public_id, new_uid7, text_of
from antiphon.domain.messages import USER, Draft
from antiphon.domain.participants import PEER
from antiphon.domain.webhooks import DELETION_DONE
from tests.wire.native.caller import Caller, chat_path, good

UNKNOWN = {
    "tenant": "nowhere",
    "tenant_id": "00000000-0000-7000-8000-000000000000",
    "key_id": "key_00000000-0000-7000-8000-000000000000",
    "participant_id": "00000000-0000-7000-8000-000000000000",
    "participant": "nobody",
    "session_id": "00000000-0000-4000-8000-000000000000",
    "chat_id": "00000000-0000-4000-8000-000000000000",
    "connection_id": "con_00000000-0000-7000-8000-000000000000",
    "turn_id": "trn_00000000-0000-7000-8000-000000000000",
    "deletion_id": "del_00000000-0000-7000-8000-000000000000",
    "receipt_id": "rcp_00000000-0000-7000-8000-000000000000",
    "import_id": "imp_00000000-0000-7000-8000-000000000000",
    "webhook_id": "whk_00000000-0000-7000-8000-000000000000",
    "delivery_id": "evt_00000000-0000-7000-8000-000000000000",
    "file": "",
}
"""Names of the right form for what is not there."""


class Things:
    """What somebody owns in a tenant: a session with two chats, and all that `name` can make.

    `ours` is a key of the whole tenant.
    """

    def __init__(self, instance: Instance, ours: Caller, tenant: str, owner: str) -> None:
        self._instance = instance
        self._ours = ours
        self._tenant = tenant
        self._owner = owner
        self._known: dict[str, str] = {"tenant": tenant}
        self._makers: dict[str, Callable[[], Awaitable[None]]] = {
            "session_id": self._make_chats,
            "chat_id": self._make_chats,
            "participant": self._make_chats,
            "participant_id": self._make_chats,
            "tenant_id": self._make_chats,
            "key_id": self._make_key,
            "connection_id": self._make_connection,
            "turn_id": self._make_turn,
            "webhook_id": self._make_webhook,
            "delivery_id": self._make_webhook,
            "deletion_id": self._make_records,
            "receipt_id": self._make_records,
            "import_id": self._make_records,
            "file": self._make_records,
        }

    async def name(self, kind: str) -> str:
        """The name of a thing by the placeholder that it stands for; the same each time."""
        if kind not in self._known:
            await self._makers[kind]()
        return self._known[kind]

    async def tenant_id(self) -> Uid:
        return (await self._instance.tenants.get(self._tenant)).id

    async def _make_chats(self) -> None:
        whose = await self.tenant_id()
        who, _ = await self._instance.store.participants.ensure(whose, PEER, self._owner)
        session, chat = await self._instance.sessions.create(whose, who.id, "Harbour")
        await self._instance.store.chats.create(whose, session.key, who.id, new_public_id(), "Two", None)
        await self._instance.messages.append(whose, chat.key, [Draft(self._owner, USER, "hello")])
        self._known |= {"tenant_id": text_of(whose), "participant_id": text_of(who.id), "participant": self._owner}
        self._known |= {"session_id": session.id, "chat_id": chat.id}

    async def _make_key(self) -> None:
        key, _ = await self._instance.keys.create(await self.tenant_id(), f"{self._owner}-guest")
        self._known["key_id"] = keys.show_id(key.id)

    async def _make_connection(self) -> None:
        whose = await self.tenant_id()
        chat = await self._instance.chats.get(whose, await self.name("chat_id"))
        opened = await self._instance.store.connections.open(whose, chat.key, self._owner, new_uid7(), 0, 60)
        self._known["connection_id"] = f"con_{text_of(opened.id)}"

    async def _make_turn(self) -> None:
        chat = await self.name("chat_id")
        self._known["turn_id"] = (await self._ours.start(chat, participant=self._owner))["id"]
        await self._ours.events(chat)

    async def _make_webhook(self) -> None:
        new = {"url": "https://example.com/hook", "events": [DELETION_DONE]}
        webhook = good(await self._ours.ask("POST", "/webhooks", json=new), 201)["id"]
        await self._instance.store.webhooks.enqueue(await self.tenant_id(), DELETION_DONE, "{}")
        listed = good(await self._ours.ask("GET", f"/webhooks/{webhook}/deliveries"))
        self._known |= {"webhook_id": webhook, "delivery_id": listed["items"][0]["id"]}

    async def _make_records(self) -> None:
        """A chat that is exported, deleted and imported again: its deletion, receipt, file and import."""
        whose = await self.tenant_id()
        chat, _ = await self._instance.chats.create_single(whose, self._owner, None, "{}")
        await self._instance.messages.append(whose, chat.key, [Draft(self._owner, USER, "kept")])
        file = (await self._ours.ask("GET", f"{chat_path(chat.id)}/export")).text
        deletion = good(await self._ours.ask("DELETE", chat_path(chat.id)), 202)["id"]
        done = await self._once(f"/deletions/{deletion}", lambda body: body["receipt"] is not None)
        headers = {"content-type": "application/x-ndjson"}
        imported = good(await self._ours.ask("POST", "/imports", content=file, headers=headers), 202)["id"]
        await self._once(f"/imports/{imported}", lambda body: body["state"] == "done")
        self._known |= {
            "deletion_id": deletion,
            "receipt_id": done["receipt"],
            "import_id": imported,
            "file": file,
        }

    async def _once(self, path: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What is at a path, as soon as it is so."""
        async with asyncio.timeout(20):
            while True:
                found = good(await self._ours.ask("GET", path))
                if is_so(found):
                    return found
                await asyncio.sleep(0.02)  # between two questions
