"""Vectors of what was said and concluded: made in the background, and asked for by searches.

Whatever fails here costs a search its meaning, never its answer: without a vector of the query there is full text.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress

from antiphon.core.faults import describe
from antiphon.core.ports import Store
from antiphon.core.ports.embeddings import Embedder, Noted, Vector
from antiphon.core.ports.indexing import VECTORS
from antiphon.domain import limits
from antiphon.domain.conclusions import Conclusion
from antiphon.domain.errors import AgentFailed, InvalidInput, StoreError, StoreUnavailable
from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message

_log = logging.getLogger(__name__)
_PLAIN = "text"  # nobody refuses it for what it is


class Embeddings:
    """The verbs of vectors, and the work of making them: `core.ports.indexing.IndexWork` for messages, `run` for more.

    Without an embedder nothing is made and nothing is found. `failures` counts what the embedder could not do: batches
    of the background and queries.
    """

    kind = VECTORS
    claim_seconds: float = limits.EMBEDDING_CLAIM_SECONDS

    def __init__(self, store: Store, embedder: Embedder | None) -> None:
        self._store = store
        self._embedder = embedder
        self._bell = asyncio.Event()
        self._is_begun = False
        self._rests_until = 0.0
        self.batch = embedder.batch if embedder else 0
        self.failures = 0

    async def advance(self, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> int:
        """See the port. A text that the embedder refuses is the fault of its message."""
        if self._embedder is None:
            raise StoreUnavailable("there are no embeddings")
        upto = min(upto, cursor + self.batch)
        said = await self._store.vectors.texts(tenant_id, chat_key, cursor, upto)
        try:
            model = await self._embedder.name()
            vectors = await _vectors_of(self._embedder, [one.text for one in said]) if said else []
        except AgentFailed:
            self.failures += 1
            raise
        pairs = list(zip(said, vectors, strict=True))
        is_kept = await self._store.vectors.keep(tenant_id, chat_key, cursor, upto, model, pairs)
        return upto if is_kept else cursor

    async def messages(
        self, tenant_id: Uid, tenant_name: str, wanted: Filter, query: str, limit: int
    ) -> list[tuple[str, Message]]:
        """What a filter lets through that means nearly the same as a query, nearest first; none when that fails."""
        asked = await self._vector_of(query)
        if asked is None:
            return []
        found = await self._store.vectors.nearest_messages(tenant_id, tenant_name, wanted, *asked, limit)
        return [(at, message) for at, message, distance in found if distance <= limits.VECTOR_DISTANCE]

    async def conclusions(
        self, tenant_id: Uid, tenant_name: str, wanted: Filter, query: str, limit: int
    ) -> list[tuple[Conclusion, float]]:
        """The nearest conclusions, however far, with their cosine distance; none when that fails."""
        asked = await self._vector_of(query)
        if asked is None:
            return []
        return await self._store.vectors.nearest_conclusions(tenant_id, tenant_name, wanted, *asked, limit)

    def wake(self) -> None:
        """There are new conclusions: look at once instead of at the next poll."""
        self._bell.set()

    async def run(self) -> None:
        """Make the vectors of conclusions, and those of all that another model has read, until cancelled."""
        attempt = 0
        while self._embedder is not None:
            self._bell.clear()
            wait: float = limits.EMBEDDING_POLL_SECONDS
            try:
                if await self._take(self._embedder):
                    continue
                attempt = 0
            except (AgentFailed, StoreError) as error:
                self.failures += isinstance(error, AgentFailed)
                _log.warning("embeddings wait", extra={**describe(error), "attempt": attempt})
                wait = min(limits.EMBEDDING_BACKOFF_SECONDS, wait * 2**attempt)
                attempt += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._bell.wait()

    async def close(self) -> None:
        """Let go of the embedder."""
        if self._embedder is not None:
            await self._embedder.close()

    async def _take(self, embedder: Embedder) -> bool:
        """Some of what is to be done; whether there may be more."""
        model = await embedder.name()
        if not self._is_begun:
            if await self._store.vectors.forget_others(model, limits.EMBEDDING_FORGET_CHATS):
                return True
            self._is_begun = True
        waiting = await self._store.vectors.conclusions_without(limits.EMBEDDING_CONCLUSIONS)
        for tenant_id, noted in waiting:
            vectors = await _each_of(embedder, noted)
            await self._store.vectors.keep_conclusions(tenant_id, model, vectors)
        return bool(waiting)

    async def _vector_of(self, query: str) -> tuple[str, Vector] | None:
        """The model and the vector of a query; None when it takes too long, and for a while after that."""
        if self._embedder is None or not query.strip() or time.monotonic() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(limits.EMBEDDING_QUERY_SECONDS):
                (vector,) = await self._embedder.embed([query])
                return await self._embedder.name(), vector
        except InvalidInput:
            return None
        except (AgentFailed, TimeoutError) as error:
            self.failures += 1
            self._rests_until = time.monotonic() + limits.EMBEDDING_REST_SECONDS
            _log.warning("query not embedded", extra=describe(error))
            return None


async def _each_of(embedder: Embedder, noted: Sequence[Noted]) -> list[tuple[str, Vector | None]]:
    """The vectors of conclusions, None where there is nothing to read or the text is refused. Raises AgentFailed."""
    try:
        readable = [one for one in noted if one.text.strip()]
        vectors = await _vectors_of(embedder, [one.text for one in readable]) if readable else []
    except InvalidInput:
        if len(noted) == 1:
            return [(noted[0].id, None)]
        return [pair for one in noted for pair in await _each_of(embedder, [one])]
    found = {one.id: vector for one, vector in zip(readable, vectors, strict=True)}
    return [(one.id, found.get(one.id)) for one in noted]


async def _vectors_of(embedder: Embedder, texts: Sequence[str]) -> list[Vector]:
    """A vector for each text. Raises InvalidInput only for what a text is, AgentFailed where any would be refused."""
    try:
        return await embedder.embed(texts)
    except InvalidInput:
        if len(texts) == 1 and texts[0] != _PLAIN:
            try:
                await embedder.embed([_PLAIN])
            except InvalidInput:
                raise AgentFailed("the embeddings' server refuses every text") from None
        raise
