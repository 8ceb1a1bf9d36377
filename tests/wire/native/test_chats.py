"""Chats over HTTP: made safely in a session or alone, named, listed by reach."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain.ids import Uid, text_of
from tests.wire.native.caller import Caller, chat_path, good, problem
from tests.wire.native.conftest import MakeCaller, Pages

PATH = "/chats"


async def made_by(key: Caller, **body: Any) -> dict[str, Any]:
    return good(await key.ask("POST", PATH, json=body), 201)


async def ids(pages: Pages, key: Caller, query: str = "") -> list[str]:
    return [one["id"] for one in await pages(key, f"{PATH}?limit=2{query}")]


@pytest.fixture
async def session(ours: Caller) -> str:
    """A session of ann's."""
    made = good(await ours.ask("POST", "/sessions", json={"id": "s", "participant": "ann"}), 201)
    shown: str = made["id"]
    return shown


async def test_a_chat_alone_has_a_session_of_its_own(ours: Caller) -> None:
    made = await made_by(ours, id="a/b", participant="ann", title="Trip")
    assert made == {
        "id": "a/b",
        "session": {"id": "a/b", "shape": "single"},
        "participant": "ann",
        "title": "Trip",
        "message_count": 0,
        "last_message_at": None,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "active_turn": None,
        "connections": 0,
    }
    answer = await ours.ask("POST", PATH, json={"id": "a/b", "title": "Other"})
    assert good(answer) == made
    assert answer.headers["location"] == "/antiphon/v1/chats/a%2Fb"
    assert answer.headers["etag"] == (await ours.ask("GET", chat_path("a/b"))).headers["etag"]
    problem(await ours.ask("POST", PATH, json={"id": "a/b", "participant": "ben"}), 409, "id_taken")
    assert (await made_by(ours))["title"] == "New chat"


async def test_a_chat_in_a_session_is_its_owners(ours: Caller, session: str) -> None:
    made = await made_by(ours, id="c", session=session, title="Trip")
    assert (made["session"], made["participant"], made["title"]) == ({"id": "s", "shape": "multi"}, "ann", "Trip")
    assert good(await ours.ask("POST", PATH, json={"id": "c", "session": session, "participant": "ann"})) == made
    assert good(await ours.ask("GET", f"/sessions/{session}"))["chats"] == 2
    refused = await ours.ask("POST", PATH, json={"session": session, "participant": "ben"})
    assert [error["field"] for error in problem(refused, 400, "invalid_input")["errors"]] == ["participant"]
    problem(await ours.ask("POST", PATH, json={"id": "c"}), 409, "id_taken")
    good(await ours.ask("POST", "/sessions", json={"id": "s2"}), 201)
    problem(await ours.ask("POST", PATH, json={"id": "c", "session": "s2"}), 409, "id_taken")
    problem(await ours.ask("POST", PATH, json={"session": "never"}), 404, "not_found")


async def test_a_single_session_takes_no_other_chat(ours: Caller) -> None:
    made = await made_by(ours, id="c")
    assert good(await ours.ask("POST", PATH, json={"id": "c", "session": "c"})) == made
    problem(await ours.ask("POST", PATH, json={"session": "c"}), 409, "conflict")
    problem(await ours.ask("POST", PATH, json={"id": "c2", "session": "c"}), 409, "conflict")


@pytest.mark.parametrize(
    ("body", "field"),
    [({"id": ""}, "id"), ({"id": "x" * 513}, "id"), ({"title": ""}, "title"), ({"participant": " "}, "participant")],
)
@pytest.mark.parametrize("place", [{}, {"session": "s"}])
@pytest.mark.usefixtures("session")
async def test_what_cannot_be_is_refused(ours: Caller, body: dict[str, Any], field: str, place: dict[str, str]) -> None:
    refused = problem(await ours.ask("POST", PATH, json=body | place), 400, "invalid_input")
    assert [error["field"] for error in refused["errors"]] == [field]


async def test_a_chat_shows_what_lives_in_it(ours: Caller, instance: Instance) -> None:
    await made_by(ours, id="c", participant="ann")
    tenant = (await instance.tenants.get("t1")).id
    chat = await instance.chats.get(tenant, "c")
    connection = await instance.connections.open(tenant, chat.key, "ann", lambda _: None)
    turn = await ours.start("c", "[[hang]]")
    shown = good(await ours.ask("GET", chat_path("c")))
    assert (shown["connections"], shown["active_turn"], shown["message_count"]) == (1, turn["id"], 1)
    assert good(await ours.ask("GET", PATH))["items"] == [shown]
    await instance.connections.close(connection)
    good(await ours.ask("POST", f"/turns/{turn['id']}/stop"))
    shown = good(await ours.ask("GET", chat_path("c")))
    assert (shown["connections"], shown["active_turn"]) == (0, None)


async def test_a_title_is_changed_as_it_was_seen(ours: Caller) -> None:
    made = await made_by(ours, id="c")
    tag = (await ours.ask("GET", chat_path("c"))).headers["etag"]
    changed = good(await ours.ask("PATCH", chat_path("c"), json={"title": "T"}, headers={"if-match": tag}))
    assert changed == {**made, "title": "T", "updated_at": changed["updated_at"]}
    problem(await ours.ask("PATCH", chat_path("c"), json={"title": "U"}, headers={"if-match": tag}), 412, "changed")
    assert good(await ours.ask("PATCH", chat_path("c"), json={"title": "V"}))["title"] == "V"
    for body, code in (({"title": ""}, "invalid_input"), ({}, "invalid_input"), ({"name": "x"}, "unknown_field")):
        problem(await ours.ask("PATCH", chat_path("c"), json=body), 400, code)


async def test_a_change_behind_the_tag_is_seen(
    ours: Caller, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made_by(ours, id="c")
    tag = (await ours.ask("GET", chat_path("c"))).headers["etag"]
    rename = type(instance.chats).rename

    async def rename_late(self: Any, tenant_id: Uid, chat: Any, title: str, **more: Any) -> Any:
        await rename(self, tenant_id, chat, "first", if_unchanged=False)
        return await rename(self, tenant_id, chat, title, **more)

    monkeypatch.setattr(type(instance.chats), "rename", rename_late)
    problem(await ours.ask("PATCH", chat_path("c"), json={"title": "U"}, headers={"if-match": tag}), 412, "changed")
    assert good(await ours.ask("GET", chat_path("c")))["title"] == "first"


async def test_a_chat_is_deleted_as_it_was_seen(ours: Caller) -> None:
    await made_by(ours, id="c")
    old = (await ours.ask("GET", chat_path("c"))).headers["etag"]
    said = {"messages": [{"role": "user", "participant": "ann", "text": "wait"}]}
    good(await ours.ask("POST", f"{chat_path('c')}/messages", json=said), 201)
    problem(await ours.ask("DELETE", chat_path("c"), headers={"if-match": old}), 412, "changed")
    tag = (await ours.ask("GET", chat_path("c"))).headers["etag"]
    good(await ours.ask("DELETE", chat_path("c"), headers={"if-match": f'"other", {tag}'}), 202)
    problem(await ours.ask("GET", chat_path("c")), 404, "not_found")


async def test_chats_are_listed_the_newest_first_by_filter(ours: Caller, session: str, pages: Pages) -> None:
    (first,) = await ids(pages, ours)
    await made_by(ours, id="c1", participant="ben")
    await made_by(ours, id="c2", session=session)
    await made_by(ours, id="c3", participant="ann")
    assert await ids(pages, ours) == ["c3", "c2", "c1", first]
    assert await ids(pages, ours, f"&session={session}") == ["c2", first]
    assert await ids(pages, ours, "&participant=ann") == ["c3", "c2", first]
    assert await ids(pages, ours, f"&participant=ben&session={session}") == []
    assert await ids(pages, ours, "&participant=never") == []
    problem(await ours.ask("GET", f"{PATH}?session=never"), 404, "not_found")
    problem(await ours.ask("GET", f"{PATH}?session="), 400, "invalid_input")
    cursor = good(await ours.ask("GET", f"{PATH}?limit=1"))["next"]
    problem(await ours.ask("GET", f"{PATH}?participant=ann&cursor={cursor}"), 400, "invalid_cursor")


async def test_a_list_has_what_the_key_reaches(
    ours: Caller, session: str, caller: MakeCaller, pages: Pages, instance: Instance
) -> None:
    (first,) = await ids(pages, ours)
    await made_by(ours, id="bens", participant="ben")
    await made_by(ours, id="joined", participant="ben")
    tenant = (await instance.tenants.get("t1")).id
    await instance.members.join(tenant, ["joined"], "peer", ["ann"])
    ann, bound = await caller("t1", "ann"), await caller("t1", None, "session", session_id=session)
    assert await ids(pages, ann) == ["joined", first]
    assert await ids(pages, ann, "&participant=ben") == ["joined"]
    assert await ids(pages, bound) == [first]
    assert await ids(pages, await caller("t2")) == []
    problem(await ann.ask("GET", f"{PATH}?session=bens"), 404, "not_found")
    problem(await bound.ask("GET", f"{PATH}?session=bens"), 404, "not_found")
    problem(await ann.ask("PATCH", chat_path("joined"), json={"title": "T"}), 403, "access_denied")
    problem(await ann.ask("POST", PATH, json={"id": "bens"}), 409, "id_taken")
    problem(await ann.ask("POST", PATH, json={"participant": "ben"}), 403, "access_denied")
    assert (await made_by(ann))["participant"] == "ann"
    problem(await bound.ask("POST", PATH, json={}), 403, "access_denied")
    assert (await made_by(bound, session=session))["participant"] == "ann"
    assert text_of(tenant) not in (await ann.ask("GET", PATH)).text
