"""A model behind any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import httpx2

from antiphon.agent.openai_messages import messages_of, shorten, tools_of
from antiphon.agent.openai_stream import DONE, Reader, data_of
from antiphon.agent.retries import PASSING, asked_for, waits
from antiphon.agent.tool_loop import Piece, run_steps
from antiphon.core.ports import AgentEvent, Tool, Utterance
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed

_REST_SECONDS = 0.1  # for the empty rest of a stream after its end: who reads it can use the connection again
_NO_TOOLS = "the model's server answered 400 to a request with tools: if it knows none, set ANTIPHON_TOOLS=off"


class OpenAiAgent:
    """`core.ports.Agent` over an OpenAI-compatible endpoint.

    `base_url` ends before `/chat/completions`. `model` None means the first that the endpoint lists, asked for at the
    first answer. `history_tokens` is about how much of the history the model is given, counted from the newest end.
    `answer_tokens` bounds what it says in one step. `retry_seconds` is the wait before the first repetition of a
    request that could not be answered; each further one takes twice as long. Nothing is asked before the first answer.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        model: str | None = None,
        *,
        connect_seconds: float = limits.MODEL_CONNECT_SECONDS,
        silence_seconds: float = limits.MODEL_SILENCE_SECONDS,
        retry_seconds: float = limits.MODEL_RETRY_SECONDS,
        history_tokens: int | None = None,
        answer_tokens: int | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._model = model
        self._retry_seconds = retry_seconds
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

    async def run_turn(
        self, history: Sequence[Utterance], tools: Sequence[Tool] = (), model: str | None = None
    ) -> AsyncGenerator[AgentEvent, None]:
        """See the port."""
        name = model or await self.default_model()
        async with aclosing(run_steps(self.ask, history, tools, name)) as events:
            async for event in events:
                yield event

    async def ask(
        self, history: Sequence[Utterance], tools: Sequence[Tool], model: str, extra: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Piece, None]:
        """One step (see `tool_loop.Ask`). `extra` are further fields of the request."""
        body: dict[str, Any] = {
            "model": model,
            "messages": messages_of(shorten(history, self._history_tokens)),
            "stream": True,
            "stream_options": {"include_usage": True},
            **(extra or {}),
        }
        if tools:
            body["tools"] = tools_of(tools)
        if self._answer_tokens is not None:
            body["max_tokens"] = self._answer_tokens
        response = await self._send_patiently(body)
        try:
            if response.status_code != 200:
                raise refusal_of(response.status_code, offered_tools=bool(tools))
            async with aclosing(_read(response, model)) as pieces:
                async for piece in pieces:
                    yield piece
        except httpx2.TimeoutException:
            raise AgentFailed("the model fell silent") from None
        except httpx2.HTTPError:
            raise AgentFailed("the model's answer broke off") from None
        finally:
            await response.aclose()

    async def default_model(self) -> str:
        """The name of the model that is asked when nobody names one. Raises AgentFailed."""
        if self._model is None:
            self._model = await first_listed(self._client, self._base_url)
        return self._model

    async def close(self) -> None:
        """See the port."""
        await self._client.aclose()
        await self._fresh.aclose()

    async def _send_patiently(self, body: dict[str, Any]) -> httpx2.Response:
        """The response with its body unread; what may pass by itself is tried MODEL_ATTEMPTS times. Raises AgentFailed.

        Nothing of an answer has come by then: what is tried again is a whole request.
        """
        for wait in waits(self._retry_seconds):
            try:
                response = await self._send(body)
            except httpx2.TimeoutException:
                raise AgentFailed("the model did not answer in time") from None
            except (httpx2.NetworkError, httpx2.RemoteProtocolError):
                if wait is None:
                    break
            except (httpx2.HTTPError, httpx2.InvalidURL):
                break
            else:
                if response.status_code not in PASSING or wait is None:
                    return response
                wait = asked_for(_retry_after(response), wait)  # noqa: PLW2901  the server knows better
                await response.aclose()
            await asyncio.sleep(wait)
        raise AgentFailed("the model cannot be reached")

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


def refusal_of(status: int, *, offered_tools: bool) -> AgentFailed:
    """What a status other than 200 is to the reader. What else the server says is not repeated: it may quote the chat.

    A 400 to a request with tools mostly means that the server, or its model, knows none.
    """
    if status == 400 and offered_tools:
        return AgentFailed(_NO_TOOLS)
    return AgentFailed(f"the model's server answered {status}")


async def first_listed(client: httpx2.AsyncClient, base_url: str) -> str:
    """The name of the first model that a server lists. Raises AgentFailed."""
    try:
        response = await client.get(f"{base_url}/models")
        return str(response.json()["data"][0]["id"])
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, LookupError, TypeError):
        raise AgentFailed("the model's server does not list a model") from None


def _retry_after(response: httpx2.Response) -> float | None:
    told = response.headers.get("retry-after", "")
    return float(told) if told.isascii() and told.isdigit() else None


async def _read(response: httpx2.Response, model: str) -> AsyncGenerator[Piece, None]:
    reader = Reader(model)
    is_told = False
    async with aclosing(data_of(response)) as chunks:
        async for data in chunks:
            if data == DONE:
                is_told = True
                with suppress(TimeoutError, httpx2.HTTPError, AgentFailed):
                    async with asyncio.timeout(_REST_SECONDS):
                        async for _ in chunks:
                            pass
                break
            for piece in reader.take(data):
                yield piece
    await response.aclose()  # before the end is told: the connection is free for the next step
    yield reader.end(is_told=is_told)
