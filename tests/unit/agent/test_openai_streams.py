"""What servers send beside the plain case: streams as bytes, ends, breaks, and connections that died meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from antiphon.agent.openai_chat import OpenAiAgent
from antiphon.agent.openai_messages import shorten
from antiphon.core.ports import Finished, TextDelta, Utterance
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed
from tests.scripted_model import ScriptedModel

KEY = "sk-very-secret"
DONE = b"data: [DONE]\n\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LISTING = b'{"data": [{"id": "first"}, {"id": "second"}]}'
UNUSED_URL = "http://127.0.0.1:9/v1"  # the port of the discard service: nobody listens there


class RawModel:
    """A server that sends the same bytes as the stream of every answer, and then the end of the body or nothing.

    It cuts `dead` kept-alive connections when they are used again, before it answers a byte.
    """

    def __init__(self) -> None:
        self.stream = b""
        self.is_ended = True
        self.dead = 0
        self.connections = 0
        self.listings = 0
        self.requests = 0
        self.left = asyncio.Event()
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[RawModel]:
        """Serve on loopback while inside."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        is_used = False
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
                await reader.readexactly(int(fields.get(b"content-length", 0)))
                if head.startswith(b"GET"):
                    self.listings += 1
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(LISTING), LISTING))
                    continue
                if is_used and self.dead:
                    self.dead -= 1
                    break
                self.requests += 1
                is_used = True
                writer.write(HEAD)
                writer.write(b"%x\r\n%s\r\n" % (len(self.stream), self.stream))
                if not self.is_ended:
                    await reader.read()
                    break
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        self.left.set()
        writer.close()


@pytest.fixture
async def raw() -> AsyncIterator[RawModel]:
    async with RawModel().serving() as serving:
        yield serving


@pytest.fixture
async def agent(raw: RawModel) -> AsyncIterator[OpenAiAgent]:
    made = OpenAiAgent(raw.url, KEY, "m1", silence_seconds=0.3, retry_seconds=0)
    yield made
    await made.close()


@asynccontextmanager
async def agent_of(url: str) -> AsyncIterator[OpenAiAgent]:
    """An agent that is closed whatever happens inside."""
    made = OpenAiAgent(url, KEY, "m1", retry_seconds=0)
    try:
        yield made
    finally:
        await made.close()


async def take(agent: OpenAiAgent, text: str = "private words") -> tuple[list[str], Finished]:
    """All pieces and the end."""
    events = [event async for event in agent.run_turn([Utterance("user", text)])]
    end = events.pop()
    assert isinstance(end, Finished)
    return [event.text for event in events if isinstance(event, TextDelta)], end


async def collect(agent: OpenAiAgent, text: str, pieces: list[str]) -> None:
    """Add the pieces of an answer to a list as they come."""
    async for event in agent.run_turn([Utterance("user", text)]):
        if isinstance(event, TextDelta):
            pieces += [event.text]


async def fail(agent: OpenAiAgent, text: str = "private words") -> list[str]:
    """The pieces before a failure that tells nothing it should not."""
    pieces: list[str] = []
    with pytest.raises(AgentFailed) as failed:
        await collect(agent, text, pieces)
    shown = f"{failed.value!r} {failed.value.__cause__!r}"
    assert KEY not in shown
    assert "private" not in shown
    return pieces


def chunk(text: str, reason: str | None = None) -> bytes:
    """An event with a piece of text, written without escapes."""
    choice = {"delta": {"content": text}, "finish_reason": reason}
    return b"data: " + json.dumps({"choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


# Pieces


async def test_stream__tokens_are_counted_in_pieces_when_nobody_tells(raw: RawModel, agent: OpenAiAgent) -> None:
    raw.stream = chunk("a") + chunk("") + chunk("b", "stop") + DONE
    assert await take(agent) == (["a", "b"], Finished("m1", 2, "stop"))


async def test_stream__a_line_separator_inside_a_piece_is_text(raw: RawModel, agent: OpenAiAgent) -> None:
    text = "one\u2028two\u0085three"
    raw.stream = chunk(text, "stop") + DONE
    assert (await take(agent))[0] == [text]


async def test_stream__comments_and_other_fields_are_passed_over(raw: RawModel, agent: OpenAiAgent) -> None:
    raw.stream = b": waiting\r\n\r\nevent: message\r\n" + chunk("a", "stop") + b"data:[DONE]\r\n\r\n"
    assert (await take(agent))[0] == ["a"]


async def test_stream__the_last_line_needs_no_end(raw: RawModel, agent: OpenAiAgent) -> None:
    raw.stream = chunk("a") + DONE.rstrip()
    assert (await take(agent))[1].reason == "stop"


async def test_stream__a_long_answer_is_cut(raw: RawModel, agent: OpenAiAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_CHARACTERS", 10)
    raw.stream = chunk("0123") + chunk("45678") + chunk("90 and more") + chunk("still")
    raw.is_ended = False
    pieces, end = await take(agent)
    assert ("".join(pieces), end.reason) == ("0123456789", "length")
    await asyncio.wait_for(raw.left.wait(), 1)


async def test_stream__an_answer_of_the_greatest_length_is_whole(
    raw: RawModel, agent: OpenAiAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ANSWER_CHARACTERS", 10)
    raw.stream = chunk("0123456789") + chunk("", "stop") + DONE
    assert (await take(agent))[1].reason == "stop"


# Ends


async def test_end__a_connection_is_used_again_after_a_whole_answer(raw: RawModel, agent: OpenAiAgent) -> None:
    raw.stream = chunk("a", "stop") + DONE
    for _ in range(3):
        await take(agent)
    assert (raw.requests, raw.connections) == (3, 1)


async def test_end__a_server_that_leaves_the_stream_open_delays_little(raw: RawModel, agent: OpenAiAgent) -> None:
    raw.stream = chunk("a", "stop") + DONE
    raw.is_ended = False
    begun = time.monotonic()
    await take(agent)
    assert time.monotonic() - begun < 0.25  # less than the silence that is a failure
    await asyncio.wait_for(raw.left.wait(), 1)


async def test_end__a_stream_that_just_stops_is_a_failure(raw: RawModel, agent: OpenAiAgent) -> None:
    raw.stream = chunk("a")
    assert await fail(agent) == ["a"]


async def test_end__silence_after_a_piece_is_a_failure(raw: RawModel, agent: OpenAiAgent) -> None:
    raw.stream = chunk("a")
    raw.is_ended = False
    begun = time.monotonic()
    assert await fail(agent) == ["a"]
    assert 0.3 <= time.monotonic() - begun < 1
    await asyncio.wait_for(raw.left.wait(), 1)


@pytest.mark.parametrize(
    "stream",
    [
        b"data: []\n\n",
        b'data: {"choices": 3}\n\n',
        b'data: {"choices": [{"delta": {"content": 3}}]}\n\n',
        b'data: {"choices": [{"delta": "x"}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n',
        b'data: {"error": {"message": "private words"}}\n\n',
        b"\n\n",
    ],
)
async def test_end__an_unreadable_stream_is_a_failure(raw: RawModel, agent: OpenAiAgent, stream: bytes) -> None:
    raw.stream = stream + DONE
    assert await fail(agent) == []


async def test_end__a_line_without_an_end_fills_no_memory(
    raw: RawModel, agent: OpenAiAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FRAME_BYTES", 1000)
    raw.stream = b"data: " + b" " * 2000
    raw.is_ended = False
    begun = time.monotonic()
    assert await fail(agent) == []
    assert time.monotonic() - begun < 0.25  # the length, not the silence, was the reason


# Connections


async def test_connection__another_old_one_is_not_tried(raw: RawModel, agent: OpenAiAgent) -> None:
    raw.stream = chunk("a", "stop") + DONE
    await asyncio.gather(*(take(agent) for _ in range(3)))
    raw.dead = old = raw.connections
    assert old > 1
    assert (await take(agent))[0] == ["a"]
    assert raw.connections == old + 1


async def test_connection__a_break_after_the_status_is_not_tried_again() -> None:
    async with ScriptedModel().serving() as model, agent_of(model.url) as agent:
        await take(agent)
        await fail(agent, "private words [[error_after=0 tokens=5]]")
        assert len(model.calls) == 2


@pytest.mark.parametrize("url", [UNUSED_URL, "http://[", "ftp://127.0.0.1/v1"])
@pytest.mark.parametrize("model", [None, "m1"])
async def test_connection__an_endpoint_that_is_none_is_a_failure(url: str, model: str | None) -> None:
    agent = OpenAiAgent(url, KEY, model, connect_seconds=1, retry_seconds=0)
    assert await fail(agent) == []
    await agent.close()


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_connection__a_status_that_is_no_success_is_told(status: int) -> None:
    async with ScriptedModel().serving() as model, agent_of(model.url) as agent:
        with pytest.raises(AgentFailed, match=str(status)):
            await take(agent, f"[[error={status}]]")


async def test_connection__nothing_is_asked_before_the_first_answer(raw: RawModel) -> None:
    await OpenAiAgent(raw.url, KEY).close()
    assert raw.connections == 0


async def test_connection__the_first_model_is_looked_up_once(raw: RawModel) -> None:
    raw.stream = chunk("a", "stop") + DONE
    agent = OpenAiAgent(raw.url, KEY)
    for _ in range(2):
        assert (await take(agent))[1].model == "first"
    await agent.close()
    assert (raw.listings, raw.requests) == (1, 2)


# Histories


def test_shorten__a_long_system_utterance_leaves_room_for_the_last() -> None:
    kept = shorten([Utterance("system", "s" * 5000), Utterance("user", "x" * 1000 + "why?")], 100)
    assert kept[0].text == "s" * 5000
    assert kept[1].text == "x" * 146 + "why?"


@pytest.mark.parametrize("character", ["a", "é", "你", "😀"])
@pytest.mark.parametrize("sizes", [[1] * 500, [5000]])
def test_shorten__no_script_costs_more_than_the_bound(character: str, sizes: Sequence[int]) -> None:
    """Three bytes a token is what English gives; a token of another script may be a byte, but never less."""
    kept = shorten([Utterance("user", character * size) for size in sizes], 100)
    assert 290 < sum(len(said.text.encode()) for said in kept) <= 300


def test_shorten__nothing_stays_nothing() -> None:
    assert shorten([], 100) == []
