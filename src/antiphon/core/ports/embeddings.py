"""What the core needs to find by meaning: somebody who makes vectors of texts, and a store that compares them.

A vector is the bytes of its numbers, 4 bytes each, little-endian, of length one (`array("f")`, float32). Only vectors
of one model and one number of dimensions are compared with one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from antiphon.domain.conclusions import Conclusion
from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message

Vector = bytes


class Embedder(Protocol):
    """Makes vectors of texts. `batch` is how many texts it takes at a time."""

    batch: int

    async def name(self) -> str:
        """The name of the model, which stands beside each vector. Raises AgentFailed when it cannot be found out."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text, in order. Of a long text only the start is read.

        Raises AgentFailed when it is to be tried later, InvalidInput when these texts are refused for what they are.
        """
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class Said(msgspec.Struct, frozen=True):
    """The text of a message at its place in the chat."""

    seq: int
    text: str


class Noted(msgspec.Struct, frozen=True):
    """The text of a conclusion."""

    id: str
    text: str


class VectorStore(Protocol):
    """Vectors of messages and of conclusions. What is detached is not there."""

    async def texts(self, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> list[Said]:
        """The messages of a chat after `cursor` up to `upto` that have a text; none when it is gone."""
        ...

    async def keep(
        self,
        tenant_id: Uid,
        chat_key: Uid,
        cursor: int,
        upto: int,
        model: str,
        vectors: Sequence[tuple[Said, Vector]],
    ) -> bool:
        """Store the vectors of the messages after `cursor` up to `upto`, in place of those there were, and settle.

        False, and nothing is stored, when the fence of the work refuses, or a text is another by now. A message that is
        gone is left out. Durable on return.
        """
        ...

    async def nearest_messages(
        self, tenant_id: Uid, tenant_name: str, wanted: Filter, model: str, vector: Vector, limit: int
    ) -> list[tuple[str, Message, float]]:
        """The messages of `single` sessions that a filter lets through, each with its session's id and distance.

        Nearest first. The distance is the cosine's: 0 for the same direction, 1 for a right angle, 2 for the opposite.
        """
        ...

    async def nearest_conclusions(
        self, tenant_id: Uid, tenant_name: str, wanted: Filter, model: str, vector: Vector, limit: int
    ) -> list[tuple[Conclusion, float]]:
        """The nearest conclusions that a filter lets through, with their distance, nearest first."""
        ...

    async def conclusions_without(self, limit: int) -> list[tuple[Uid, list[Noted]]]:
        """Some conclusions that have no vector yet, by tenant. System scope."""
        ...

    async def keep_conclusions(self, tenant_id: Uid, model: str, vectors: Sequence[tuple[str, Vector | None]]) -> None:
        """Store the vectors of conclusions by their ids, None for one that can have none. Those gone are left out."""
        ...

    async def forget_others(self, model: str, limit: int) -> bool:
        """Drop some vectors of other models and make what they were of due again; whether there were any.

        System scope. `limit` chats and as many conclusions at a time.
        """
        ...
