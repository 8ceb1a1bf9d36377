"""Searches by meaning, on both stores: what shares no word is found, and no failure of the embedder is seen."""

from __future__ import annotations

import re

import httpx
import pytest

from antiphon.api.server import Server
from antiphon.core.instance import Instance
from antiphon.core.ports.indexing import VECTORS
from antiphon.domain import limits
from tests.scripted_embedder import ScriptedEmbedder
from tests.wire.honcho.caller import Caller

SAID = ("She likes tea.", "The train departs at nine.", "A kitten sleeps.", "The beverage menu")


@pytest.fixture
def embedder() -> ScriptedEmbedder:
    return ScriptedEmbedder()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The background looks all the time; after a failure nobody rests."""
    monkeypatch.setattr(limits, "INDEX_SCAN_SECONDS", 0.01)
    monkeypatch.setattr(limits, "INDEX_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(limits, "EMBEDDING_POLL_SECONDS", 0.01)
    monkeypatch.setattr(limits, "EMBEDDING_REST_SECONDS", 0)


@pytest.fixture
async def said(w: Caller, instance: Instance) -> Caller:
    """Ann and bob have spoken, and all of it has vectors."""
    await w.new_session("s", peers={"ann": {}, "bob": {}})
    messages = [{"content": text, "peer_id": ("ann", "bob")[i % 2]} for i, text in enumerate(SAID)]
    assert (await w.post("/sessions/s/messages", {"messages": messages})).status_code == 201
    await all_read(instance)
    assert (await instance.store.indexing.backlog(VECTORS)).messages == 0
    return w


async def all_read(instance: Instance) -> None:
    """Return once the background has read every message."""
    while (await instance.store.indexing.backlog(VECTORS)).chats:
        await instance.store.check()


async def found(w: Caller, path: str, query: str, **more: object) -> list[str]:
    answer = await w.post(f"{path}/search", {"query": query, **more})
    assert answer.status_code == 200, answer.text
    return [message["content"] for message in answer.json()]


async def test_each_search_finds_what_means_the_same(said: Caller) -> None:
    for path in ("", "/sessions/s"):
        assert await found(said, path, "railway") == [SAID[1]]
        assert await found(said, path, "which drink?") == [SAID[0], SAID[3]]
    assert await found(said, "/peers/bob", "which drink?") == [SAID[3]]
    assert await found(said, "", "pet", filters={"peer_id": "bob"}) == []
    assert await found(said, "", "which drink?", limit=1) == [SAID[0]]


@pytest.mark.parametrize("query", ["room-101", "4711 r2d2", "🐈 !", "42"])
async def test_an_id_is_looked_for_as_it_stands(said: Caller, embedder: ScriptedEmbedder, query: str) -> None:
    asked = len(embedder.texts)
    assert await found(said, "", query) == []
    assert len(embedder.texts) == asked
    assert await found(said, "", f"pet {query}") == [SAID[2]]


async def test_what_says_it_and_means_it_goes_first(said: Caller) -> None:
    assert await found(said, "", "beverage") == [SAID[3], SAID[0]]
    assert await found(said, "", "") == list(SAID[::-1]), "an empty query means nothing and finds everything"
    assert await found(said, "", "zebra") == []


async def test_a_failing_embedder_costs_the_meaning_and_nothing_else(
    said: Caller, embedder: ScriptedEmbedder, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    embedder.is_down = True
    assert await found(said, "", "train") == [SAID[1]]
    assert await found(said, "", "which drink?") == []
    assert (await said.post("/sessions/s/messages", {"messages": [{"content": "new", "peer_id": "ann"}]})).is_success
    assert await found(said, "", "new") == ["new"]
    assert "which drink" not in str([vars(record) for record in caplog.records])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://antiphon.test") as plain:
        counted = re.search(r"^antiphon_embedding_failures (\S+)$", (await plain.get("/metrics")).text, re.MULTILINE)
    assert counted is not None
    assert float(counted[1]) >= 3
    embedder.is_down = False
    assert await found(said, "", "which drink?") == [SAID[0], SAID[3]]


async def test_after_a_failure_nobody_asks_for_a_while(
    said: Caller, embedder: ScriptedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EMBEDDING_REST_SECONDS", 3_600)
    embedder.is_down = True
    assert await found(said, "", "which drink?") == []
    embedder.is_down = False
    asked = len(embedder.texts)
    assert await found(said, "", "which drink?") == []
    assert len(embedder.texts) == asked


async def test_conclusions_are_found_by_meaning_within_a_distance(said: Caller, instance: Instance) -> None:
    pair = {"observer_id": "ann", "observed_id": "bob"}
    rows = [{"content": text, **pair} for text in ("drinks tea", "has a cat", "by train")]
    assert (await said.post("/conclusions", {"conclusions": rows})).status_code == 201
    await embedded_conclusions(instance)

    async def query(text: str, **more: object) -> list[str]:
        answer = await said.post("/conclusions/query", {"query": text, "filters": pair, **more})
        assert answer.status_code == 200, answer.text
        return [one["content"] for one in answer.json()]

    assert await query("favourite beverage") == ["drinks tea"]
    assert await query("beverage", distance=0.0) == []
    assert await query("beverage", distance=0.5) == ["drinks tea"]
    assert await query("has", distance=0.1) == [], "it is said, and too far"
    assert await query("beverage pet", top_k=1) in (["drinks tea"], ["has a cat"])
    answer = await said.post("/peers/ann/representation", {"target": "bob", "search_query": "railway"})
    assert answer.json()["representation"].endswith("by train")


async def embedded_conclusions(instance: Instance) -> None:
    """Return once every conclusion has its vector."""
    instance.embeddings.wake()
    while await instance.store.vectors.conclusions_without(1):
        await instance.store.check()


async def test_a_late_writer_brings_nothing_back(w: Caller, embedder: ScriptedEmbedder, instance: Instance) -> None:
    await w.new_session("s")
    embedder.gate.clear()
    assert (await w.post("/sessions/s/messages", {"messages": [{"content": "tea", "peer_id": "ann"}]})).is_success
    await embedder.asked.wait()
    assert (await w.delete("/sessions/s")).status_code == 202
    embedder.gate.set()
    await all_read(instance)
    assert await found(w, "", "beverage") == []
    await w.new_session("s")
    assert await found(w, "", "beverage") == []
    while (await instance.store.deletions.pending())[0]:
        await instance.store.check()
    assert not any((await instance.store.orphans()).values())
    assert "tea" in embedder.texts, "it was read before, and its vector found no message"


async def test_who_refuses_every_text_is_away_and_none_is_passed_over(
    w: Caller, embedder: ScriptedEmbedder, instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    embedder.refuses_all = True
    for name in ("s", "r"):
        await w.new_session(name)
        messages = [{"content": f"tea {i}", "peer_id": "ann"} for i in range(10)]
        assert (await w.post(f"/sessions/{name}/messages", {"messages": messages})).is_success
    while instance.embeddings.failures < 2:
        await instance.store.check()
    embedder.refuses_all = False
    await all_read(instance)
    assert instance.indexing.passed_over[VECTORS] == 0
    assert len(await found(w, "", "beverage", limit=100)) == 20
    assert caplog.messages.count("nothing can be indexed now") == instance.embeddings.failures


async def test_a_text_that_is_refused_is_passed_over(w: Caller, instance: Instance) -> None:
    await w.new_session("s")
    messages = [{"content": text, "peer_id": "ann"} for text in ("a cat", "poison", "tea")]
    assert (await w.post("/sessions/s/messages", {"messages": messages})).is_success
    await all_read(instance)
    assert (await instance.store.indexing.backlog(VECTORS)).messages == 0
    assert await found(w, "", "beverage") == ["tea"]
    assert await found(w, "", "pet") == ["a cat"]
    assert await found(w, "", "poison") == ["poison"]
