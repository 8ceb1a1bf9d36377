"""Sessions that are in scopes from the start, scopes asked of together, and one conclusion by its id."""

from __future__ import annotations

from antiphon.domain.limits import HONCHO_SCOPES_PER_REQUEST
from tests.wire.honcho.caller import Caller, first_fault, text_of
from tests.wire.honcho.conftest import MakeCaller


async def in_scope(w: Caller, scope_id: str) -> list[str]:
    return [one["id"] for one in await w.listed(f"/scopes/{scope_id}/sessions/list")]


async def test_a_session_joins_scopes_when_it_is_made_and_later(w: Caller) -> None:
    await w.new_session("s", scopes=["home", "away"])
    assert (await w.post("/sessions", {"id": "s", "scopes": ["home", "new"]})).status_code == 200
    assert [await in_scope(w, one) for one in ("home", "away", "new")] == [["s"], ["s"], ["s"]]
    assert await w.members("s") == []
    await w.new_session("t", scopes=[])
    await w.new_session("u", scopes=None)
    assert await in_scope(w, "home") == ["s"]


async def test_what_is_no_scope_is_refused_and_nothing_made(w: Caller) -> None:
    assert first_fault(await w.post("/sessions", {"id": "s", "scopes": ["a b"]}))["loc"] == ["body", "scopes", 0]
    many = [f"n{number}" for number in range(HONCHO_SCOPES_PER_REQUEST + 1)]
    assert first_fault(await w.post("/sessions", {"id": "s", "scopes": many}))["type"] == "too_long"
    assert await w.listed("/sessions/list") == []
    assert await w.listed("/scopes/list") == []


async def test_the_form_of_a_request_is_looked_at_before_the_scope_is_looked_for(w: Caller) -> None:
    assert first_fault(await w.post("/scopes/never/sessions", {}))["type"] == "missing"
    assert first_fault(await w.post("/scopes/never/sessions/list", None, page=0))["loc"] == ["query", "page"]
    text_of(await w.post("/scopes/never/sessions", {"session_ids": ["s"]}), 404)
    text_of(await w.post("/scopes/never/sessions/list"), 404)


async def test_scopes_are_for_whole_workspaces(w: Caller, caller: MakeCaller) -> None:
    await w.new_session("s", peers={"ann": {}})
    ann = await caller("w1", "ann", "participant")
    of_session = await caller("w1", None, "session", session_id="s")
    for one, session_id in ((ann, "new"), (of_session, "s")):
        text_of(await one.post("/sessions", {"id": session_id, "scopes": ["home"]}), 401)
    assert await w.listed("/scopes/list") == []


async def test_several_scopes_show_what_any_of_them_has(w: Caller) -> None:
    for session_id, scope in (("s", "home"), ("t", "away"), ("u", "other")):
        await w.new_session(session_id, peers={"ann": {}}, scopes=[scope])
        about = {"content": f"said in {session_id}", "observer_id": "ann", "observed_id": "ann"}
        made = await w.post("/conclusions", {"conclusions": [{**about, "session_id": session_id}]})
        assert made.status_code == 201
    scopes: list[str | list[str]] = ["home", ["home", "away"], []]
    for asked, shown in zip(scopes, (["s"], ["s", "t"], []), strict=True):
        answer = await w.post("/peers/ann/representation", {"scope": asked})
        text = answer.json()["representation"]
        assert [one for one in ("s", "t", "u") if f"said in {one}" in text] == shown
    assert (await w.post("/peers/ann/chat", {"query": "who?", "scope": ["home", "away"]})).status_code == 200
    text_of(await w.post("/peers/ann/chat", {"query": "who?", "scope": ["home", "never"]}), 404)
    text_of(await w.post("/peers/ann/representation", {"scope": ["never"]}), 404)


async def test_one_conclusion_is_found_by_its_id(w: Caller, caller: MakeCaller) -> None:
    await w.new_session("s", peers={"ann": {}})
    about = {"content": "is kind", "observer_id": "ann", "observed_id": "ann"}
    (made,) = (await w.post("/conclusions", {"conclusions": [about]})).json()
    assert (await w.get(f"/conclusions/{made['id']}")).json() == made
    for other in ("never", "*", "%00", "N" * 600):
        assert "not found" in text_of(await w.get(f"/conclusions/{other}"), 404).lower()
    stranger = await caller("w2")
    text_of(await stranger.get(f"/conclusions/{made['id']}"), 404)
    text_of(await (await caller("w1", "ann", "participant")).get(f"/conclusions/{made['id']}"), 401)
    await w.delete(f"/conclusions/{made['id']}")
    text_of(await w.get(f"/conclusions/{made['id']}"), 404)
