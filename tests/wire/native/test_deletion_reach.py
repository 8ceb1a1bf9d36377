"""Who may delete what, and who may look at it."""

from __future__ import annotations

import pytest

from antiphon.core.instance import Instance
from antiphon.domain.ids import new_public_id, text_of
from tests.wire.native.caller import Caller, chat_path, good, problem
from tests.wire.native.conftest import MakeCaller, MakeChat
from tests.wire.native.deleting import aim, is_there, order, say, tenant_id, watch

NEVER = "del_00000000-0000-7000-8000-000000000000"


async def outcomes(who: Caller, targets: list[dict[str, str]]) -> list[int]:
    """The status of planning each of the targets, which is that of deleting it."""
    return [(await who.ask("POST", "/deletions/plan", json={"target": target})).status_code for target in targets]


async def test_a_participant_deletes_what_it_owns(
    ours: Caller, caller: MakeCaller, make_chat: MakeChat, instance: Instance
) -> None:
    own, shared, bens = await make_chat("ann"), await make_chat("ben"), await make_chat("ben")
    await say(instance, shared, "hello", author="ann")  # which makes ann a member
    ann = await caller("t1", "ann")
    shared_session = good(await ours.ask("GET", chat_path(shared)))["session"]["id"]
    whose = text_of(await tenant_id(instance))
    chats = [aim(own), aim(shared), aim(bens), aim(new_public_id())]
    assert await outcomes(ann, chats) == [200, 403, 404, 404]
    assert await outcomes(ann, [aim(shared_session, "session"), aim("s-nowhere", "session")]) == [403, 404]
    others = [aim("ann", "participant"), aim("ben", "participant"), aim("nobody", "participant"), aim(whose, "tenant")]
    assert await outcomes(ann, others) == [403] * 4
    problem(await ann.ask("DELETE", chat_path(bens)), 404, "not_found")
    body = good(await ann.ask("POST", "/deletions", json={"targets": [*chats, *others]}))
    assert [result["status"] for result in body["results"]] == [202, 403, 404, 404, 403, 403, 403, 403]
    assert [await is_there(ours, chat) for chat in (own, shared, bens)] == [False, True, True]


async def test_a_key_of_a_session_deletes_that_session(ours: Caller, caller: MakeCaller, make_chat: MakeChat) -> None:
    inside, outside = await make_chat(), await make_chat()
    session, other = [good(await ours.ask("GET", chat_path(c)))["session"]["id"] for c in (inside, outside)]
    who = await caller("t1", scope="session", session_id=session)
    targets = [aim(session, "session"), aim(inside), aim(other, "session"), aim(outside), aim("ann", "participant")]
    assert await outcomes(who, targets) == [200, 200, 404, 404, 403]


async def test_what_is_foreign_and_what_is_unknown_have_one_answer(
    ours: Caller, make_chat: MakeChat, instance: Instance
) -> None:
    foreign = await make_chat("zoe", tenant="t2")
    other = await tenant_id(instance, "t2")
    (session,) = [(await instance.chats.get(other, foreign)).session_id]
    for kind, id_ in (("chat", foreign), ("session", session), ("participant", "zoe"), ("tenant", text_of(other))):
        bodies = []
        for name in (id_, new_public_id()):
            body = problem(await ours.ask("POST", "/deletions", json={"target": aim(name, kind)}), 404, "not_found")
            bodies.append({**body, "request_id": ""})
        assert bodies[0] == bodies[1]


async def test_an_administrator_names_the_tenant(caller: MakeCaller, make_chat: MakeChat) -> None:
    chat = await make_chat(tenant="t1")
    admin = await caller("home", scope="admin")
    problem(await admin.ask("DELETE", chat_path(chat)), 404, "not_found")
    there = Caller(admin._http, admin.key, "t1")
    deletion = await order(there, aim(chat))
    problem(await admin.ask("GET", f"/deletions/{deletion['id']}"), 404, "not_found")
    await watch(there, deletion)


@pytest.mark.parametrize("path", ["/deletions", f"/deletions/{NEVER}", "/receipts", "/receipts/verify"])
async def test_records_are_for_keys_of_the_tenant(caller: MakeCaller, ours: Caller, path: str) -> None:
    problem(await (await caller("t1", "ann")).ask("GET", path), 403, "access_denied")
    problem(await (await caller("t1", scope="session", session_id="s")).ask("GET", path), 403, "access_denied")
    problem(await Caller(ours._http, "ant_wrong").ask("GET", path), 401, "authentication_failed")
