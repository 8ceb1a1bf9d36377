"""The socket of a real process under everything but what it expects: afterwards it serves as before, and holds nothing.

What is thrown at it is chosen by chance, from a seed that a failure names.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from antiphon.domain import limits
from tests.scripted_model import ScriptedModel
from tests.server_process import ServerProcess
from tests.wire.lexicon.caller import Exchange
from tests.wire.lexicon.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame

ROUNDS = 5
PATIENCE_SECONDS = 40
PLANTED = "planted-words"

Attack = Callable[[RawSocket, random.Random], Awaitable[None]]


def some_text(chance: random.Random) -> bytes:
    """A frame's text: nearly right, wrong, or nothing like it."""
    odd = "".join(chr(chance.choice([0, 9, 34, 92, 0x7F, 0xE9, 0x2028, 0xFFFF, 0x1F99C])) for _ in range(8))
    body: list[object] = [
        {"content": PLANTED + odd},
        {"content": odd, "metadata": {PLANTED: odd}},
        {"content": [PLANTED]},
        [PLANTED] * chance.randrange(100),
        chance.random(),
        None,
        {"type": "ping"},
    ]
    text = json.dumps(chance.choice(body), ensure_ascii=chance.random() < 0.5).encode()
    return chance.choice(
        [text, text[: chance.randrange(len(text) + 1)], text + b"}", b"[" * 5000, b'{"content":' * 900]
    )


async def words(raw: RawSocket, chance: random.Random) -> None:
    await raw.send(*(frame(chance.choice([TEXT, BINARY]), some_text(chance)) for _ in range(8)))


async def invalid_utf8(raw: RawSocket, chance: random.Random) -> None:
    await raw.send(frame(TEXT, b'{"content":"' + chance.randbytes(12) + b'\xff\xfe\xc3"}'))


async def fragments(raw: RawSocket, chance: random.Random) -> None:
    text = some_text(chance)
    pieces = [text[at : at + 3] for at in range(0, min(len(text), 300), 3)]
    await raw.send(frame(TEXT, b"", is_final=False))
    for piece in pieces:
        await raw.send(frame(CONTINUATION, piece, is_final=False), frame(PING, b"in between"))
    if chance.random() < 0.5:  # else the end never comes
        await raw.send(frame(CONTINUATION, b"", is_final=True))


async def fragments_in_disorder(raw: RawSocket, chance: random.Random) -> None:
    opcodes = [chance.choice([CONTINUATION, TEXT, BINARY]) for _ in range(10)]
    await raw.send(*(frame(opcode, b"x", is_final=chance.random() < 0.5) for opcode in opcodes))


async def too_large(raw: RawSocket, chance: random.Random) -> None:
    if chance.random() < 0.5:
        await raw.send(frame(TEXT, b"x" * (limits.FRAME_BYTES + 1)))
        return
    for _ in range(20):
        await raw.send(frame(TEXT if _ == 0 else CONTINUATION, b"x" * 100_000, is_final=False))


async def flood(raw: RawSocket, chance: random.Random) -> None:
    opcode = chance.choice([TEXT, PING, PONG, BINARY])
    await raw.send(*(frame(opcode, b'{"content":"more"}') for _ in range(2000)))


async def broken_frames(raw: RawSocket, chance: random.Random) -> None:
    await raw.send(
        chance.choice(
            [
                frame(TEXT, b'{"content":"x"}', is_masked=False),
                frame(TEXT, b'{"content":"x"}', reserved=chance.randrange(1, 8)),
                frame(chance.choice([3, 7, 11, 15]), b"reserved"),
                frame(PING, b"x" * 126),
                frame(PING, b"x", is_final=False),
                b"\x81\xff" + b"\xff" * 8 + b"mask",
                chance.randbytes(400),
                b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
            ]
        )
    )


async def odd_closes(raw: RawSocket, chance: random.Random) -> None:
    payload = chance.choice([b"", b"\x03", b"\x03\xe8", b"\x00\x00", b"\x03\xed", b"\xff\xff", b"\x03\xe8\xff\xfe"])
    await raw.send(frame(CLOSE, payload), frame(TEXT, b'{"content":"after the close"}'))


async def half_closed(raw: RawSocket, chance: random.Random) -> None:
    await raw.send(frame(TEXT, some_text(chance)))
    raw.half_close()


async def gone_in_the_middle(raw: RawSocket, chance: random.Random) -> None:
    await raw.send(frame(TEXT, b'{"content":"[[tokens=200 delay_ms=50]]"}'))
    if chance.random() < 0.5:
        await raw.hear()
    raw.reset()


ATTACKS: tuple[Attack, ...] = (
    words,
    invalid_utf8,
    fragments,
    fragments_in_disorder,
    too_large,
    flood,
    broken_frames,
    odd_closes,
    half_closed,
    gone_in_the_middle,
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with ScriptedModel().serving() as model:
        more = {"ANTIPHON_MODEL_URL": model.url, "ANTIPHON_LOG_LEVEL": "debug", "ANTIPHON_REST_RATE_LIMIT": "0"}
        with ServerProcess(tmp_path / "data", **more) as started:
            yield started


def open_files(server: ServerProcess) -> int:
    return len(os.listdir(f"/proc/{server.child.pid}/fd"))


async def converse(server: ServerProcess, chat: str) -> None:
    """What a decent client does."""
    exchange = Exchange(server.url.removeprefix("http://"))
    async with exchange.dial(api_key=server.key("user"), user_id="mara", chat_id=chat) as phone:
        await phone.until("connection_established")
        events = await phone.exchange("[[tokens=3]]")
        assert events[-1]["content"] == "".join(event["token"] for event in events[2:-1])


async def until(is_met: Callable[[], Awaitable[bool]], what: str) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not await is_met():
        assert time.monotonic() < ends, f"not within {PATIENCE_SECONDS} s: {what}"
        await asyncio.sleep(0.05)


async def test_it_survives_anything_and_keeps_nothing(server: ServerProcess) -> None:
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    headers = {"X-API-Key": server.key("user")}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as http:
        chat = (await http.post("/api/v1/chats", json={"user_id": "mara"})).json()["id"]
        await converse(server, chat)
        before = open_files(server)

        async def attack(strike: Attack) -> None:
            given = {"api_key": server.key("user"), "user_id": "mara", "chat_id": chat}
            raw = await RawSocket.open(server.socket_url, **given)
            assert raw.answer.startswith(b"HTTP/1.1 101"), raw.answer
            await strike(raw, chance)
            await raw.read()
            await raw.close()

        for _ in range(ROUNDS):
            await asyncio.gather(*(attack(strike) for strike in ATTACKS))

        assert (await http.get("/readyz")).status_code == 200, f"seed {seed}"

        async def is_quiet() -> bool:
            metrics = (await http.get("/metrics")).text
            return "antiphon_sockets 0.0" in metrics and open_files(server) <= before

        await until(is_quiet, f"no socket and no file is left open, seed {seed}: {open_files(server)} of {before}")
        await converse(server, chat)

        async def is_deleted() -> bool:  # 409 while the socket of the conversation is being let go
            return (await http.delete(f"/api/v1/chats/{chat}")).status_code == 200

        await until(is_deleted, f"no registration is left, seed {seed}")
    assert PLANTED not in server.log
    lines = [json.loads(line) for line in server.log.splitlines()]
    faults = [line for line in lines if line["level"] == "error" and line["logger"].startswith("antiphon")]
    assert faults == [], f"seed {seed}"
