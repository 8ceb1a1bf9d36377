"""Deletions on our own wire: planned, ordered by whoever may, watched until the receipt."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.deletions import CANCEL, Order
from antiphon.domain.errors import StoreUnavailable
from antiphon.domain.ids import new_public_id, text_of
from tests.scripted_agent import ScriptedAgent
from tests.wire.native.caller import Caller, chat_path, good, problem
from tests.wire.native.conftest import MakeCaller, MakeChat
from tests.wire.native.deleting import aim, connect, is_there, make_multi, order, say, tenant_id, watch

NEVER = "del_00000000-0000-7000-8000-000000000000"
FIELDS = {
    *("id", "target", "mode", "reason", "state", "requested_at", "detached_at", "undo_until", "purged_at"),
    *("scrubbed_at", "counts", "progress", "attempts", "run_after", "last_error", "overdue", "receipt"),
}


@pytest.fixture
async def idle(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody works on deletions."""

    async def none(*_: Any) -> list[Any]:
        return []

    monkeypatch.setattr(instance.store.deletions, "claim", none)


# From the request to the receipt


@pytest.mark.usefixtures("idle")
async def test_it_is_out_of_reach_with_the_answer(ours: Caller, chat: str, instance: Instance) -> None:
    await say(instance, chat, "one", "two")
    answer = await ours.ask("POST", "/deletions", json={"target": aim(chat), "mode": "cancel", "reason": "ticket 7"})
    deletion = good(answer, 202)
    assert answer.headers["location"] == f"/antiphon/v1/deletions/{deletion['id']}"
    assert set(deletion) == FIELDS
    assert deletion == {
        **deletion,
        "target": {"kind": "chat", "id": chat},
        "mode": "cancel",
        "reason": "ticket 7",
        "state": "purging",
        "undo_until": None,
        "purged_at": None,
        "counts": {},
        "attempts": 0,
        "run_after": None,
        "last_error": None,
        "overdue": False,
        "receipt": None,
    }
    assert deletion["progress"]["done"] == 0
    assert deletion["progress"]["total"] >= 2
    assert deletion["detached_at"] >= deletion["requested_at"]
    assert not await is_there(ours, chat)
    assert good(await ours.ask("GET", f"/deletions/{deletion['id']}")) == deletion


async def test_when_it_is_done_only_a_digest_is_left(ours: Caller, chat: str, instance: Instance) -> None:
    await say(instance, chat, "one", "two")
    done = await watch(ours, await order(ours, aim(chat)))
    assert set(done["target"]) == {"kind", "digest"}
    assert done["target"]["digest"].startswith("hmac:")
    assert done["counts"]["messages"] == 2
    assert done["progress"]["done"] == done["progress"]["total"] == sum(done["counts"].values())
    assert done["scrubbed_at"] >= done["purged_at"] >= done["detached_at"]
    receipt = good(await ours.ask("GET", f"/receipts/{done['receipt']}"))
    assert (receipt["deletion"], receipt["counts"]) == (done["id"], done["counts"])
    assert receipt["target"] == done["target"]


@pytest.mark.parametrize("kind", ["chats", "sessions"])
async def test_a_delete_of_the_thing_itself(ours: Caller, chat: str, kind: str) -> None:
    session = good(await ours.ask("GET", chat_path(chat)))["session"]["id"]
    place = {"chats": chat, "sessions": session}[kind]
    deletion = good(await ours.ask("DELETE", f"/{kind}/{place}", params={"mode": "cancel"}), 202)
    assert (deletion["target"], deletion["mode"]) == (aim(place, kind[:-1]), "cancel")
    assert not await is_there(ours, chat)
    problem(await ours.ask("DELETE", f"/{kind}/{place}"), 404, "not_found")


async def test_an_id_with_a_slash(ours: Caller, instance: Instance) -> None:
    whose = await tenant_id(instance)
    await instance.sessions.put_single(whose, "s/1", "ann")
    deletion = good(await ours.ask("DELETE", "/sessions/s%2F1"), 202)
    assert deletion["target"]["kind"] == "session"
    assert await instance.sessions.find(whose, "s/1") is None


async def test_a_participant_and_a_tenant(ours: Caller, chat: str, instance: Instance, caller: MakeCaller) -> None:
    await say(instance, chat, "from ben", author="ben")
    whose = text_of(await tenant_id(instance))
    done = await watch(ours, await order(ours, aim("ben", "participant")))
    assert done["counts"]["messages"] == 1
    assert good(await ours.ask("GET", chat_path(chat)))["message_count"] == 0
    admin = await caller("t2", scope="admin")
    await order(ours, aim(whose, "tenant"))
    gone = Caller(ours._http, admin.key, whose)
    (last, first) = good(await gone.ask("GET", "/deletions"))["items"]
    assert (last["target"]["kind"], first["id"]) == ("tenant", done["id"])
    await watch(gone, last)
    assert good(await gone.ask("GET", "/receipts/verify")) == {"ok": True, "receipts": 2, "first_error": None}
    unknown = Caller(ours._http, admin.key, new_public_id())
    problem(await unknown.ask("GET", "/deletions"), 404, "not_found")


async def test_a_participant_and_a_tenant_have_two_names(ours: Caller, chat: str) -> None:
    """What a list shows as an id names them too, and a tenant's name its tenant; a plan is the same either way."""
    (ann,) = good(await ours.ask("GET", "/participants?name=ann"))["items"]
    whose = good(await ours.ask("GET", "/whoami"))["tenant"]
    for kind, names in (("participant", ("ann", ann["id"])), ("tenant", (whose["name"], whose["id"]))):
        asked = [await ours.ask("POST", "/deletions/plan", json={"target": aim(name, kind)}) for name in names]
        assert len({good(plan)["digest"] for plan in asked}) == 1
    problem(
        await ours.ask("POST", "/deletions", json={"target": aim(new_public_id(), "participant")}), 404, "not_found"
    )
    deletion = await order(ours, aim(ann["id"], "participant"))
    assert deletion["target"] == {"kind": "participant", "id": "ann"}
    problem(await ours.ask("GET", chat_path(chat)), 404, "not_found")
    deletion = await order(ours, aim(whose["name"], "tenant"))
    assert deletion["target"] == {"kind": "tenant", "id": whose["id"]}


async def test_the_keys_of_who_is_deleted_end_at_once(ours: Caller, caller: MakeCaller) -> None:
    """In the process that is asked, whatever it has in memory."""
    ben, admin = await caller("t1", "ben"), await caller("t2", scope="admin")
    tenant = good(await ben.ask("GET", "/whoami"))["tenant"]["id"]
    await order(ours, aim("ben", "participant"))
    problem(await ben.ask("GET", "/whoami"), 401, "authentication_failed")
    await order(Caller(ours._http, admin.key, tenant), aim(tenant, "tenant"))
    problem(await ours.ask("GET", "/whoami"), 401, "authentication_failed")
    good(await admin.ask("GET", "/whoami"))


# What stands in the way


async def test_what_is_live_is_named(ours: Caller, chat: str, instance: Instance, agent: ScriptedAgent) -> None:
    agent.gate = asyncio.Event()
    turn = await ours.start(chat)
    socket = await connect(instance, chat)
    refused = problem(await ours.ask("POST", "/deletions", json={"target": aim(chat)}), 409, "busy")
    assert [(each["kind"], each["id"]) for each in refused["blocked_by"]] == [
        ("connection", f"con_{text_of(socket)}"),
        ("turn", turn["id"]),
    ]
    assert all(each["until"].endswith("Z") for each in refused["blocked_by"])
    assert problem(await ours.ask("DELETE", chat_path(chat)), 409, "busy")["blocked_by"] == refused["blocked_by"]
    assert await is_there(ours, chat)
    assert (await order(ours, aim(chat), mode="cancel"))["state"] == "purging"


async def test_after_waits_until_nothing_is_live(ours: Caller, chat: str, instance: Instance) -> None:
    socket = await connect(instance, chat)
    deletion = await order(ours, aim(chat), mode="after")
    assert (deletion["state"], deletion["detached_at"]) == ("waiting", None)
    assert await is_there(ours, chat)
    await instance.store.connections.close(await tenant_id(instance), socket)
    await watch(ours, deletion)
    assert not await is_there(ours, chat)


@pytest.mark.parametrize("mode", ["refuse", "cancel", "after"])
async def test_the_last_chat_of_a_session_stays(ours: Caller, instance: Instance, mode: str) -> None:
    session, chat = await make_multi(instance)
    refused = problem(await ours.ask("DELETE", chat_path(chat), params={"mode": mode}), 409, "busy")
    assert refused["blocked_by"] == [{"kind": "last_chat", "id": chat, "until": None}]
    await order(ours, aim(session, "session"))
    assert not await is_there(ours, chat)


# Plans


async def test_a_plan_changes_nothing_and_a_deletion_does_what_it_says(
    ours: Caller, chat: str, instance: Instance
) -> None:
    await say(instance, chat, "one", "two")
    answer = await ours.ask("POST", "/deletions/plan", json={"target": aim(chat)})
    plan = good(answer)
    assert answer.headers["etag"] == f'"{plan["digest"]}"'
    (planned,) = plan["targets"]
    assert (planned["target"], planned["blocked_by"]) == (aim(chat), [])
    assert (planned["counts"]["messages"], planned["counts"]["chats"]) == (2, 1)
    assert await is_there(ours, chat)
    await say(instance, chat, "three")
    if_match = {"if-match": answer.headers["etag"]}
    asked = {"json": {"target": aim(chat)}, "headers": if_match}
    problem(await ours.ask("POST", "/deletions", **asked), 412, "changed")
    problem(await ours.ask("DELETE", chat_path(chat), headers=if_match), 412, "changed")
    assert await is_there(ours, chat)
    digest = good(await ours.ask("POST", "/deletions/plan", json={"target": aim(chat)}))["digest"]
    weak = {"if-match": f'W/"{digest}"'}
    problem(await ours.ask("DELETE", chat_path(chat), headers=weak), 412, "changed")
    good(await ours.ask("DELETE", chat_path(chat), headers={"if-match": f'"other", "{digest}"'}), 202)


async def test_what_comes_between_the_look_and_the_act_is_seen(
    ours: Caller, chat: str, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = good(await ours.ask("POST", "/deletions/plan", json={"target": aim(chat)}))["digest"]
    plan = instance.deletions.plan

    async def then_say(*words: Any) -> Any:
        found = await plan(*words)
        await say(instance, chat, "late")
        return found

    monkeypatch.setattr(instance.deletions, "plan", then_say)
    problem(await ours.ask("DELETE", chat_path(chat), headers={"if-match": f'"{digest}"'}), 412, "changed")
    assert await is_there(ours, chat)


async def test_an_id_that_was_given_again_meanwhile_is_not_touched(
    ours: Caller, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    whose = await tenant_id(instance)
    await instance.sessions.put_single(whose, "again", "ann")
    delete = instance.deletions.delete

    async def after_another(tenant: bytes, target: Any, how: Order) -> Any:
        old = await instance.sessions.get(tenant, "again")
        await instance.deletions.delete_session(tenant, old, CANCEL)
        await instance.sessions.put_single(tenant, "again", "ben")
        return await delete(tenant, target, how)

    monkeypatch.setattr(instance.deletions, "delete", after_another)
    problem(await ours.ask("DELETE", "/sessions/again"), 404, "not_found")
    assert await instance.sessions.find(whose, "again") is not None


@pytest.mark.parametrize("value", ["", "abc", '"abc', 'W/abc"', '"a" "b"'])
async def test_a_condition_that_cannot_be_read_is_no_consent(ours: Caller, chat: str, value: str) -> None:
    body = problem(await ours.ask("DELETE", chat_path(chat), headers={"if-match": value}), 400, "invalid_input")
    assert [error["field"] for error in body["errors"]] == ["If-Match"]
    assert await is_there(ours, chat)


async def test_any_state_will_do(ours: Caller, chat: str) -> None:
    good(await ours.ask("DELETE", chat_path(chat), headers={"if-match": "*"}), 202)


# Several at once


async def test_each_of_several_has_its_own_fate_in_order(
    ours: Caller, make_chat: MakeChat, instance: Instance, caller: MakeCaller
) -> None:
    first, busy, foreign = await make_chat(), await make_chat(), await make_chat(tenant="t2")
    await connect(instance, busy)
    targets = [aim(first), aim(busy), aim("nobody", "participant"), aim(foreign), aim(first)]
    answer = good(await ours.ask("POST", "/deletions", json={"targets": targets}))
    results = answer["results"]
    assert [result["target"] for result in results] == targets
    assert [result["status"] for result in results] == [202, 409, 404, 404, 404]
    assert results[0]["deletion"]["target"] == aim(first)
    assert results[1]["error"]["blocked_by"][0]["kind"] == "connection"
    assert ["deletion" in result for result in results] == [True, False, False, False, False]
    assert [await is_there(ours, chat) for chat in (first, busy)] == [False, True]
    assert await is_there(await caller("t2"), foreign)


async def test_a_store_that_refuses_one_does_not_stop_the_others(
    ours: Caller, make_chat: MakeChat, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = [await make_chat() for _ in range(3)]
    delete = instance.deletions.delete

    async def refuse_one(tenant: bytes, target: Any, how: Order) -> Any:
        if target.id == chats[1]:
            raise StoreUnavailable
        return await delete(tenant, target, how)

    monkeypatch.setattr(instance.deletions, "delete", refuse_one)
    body = good(await ours.ask("POST", "/deletions", json={"targets": [aim(chat) for chat in chats]}))
    assert [result["status"] for result in body["results"]] == [202, 503, 202]
    assert body["results"][1]["error"]["code"] == "store_unavailable"


async def test_a_plan_of_several_holds_for_all_or_nothing_goes(
    ours: Caller, make_chat: MakeChat, instance: Instance
) -> None:
    chats = [await make_chat() for _ in range(2)]
    targets = {"targets": [aim(chat) for chat in chats]}
    tag = (await ours.ask("POST", "/deletions/plan", json=targets)).headers["etag"]
    await say(instance, chats[1], "new")
    problem(await ours.ask("POST", "/deletions", json=targets, headers={"if-match": tag}), 412, "changed")
    missing = {"targets": [aim(chats[0]), aim(new_public_id())]}
    first = (await ours.ask("POST", "/deletions/plan", json={"target": aim(chats[0])})).headers["etag"]
    problem(await ours.ask("POST", "/deletions", json=missing, headers={"if-match": first}), 412, "changed")
    assert [await is_there(ours, chat) for chat in chats] == [True, True]
    tag = (await ours.ask("POST", "/deletions/plan", json=targets)).headers["etag"]
    body = good(await ours.ask("POST", "/deletions", json=targets, headers={"if-match": tag}))
    assert [result["status"] for result in body["results"]] == [202, 202]


@pytest.mark.parametrize(("count", "code"), [(0, "invalid_input"), (limits.DELETION_TARGETS + 1, "too_many_targets")])
@pytest.mark.parametrize("path", ["/deletions", "/deletions/plan"])
async def test_none_and_too_many(ours: Caller, chat: str, path: str, count: int, code: str) -> None:
    body = problem(await ours.ask("POST", path, json={"targets": [aim(chat)] * count}), 400, code)
    assert [error["field"] for error in body["errors"]] == ["targets"]
    assert await is_there(ours, chat)


# Looking, and trying again


@pytest.mark.usefixtures("idle")
async def test_they_are_listed_by_state_and_age(
    ours: Caller, make_chat: MakeChat, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = [await make_chat() for _ in range(4)]
    await connect(instance, chats[0])
    made = [await order(ours, aim(chats[0]), mode="after")] + [await order(ours, aim(chat)) for chat in chats[1:]]
    newest_first = [deletion["id"] for deletion in reversed(made)]

    async def listed(**params: Any) -> tuple[list[str], str | None]:
        page = good(await ours.ask("GET", "/deletions", params=params))
        return [item["id"] for item in page["items"]], page["next"]

    assert await listed() == (newest_first, None)
    first, cursor = await listed(state="purging", limit=2)
    assert await listed(state="purging", limit=2, cursor=cursor) == ([newest_first[2]], None)
    assert first == newest_first[:2]
    assert await listed(state="waiting") == ([newest_first[3]], None)
    assert await listed(state=["waiting", "purging"]) == (newest_first, None)
    assert await listed(overdue="true") == ([], None)
    monkeypatch.setattr(limits, "JOB_OVERDUE_SECONDS", -1)
    assert (await listed(overdue="true"))[0] == newest_first
    assert good(await ours.ask("GET", f"/deletions/{newest_first[0]}"))["overdue"] is True
    for other in ({"state": "done"}, {"overdue": "true"}, {}):
        problem(await ours.ask("GET", "/deletions", params={**other, "cursor": cursor}), 400, "invalid_cursor")


async def test_one_that_cannot_go_on_says_why_and_is_tried_again(
    ours: Caller, chat: str, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.core.deletion.worker.backoff_seconds", lambda _failures: 3600.0)

    async def fail(*_: Any) -> Any:
        raise StoreUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(instance.store.deletions, "step", fail)
        deletion = await order(ours, aim(chat))
        found = await watch(ours, deletion, until="attempts")
    assert (found["state"], found["last_error"], found["attempts"]) == ("purging", "store_unavailable", 1)
    assert found["run_after"] > found["requested_at"]
    again = good(await ours.ask("POST", f"/deletions/{deletion['id']}/retry"), 202)
    assert (again["run_after"], again["attempts"]) == (None, 1)
    done = await watch(ours, deletion)
    assert good(await ours.ask("POST", f"/deletions/{deletion['id']}/retry"), 202) == done


@pytest.mark.parametrize("name", [NEVER, NEVER[4:], "del_", "del_x", NEVER.upper()])
async def test_what_is_no_deletion_is_not_found(ours: Caller, name: str) -> None:
    problem(await ours.ask("GET", f"/deletions/{name}"), 404, "not_found")
    problem(await ours.ask("POST", f"/deletions/{name}/retry"), 404, "not_found")


# What is wrong


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "invalid_input", "target"),
        ({"target": aim("x"), "targets": [aim("x")]}, "invalid_input", "target"),
        ({"target": aim("x", "message")}, "invalid_input", "target.kind"),
        ({"target": {"kind": "chat"}}, "invalid_input", "target.id"),
        ({"target": {"kind": "chat", "id": 1}}, "invalid_input", "target.id"),
        ({"target": {**aim("x"), "tenant": "t2"}}, "unknown_field", "target.tenant"),
        ({"targets": [{**aim("x"), "ids": []}]}, "unknown_field", "targets[0].ids"),
        ({"target": aim("x"), "modus": "cancel"}, "unknown_field", "modus"),
        ({"target": aim("x"), "mode": "force"}, "invalid_input", "mode"),
        ({"target": aim("x"), "reason": "x" * (limits.DELETION_REASON_CHARACTERS + 1)}, "invalid_input", "reason"),
        ({"target": aim("x"), "reason": "a\0b"}, "invalid_input", "reason"),
        ([], "invalid_input", None),
    ],
)
async def test_what_is_wrong_is_named(ours: Caller, body: Any, code: str, field: str | None) -> None:
    found = problem(await ours.ask("POST", "/deletions", json=body), 400, code)
    assert [error["field"] for error in found.get("errors", [])] == ([field] if field else [])


@pytest.mark.parametrize("text", ["", "\0", "x" * 513, "é" * 512])
@pytest.mark.parametrize("kind", ["chat", "session", "participant", "tenant"])
async def test_what_cannot_be_an_id_is_not_found(ours: Caller, kind: str, text: str) -> None:
    problem(await ours.ask("POST", "/deletions", json={"target": aim(text, kind)}), 404, "not_found")


@pytest.mark.parametrize("params", [{"mode": "force"}, {"mode": ""}])
async def test_a_mode_that_there_is_not(ours: Caller, chat: str, params: dict[str, str]) -> None:
    problem(await ours.ask("DELETE", chat_path(chat), params=params), 400, "invalid_input")
    assert await is_there(ours, chat)


@pytest.mark.parametrize("params", [{"exports": "jsonl"}, {"mod": "after"}])
async def test_a_parameter_that_there_is_not_deletes_nothing(ours: Caller, chat: str, params: dict[str, str]) -> None:
    problem(await ours.ask("DELETE", chat_path(chat), params=params), 400, "unknown_field")
    assert await is_there(ours, chat)


@pytest.mark.parametrize(
    "params",
    [{"state": "failed"}, {"state": ""}, {"overdue": "yes"}, {"limit": "0"}, {"limit": "201"}, {"cursor": "x"}],
)
async def test_a_list_that_there_is_not(ours: Caller, params: dict[str, str]) -> None:
    code = "invalid_cursor" if "cursor" in params else "invalid_input"
    problem(await ours.ask("GET", "/deletions", params=params), 400, code)


async def test_a_parameter_of_no_list(ours: Caller) -> None:
    problem(await ours.ask("GET", "/deletions", params={"states": "done"}), 400, "unknown_field")
