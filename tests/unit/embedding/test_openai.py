"""Vectors from an endpoint: what is asked, what is read, and what becomes of failures."""

from __future__ import annotations

import logging
import math
from array import array
from collections.abc import AsyncIterator

import pytest

from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed, InvalidInput
from antiphon.embedding.openai import OpenAiEmbedder
from antiphon.embedding.vectors import pack
from tests.scripted_model import ScriptedModel

KEY = "sk-very-secret"


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel().serving() as serving:
        yield serving


@pytest.fixture
async def embedder(model: ScriptedModel) -> AsyncIterator[OpenAiEmbedder]:
    made = OpenAiEmbedder(model.url, KEY, retry_seconds=0)
    yield made
    await made.close()


def numbers_of(vector: bytes) -> list[float]:
    numbers = array("f")
    numbers.frombytes(vector)
    return numbers.tolist()


async def test_vectors_have_the_length_one_and_the_order_of_the_texts(
    embedder: OpenAiEmbedder, model: ScriptedModel
) -> None:
    vectors = [numbers_of(vector) for vector in await embedder.embed(["aaa", "eee", "ooo"])]
    assert [max(range(3), key=vector.__getitem__) for vector in vectors] == [0, 1, 2]
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1, 1, 1])
    (call,) = model.calls
    assert call.body == {"model": "scripted-1", "input": ["aaa", "eee", "ooo"], "encoding_format": "base64"}


async def test_lists_of_numbers_are_as_good_as_base64(embedder: OpenAiEmbedder) -> None:
    as_list, as_base64 = await embedder.embed(["[[list]] aa", "ai as i"])
    assert len(as_list) == len(as_base64) == 12
    assert numbers_of(as_list)[0] == pytest.approx(2.1 / math.hypot(2.1, 0.1, 0.1))


async def test_the_model_is_looked_up_once_and_at_first_use(model: ScriptedModel) -> None:
    unused = OpenAiEmbedder("http://127.0.0.1:9/v1")
    await unused.close()
    named = OpenAiEmbedder(model.url, model="m2")
    assert await named.name() == "m2"
    await named.close()
    nowhere = OpenAiEmbedder("http://127.0.0.1:9/v1", retry_seconds=0)
    with pytest.raises(AgentFailed):
        await nowhere.name()
    await nowhere.close()


async def test_many_texts_go_in_parts_and_long_ones_are_cut(embedder: OpenAiEmbedder, model: ScriptedModel) -> None:
    texts = [f"a{i}" for i in range(limits.EMBEDDING_BATCH_TEXTS + 1)]
    assert len(await embedder.embed([*texts, "e" * 20_000])) == len(texts) + 1
    assert [len(call.body["input"]) for call in model.calls] == [limits.EMBEDDING_BATCH_TEXTS, 2]
    assert len(model.calls[1].body["input"][1]) == limits.EMBEDDING_CHARACTERS


@pytest.mark.parametrize("script", ["[[error=503 times=2]]", "[[error=429 times=1]]", "[[drop=2]]"])
async def test_what_passes_is_tried_again(embedder: OpenAiEmbedder, model: ScriptedModel, script: str) -> None:
    (vector,) = await embedder.embed([script])
    assert len(vector) == 12
    assert len(model.calls) in {2, 3}


@pytest.mark.parametrize(
    ("script", "failure", "calls"),
    [
        ("[[error=503]]", AgentFailed, limits.MODEL_ATTEMPTS),
        ("[[drop=9]]", AgentFailed, limits.MODEL_ATTEMPTS),
        ("[[error=401]]", AgentFailed, 1),
        ("[[garbage]]", AgentFailed, 1),
        ("[[error=400]]", InvalidInput, 1),
        ("[[error=413]]", InvalidInput, 1),
    ],
)
async def test_what_does_not_pass_is_told_without_key_or_text(
    embedder: OpenAiEmbedder,
    model: ScriptedModel,
    caplog: pytest.LogCaptureFixture,
    script: str,
    failure: type[AgentFailed | InvalidInput],
    calls: int,
) -> None:
    caplog.set_level(logging.DEBUG, "antiphon")
    with pytest.raises(failure) as caught:
        await embedder.embed([f"{script} private words"])
    assert len(model.calls) == calls
    told = f"{caught.value.message} {caplog.text}"
    assert KEY not in told
    assert "private" not in told


async def test_a_silent_server_is_not_waited_for(model: ScriptedModel) -> None:
    embedder = OpenAiEmbedder(model.url, model="m", seconds=0.05, retry_seconds=0)
    with pytest.raises(AgentFailed, match="in time"):
        await embedder.embed(["[[hang]]"])
    await embedder.close()


@pytest.mark.parametrize("numbers", [[], [0.0, 0.0], [math.nan, 1.0], [math.inf], [1.0] * 5_000])
def test_a_vector_without_a_direction_is_none(numbers: list[float]) -> None:
    with pytest.raises(ValueError, match="direction"):
        pack(numbers)
