"""Vectors from any server that speaks OpenAI's embeddings."""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
from array import array
from collections.abc import Sequence
from typing import Any

import httpx2

from antiphon.core.ports.embeddings import Vector
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed, InvalidInput
from antiphon.embedding.vectors import pack

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_REFUSING = frozenset({400, 413, 422})
_BAD = "the embeddings' server gave no usable vectors"


class OpenAiEmbedder:
    """`core.ports.embeddings.Embedder` over an OpenAI-compatible endpoint.

    `base_url` ends before `/embeddings`. `model` None means the first that the endpoint lists, asked for at first use.
    `retry_seconds` is the wait before the first repetition of a request, the next takes twice as long. Nothing is asked
    before the first use; neither the key nor a text stands in an error.
    """

    batch = limits.EMBEDDING_BATCH_TEXTS

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        model: str | None = None,
        *,
        seconds: float = limits.EMBEDDING_SECONDS,
        retry_seconds: float = limits.MODEL_RETRY_SECONDS,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._model = model
        self._retry_seconds = retry_seconds
        self._client = httpx2.AsyncClient(
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(seconds, connect=min(seconds, limits.MODEL_CONNECT_SECONDS)),
            trust_env=False,
            verify=httpx2.create_ssl_context(trust_env=False),
        )

    async def name(self) -> str:
        """See the port."""
        if self._model is None:
            try:
                response = await self._client.get(f"{self._base_url}/models")
                self._model = str(response.json()["data"][0]["id"])
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, LookupError, TypeError):
                raise AgentFailed("the embeddings' server does not list a model") from None
        return self._model

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """See the port."""
        vectors: list[Vector] = []
        for first in range(0, len(texts), self.batch):
            part = [text[: limits.EMBEDDING_CHARACTERS] for text in texts[first : first + self.batch]]
            body = {"model": await self.name(), "input": part, "encoding_format": "base64"}
            vectors += _read(await self._send(body), len(part))
        return vectors

    async def close(self) -> None:
        """See the port."""
        await self._client.aclose()

    async def _send(self, body: dict[str, Any]) -> httpx2.Response:
        """The answer to a request; what may pass by itself is tried MODEL_ATTEMPTS times."""
        for attempt in range(limits.MODEL_ATTEMPTS):
            if attempt:
                jitter = 0.5 + random.random() / 2  # noqa: S311  no secret
                await asyncio.sleep(self._retry_seconds * 2 ** (attempt - 1) * jitter)
            try:
                response = await self._client.post(f"{self._base_url}/embeddings", json=body)
            except httpx2.TimeoutException:
                raise AgentFailed("the embeddings' server did not answer in time") from None
            except (httpx2.HTTPError, httpx2.InvalidURL):
                continue
            if response.status_code == 200:
                return response
            if response.status_code in _REFUSING:
                raise InvalidInput("the embeddings' server does not take these texts")
            if response.status_code not in _PASSING:
                raise AgentFailed(f"the embeddings' server answered {response.status_code}")
        raise AgentFailed("the embeddings' server cannot be reached")


def _read(response: httpx2.Response, count: int) -> list[Vector]:
    """The vectors of an answer by their index, whether as base64 or as lists of numbers. Raises AgentFailed."""
    try:
        data = response.json()["data"]
        found = {int(one["index"]): _numbers(one["embedding"]) for one in data}
        vectors = [pack(found[i]) for i in range(count)]
    except (ValueError, LookupError, TypeError, OverflowError, AttributeError):
        raise AgentFailed(_BAD) from None
    if len({len(vector) for vector in vectors}) > 1:
        raise AgentFailed(_BAD)
    return vectors


def _numbers(given: str | list[float]) -> array[float]:
    if isinstance(given, str):
        numbers = array("f")
        try:
            numbers.frombytes(base64.b64decode(given, validate=True))
        except binascii.Error as error:
            raise ValueError from error
        return numbers
    return array("f", given)
