"""SIGKILL in the middle of turns: what was stored is the message, the question stands once, the chat is free again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import httpx
import pytest

from tests.postgres_server import EMPTY, PostgresServer, postgres_server
from tests.scripted_model import ScriptedModel
from tests.server_process import ServerProcess
from tests.wire.native.caller import PREFIX, Told, read_events, text_of

__all__ = ["postgres_server"]

PATIENCE_SECONDS = 60
LONG = 2_000
ROUNDS = (1, 25, 70)
"""How many events of one long answer are heard before the kill: each falls elsewhere between two flushes."""

BEFORE_THE_FIRST_TOKEN = ["[[hang]]"] * 2
BETWEEN_TOKENS = [f"[[tokens={LONG} delay_ms=8]]"] * 8
ABOUT_AT_THE_END = [f"[[tokens={count} delay_ms=8]]" for count in range(4, 100, 6)]
OVER = ["[[tokens=1]]"] * 2
SCRIPTS = [*BEFORE_THE_FIRST_TOKEN, *BETWEEN_TOKENS, *ABOUT_AT_THE_END, *OVER]


@dataclass
class Talk:
    """A chat with the turn in it, and what followers were told: as it came, and when it was stored."""

    chat: str
    turn: str
    script: str
    live: list[Told] = field(default_factory=list)
    durable: list[Told] = field(default_factory=list)

    @property
    def whole(self) -> str:
        """All that the model would say."""
        if "tokens" not in self.script:
            return ""
        count = int(self.script.partition("=")[2].partition(" ")[0].rstrip("]"))
        return " ".join(f"t{number}" for number in range(count))


class Client:
    """A client of a process, with the key of the first tenant."""

    def __init__(self, process: ServerProcess, http: httpx.AsyncClient) -> None:
        self.process = process
        self.http = http

    async def new_chat(self) -> str:
        """The id of a chat."""
        answer = await self.http.post("/api/v1/chats/", json={"user_id": "ann"})
        chat: str = answer.raise_for_status().json()["id"]
        return chat

    async def ask(self, chat: str, text: str) -> httpx.Response:
        """The answer to who asks for a turn."""
        return await self.http.post(f"{PREFIX}/chats/{chat}/turns", json={"message": {"text": text}})

    async def start(self, chat: str, text: str) -> str:
        """The id of a turn that runs."""
        answer = await self.ask(chat, text)
        assert answer.status_code == 202, answer.text
        turn: str = answer.json()["id"]
        return turn

    async def state(self, turn: str) -> str:
        """How a turn stands."""
        state: str = (await self.http.get(f"{PREFIX}/turns/{turn}")).raise_for_status().json()["state"]
        return state

    async def said(self, chat: str) -> list[tuple[str, str]]:
        """Who said what in a chat."""
        answer = await self.http.get(f"/api/v1/chats/{chat}/messages")
        return [
            (message["sender_role"], message["content"]) for message in answer.raise_for_status().json()["messages"]
        ]

    async def follow(self, chat: str, told: list[Told], *, is_live: bool = False) -> None:
        """Note the events of a chat as they come, to the end of the stream, whatever ends it."""
        block = ""
        try:
            async with self.http.stream("GET", f"{PREFIX}/chats/{chat}/events?live={str(is_live).lower()}") as answer:
                async for line in answer.aiter_lines():
                    block += f"{line}\n"
                    if not line:
                        told += read_events(block)
                        block = ""
        except httpx.TransportError:
            return


@asynccontextmanager
async def serving(data_dir: Path, model: ScriptedModel, key: str = "", **more: str) -> AsyncIterator[Client]:
    """A process that is ready, and a client of it; without a key it is the first start."""
    process = ServerProcess(data_dir, ANTIPHON_MODEL_URL=model.url, **more).begin()
    try:
        await asyncio.to_thread(process.await_ready)
        key = key or process.key("user")
        headers = {"authorization": f"Bearer {key}", "x-api-key": key}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=process.url, headers=headers, timeout=30, limits=limits) as http:
            yield Client(process, http)
    finally:
        process.__exit__()


async def killed_while(client: Client, heard: int) -> list[Talk]:
    """Turns of all scripts at once; the process is killed when one of the long ones has been heard so far."""
    chats = [await client.new_chat() for _ in SCRIPTS]
    talks = [Talk(chat, await client.start(chat, script), script) for chat, script in zip(chats, SCRIPTS, strict=True)]
    following = [
        asyncio.create_task(client.follow(talk.chat, told, is_live=told is talk.live))
        for talk in talks
        for told in (talk.live, talk.durable)
    ]
    watched = next(talk for talk in talks if talk.script in BETWEEN_TOKENS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(watched.live) < heard:  # noqa: ASYNC110  the stream is noted by somebody else
            await asyncio.sleep(0.001)
    client.process.kill()
    await asyncio.gather(*following)
    return talks


def change(data_dir: Path, statement: str) -> list[Any]:
    """Run a statement on the database from outside."""
    connection = apsw.Connection(str(data_dir / "antiphon.db"))
    connection.set_busy_timeout(5_000)
    try:
        return [row[0] for row in connection.execute(statement)]
    finally:
        connection.close()


END_OF_LEASES = "UPDATE turns SET expires_at = 0 WHERE state = 'running'"  # as if thirty seconds had gone by


async def check_kept(client: Client, talk: Talk) -> str:
    """What is left of a turn, and that life goes on in its chat; gives the state that it ended in."""
    again = await client.start(talk.chat, "[[text=life goes on]]")
    state = await client.state(talk.turn)
    await client.follow(talk.chat, [])
    assert await client.state(again) == "completed"
    said = await client.said(talk.chat)
    assert said[0] == ("user", talk.script)
    assert said[-2:] == [("user", "[[text=life goes on]]"), ("assistant", "life goes on")]
    answers = said[1:-2]
    text = answers[0][1] if answers else ""
    assert [role for role, _ in answers] == ["assistant"] * bool(text)
    assert talk.whole.startswith(text)
    assert text.startswith(text_of(talk.durable))
    for told in (talk.live, talk.durable):
        if told and told[-1].event == "turn-ended":
            assert told[-1].data["state"] == state
    assert state == "completed" if text == talk.whole != "" else state == "interrupted"
    return state


async def test_turns_killed_at_every_phase(tmp_path: Path) -> None:
    data_dir, key, states = tmp_path / "data", "", set()
    async with ScriptedModel().serving() as model:
        talks: list[Talk] = []
        for heard in (*ROUNDS, 0):
            async with serving(data_dir, model, key) as client:
                key = key or client.process.key("user")
                states |= set(await asyncio.gather(*(check_kept(client, talk) for talk in talks)))
                talks = await killed_while(client, heard) if heard else []
            change(data_dir, END_OF_LEASES)
        assert states == {"completed", "interrupted"}
    assert change(data_dir, "PRAGMA integrity_check") == ["ok"]
    assert change(data_dir, "PRAGMA foreign_key_check") == []
    assert change(data_dir, "SELECT id FROM turns WHERE state = 'running'") == []
    assert change(data_dir, "SELECT key FROM chats WHERE active_turn IS NOT NULL") == []
    wrong = (
        "SELECT num FROM chats c WHERE message_count <> (SELECT count(*) FROM messages m WHERE m.place >> 23 = c.num)"
    )
    assert change(data_dir, wrong) == []


async def test_a_slot_is_held_until_the_lease_is_over(tmp_path: Path) -> None:
    """Nobody can know that the process is dead before; who asks meanwhile is refused, and nothing is stored of it."""
    data_dir = tmp_path / "data"
    async with ScriptedModel().serving() as model:
        async with serving(data_dir, model) as client:
            key, chat = client.process.key("user"), await client.new_chat()
            turn = await client.start(chat, f"[[tokens={LONG} delay_ms=8]]")
            told: list[Told] = []
            following = asyncio.create_task(client.follow(chat, told))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(told) < 10:  # noqa: ASYNC110  the stream is noted by somebody else
                    await asyncio.sleep(0.001)
            client.process.kill()
            await following
        async with serving(data_dir, model, key) as client:
            refused = await client.ask(chat, "too early")
            assert (refused.status_code, refused.json()["turn"]) == (409, turn), refused.text
            rest: list[Told] = []
            following = asyncio.create_task(client.follow(chat, rest))
            change(data_dir, END_OF_LEASES)
            await following
            assert (rest[-1].event, rest[-1].data["state"]) == ("turn-ended", "interrupted")
            assert rest[: len(told)] == told
            roles = [role for role, _ in await client.said(chat)]
            assert roles == ["user", "assistant"]
            assert (await client.said(chat))[1][1] == text_of(rest)
            await client.start(chat, "[[text=in time]]")


# The connections to the process that is killed are dropped unclosed, which is the point of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning")
async def test_of_two_processes_the_survivor_closes_the_other_s_turns(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Its follower there hears the end, the text is kept, and the next turn is the survivor's."""
    name = await postgres_server.create_database(EMPTY)
    url = postgres_server.url(name)
    aside = await asyncpg.connect(url)
    more = {"ANTIPHON_DATABASE_URL": url}
    try:
        async with ScriptedModel().serving() as model, serving(tmp_path / "one", model, **more) as one:
            key = one.process.key("user")
            async with serving(tmp_path / "two", model, key, **more) as two:
                talks = []
                for script in (f"[[tokens={LONG} delay_ms=8]]", "[[hang]]"):
                    chat = await one.new_chat()
                    talks.append(Talk(chat, await one.start(chat, script), script))
                following = [asyncio.create_task(two.follow(talk.chat, talk.durable)) for talk in talks]
                await until_heard(talks[0].durable)
                one.process.kill()
                await aside.execute("UPDATE turns SET expires_at = now() WHERE state = 'running'")
                await asyncio.gather(*following)
                ends = [(talk.durable[-1].event, talk.durable[-1].data["state"]) for talk in talks]
                assert ends == [("turn-ended", "interrupted")] * 2
                assert [await check_kept(two, talk) for talk in talks] == ["interrupted"] * 2
                assert await aside.fetchval("SELECT count(*) FROM turns WHERE state = 'running'") == 0
                assert await aside.fetchval("SELECT count(*) FROM chats WHERE active_turn IS NOT NULL") == 0
    finally:
        await aside.close()
        await postgres_server.drop_database(name)


async def until_heard(told: list[Told]) -> None:
    """Return when some of the answer was told."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in itertools.count():
            if any(one.event == "text-added" for one in told):
                return
            await asyncio.sleep(0.002)
