"""An agent over any server that speaks OpenAI's chat completions.

Sources: OpenAI's API reference for chat completions and their streams; what several servers really send was tried.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import httpx2
import msgspec

from antiphon.core.ports import Finished, TextDelta, Utterance
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed

_CHARACTERS_PER_TOKEN = 3  # a low guess for English, so that what is sent fits rather than not
_DONE = "[DONE]"


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
        self._client = httpx2.AsyncClient(
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(silence_seconds, connect=connect_seconds),
            trust_env=False,
        )

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
        for is_last_try in (False, True):
            has_begun = False
            try:
                async with aclosing(self._stream(body, name)) as events:
                    async for event in events:
                        has_begun = True
                        yield event
                return
            except httpx2.RemoteProtocolError:
                if has_begun or is_last_try:
                    raise AgentFailed("the model's answer broke off") from None
            except httpx2.TimeoutException:
                raise AgentFailed("the model did not answer in time") from None
            except httpx2.HTTPError:
                raise AgentFailed("the model cannot be reached") from None

    async def close(self) -> None:
        """See the port."""
        await self._client.aclose()

    async def _default_model(self) -> str:
        if self._model is None:
            try:
                response = await self._client.get(f"{self._base_url}/models")
                self._model = str(response.json()["data"][0]["id"])
            except (httpx2.HTTPError, ValueError, LookupError, TypeError):
                raise AgentFailed("the model's server does not list a model") from None
        return self._model

    async def _stream(self, body: dict[str, Any], name: str) -> AsyncGenerator[TextDelta | Finished, None]:
        tally = _Tally(name)
        url = f"{self._base_url}/chat/completions"
        async with self._client.stream("POST", url, json=body) as response:
            if response.status_code != 200:
                raise AgentFailed(f"the model's server answered {response.status_code}")
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue
                data = line[5:].strip()
                if data == _DONE:
                    break
                if piece := tally.take(data):
                    yield TextDelta(piece)
                if tally.characters >= limits.ANSWER_CHARACTERS:
                    tally.reason = "length"
                    break
        yield tally.end()


class _Tally:
    """What is known of an answer so far."""

    def __init__(self, model: str) -> None:
        self.characters = 0
        self.reason: str | None = None
        self._model = model
        self._pieces = 0
        self._tokens: int | None = None

    def take(self, data: str) -> str:
        """The text in one chunk, possibly none. Raises AgentFailed when the chunk is not one."""
        try:
            chunk = msgspec.json.decode(data)
            self._model = chunk.get("model") or self._model
            self._tokens = (chunk.get("usage") or {}).get("total_tokens", self._tokens)
            choice = (chunk.get("choices") or [{}])[0]
            self.reason = choice.get("finish_reason") or self.reason
            text: Any = (choice.get("delta") or {}).get("content") or ""
        except (msgspec.MsgspecError, AttributeError, LookupError, TypeError):
            raise AgentFailed("the model's server sent something unreadable") from None
        if not isinstance(text, str):
            raise AgentFailed("the model's server sent something unreadable")
        self._pieces += bool(text)
        self.characters += len(text)
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

    The last utterance is always there; when it alone is too long, its end is.
    """
    if tokens is None or not history:
        return list(history)
    left = tokens * _CHARACTERS_PER_TOKEN
    head = list(history[:1]) if history[0].role == "system" else []
    left -= sum(len(said.text) for said in head)
    kept: list[Utterance] = []
    for said in reversed(history[len(head) :]):
        if kept and len(said.text) > left:
            break
        kept.append(said if len(said.text) <= left else Utterance(said.role, said.text[-max(left, 1) :]))
        left -= len(said.text)
    return head + kept[::-1]
