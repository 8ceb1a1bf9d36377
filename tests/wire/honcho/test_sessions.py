"""Sessions: get or make, list, members, delete."""

from __future__ import annotations

from typing import Any

from antiphon.core.instance import Instance
from antiphon.domain.messages import USER, Draft
from tests.wire.honcho.caller import Caller, first_fault, items_of, text_of
from tests.wire.honcho.conftest import MakeCaller

FIELDS = {"id", "is_active", "workspace_id", "metadata", "configuration", "created_at"}


async def test_a_session_is_made_once_and_then_changed(w: Caller) -> None:
    made = await w.new_session("s", metadata={"a": 1}, configuration={"one": 1, "two": {"x": 1}}, peers={"ann": {}})
    assert set(made) == FIELDS
    assert (made["id"], made["is_active"], made["workspace_id"]) == ("s", True, "w1")
    again = await w.post("/sessions", {"id": "s"})
    assert (again.status_code, again.json()) == (200, made)
    changed = await w.post(
        "/sessions", {"id": "s", "metadata": {"b": 2}, "configuration": {"two": 2}, "peer_names": {"bob": {}}}
    )
    assert changed.json() == {**made, "metadata": {"b": 2}, "configuration": {"one": 1, "two": 2}}
    assert await w.members("s") == ["ann", "bob"]


async def test_a_session_of_an_administrator_makes_its_workspace(admin: Caller) -> None:
    answer = await admin.top("POST", "/workspaces/brand-new/sessions", {"id": "s"})
    assert (answer.status_code, answer.json()["workspace_id"]) == (201, "brand-new")
    text_of(await admin.top("POST", "/workspaces/no%20name/sessions", {"id": "s"}), 422)


async def test_peers_that_cannot_be_are_refused_and_nothing_is_made(w: Caller) -> None:
    for bad in ("scope.x", "not an id", "", "x" * 513, "a\x00"):
        text_of(await w.post("/sessions", {"id": "s", "peers": {"ann": {}, bad: {}}}), 422)
    entry = first_fault(await w.post("/sessions", {"id": "s", "peers": {"ann": {"observe_me": "perhaps"}}}))
    assert (entry["type"], entry["loc"]) == ("bool_parsing", ["body", "peers", "ann", "observe_me"])
    entry = first_fault(await w.post("/sessions", {"id": "s", "peers": ["ann"]}))
    assert (entry["type"], entry["loc"]) == ("dict_type", ["body", "peers"])
    many: dict[str, Any] = {f"p{i}": {} for i in range(1001)}
    assert first_fault(await w.post("/sessions", {"id": "s", "peers": many}))["type"] == "too_long"
    assert await w.listed("/sessions/list") == []


async def test_a_peer_of_another_dialect_keeps_its_name(w: Caller, instance: Instance) -> None:
    tenant = await instance.tenants.get("w1")
    await instance.participants.put(tenant.id, "ann@example.org")
    await instance.participants.put(tenant.id, "scope.x")
    await w.new_session("s", peers={"ann@example.org": {}})
    await w.say("s", "hello", peer="ann@example.org")
    assert await w.members("s") == ["ann@example.org"]
    text_of(await w.post("/sessions", {"id": "t", "peers": {"scope.x": {}}}), 422)


async def test_too_many_observers_are_refused_and_nothing_is_made(w: Caller) -> None:
    ten = {f"p{i}": {"observe_others": True} for i in range(10)}
    said = text_of(await w.post("/sessions", {"id": "s", "peers": {**ten, "one": {"observe_others": True}}}), 400)
    assert "11 observers" in said
    assert "Maximum allowed is 10 observers" in said
    assert await w.listed("/sessions/list") == []
    await w.new_session("s", peers={**ten, "one": {"observe_others": False}})


async def test_sessions_are_listed_in_order_of_making(w: Caller) -> None:
    made = [await w.new_session(f"s{i}", metadata={"n": i}) for i in range(5)]
    assert await w.listed("/sessions/list") == made
    assert await w.listed("/sessions/list", reverse="1") == made[::-1]
    assert await w.listed("/sessions/list", size=2, page=3) == made[4:]
    assert await w.listed("/sessions/list", {"id": "s3"}) == [made[3]]
    assert await w.listed("/sessions/list", {"id": {"in": ["s4", "never", "s1"]}, "is_active": True}) == [
        made[1],
        made[4],
    ]
    assert await w.listed("/sessions/list", {"id": {"in": ["s4", "s1"]}}, size=1, page=2, reverse="on") == [made[1]]
    assert await w.listed("/sessions/list", {"id": {"in": []}}) == []
    assert await w.listed("/sessions/list", {"id": "s3", "is_active": False}) == []


async def test_filters_that_are_not_understood_are_refused(w: Caller) -> None:
    refused = [{"colour": 1}, {"id": 5}, {"is_active": "yes"}, {"id": {"in": "a"}}, {"id": "a", "NOT": {}},
               {"id": {"in": [f"s{i}" for i in range(1001)]}}]  # fmt: skip
    for filters in refused:
        text_of(await w.post("/sessions/list", {"filters": filters}), 422)
    entry = first_fault(await w.post("/sessions/list", {"filters": ["id"]}))
    assert (entry["type"], entry["loc"]) == ("dict_type", ["body", "filters"])


async def test_lists_of_what_is_not_there_are_empty(w: Caller, admin: Caller) -> None:
    empty = {"items": [], "total": 0, "page": 1, "size": 50, "pages": 0}
    for path in (
        "/sessions/never",
        "/sessions/not%20an%20id",
        "/sessions/a%00b",
        "/sessions/%FF",
        f"/sessions/{'x' * 600}",
    ):
        assert (await w.post(f"{path}/messages/list")).json() == empty
        assert (await w.get(f"{path}/peers")).json() == empty
    for name in ("never", "not%20an%20id", "%FF", "a%00b"):
        assert (await admin.top("POST", f"/workspaces/{name}/sessions/list")).json() == empty
        assert (await admin.top("POST", f"/workspaces/{name}/sessions/s/messages/list")).json() == empty
        assert (await admin.top("GET", f"/workspaces/{name}/sessions/s/peers")).json() == empty


async def test_members_are_paged(w: Caller) -> None:
    await w.new_session("s", peers={f"p{i}": {} for i in range(5)})
    page = await w.get("/sessions/s/peers", size=2, page=2)
    assert [peer["id"] for peer in items_of(page)] == ["p2", "p3"]
    assert (page.json()["total"], page.json()["pages"]) == (5, 3)
    assert page.json()["items"][0]["workspace_id"] == "w1"
    assert first_fault(await w.get("/sessions/s/peers", size=101))["loc"] == ["query", "size"]


async def test_a_deleted_session_is_gone_at_once(w: Caller) -> None:
    old = await w.new_session("s", metadata={"old": 1}, peers={"ann": {}})
    stored = await w.say("s", "one", "two")
    answer = await w.delete("/sessions/s")
    assert answer.status_code == 202
    assert isinstance(answer.json()["message"], str)
    assert await w.listed("/sessions/list") == []
    assert await w.listed("/sessions/list", {"id": "s"}) == []
    assert await w.texts("s") == []
    assert await w.members("s") == []
    text_of(await w.get(f"/sessions/s/messages/{stored[0]['id']}"), 404)
    text_of(await w.delete("/sessions/s"), 404)
    again = await w.new_session("s")
    assert (again["metadata"], again["created_at"] > old["created_at"]) == ({}, True)
    assert (await w.texts("s"), await w.members("s")) == ([], [])
    text_of(await w.get(f"/sessions/s/messages/{stored[0]['id']}"), 404)


async def test_what_was_never_there_is_not_deleted(w: Caller, admin: Caller) -> None:
    for path in ("/sessions/never", "/sessions/not%20an%20id", "/sessions/a%00b", "/sessions/%FF", "/sessions/a%2Fb"):
        text_of(await w.delete(path), 404)
    text_of(await admin.top("DELETE", "/workspaces/never/sessions/s"), 404)


async def test_a_session_with_several_chats_is_not_shown(w: Caller, instance: Instance) -> None:
    tenant = await instance.tenants.get("w1")
    owner, _ = await instance.participants.put(tenant.id, "ann")
    session, chat = await instance.sessions.create(tenant.id, owner.id, "Berlin")
    await instance.messages.append(tenant.id, chat.key, [Draft("ann", USER, "hello")])
    text_of(await w.post("/sessions", {"id": session.id}), 409)
    text_of(await w.delete(f"/sessions/{session.id}"), 404)
    text_of(await w.post(f"/sessions/{session.id}/messages", {"messages": [{"content": "x", "peer_id": "ann"}]}), 404)
    assert await w.texts(session.id) == []
    assert items_of(await w.get(f"/sessions/{session.id}/peers")) == []
    assert await w.listed("/sessions/list") == []
    assert await w.listed("/sessions/list", {"id": session.id}) == []
    assert (await instance.sessions.get(tenant.id, session.id)).title == "Berlin"


async def test_a_session_of_one_chat_made_elsewhere_is_shown_and_deleted(w: Caller, instance: Instance) -> None:
    tenant = await instance.tenants.get("w1")
    chat, _ = await instance.chats.create_single(tenant.id, "ann", "Tea", "{}")
    await w.say(chat.id, "hello")
    assert [one["id"] for one in await w.listed("/sessions/list")] == [chat.id]
    assert (await w.delete(f"/sessions/{chat.id}")).status_code == 202
    assert await instance.chats.find(tenant.id, chat.id) is None


async def test_the_owner_is_who_made_it(w: Caller, caller: MakeCaller, instance: Instance) -> None:
    tenant = await instance.tenants.get("w1")
    cases: list[tuple[str, Caller, dict[str, Any], str]] = [
        ("a", w, {"bob": {}, "cid": {}}, "bob"),
        ("b", w, {}, tenant.agent_name),
        ("c", await caller("w1", "ann", "tenant"), {"bob": {}}, "ann"),
        ("d", await caller("w1", "dan"), {"bob": {}}, "dan"),
        ("e", await caller("w1", "eve", "admin", home="elsewhere"), {"bob": {}}, "bob"),
    ]
    for session_id, one, peers, owner in cases:
        await one.new_session(session_id, peers=peers)
        chat = await instance.chats.find_of_single(tenant.id, session_id)
        assert chat is not None
        assert chat.owner_name == owner


async def test_workspaces_share_nothing_but_names(caller: MakeCaller) -> None:
    one, two = await caller("w1"), await caller("w2")
    for each in (one, two):
        await each.new_session("s", metadata={"of": each.workspace})
        await each.say("s", f"of {each.workspace}")
    for each in (one, two):
        assert await each.texts("s") == [f"of {each.workspace}"]
        assert (await each.listed("/sessions/list", {"id": "s"}))[0]["metadata"] == {"of": each.workspace}
    message = (await two.listed("/sessions/s/messages/list"))[0]
    text_of(await one.get(f"/sessions/s/messages/{message['id']}"), 404)
    assert (await one.delete("/sessions/s")).status_code == 202
    assert await two.texts("s") == ["of w2"]
