"""Undo over the wire: what comes back, in which dialect it was deleted, and what is said when nothing does."""

from __future__ import annotations

import httpx
import pytest

from antiphon.api.server import Server
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.deletions import AFTER, CANCEL
from antiphon.domain.errors import InvalidInput
from antiphon.domain.tenants import read_settings
from tests.wire.native.caller import Caller, chat_path, good, problem
from tests.wire.native.conftest import MakeCaller
from tests.wire.native.deleting import aim, connect, is_there, make_multi, order, say, tenant_id, watch

NEVER = "del_00000000-0000-7000-8000-000000000000"


async def set_window(instance: Instance, seconds: float) -> None:
    """The undo window of `t1`; a part of a second is for tests only."""
    tenant = await instance.tenants.get("t1")
    await instance.store.tenants.update(tenant.id, None, None, f'{{"undo_window":{seconds}}}')


@pytest.fixture
async def chat_in_window(instance: Instance, chat: str) -> str:
    await set_window(instance, 3600)
    await say(instance, chat, "one", "two")
    return chat


async def test_a_chat_is_deleted_and_comes_back(ours: Caller, chat_in_window: str) -> None:
    before = good(await ours.ask("GET", chat_path(chat_in_window)))
    made = await order(ours, aim(chat_in_window))
    assert (made["state"], made["overdue"]) == ("detached", False)
    assert made["undo_until"] > made["detached_at"]
    assert not await is_there(ours, chat_in_window)
    undone = good(await ours.ask("POST", f"/deletions/{made['id']}/undo"))
    assert undone["state"] == "undone"
    assert "id" not in undone["target"]
    assert good(await ours.ask("GET", f"/deletions/{made['id']}")) == undone
    assert good(await ours.ask("GET", chat_path(chat_in_window))) == before
    problem(await ours.ask("POST", f"/deletions/{made['id']}/undo"), 410, "too_late")
    problem(await ours.ask("POST", f"/deletions/{NEVER}/undo"), 404, "not_found")


async def test_an_export_with_deletion_can_be_undone_too(ours: Caller, chat_in_window: str) -> None:
    end = good(await ours.ask("DELETE", f"{chat_path(chat_in_window)}?export=json"))["end"]
    assert good(await ours.ask("POST", f"/deletions/{end['deletion']}/undo"))["state"] == "undone"
    assert await is_there(ours, chat_in_window)


@pytest.mark.usefixtures("chat_in_window")
async def test_what_stands_in_the_way(ours: Caller, instance: Instance) -> None:
    session, first = await make_multi(instance)
    whose = await tenant_id(instance)
    second, _ = await instance.chats.create(whose, await instance.sessions.get(whose, session), "second")
    of_chat = await order(ours, aim(second.id))
    of_session = await order(ours, aim(session, "session"))
    problem(await ours.ask("POST", f"/deletions/{of_chat['id']}/undo"), 409, "parent_deleted")
    other, _ = await make_multi(instance)
    await instance.chats.create(whose, await instance.sessions.get(whose, other), first)
    problem(await ours.ask("POST", f"/deletions/{of_session['id']}/undo"), 409, "id_taken")
    assert good(await ours.ask("GET", f"/deletions/{of_session['id']}"))["state"] == "detached"


async def test_what_waits_is_called_off(ours: Caller, instance: Instance, chat: str) -> None:
    """Without a window, too: nothing has been deleted yet."""
    socket = await connect(instance, chat)
    made = await order(ours, aim(chat), mode=AFTER)
    assert (made["state"], made["undo_until"]) == ("waiting", None)
    undone = good(await ours.ask("POST", f"/deletions/{made['id']}/undo"))
    assert (undone["state"], undone["receipt"]) == ("undone", None)
    problem(await ours.ask("POST", f"/deletions/{made['id']}/undo"), 410, "too_late")
    await instance.store.connections.close(await tenant_id(instance), socket)
    assert await is_there(ours, chat)
    assert good(await ours.ask("GET", f"/deletions/{made['id']}")) == undone


async def test_what_waited_can_be_undone(ours: Caller, instance: Instance, chat_in_window: str) -> None:
    socket = await connect(instance, chat_in_window)
    made = await order(ours, aim(chat_in_window), mode=AFTER)
    await instance.store.connections.close(await tenant_id(instance), socket)
    detached = await watch(ours, made, until="undo_until")
    assert detached["state"] == "detached"
    good(await ours.ask("POST", f"/deletions/{made['id']}/undo"))
    assert await is_there(ours, chat_in_window)


async def test_after_the_window_it_is_final(ours: Caller, instance: Instance, chat: str) -> None:
    tenant = await instance.tenants.get("t1")
    await instance.tenants.set(tenant, {"undo_window": 1})
    made = await order(ours, aim(chat))
    done = await watch(ours, made)
    assert done["state"] == "done"
    assert done["receipt"] is not None
    problem(await ours.ask("POST", f"/deletions/{made['id']}/undo"), 410, "too_late")


async def test_only_a_key_of_the_tenant_undoes(caller: MakeCaller, ours: Caller, chat_in_window: str) -> None:
    made = await order(ours, aim(chat_in_window))
    ann, other = await caller("t1", "ann"), await caller("t2")
    problem(await ann.ask("POST", f"/deletions/{made['id']}/undo"), 403, "access_denied")
    problem(await other.ask("POST", f"/deletions/{made['id']}/undo"), 404, "not_found")


async def test_a_tenant_comes_back_with_its_keys(
    caller: MakeCaller, ours: Caller, instance: Instance, chat: str
) -> None:
    await set_window(instance, 3600)
    admin = await caller("t2", scope="admin")
    gone = Caller(admin._http, admin.key, (await ours.ask("GET", "/whoami")).json()["tenant"]["id"])
    made = await order(ours, aim(gone.headers["x-tenant"], "tenant"), mode=CANCEL)
    good(await gone.ask("POST", f"/deletions/{made['id']}/undo"))
    again = await instance.tenants.get("t1")
    assert read_settings(again).undo_window == 3600
    assert await instance.store.chats.find(again.id, chat) is not None


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("settings", [{"undo": 1}, {"undo_window": -1}, {"undo_window": True}, {"undo_window": "1"}])
async def test_a_setting_that_there_is_not(instance: Instance, settings: dict[str, object]) -> None:
    tenant = await instance.tenants.get("t1")
    for given in (settings, {"undo_window": limits.UNDO_WINDOW_SECONDS + 1}):
        with pytest.raises(InvalidInput):
            await instance.tenants.set(tenant, given)
    assert (await instance.tenants.get("t1")).settings == "{}"


async def test_every_dialect_keeps_the_window(
    server: Server, ours: Caller, caller: MakeCaller, instance: Instance, chat: str
) -> None:
    await set_window(instance, 3600)
    ann = await caller("t1", "ann")
    session, first = await make_multi(instance)
    whose = await tenant_id(instance)
    await instance.chats.create(whose, await instance.sessions.get(whose, session), "second")
    await instance.store.sessions.put_single(whose, "honcho", "ann", None, None, [])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://antiphon.test") as http:
        for path, headers in (
            (f"/api/v1/chats/{chat}", {"x-api-key": ours.key}),
            (f"/api/sessions/{session}/chats/{first}", {"x-api-key": ann.key}),
            ("/v3/workspaces/t1/sessions/honcho", ours.headers),
        ):
            answer = await http.delete(path, headers=headers)
            assert answer.status_code < httpx.codes.MULTIPLE_CHOICES, (path, answer.text)
    found = good(await ours.ask("GET", "/deletions"))["items"]
    assert [deletion["state"] for deletion in found] == ["detached"] * 3
    for deletion in found:
        good(await ours.ask("POST", f"/deletions/{deletion['id']}/undo"))
    assert await is_there(ours, chat)
    assert await is_there(ours, first)
    assert await instance.store.sessions.find(whose, "honcho") is not None
