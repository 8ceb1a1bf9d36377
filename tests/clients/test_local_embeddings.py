"""The local embeddings, really run: a paraphrase that shares no word is found, and nothing is asked of a network."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncIterator

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.core.ports.indexing import VECTORS
from antiphon.embedding import weights
from antiphon.embedding.local import LocalEmbedder
from tests.conftest import MakeKey

FACTS = (
    "My sister is allergic to peanuts.",
    "The train to Vienna leaves at nine in the morning.",
    "Our cat sleeps on the radiator all winter.",
    "He repairs old bicycles in his garage.",
    "The rent went up by ten percent this year.",
    "She plays the violin in an orchestra.",
)
QUESTIONS = (
    ("Which nuts make a sibling ill?", 0),
    ("railway departure time", 1),
    ("pet lying somewhere warm", 2),
    ("someone who fixes bikes", 3),
    ("housing became more expensive", 4),
    ("a musician with a string instrument", 5),
)


@pytest.fixture
async def embedder() -> AsyncIterator[LocalEmbedder]:
    assert weights.has_engine()
    assert weights.is_installed(), "run antiphon models install"
    made = LocalEmbedder()
    yield made
    await made.close()


def numbers_of(vector: bytes) -> list[float]:
    numbers = array("f")
    numbers.frombytes(vector)
    return numbers.tolist()


async def test_vectors_are_repeatable_and_of_length_one(embedder: LocalEmbedder) -> None:
    texts = ["tea", "", "日本語 🦜 \x00", "words " * 5_000]
    vectors = await embedder.embed(texts)
    assert vectors == await embedder.embed(texts)
    assert [len(numbers_of(vector)) for vector in vectors] == [384] * 4
    assert [math.hypot(*numbers_of(vector)) for vector in vectors] == pytest.approx([1] * 4, abs=1e-5)


async def test_a_paraphrase_is_found_by_a_search(
    instance: Instance, http: httpx.AsyncClient, make_key: MakeKey
) -> None:
    http.headers["authorization"] = f"Bearer {await make_key('w')}"
    (await http.post("/v3/workspaces/w/sessions", json={"id": "s"})).raise_for_status()
    messages = [{"content": fact, "peer_id": "ann"} for fact in FACTS]
    (await http.post("/v3/workspaces/w/sessions/s/messages", json={"messages": messages})).raise_for_status()
    while (await instance.store.indexing.backlog(VECTORS)).messages:  # the background reads them
        await instance.store.check()
    found = []
    for question, _ in QUESTIONS:
        answer = await http.post("/v3/workspaces/w/search", json={"query": question, "limit": 1})
        found += [FACTS.index(one["content"]) for one in answer.raise_for_status().json()]
    assert found == [fact for _, fact in QUESTIONS]
