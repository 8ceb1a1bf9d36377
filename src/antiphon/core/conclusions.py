"""Conclusions and cards: what somebody has written down of somebody."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.core.embeddings import Embeddings
from antiphon.core.fusion import fuse
from antiphon.core.messages import Messages
from antiphon.core.ports import Slice, Store
from antiphon.core.search import rank_of
from antiphon.domain import limits, texts
from antiphon.domain.conclusions import Conclusion, ConclusionDraft
from antiphon.domain.errors import InvalidInput, ParticipantNotFound
from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid
from antiphon.domain.participants import PEER

_LINES = msgspec.json.Decoder(list[str])


class Conclusions:
    """The verbs of conclusions and cards."""

    def __init__(self, store: Store, counter: Messages, embeddings: Embeddings) -> None:
        self._store = store
        self._counter = counter
        self._embeddings = embeddings

    async def create(self, tenant_id: Uid, drafts: Sequence[ConclusionDraft]) -> list[Conclusion]:
        """Store conclusions, all or none. Raises InvalidInput, ParticipantNotFound and SessionNotFound."""
        for draft in drafts:
            texts.check_text(draft.content, "content", limits.HONCHO_CONCLUSION_CHARACTERS)
            if await self._counter.count_tokens(draft.content) > limits.HONCHO_CONCLUSION_TOKENS:
                raise InvalidInput(
                    f"a conclusion has at most {limits.HONCHO_CONCLUSION_TOKENS} tokens", field="content"
                )
        made = await self._store.conclusions.create(tenant_id, drafts)
        self._embeddings.wake()
        return made

    async def query(
        self,
        tenant_id: Uid,
        tenant_name: str,
        query: str,
        wanted: Filter,
        limit: int,
        distance_max: float | None = None,
    ) -> list[Conclusion]:
        """Those that fit a query best, of the newest HONCHO_SEARCH_CANDIDATES that the filter lets through.

        Where there are embeddings, those that mean nearly the same too, and none of which it is known that they are
        further away than `distance_max` (a cosine distance).
        """
        newest = Slice(0, limits.HONCHO_SEARCH_CANDIDATES, is_reversed=True)
        found, _ = await self._store.conclusions.list(tenant_id, tenant_name, wanted, newest)
        ranked = [(rank, one) for one in found if (rank := rank_of(one.content, query.strip()))]
        ranked.sort(key=lambda pair: -pair[0])
        measured = await self._embeddings.conclusions(tenant_id, tenant_name, wanted, query, limits.VECTOR_HITS)
        most = limits.VECTOR_DISTANCE if distance_max is None else distance_max
        near = [one for one, distance in measured if distance <= most]
        far = {one.id for one, distance in measured if distance_max is not None and distance > distance_max}
        hits = {one.id: one for one in [*near, *(one for _, one in ranked)]}
        best = fuse([[one.id for _, one in ranked if one.id not in far], [one.id for one in near]])
        return [hits[key] for key in best[:limit]]

    async def delete(self, tenant_id: Uid, conclusion_id: str) -> bool:
        """Remove a conclusion for good; whether it was there."""
        return texts.is_storable(conclusion_id) and await self._store.conclusions.delete(tenant_id, conclusion_id)

    async def card(self, tenant_id: Uid, observer: str, observed: str) -> list[str] | None:
        """The lines that an observer keeps on an observed one. Raises ParticipantNotFound for an unknown observer."""
        pair = [await self._find(tenant_id, name) for name in (observer, observed)]
        if pair[0] is None:
            raise ParticipantNotFound
        lines = None if pair[1] is None else await self._store.conclusions.find_card(tenant_id, pair[0], pair[1])
        return None if lines is None else _LINES.decode(lines)

    async def put_card(self, tenant_id: Uid, observer: str, observed: str, lines: Sequence[str]) -> None:
        """Store a card in place of the one there was; participants are made when missing."""
        if len(lines) > limits.HONCHO_CARD_LINES:
            raise InvalidInput(f"a card has at most {limits.HONCHO_CARD_LINES} lines", field="peer_card")
        clean = msgspec.json.encode([texts.storable(line) for line in lines]).decode()
        await self._store.conclusions.put_card(tenant_id, observer, observed, clean)

    async def _find(self, tenant_id: Uid, name: str) -> Uid | None:
        found = await self._store.participants.find(tenant_id, PEER, name) if texts.is_storable(name) else None
        return found.id if found else None

    async def list(self, tenant_id: Uid, tenant_name: str, wanted: Filter, part: Slice) -> tuple[list[Conclusion], int]:
        """A part of those that a filter lets through, in order of making, and how many there are."""
        return await self._store.conclusions.list(tenant_id, tenant_name, wanted, part)
