"""Conclusions, cards, views of peers, scopes, searches, contexts and the queue, with nothing derived."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain.ids import Uid
from antiphon.domain.messages import USER, Draft, Message
from tests.wire.honcho.caller import Caller, first_fault, items_of, text_of


async def conclude(w: Caller, *contents: str, **more: Any) -> list[dict[str, Any]]:
    rows = [{"content": one, "observer_id": "ann", "observed_id": "bob", **more} for one in contents]
    answer = await w.post("/conclusions", {"conclusions": rows})
    assert answer.status_code == 201, answer.text
    made: list[dict[str, Any]] = answer.json()
    return made


async def test_conclusions_are_kept_found_and_removed(w: Caller) -> None:
    await w.new_session("s", peers={"ann": {}, "bob": {}})
    (tea,) = await conclude(w, "likes tea", session_id="s")
    (jam,) = await conclude(w, "likes jam")
    assert (tea["session_id"], jam["session_id"], tea["level"], len(tea["id"])) == ("s", None, "explicit", 21)
    assert await w.listed("/conclusions/list") == [jam, tea]
    assert await w.listed("/conclusions/list", {"session_id": None}) == [jam]
    both = {"observer_id": "ann", "observed_id": "bob"}
    assert (await w.post("/conclusions/query", {"query": "TEA", "filters": both})).json() == [tea]
    text_of(await w.post("/conclusions/query", {"query": "tea"}), 422)
    view = (await w.post("/peers/ann/representation", {"target": "bob"})).json()["representation"]
    assert view.startswith("## Explicit Observations")
    assert view.endswith("likes jam")
    assert (await w.delete(f"/conclusions/{jam['id']}")).status_code == 204
    assert "not found" in text_of(await w.delete(f"/conclusions/{jam['id']}"), 404).lower()
    assert (await w.delete("/sessions/s")).status_code == 202
    assert await w.listed("/conclusions/list") == []
    text_of(
        await w.post("/conclusions", {"conclusions": [{"content": "x", "observer_id": "a", "observed_id": "b"}]}), 404
    )
    assert first_fault(await w.post("/conclusions", {"conclusions": []}))["type"] == "too_short"


async def test_cards_are_what_was_written(w: Caller) -> None:
    text_of(await w.get("/peers/ann/card"), 404)
    assert (await w.put("/peers/ann/card", {"peer_card": ["likes tea"]})).json() == {"peer_card": ["likes tea"]}
    assert (await w.get("/peers/ann/card")).json() == {"peer_card": ["likes tea"]}
    assert (await w.get("/peers/ann/card", target="bob")).json() == {"peer_card": None}
    known = {"peer_id": "ann", "target_id": "ann", "representation": "", "peer_card": ["likes tea"]}
    assert (await w.get("/peers/ann/context")).json() == known
    text_of(await w.get("/peers/never/context"), 404)
    assert (await w.post("/peers/never/representation", {})).json() == {"representation": ""}


ENDLESS: dict[str, Any] = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/Next"}},
    "$defs": {"Next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Next"}]}},
}
"""A schema that refers to itself."""


async def test_questions_have_no_answer_yet(w: Caller) -> None:
    assert (await w.post("/peers/ann/chat", {"query": "who?"})).json() == {"content": None}
    answer = await w.post("/peers/ann/chat", {"query": "who?", "stream": True})
    assert (answer.headers["content-type"], answer.text) == ("text/event-stream", 'data: {"done": true}\n\n')
    refused: list[dict[str, Any]] = [
        {"filters": {"peer_id": "a"}},
        {"filters": {"session_id": "*"}},
        {"filters": {"session_id": ["a"]}, "session_id": "b"},
        {"scope": "x", "session_id": "b"},
        {"target": "scope.x"},
    ]
    for more in refused:
        text_of(await w.post("/peers/ann/chat", {"query": "who?", **more}), 422)
    for schema in ({"type": "string"}, {"type": "object", "$ref": "#"}, {"type": "object", "properties": 1}, ENDLESS):
        said = text_of(await w.post("/peers/ann/chat", {"query": "q", "response_format": schema}), 422)
        assert "Invalid response_format" in said
    assert first_fault(await w.post("/peers/ann/chat", {"query": ""}))["type"] == "string_too_short"
    assert (await w.post("/schedule_dream", {"observer": "ann", "dream_type": "omni"})).status_code == 204
    text_of(await w.post("/schedule_dream", {"observer": "scope.x", "dream_type": "omni"}), 422)


async def test_a_question_takes_the_schema_of_nested_models(w: Caller) -> None:
    schema = {
        "type": "object",
        "properties": {"best": {"$ref": "#/$defs/Item"}, "all": {"type": "array", "items": {"$ref": "#/$defs/Item"}}},
        "$defs": {
            "Item": {"type": "object", "properties": {"kind": {"$ref": "#/$defs/Kind"}}},
            "Kind": {"enum": ["a"]},
        },
    }
    answer = await w.post("/peers/ann/chat", {"query": "who?", "response_format": schema})
    assert (answer.status_code, answer.json()) == (200, {"content": None})


async def test_a_dream_makes_no_workspace(admin: Caller) -> None:
    admin.root = "/v3/workspaces/never"
    text_of(await admin.post("/schedule_dream", {"observer": "ann", "dream_type": "omni"}), 404)
    assert await admin.listed("/peers/list") == []
    answer = await admin.top("POST", "/workspaces/list", {"filters": {"id": "never"}})
    assert answer.json()["total"] == 0


async def test_scopes_are_sets_of_sessions(w: Caller) -> None:
    made = await w.post("/scopes", {"id": "work", "metadata": {"a": 1}})
    assert (made.status_code, made.json()["metadata"]) == (201, {"a": 1})
    assert (await w.post("/scopes", {"id": "work"})).status_code == 200
    await w.say("s", "kea one")
    await w.say("t", "kea two")
    assert (await w.post("/scopes/work/sessions", {"session_ids": ["s"]})).status_code == 204
    assert "'never'" in text_of(await w.post("/scopes/work/sessions", {"session_ids": ["t", "never"]}), 404)
    assert [one["id"] for one in await w.listed("/scopes/work/sessions/list")] == ["s"]
    assert [one["content"] for one in (await w.post("/search", {"query": "kea", "scope": "work"})).json()] == [
        "kea one"
    ]
    assert (await w.get("/scopes/work/status")).json()["backfill_status"]["s"]["state"] == "completed"
    assert [one["id"] for one in await w.listed("/peers/list")] == ["ann"]
    kinds = items_of(await w.post("/peers/list", {"kind": "scope"}))
    assert [one["id"] for one in kinds] == ["scope.work"]
    assert (await w.delete("/scopes/work/sessions/s")).status_code == 204
    assert (await w.post("/search", {"query": "kea", "scope": "work"})).json() == []
    text_of(await w.get("/scopes/never"), 404)
    text_of(await w.post("/search", {"query": "kea", "scope": "never"}), 404)


async def test_search_finds_forms_and_parts_of_words(w: Caller) -> None:
    await w.say("s", "She was running home", "He runs", "nothing", "re-run!")
    for query, found in (
        ("runs", ["He runs", "re-run!", "She was running home"]),
        ("unning", ["She was running home"]),
        ("RE-RUN", ["re-run!"]),
        ("never", []),
    ):
        answer = await w.post("/sessions/s/search", {"query": query})
        assert [one["content"] for one in answer.json()] == found, query
    assert len((await w.post("/search", {"query": "", "limit": 2})).json()) == 2
    assert len((await w.post("/peers/ann/search", {"query": ""})).json()) == 4
    assert (await w.post("/peers/bob/search", {"query": ""})).json() == []
    assert first_fault(await w.post("/search", {"query": "a", "limit": 101}))["type"] == "less_than_equal"


async def test_a_context_has_each_message_once_while_more_are_added(
    w: Caller, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [f"m{i}" for i in range(250)]
    for at in range(0, 250, 50):
        await w.say("s", *said[at : at + 50])
    latest = instance.messages.latest

    async def latest_and_more(tenant_id: Uid, chat_key: Uid, limit: int) -> list[Message]:
        found = await latest(tenant_id, chat_key, limit)
        await instance.messages.append(tenant_id, chat_key, [Draft("ann", USER, f"late {i}") for i in range(10)])
        return found

    monkeypatch.setattr(instance.messages, "latest", latest_and_more)
    context = (await w.get("/sessions/s/context")).json()
    assert [message["content"] for message in context["messages"]] == said


async def test_a_context_has_the_newest_that_fit(w: Caller) -> None:
    await w.say("s", "one", "two words", "three")
    for tokens, texts in ((100, ["one", "two words", "three"]), (3, ["two words", "three"]), (0, []), (-1, [])):
        answer = await w.get("/sessions/s/context", tokens=tokens)
        assert [one["content"] for one in answer.json()["messages"]] == texts
    nothing: dict[str, Any] = {
        "id": "never",
        "messages": [],
        "summary": None,
        "peer_representation": None,
        "peer_card": None,
    }
    assert (await w.get("/sessions/never/context")).json() == nothing
    assert (await w.get("/sessions/%FF/context")).status_code == 200
    summaries = {"id": "s", "short_summary": None, "long_summary": None}
    assert (await w.get("/sessions/s/summaries")).json() == summaries
    assert first_fault(await w.get("/sessions/s/context", tokens=100_001))["loc"] == ["query", "tokens"]
    text_of(await w.get("/sessions/s/context", peer_target="ann", peer_perspective="never"), 404)


async def test_the_queue_counts_what_is_to_be_derived_from(w: Caller) -> None:
    quiet = {"content": "x", "peer_id": "ann", "configuration": {"reasoning": {"enabled": False}}}
    await w.say("s", "one", quiet)
    await w.new_session("off", configuration={"reasoning": {"enabled": False}})
    await w.say("off", "two", peer="bob")
    status = (await w.get("/queue/status")).json()
    assert (status["total_work_units"], status["completed_work_units"], status["pending_work_units"]) == (1, 1, 0)
    (one,) = status["sessions"].values()
    assert (one["session_id"], one["total_work_units"]) == ("s", 1)
    assert (await w.get("/queue/status", session_id="s")).json()["sessions"] is None
    assert (await w.get("/queue/status", sender_id="bob")).json()["total_work_units"] == 0
    assert (await w.get("/queue/status", observer_id="ann")).json()["total_work_units"] == 0


async def test_a_message_that_asks_for_it_is_counted_where_reasoning_is_off(w: Caller) -> None:
    off = {"reasoning": {"enabled": False}}
    asking = {"content": "x", "peer_id": "ann", "configuration": {"reasoning": {"enabled": True}}}
    await w.new_session("off", configuration=off)
    await w.say("off", asking, asking | {"configuration": {"reasoning": {"enabled": None}}}, "two")
    await w.say("on", "three", peer="bob")
    assert await _units(w) == {"off": 1, "on": 1}
    assert (await w.put("", {"configuration": off})).status_code == 200
    assert await _units(w) == {"off": 1}
    assert await _units(w, sender_id="bob") == {}
    assert (await w.get("/queue/status", session_id="off", sender_id="ann")).json()["total_work_units"] == 1


async def test_what_a_clone_copied_is_not_derived_from_again(w: Caller) -> None:
    await w.say("s", "one", {"content": "x", "peer_id": "ann", "configuration": {"reasoning": {"enabled": True}}})
    answer = await w.post("/sessions/s/clone")
    assert answer.status_code == 201
    assert await _units(w) == {"s": 2}
    copy = answer.json()["id"]
    await w.say(copy, "new")
    assert await _units(w) == {"s": 2, copy: 1}


async def _units(w: Caller, **asked: str) -> dict[str, int]:
    """The units of work of each session."""
    sessions = (await w.get("/queue/status", **asked)).json()["sessions"] or {}
    return {one["session_id"]: one["completed_work_units"] for one in sessions.values()}
