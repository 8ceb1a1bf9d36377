"""Keys, tickets and what people write reach no log, no metric and no error: all that a real process writes is scanned.

The run is wide: every wire, sockets and streams, requests that are wrong in every way that comes to mind, a model that
fails, and the end of the process.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from antiphon.domain import limits
from tests.scripted_model import ScriptedModel
from tests.server_process import ServerProcess
from tests.wire.lexicon.caller import CLOSED, Exchange
from tests.wire.lexicon.raw_socket import BINARY, TEXT, RawSocket, frame

WORDS = "planted-words"
LOOSE_KEY = "ant_" + "plantedkey" * 8 + "123456"  # in the form of a key, and nobody's
LOOSE_TICKET = "tkt_" + "plantedticket" * 9
UPGRADE = "host: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: "


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with ScriptedModel().serving() as model:
        more = {"ANTIPHON_MODEL_URL": model.url, "ANTIPHON_LOG_LEVEL": "debug", "ANTIPHON_REST_RATE_LIMIT": "0"}
        with ServerProcess(tmp_path / "data", **more) as started:
            yield started


class Run:
    """One run: its requests, the bodies of all refusals, and the secrets that were used."""

    def __init__(self, server: ServerProcess, http: httpx.AsyncClient) -> None:
        self.server = server
        self.http = http
        self.key = server.key("user")
        self.secrets = [self.key, server.key("admin"), server.key("guest"), LOOSE_KEY, LOOSE_TICKET]
        self.refusals: list[str] = []

    async def ask(self, method: str, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {"X-API-Key": key or self.key, **more.pop("headers", {})}
        answer = await self.http.request(method, path, headers=headers, **more)
        if answer.status_code >= 400:
            self.refusals.append(answer.text + str(answer.headers))
        return answer

    async def ticket(self) -> str:
        ticket: str = (await self.ask("POST", "/antiphon/v1/tickets")).json()["ticket"]
        self.secrets.append(ticket)
        return ticket

    def raw(self, text: str) -> None:
        """Bytes that are perhaps no request at all, to the end of the connection."""
        host, port = self.server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(text.encode())
            connection.shutdown(socket.SHUT_WR)
            said = b""
            while piece := connection.recv(65536):
                said += piece
        self.refusals.append(said.decode("latin-1"))


async def good_requests(run: Run) -> str:
    """Words and keys in every place where they belong; the id of a chat."""
    made = await run.ask("POST", "/api/v1/chats", json={"user_id": WORDS, "title": WORDS, "metadata": {WORDS: WORDS}})
    chat: str = made.json()["id"]
    await run.ask("GET", f"/api/v1/chats/user/{WORDS}")
    await run.ask("POST", f"/antiphon/v1/chats/{chat}/turns", json={"message": {"text": f"{WORDS} [[error=400]]"}})
    stream = f"/antiphon/v1/chats/{chat}/events?{urlencode({'ticket': await run.ticket()})}"
    assert (await run.http.get(stream)).status_code == 200
    run.refusals.append((await run.http.get(stream)).text)
    await run.ask("POST", "/api/sessions", json={"title": WORDS})
    bearer = {"Authorization": f"Bearer {run.key}"}
    assert (await run.ask("POST", "/v3/workspaces/default/sessions", json={"id": WORDS}, headers=bearer)).is_success
    return chat


async def wrong_requests(run: Run, chat: str) -> None:
    """Secrets and words where they do not belong, and in what cannot be read."""
    for key in (run.key, LOOSE_KEY):
        asked = urlencode({"api_key": key, "X-API-Key": key, "ticket": LOOSE_TICKET, "limit": key})
        for path in (
            "/api/v1/chats",
            f"/api/v1/chats/{chat}",
            f"/{quote(key)}",
            "/ws/chat",
            "/api/chat",
            "/v3/x",
            "/healthz",
        ):
            for method in ("GET", "POST", "DELETE", "BREW"):
                await run.ask(method, f"{path}?{asked}", key=LOOSE_KEY if method == "DELETE" else None, content=WORDS)
        await run.ask("GET", f"/api/v1/chats/{quote(key)}")
        await run.ask("GET", "/antiphon/v1/whoami", key=key + "x")
        await run.ask("POST", "/api/v1/chats", content=b'{"' + WORDS.encode() + b'":')
        await run.ask("POST", "/api/v1/chats", json={"user_id": WORDS, "title": [WORDS], "api_key": key})
        await run.ask("POST", "/v3/workspaces", json={"id": [WORDS]}, headers={"Authorization": f"Bearer {key}"})
        await run.ask("POST", "/api/chat", json={WORDS: WORDS}, headers={"Authorization": f"Basic {key}"})
        for text in (
            f"GET /ws/chat?api_key={key} HTTP/1.1\r\nhost: {WORDS}\r\nx-api-key {key}\r\n\r\n",
            f"{key} {WORDS} HTTP/1.1\r\n\r\n",
            f"GET /?{key} HTTP/9.9\r\nhost: x\r\n\r\n",
            f"POST /api/v1/chats HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {WORDS}\r\n\r\n",
            f"POST /api/v1/chats HTTP/1.1\r\nx-api-key: {key}\r\ntransfer-encoding: chunked\r\n\r\n{WORDS}\r\n",
            f"GET /ws/chat?api_key={key}&x={'x' * 9000} HTTP/1.1\r\n{UPGRADE}{WORDS}\r\n\r\n",
            f"GET /ws/chat?api_key={key} HTTP/1.1\r\n{UPGRADE}{WORDS}\r\n\r\n",
            f"GET /ws/{key} HTTP/1.1\r\n{UPGRADE}AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        ):
            run.raw(text)


async def sockets(run: Run, chat: str) -> None:
    """Handshakes good and bad, words that the model answers or fails at, and frames that break the connection."""
    exchange = Exchange(run.server.url.removeprefix("http://"))
    right = {"user_id": WORDS, "chat_id": chat}
    for given in ({"api_key": run.key}, {"ticket": await run.ticket()}):
        async with exchange.dial(**right, **given) as phone:
            await phone.until("connection_established")
            await phone.exchange(f"{WORDS} and more", metadata={WORDS: WORDS})
            await phone.say(f"{WORDS} [[error=400]]")
            await phone.say([WORDS])
            await phone.raw.send(WORDS.encode())
            for _ in range(3):
                while (event := await phone.next())["event_type"] != "error":
                    pass
                run.refusals.append(json.dumps(event))
    for wrong in (
        {"api_key": LOOSE_KEY},
        {"ticket": LOOSE_TICKET},
        {"ticket": run.secrets[-1]},
        {"api_key": run.key[:-1]},
    ):
        async with exchange.dial(**right, **wrong) as phone:
            while (event := await phone.next())["event_type"] != CLOSED:
                run.refusals.append(json.dumps(event))
    for piece in (b'{"content":"\xff"}', f'{{"content":"{WORDS}'.encode(), b"x" * (limits.FRAME_BYTES + 1)):
        raw = await RawSocket.open(run.server.socket_url, **right, api_key=run.key)
        await raw.send(frame(TEXT, piece), frame(BINARY, piece), WORDS.encode())
        run.refusals.append((await raw.read()).decode("latin-1"))
        await raw.close()
    url = f"{run.server.url}/antiphon/v1/chats/{chat}/events".replace("http", "ws", 1)
    for ticket in (await run.ticket(), LOOSE_TICKET):
        raw = await RawSocket.open(url, ticket=ticket)
        await raw.read()
        await raw.close()


async def test_nothing_of_it_is_written_anywhere(server: ServerProcess) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        run = Run(server, http)
        chat = await good_requests(run)
        await wrong_requests(run, chat)
        await sockets(run, chat)
        metrics = (await http.get("/metrics")).text
    server.ask_to_stop()
    server.child.wait(30)
    assert server.child.stdout is not None
    written = {"log": server.log, "metrics": metrics, "output": server.child.stdout.read()}
    assert len(written["log"].splitlines()) > 80, "the run was not logged"
    assert len(run.refusals) > 80
    for secret in run.secrets:
        for place, text in {**written, "refusals": "\n".join(run.refusals)}.items():
            assert secret[10:] not in text, f"{secret[:4]}… in the {place}: {_around(text, secret[10:])}"
    for place, text in written.items():
        assert WORDS not in text, f"words in the {place}: {_around(text, WORDS)}"


def _around(text: str, found: str) -> str:
    at = text.index(found)
    return text[max(0, at - 200) : at + 200]
