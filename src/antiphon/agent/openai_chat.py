"""An agent over any server that speaks OpenAI's chat completions.

Sources: OpenAI's API reference for chat completions and their streams; what several servers really send was tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

import httpx2
import msgspec

from antiphon.core.ports import Finished, TextDelta, Utterance
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed

# A low guess for English, so that what is sent fits rather than not. In bytes, because a character of another script
# takes several, and up to as many tokens: as many characters of Chinese do not fit.
_BYTES_PER_TOKEN = 3
_DONE = b"[DONE]"
_REST_SECONDS = 0.1  # for the empty rest of a stream after its end: who reads it can use the connection again


class OpenAiAgent:
    """`core.ports.Agent` over an OpenAI-compatible endpoint.

    `base_url` ends before `/chat/completions`. `model` None means the first that the endpoint lists, asked for at the
    first answer. `history_tokens` is about how much of the history the model is given, counted from the newest end.
    `answer_tokens` bounds an answer. Nothing is asked before the first answer.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        model: str | None = None,
        *,
        connect_seconds: float = limits.MODEL_CONNECT_SECONDS,
        silence_seconds: float = limits.MODEL_SILENCE_SECONDS,
        history_tokens: int | None = None,
        answer_tokens: int | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._model = model
        self._history_tokens = history_tokens
        self._answer_tokens = answer_tokens
        shared: dict[str, Any] = {
            "headers": {"authorization": f"Bearer {key}"} if key else {},
            "timeout": httpx2.Timeout(silence_seconds, connect=connect_seconds),
            "trust_env": False,
            "verify": httpx2.create_ssl_context(trust_env=False),
        }
        # How many answers are made at a time is decided by those who ask: here none waits for another.
        self._client = httpx2.AsyncClient(**shared, limits=httpx2.Limits(max_keepalive_connections=20))
        self._fresh = httpx2.AsyncClient(**shared, limits=httpx2.Limits(max_keepalive_connections=0))

    async def answer(
        self, history: Sequence[Utterance], model: str | None = None
    ) -> AsyncGenerator[TextDelta | Finished, None]:
        """See the port. A connection that turns out to be dead before anything came is tried once more."""
        name = model or await self._default_model()
        body: dict[str, Any] = {
            "model": name,
            "messages": [{"role": said.role, "content": said.text} for said in shorten(history, self._history_tokens)],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._answer_tokens is not None:
            body["max_tokens"] = self._answer_tokens
        try:
            response = await self._send(body)
        except httpx2.TimeoutException:
            raise AgentFailed("the model did not answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL):
            raise AgentFailed("the model cannot be reached") from None
        try:
            async with aclosing(_read(response, name)) as events:
                async for event in events:
                    yield event
        except httpx2.TimeoutException:
            raise AgentFailed("the model fell silent") from None
        except httpx2.HTTPError:
            raise AgentFailed("the model's answer broke off") from None
        finally:
            await response.aclose()

    async def close(self) -> None:
        """See the port."""
        await self._client.aclose()
        await self._fresh.aclose()

    async def _send(self, body: dict[str, Any]) -> httpx2.Response:
        """The response with its body unread. A kept-alive connection that turns out to be dead is replaced once."""
        is_new = False

        async def note(event: str, _: object) -> None:
            nonlocal is_new
            is_new = is_new or event == "connection.connect_tcp.started"

        url = f"{self._base_url}/chat/completions"
        request = self._client.build_request("POST", url, json=body, extensions={"trace": note})
        try:
            return await self._client.send(request, stream=True)
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            if is_new:
                raise
        return await self._fresh.send(self._fresh.build_request("POST", url, json=body), stream=True)

    async def _default_model(self) -> str:
        if self._model is None:
            try:
                response = await self._client.get(f"{self._base_url}/models")
                self._model = str(response.json()["data"][0]["id"])
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, LookupError, TypeError):
                raise AgentFailed("the model's server does not list a model") from None
        return self._model


async def _read(response: httpx2.Response, name: str) -> AsyncGenerator[TextDelta | Finished, None]:
    if response.status_code != 200:
        raise AgentFailed(f"the model's server answered {response.status_code}")
    tally = _Tally(name)
    async with aclosing(_data(response)) as chunks:
        async for data in chunks:
            if data == _DONE:
                tally.reason = tally.reason or "stop"
                with suppress(TimeoutError, httpx2.HTTPError, AgentFailed):
                    async with asyncio.timeout(_REST_SECONDS):
                        async for _ in chunks:
                            pass
                break
            if piece := tally.take(data):
                yield TextDelta(piece)
            if tally.is_cut:
                break
    await response.aclose()  # before the end is told: a model that is cut off stops now
    yield tally.end()


async def _data(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The data of a stream's events, each a line. Raises AgentFailed for a line longer than FRAME_BYTES.

    (Lines as the library cuts them end at U+2028 and its kin too, which may stand inside of JSON.)
    """
    rest = b""
    async with aclosing(response.aiter_bytes()) as blocks:
        async for block in blocks:
            *lines, rest = (rest + block).split(b"\n")
            if len(rest) > limits.FRAME_BYTES:
                raise AgentFailed("the model's server sent something unreadable")
            for line in lines:
                if line.startswith(b"data:"):
                    yield line[5:].strip()
    if rest.startswith(b"data:"):
        yield rest[5:].strip()


class _Tally:
    """What is known of an answer so far."""

    def __init__(self, model: str) -> None:
        self.is_cut = False
        self.reason: str | None = None
        self._model = model
        self._room = limits.ANSWER_CHARACTERS
        self._pieces = 0
        self._tokens: int | None = None

    def take(self, data: bytes) -> str:
        """The text in one chunk, possibly none. Raises AgentFailed when the chunk is not one."""
        try:
            chunk = msgspec.json.decode(data)
            self._model = chunk.get("model") or self._model
            self._tokens = (chunk.get("usage") or {}).get("total_tokens", self._tokens)
            choice = (chunk.get("choices") or [{}])[0]
            self.reason = choice.get("finish_reason") or self.reason
            content: Any = (choice.get("delta") or {}).get("content") or ""
        except (msgspec.MsgspecError, UnicodeError, AttributeError, LookupError, TypeError):
            raise AgentFailed("the model's server sent something unreadable") from None
        if not isinstance(content, str):
            raise AgentFailed("the model's server sent something unreadable")
        text: str = content
        self._pieces += bool(text)
        if len(text) > self._room:
            self.is_cut, self.reason = True, "length"
            text = text[: self._room]
        self._room -= len(text)
        return text

    def end(self) -> Finished:
        """The end of the answer. Raises AgentFailed when there was no text, or no end of it."""
        if not self._pieces:
            raise AgentFailed("the model gave no text")
        if self.reason is None:
            raise AgentFailed("the model's answer broke off")
        return Finished(self._model, self._tokens if isinstance(self._tokens, int) else self._pieces, self.reason)


def shorten(history: Sequence[Utterance], tokens: int | None) -> list[Utterance]:
    """The newest of a history that fit in about so many tokens, after its system utterance if it begins with one.

    The last utterance is always there; when it is too long, its end is, for which half of the tokens are kept free.
    """
    if tokens is None or not history:
        return list(history)
    budget = tokens * _BYTES_PER_TOKEN
    head = list(history[:1]) if history[0].role == "system" else []
    left = max(budget - sum(len(said.text.encode()) for said in head), budget // 2)
    kept: list[Utterance] = []
    for said in reversed(history[len(head) :]):
        raw = said.text.encode()
        if kept and len(raw) > left:
            break
        text = said.text if len(raw) <= left else raw[-max(left, 1) :].decode(errors="ignore")
        kept.append(Utterance(said.role, text))
        left -= len(raw)
    return head + kept[::-1]
