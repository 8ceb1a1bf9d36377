"""Sessions over HTTP: made safely, named, listed by reach."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conftest import MakeKey
from tests.wire.native.caller import Caller, good, problem
from tests.wire.native.conftest import MakeCaller, Pages

PATH = "/sessions"


async def made_by(key: Caller, **body: Any) -> dict[str, Any]:
    return good(await key.ask("POST", PATH, json=body), 201)


async def ids(pages: Pages, key: Caller, query: str = "") -> list[str]:
    return [one["id"] for one in await pages(key, f"{PATH}?limit=2{query}")]


async def test_a_session_is_made_with_a_chat(ours: Caller) -> None:
    made = await made_by(ours, participant="ann", title="Trip")
    assert (made["shape"], made["participant"], made["title"], made["chats"]) == ("multi", "ann", "Trip", 1)
    assert made["created_at"] == made["updated_at"]
    answer = await ours.ask("GET", f"{PATH}/{made['id']}")
    assert good(answer) == made
    assert answer.headers["etag"] == (await ours.ask("HEAD", f"{PATH}/{made['id']}")).headers["etag"]
    (chat,) = good(await ours.ask("GET", f"/chats?session={made['id']}"))["items"]
    assert (chat["session"], chat["participant"]) == ({"id": made["id"], "shape": "multi"}, "ann")


async def test_a_single_session_is_its_chat(ours: Caller) -> None:
    made = await made_by(ours, id="a/b", shape="single", participant="ann", title="Trip")
    chat = good(await ours.ask("GET", "/chats/a%2Fb"))
    assert (chat["session"], chat["title"], chat["participant"]) == ({"id": "a/b", "shape": "single"}, "Trip", "ann")
    answer = await ours.ask("POST", PATH, json={"id": "a/b", "shape": "single"})
    assert good(answer) == made
    assert answer.headers["location"] == "/antiphon/v1/sessions/a%2Fb"


async def test_making_one_again_changes_nothing(ours: Caller) -> None:
    made = await made_by(ours, id="s", participant="ann", title="Trip")
    again = {"id": "s", "participant": "ann", "title": "Other"}
    assert good(await ours.ask("POST", PATH, json=again)) == made
    for other in ({"id": "s", "shape": "single"}, {"id": "s", "participant": "ben"}):
        problem(await ours.ask("POST", PATH, json=other), 409, "id_taken")
    await made_by(ours, id="c", shape="single")
    good(await ours.ask("POST", "/chats", json={"id": "c2", "session": "s"}), 201)
    problem(await ours.ask("POST", PATH, json={"id": "c2", "shape": "single"}), 409, "id_taken")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "x" * 513}, "id"),
        ({"id": "a\0b"}, "id"),
        ({"shape": "round"}, "shape"),
        ({"participant": ""}, "participant"),
        ({"title": " "}, "title"),
        ({"title": "x" * 8_193}, "title"),
        ({"title": 5}, "title"),
    ],
)
async def test_what_cannot_be_is_refused(ours: Caller, body: dict[str, Any], field: str) -> None:
    refused = problem(await ours.ask("POST", PATH, json=body), 400, "invalid_input")
    assert [error["field"] for error in refused["errors"]] == [field]
    assert good(await ours.ask("GET", PATH))["items"] == []


async def test_the_owner_is_the_keys_participant_or_the_agent(ours: Caller, caller: MakeCaller) -> None:
    assert (await made_by(ours))["participant"] == "assistant"
    named = await caller("t1", "ann", "tenant")
    assert (await made_by(named))["participant"] == "ann"
    ann = await caller("t1", "ann")
    assert (await made_by(ann))["participant"] == "ann"
    problem(await ann.ask("POST", PATH, json={"participant": "ben"}), 403, "access_denied")
    bound = await caller("t1", None, "session", session_id="s")
    problem(await bound.ask("POST", PATH, json={"id": "s"}), 403, "access_denied")


async def test_a_title_is_changed_as_it_was_seen(ours: Caller) -> None:
    for shape in ("multi", "single"):
        made = await made_by(ours, id=shape, shape=shape)
        path = f"{PATH}/{made['id']}"
        tag = (await ours.ask("GET", path)).headers["etag"]
        changed = good(await ours.ask("PATCH", path, json={"title": "T"}, headers={"if-match": tag}))
        assert changed == {**made, "title": "T", "updated_at": changed["updated_at"]}
        assert changed["updated_at"] > made["updated_at"]
        problem(await ours.ask("PATCH", path, json={"title": "U"}, headers={"if-match": tag}), 412, "changed")
        assert good(await ours.ask("GET", path)) == changed
        assert good(await ours.ask("PATCH", path, json={"title": "V"}, headers={"if-match": "*"}))["title"] == "V"
        refused = problem(await ours.ask("PATCH", path, json={}), 400, "invalid_input")
        assert refused["errors"] == [{"field": "title", "message": "title is missing"}]
        problem(await ours.ask("PATCH", path, json={"title": "V", "shape": "single"}), 400, "unknown_field")


async def test_a_session_is_deleted_as_it_was_seen(ours: Caller) -> None:
    made = await made_by(ours)
    path = f"{PATH}/{made['id']}"
    old = (await ours.ask("GET", path)).headers["etag"]
    await ours.ask("PATCH", path, json={"title": "T"})
    problem(await ours.ask("DELETE", path, headers={"if-match": old}), 412, "changed")
    tag = (await ours.ask("GET", path)).headers["etag"]
    good(await ours.ask("DELETE", path, headers={"if-match": tag}), 202)
    problem(await ours.ask("GET", path), 404, "not_found")


async def test_sessions_are_listed_the_newest_first_by_filter(ours: Caller, pages: Pages) -> None:
    for at, (shape, owner) in enumerate([("multi", "ann"), ("single", "ben"), ("single", "ann"), ("multi", "ben")]):
        await made_by(ours, id=f"s{at}", shape=shape, participant=owner)
    assert await ids(pages, ours) == ["s3", "s2", "s1", "s0"]
    assert await ids(pages, ours, "&shape=single") == ["s2", "s1"]
    assert await ids(pages, ours, "&participant=ann") == ["s2", "s0"]
    assert await ids(pages, ours, "&participant=ann&shape=multi") == ["s0"]
    assert await ids(pages, ours, "&participant=never") == []
    cursor = good(await ours.ask("GET", f"{PATH}?limit=1"))["next"]
    problem(await ours.ask("GET", f"{PATH}?shape=single&cursor={cursor}"), 400, "invalid_cursor")
    problem(await ours.ask("GET", f"{PATH}?shape=round"), 400, "invalid_input")
    problem(await ours.ask("GET", f"{PATH}?owner=ann"), 400, "unknown_field")


async def test_a_list_has_what_the_key_reaches(
    ours: Caller, caller: MakeCaller, pages: Pages, http: httpx.AsyncClient, make_key: MakeKey
) -> None:
    await made_by(ours, id="anns", participant="ann")
    await made_by(ours, id="bens", participant="ben")
    await made_by(ours, id="joined", shape="single", participant="ben")
    key = {"authorization": f"Bearer {await make_key('t1')}"}
    joining = await http.post("/v3/workspaces/t1/sessions/joined/peers", headers=key, json={"ann": {}})
    assert joining.status_code == 200
    ann, bound = await caller("t1", "ann"), await caller("t1", None, "session", session_id="bens")
    assert await ids(pages, ann) == ["joined", "anns"]
    assert await ids(pages, ann, "&participant=ann") == ["anns"]
    assert await ids(pages, ann, "&participant=ben") == ["joined"]
    assert await ids(pages, bound) == ["bens"]
    assert await ids(pages, bound, "&participant=ann") == []
    assert await ids(pages, await caller("t1", None, "session", session_id="never")) == []
    assert await ids(pages, await caller("t2")) == []
    problem(await ann.ask("GET", f"{PATH}/bens"), 404, "not_found")
    problem(await ann.ask("PATCH", f"{PATH}/bens", json={"title": "T"}), 404, "not_found")
    problem(await ann.ask("PATCH", f"{PATH}/joined", json={"title": "T"}), 403, "access_denied")
    problem(await ann.ask("POST", PATH, json={"id": "bens"}), 409, "id_taken")
    assert good(await ann.ask("POST", PATH, json={"id": "anns"}))["id"] == "anns"
