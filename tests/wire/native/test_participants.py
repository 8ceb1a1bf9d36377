"""Participants over HTTP."""

from __future__ import annotations

import pytest

from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain.ids import text_of
from tests.wire.native.caller import Caller, good, problem
from tests.wire.native.conftest import MakeCaller, Pages

NEVER = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def people(instance: Instance, ours: Caller) -> list[str]:
    """The ids of ann, ben, cid, and of a scope that is called ann too."""
    tenant = (await instance.tenants.get("t1")).id
    made = [(await instance.participants.put(tenant, name, f'{{"n":"{name}"}}'))[0] for name in ("ann", "ben", "cid")]
    await instance.participants.put_scope(tenant, "ann", None)
    return [good(await ours.ask("GET", f"/participants?name={who.name}"))["items"][0]["id"] for who in made] + [
        good(await ours.ask("GET", "/participants?kind=scope"))["items"][0]["id"]
    ]


async def test_a_participant_is_found_by_the_id_that_is_shown_and_by_its_name(ours: Caller, people: list[str]) -> None:
    answer = await ours.ask("GET", f"/participants/{people[1]}")
    found = good(answer)
    assert {name: found[name] for name in ("id", "kind", "name", "metadata")} == {
        "id": people[1],
        "kind": "peer",
        "name": "ben",
        "metadata": {"n": "ben"},
    }
    assert answer.headers["etag"] == (await ours.ask("HEAD", f"/participants/{people[1]}")).headers["etag"]
    assert good(await ours.ask("GET", "/participants/ben")) == found
    assert good(await ours.ask("GET", "/participants/ann"))["id"] == people[0]
    for unknown in (NEVER, "dan", people[1].upper()):
        problem(await ours.ask("GET", f"/participants/{unknown}"), 404, "not_found")


async def test_participants_come_by_kind_and_name(ours: Caller, people: list[str], pages: Pages) -> None:
    async def found(query: str) -> list[str]:
        return [one["id"] for one in await pages(ours, f"/participants?limit=1{query}")]

    assert await found("") == people
    assert await found("&kind=peer") == people[:3]
    assert await found("&kind=scope") == people[3:]
    assert await found("&name=ann") == [people[0], people[3]]
    assert await found("&name=never") == []
    assert await found("&name=a%00b") == []
    for query in ("kind=robot", "kind=gone", "name=", "name=ann&role=user"):
        assert (await ours.ask("GET", f"/participants?{query}")).status_code == 400


async def test_a_cursor_is_of_one_filter(ours: Caller, people: list[str]) -> None:
    cursor = good(await ours.ask("GET", "/participants?limit=1&kind=peer"))["next"]
    problem(await ours.ask("GET", f"/participants?cursor={cursor}"), 400, "invalid_cursor")
    page = good(await ours.ask("GET", f"/participants?limit=1&kind=peer&cursor={cursor}"))
    assert [one["id"] for one in page["items"]] == people[1:2]


async def test_others_do_not_see_them(caller: MakeCaller, people: list[str]) -> None:
    theirs = await caller("t2")
    problem(await theirs.ask("GET", f"/participants/{people[0]}"), 404, "not_found")
    assert good(await theirs.ask("GET", "/participants"))["items"] == []
    for less in (await caller("t1", "ann"), await caller("t1", None, "session", session_id="s")):
        problem(await less.ask("GET", "/participants"), 403, "access_denied")
        problem(await less.ask("GET", f"/participants/{people[0]}"), 403, "access_denied")


async def test_an_owner_whom_nobody_has_named_is_shown_here_and_is_no_peer_yet(
    ours: Caller, instance: Instance
) -> None:
    made = good(await ours.ask("POST", "/sessions", json={"id": "s"}), 201)
    chat = good(await ours.ask("POST", "/chats", json={"id": "c"}), 201)
    assert (made["participant"], chat["participant"]) == ("assistant", "assistant")
    found = good(await ours.ask("GET", "/participants/assistant"))
    assert good(await ours.ask("GET", "/participants"))["items"] == [found]
    listed = good(await ours.ask("GET", "/sessions?participant=assistant"))["items"]
    assert sorted(one["id"] for one in listed) == ["c", "s"]
    tenant = (await instance.tenants.get("t1")).id
    assert await instance.participants.list(tenant, Slice(0, 10)) == ([], 0)
    good(await ours.ask("POST", "/chats", json={"id": "d", "participant": "assistant"}), 201)
    peers, total = await instance.participants.list(tenant, Slice(0, 10))
    assert ([(one.name, text_of(one.id)) for one in peers], total) == ([("assistant", found["id"])], 1)
