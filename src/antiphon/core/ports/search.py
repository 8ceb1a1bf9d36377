"""What the core needs of a store to search what was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message


class SearchStore(Protocol):
    """An index of the texts of messages, by all their runs of three characters in lowercase.

    `kind` (`text`), `batch`, `claim_seconds` (0) and `advance` are those of `core.ports.indexing.IndexWork`.
    """

    kind: str
    batch: int
    claim_seconds: float

    async def advance(self, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> int:
        """Index the messages after `cursor` up to `upto`, or as many of them as go into one transaction."""
        ...

    async def candidates(
        self, tenant_id: Uid, tenant_name: str, chat_key: Uid | None, wanted: Filter, pieces: Sequence[str], limit: int
    ) -> list[tuple[str, Message]] | None:
        """The newest messages of `single` sessions that a filter lets through, newest first, with their sessions' ids.

        Of one chat or (None) of all. Nothing is left out that holds all `pieces`, which are in lowercase, whether the
        index has it yet or not; what comes back need not hold them, so the filter should ask for them too. None when
        the index is of no help: no piece has three characters, or too many messages have them all.
        """
        ...
