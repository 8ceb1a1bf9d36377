"""A tenant's settings in the answers of every dialect, changed while the server runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.core.ports import AgentEvent, Tool, Utterance
from antiphon.domain.ids import Uid, text_of
from antiphon.domain.messages import Message
from tests.conftest import MakeKey
from tests.scripted_agent import ScriptedAgent

Ask = Callable[[str], Awaitable[None]]


class Listener(ScriptedAgent):
    """Remembers which models it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[str | None] = []

    async def run_turn(
        self, history: Sequence[Utterance], tools: Sequence[Tool] = (), model: str | None = None
    ) -> AsyncGenerator[AgentEvent, None]:
        self.models.append(model)
        async with aclosing(super().run_turn(history, tools, model)) as events:
            async for event in events:
                yield event


@pytest.fixture
def agent() -> Listener:
    return Listener()


class Room:
    """A tenant with one chat, in which each dialect can have an answer made."""

    def __init__(self, instance: Instance, http: httpx.AsyncClient, keys: dict[str, str], tenant_id: Uid) -> None:
        self.instance, self.http, self.keys, self.tenant_id = instance, http, keys, tenant_id
        self.chat_id = ""

    async def set(self, **settings: object) -> None:
        await self.instance.tenants.set(await self.instance.tenants.get("t1"), settings)

    async def native(self, text: str, **more: Any) -> None:
        path = f"/antiphon/v1/chats/{self.chat_id}"
        headers = {"authorization": f"Bearer {self.keys['tenant']}"}
        answer = await self.http.post(f"{path}/turns", headers=headers, json={"message": {"text": text}, **more})
        assert answer.status_code == 202, answer.text
        assert (await self.http.get(f"{path}/events", headers=headers)).status_code == 200

    async def recoup(self, text: str, *earlier: dict[str, Any]) -> None:
        said = {"id": f"m-{text}", "role": "user", "parts": [{"type": "text", "text": text}]}
        chat = await self.instance.chats.get(self.tenant_id, self.chat_id)
        body = {"messages": [*earlier, said], "sessionId": chat.session_id, "chatId": chat.id}
        answer = await self.http.post("/api/chat", headers={"x-api-key": self.keys["ann"]}, json=body)
        assert answer.status_code == 200, answer.text

    async def lexicon(self, text: str) -> None:
        chat = await self.instance.chats.get(self.tenant_id, self.chat_id)
        connection = await self.instance.connections.open(self.tenant_id, chat.key, "ann", lambda *_: None)
        await self.instance.replies.ask(connection, text, "{}")
        async with aclosing(self.instance.replies.answer(connection, chat.model)) as pieces:
            assert isinstance([piece async for piece in pieces][-1], Message)
        await self.instance.connections.close(connection)

    async def said(self) -> list[tuple[str, str]]:
        """Author and role of every message."""
        chat = await self.instance.chats.get(self.tenant_id, self.chat_id)
        return [(m.author, m.role) for m in await self.instance.messages.all(self.tenant_id, chat.key)]


@pytest.fixture
async def room(instance: Instance, http: httpx.AsyncClient, make_key: MakeKey) -> Room:
    keys = {"tenant": await make_key("t1"), "ann": await make_key("t1", "ann")}
    tenant = await instance.tenants.get("t1")
    made = Room(instance, http, keys, tenant.id)
    ann, _ = await instance.store.participants.ensure(tenant.id, "peer", "ann")
    _, chat = await instance.store.sessions.create_multi(tenant.id, ann.id, "T", None, None)
    made.chat_id = chat.id
    return made


DIALECTS = ["native", "recoup", "lexicon"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_prompt_and_the_model_reach_the_model(room: Room, agent: Listener, dialect: str) -> None:
    ask: Ask = getattr(room, dialect)
    await ask("one")
    await room.set(system_prompt="Be kind.", model="m-1")
    await ask("two")
    await room.set(system_prompt="Be brief.", model=None)
    await ask("three")
    heads = [(history[0].role, history[0].text) for history in agent.heard]
    assert heads[0] != heads[1] == ("system", "Be kind.")
    assert heads[2] == ("system", "Be brief.")
    assert [sum(said.role == "system" for said in history) for history in agent.heard] == [0, 1, 1]
    assert agent.models == [None, "m-1", None]


async def test_a_prompt_of_the_request_s_own_goes_before(room: Room, agent: Listener) -> None:
    await room.set(system_prompt="Be kind.")
    own = {"id": "s", "role": "system", "parts": [{"type": "text", "text": "Be a pirate."}]}
    await room.recoup("one", own)
    assert [said.text for said in agent.heard[-1] if said.role == "system"] == ["Be a pirate."]


async def test_a_model_of_the_request_or_the_chat_goes_before(room: Room, agent: Listener) -> None:
    await room.set(model="tenant-s")
    await room.native("one", model="request-s")
    chat = await room.instance.chats.get(room.tenant_id, room.chat_id)
    await room.instance.chats.change(room.tenant_id, chat, None, "chat-s")
    for dialect in DIALECTS:
        await getattr(room, dialect)("two")
    assert agent.models == ["request-s", "chat-s", "chat-s", "chat-s"]


async def test_recoup_shows_the_tenant_s_model(room: Room) -> None:
    async def shown() -> tuple[str, str]:
        chat = await room.instance.chats.get(room.tenant_id, room.chat_id)
        path = f"/api/sessions/{chat.session_id}/chats"
        body = (await room.http.get(path, headers={"x-api-key": room.keys["ann"]})).json()
        return body["chats"][0]["modelId"], body["defaultModelId"]

    assert await shown() == ("scripted", "scripted")
    await room.set(model="m-1")
    assert await shown() == ("m-1", "m-1")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_new_name_is_that_of_the_answers_from_then_on(room: Room, dialect: str) -> None:
    """What was said stays as it was said; the old name is a participant like others."""
    ask: Ask = getattr(room, dialect)
    await ask("one")
    await room.set(agent_name="robin")
    await room.instance.keys.refresh()
    await ask("two")
    assert await room.said() == [("ann", "user"), ("assistant", "assistant"), ("ann", "user"), ("robin", "assistant")]


async def test_another_tenant_has_its_own(room: Room, agent: Listener, make_key: MakeKey) -> None:
    key = await make_key("t2")
    theirs = await room.instance.tenants.get("t2")
    await room.instance.tenants.set(theirs, {"system_prompt": "Be loud.", "model": "m-2", "rate_limit": 1})
    await room.native("one")
    assert (agent.models, [said.role for said in agent.heard[0]]) == ([None], ["user"])
    headers = {"authorization": f"Bearer {key}"}
    answers = [await room.http.get("/antiphon/v1/whoami", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    await room.native("two")
    assert text_of(theirs.id) not in (await room.http.get("/antiphon/v1/whoami", headers=headers)).text
