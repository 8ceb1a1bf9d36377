"""Members of a session, copies of it, and what is changed of sessions, peers and messages by PUT."""

from __future__ import annotations

from typing import Any

from tests.wire.honcho.caller import Caller, first_fault, text_of
from tests.wire.honcho.conftest import MakeCaller


async def test_members_come_and_go(w: Caller) -> None:
    url = "/sessions/s/peers"
    assert (await w.post(url, {"ann": {}, "bob": {"observe_me": False}})).status_code == 200
    assert await w.members("s") == ["ann", "bob"]
    assert (await w.delete(url, ["ann", "nobody"])).json()["id"] == "s"
    assert (await w.put(url, {"cid": {}})).status_code == 200
    assert await w.members("s") == ["cid"]
    assert (await w.get(f"{url}/bob/config")).json() == {"observe_me": False, "observe_others": None}
    answer = await w.put(f"{url}/cid/config", {"observe_others": True})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await w.get(f"{url}/cid/config")).json() == {"observe_me": None, "observe_others": True}
    for method, path, body in (
        ("GET", f"{url}/never/config", None),
        ("GET", f"{url}/%ff/config", None),
        ("GET", f"{url}/%00/config", None),
        ("PUT", f"{url}/never/config", {}),
        ("PUT", "/sessions/never/peers", {}),
        ("DELETE", "/sessions/never/peers", ["a"]),
        ("POST", "/sessions/no%20id/peers", {"ann": {}}),
        ("PUT", "/sessions/no%20id", {}),
        ("POST", "/sessions/never/clone", None),
    ):
        text_of(await w.call(method, path, body), 404)
    assert first_fault(await w.delete(url, {"a": 1}))["type"] == "list_type"
    text_of(await w.post(url, {"scope.x": {}}), 422)


async def test_too_many_observers_are_refused_wherever_they_come_from(w: Caller) -> None:
    many = {f"p{i}": {"observe_others": True} for i in range(10)}
    await w.new_session("s", peers={**many, "one": {}})
    for answer in (
        await w.put("/sessions/s/peers/one/config", {"observe_others": True}),
        await w.put("/sessions/s/peers", {**many, "new": {"observe_others": True}}),
    ):
        assert "Maximum allowed is 10 observers" in text_of(answer, 400)
    assert "new" not in await w.members("s")


async def test_a_clone_is_a_session_of_its_own(w: Caller) -> None:
    await w.new_session("s", metadata={"a": 1}, peers={"ann": {"observe_others": True}})
    said = await w.say("s", "one two", "three")
    made = (await w.post("/sessions/s/clone")).json()
    assert len(made["id"]) == 21
    assert (made["metadata"], await w.texts(made["id"])) == ({"a": 1}, ["one two", "three"])
    copies = await w.listed(f"/sessions/{made['id']}/messages/list")
    assert [one["token_count"] for one in copies] == [2, 1]
    part = (await w.post("/sessions/s/clone", message_id=said[0]["id"])).json()
    assert await w.texts(part["id"]) == ["one two"]
    for bad in ("N" * 21, "x", copies[0]["id"]):
        text_of(await w.post("/sessions/s/clone", message_id=bad), 404)


async def test_put_replaces_what_is_given(w: Caller) -> None:
    session = (await w.put("/sessions/s", {"metadata": {"a": 1}, "configuration": {"x": 1}})).json()
    assert (await w.put("/sessions/s", {"metadata": {"b": 2}})).json() == {**session, "metadata": {"b": 2}}
    peer = (await w.put("/peers/ann", {"configuration": {"observe_me": False}})).json()
    assert (await w.put("/peers/ann", {"metadata": {"b": 2}})).json() == {**peer, "metadata": {"b": 2}}
    text_of(await w.put("/peers/no%20id", {}), 404)
    (message,) = await w.say("s", {"content": "hi", "peer_id": "ann", "metadata": {"a": 1}})
    url = f"/sessions/s/messages/{message['id']}"
    changed = {**message, "metadata": {"c": 3}}
    assert (await w.put(url, {"metadata": {"c": 3}, "content": "no"})).json() == changed
    assert (await w.put(url, {})).json() == changed
    assert (await w.get(url)).json() == changed
    text_of(await w.put("/sessions/s/messages/" + "N" * 21, {}), 404)


async def test_a_peers_token_changes_no_session(w: Caller, caller: MakeCaller) -> None:
    await w.new_session("s", peers={"ann": {}, "bob": {}})
    ann = await caller("w1", "ann", "participant")
    for method, path, body in (
        ("POST", "/sessions/s/peers", {"eve": {}}),
        ("PUT", "/sessions/s", {}),
        ("POST", "/sessions/s/clone", None),
        ("GET", "/sessions/s/peers/bob/config", None),
        ("PUT", "/peers/bob", {}),
        ("POST", "/peers/bob/sessions", None),
        ("GET", "/sessions/s/context?peer_target=bob", None),
        ("POST", "/conclusions/list", None),
        ("GET", "/queue/status", None),
        ("GET", "/webhooks", None),
        ("POST", "/scopes/list", None),
    ):
        text_of(await ann.call(method, path, body), 401)
    assert (await ann.get("/sessions/s/peers/ann/config")).status_code == 200
    assert (await ann.get("/sessions/s/context", peer_target="ann")).status_code == 200


async def test_metadata_have_the_same_limits_wherever_they_are_given(w: Caller) -> None:
    await w.new_session("s")
    (said,) = await w.say("s", "hello")
    wide: dict[str, Any] = {str(i): i for i in range(101)}
    deep: dict[str, Any] = {"1": {"2": {"3": {"4": {"5": {}}}}}}
    for metadata in (wide, deep):
        for method, path, more in (
            ("PUT", "", {}),
            ("POST", "/peers", {"id": "ann"}),
            ("PUT", "/peers/ann", {}),
            ("POST", "/sessions", {"id": "s"}),
            ("PUT", "/sessions/s", {}),
            ("PUT", f"/sessions/s/messages/{said['id']}", {}),
            ("POST", "/scopes", {"id": "s"}),
        ):
            fault = first_fault(await w.call(method, path, {**more, "metadata": metadata}))
            assert (fault["type"], fault["loc"], fault["input"]) == ("value_error", ["body", "metadata"], metadata)
