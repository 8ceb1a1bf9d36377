"""A socket on a chat: turn after turn, continued where the client was, ended with a code that says why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from antiphon.api.server import Server
from antiphon.core.instance import Instance
from antiphon.domain import limits
from tests.conftest import MakeKey
from tests.scripted_agent import ScriptedAgent
from tests.wire.native.caller import PREFIX, Caller, events_path, good
from tests.wire.native.conftest import MakeCaller, MakeChat

Frame = dict[str, Any]
Open = Callable[..., Awaitable[ClientConnection]]


@pytest.fixture
async def open_socket(address: str) -> AsyncIterator[Open]:
    """open_socket(chat, key, query): a socket on that chat."""
    opened: list[ClientConnection] = []

    async def make(chat: str, key: str | None, query: str = "", **headers: str) -> ClientConnection:
        given = {"authorization": f"Bearer {key}"} if key else {}
        url = f"ws://{address}{PREFIX}{events_path(chat)}{query}"
        opened.append(await connect(url, additional_headers={**given, **headers}))
        return opened[-1]

    yield make
    for socket in opened:
        await socket.close()


async def frames_of_a_turn(socket: ClientConnection) -> list[Frame]:
    """The frames up to the end of a turn."""
    frames: list[Frame] = []
    while not frames or frames[-1]["event"] != "turn-ended":
        frames.append(json.loads(await asyncio.wait_for(socket.recv(), 10)))
    return frames


async def close_of(socket: ClientConnection) -> tuple[int, str]:
    """The code and the reason of the close; what comes before it is passed over."""
    with suppress(ConnectionClosed):
        async for _ in socket:
            pass
    return socket.close_code or 0, socket.close_reason or ""


async def test_turn_after_turn(ours: Caller, chat: str, open_socket: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stream tells of a turn, a socket tells too, and of the next one as soon as it begins."""
    monkeypatch.setattr(limits, "CHAT_WATCH_SECONDS", 1000)
    socket = await open_socket(chat, ours.key)
    for text in ("one", "two"):
        turn = await ours.start(chat, text)
        frames = await frames_of_a_turn(socket)
        told = await ours.events(chat)
        assert [(frame["sequence"], frame["event"], frame["data"]) for frame in frames] == [
            (int(one.id or ""), one.event, one.data) for one in told
        ]
        assert {frame["turn"] for frame in frames} == {turn["id"]}
        assert all(set(frame) == {"turn", "sequence", "event", "data"} for frame in frames)


async def test_it_begins_with_the_last_turn_or_where_the_client_was(ours: Caller, chat: str, open_socket: Open) -> None:
    first = await ours.start(chat)
    whole = await frames_of_a_turn(await open_socket(chat, ours.key))
    assert await frames_of_a_turn(await open_socket(chat, ours.key, "?after=3")) == whole[4:]
    assert await frames_of_a_turn(await open_socket(chat, ours.key, f"?turn={first['id']}&after=3")) == whole[4:]
    await ours.start(chat, "next")
    other = await frames_of_a_turn(await open_socket(chat, ours.key, f"?turn={first['id']}&after=3"))
    assert other[0]["sequence"] == 0


@pytest.mark.parametrize("beyond", [0, 1, 5])
async def test_the_end_is_told_to_whoever_may_not_have_it(
    ours: Caller, chat: str, open_socket: Open, beyond: int
) -> None:
    """In a crash events are lost that were seen: the client's place may be the end's, or behind it."""
    await ours.start(chat)
    whole = await frames_of_a_turn(await open_socket(chat, ours.key))
    after = whole[-1]["sequence"] + beyond
    socket = await open_socket(chat, ours.key, f"?after={after}")
    assert await frames_of_a_turn(socket) == whole[-1:]
    await ours.start(chat, "next")
    assert (await frames_of_a_turn(socket))[0]["sequence"] == 0


async def test_a_client_ahead_of_a_running_turn_hears_its_end(
    ours: Caller, chat: str, open_socket: Open, agent: ScriptedAgent
) -> None:
    """Its process is taken for dead and its events are fewer than what was seen of them."""
    agent.gate = asyncio.Event()
    turn = await ours.start(chat)
    probe = await open_socket(chat, ours.key)
    await probe.recv()
    sockets = [await open_socket(chat, ours.key, f"?after={after}") for after in range(4, 10)]
    await ours.ask("POST", f"/turns/{turn['id']}/stop")
    for socket in sockets:
        assert (await frames_of_a_turn(socket))[-1]["data"] == {"type": "turn-ended", "state": "stopped"}


async def test_the_key_may_come_first(ours: Caller, chat: str, open_socket: Open) -> None:
    socket = await open_socket(chat, None)
    await socket.send(json.dumps({"type": "auth", "key": ours.key}))
    await ours.start(chat)
    assert (await frames_of_a_turn(socket))[0]["event"] == "turn-started"


async def test_an_administrator_names_a_tenant_there_too(
    caller: MakeCaller, make_chat: MakeChat, open_socket: Open
) -> None:
    admin, chat = await caller("t1", None, "admin"), await make_chat("bob", "t2")
    by_frame = await open_socket(chat, None)
    await by_frame.send(json.dumps({"type": "auth", "key": admin.key, "tenant": "t2"}))
    by_header = await open_socket(chat, admin.key, **{"x-tenant": "t2"})
    await (await caller("t2")).start(chat)
    for socket in (by_frame, by_header):
        assert (await frames_of_a_turn(socket))[-1]["data"]["state"] == "completed"


@pytest.mark.parametrize(
    ("frame", "code", "reason"),
    [
        ('{"type":"auth","key":"ant_x"}', 4401, "authentication_failed"),
        ('{"type":"auth","key":1}', 4400, "invalid_input"),
        ('{"type":"auth","key":"x","keys":1}', 4400, "unknown_field"),
        ('{"type":"hello"}', 4400, "invalid_input"),
        ("{", 4400, "malformed_body"),
        (b"\x00", 4400, "malformed_body"),
    ],
)
async def test_first_frames_that_open_nothing(
    chat: str, open_socket: Open, frame: str | bytes, code: int, reason: str
) -> None:
    socket = await open_socket(chat, None)
    await socket.send(frame)
    assert await close_of(socket) == (code, reason)


async def test_no_key_in_time(chat: str, open_socket: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SOCKET_HANDSHAKE_SECONDS", 0)
    assert await close_of(await open_socket(chat, None)) == (4401, "authentication_failed")


async def test_what_is_refused(
    ours: Caller, chat: str, open_socket: Open, make_chat: MakeChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = await make_chat("bob", "t2")
    for unseen in (foreign, "none"):
        assert await close_of(await open_socket(unseen, ours.key)) == (4404, "not_found")
    assert await close_of(await open_socket(chat, "nonsense")) == (4401, "authentication_failed")
    assert await close_of(await open_socket(chat, ours.key, "?after=x")) == (4400, "invalid_input")
    assert await close_of(await open_socket(chat, ours.key, "?afer=1")) == (4400, "unknown_field")
    assert await close_of(await open_socket(chat, ours.key, **{"x-tenant": "t2"})) == (4403, "access_denied")
    monkeypatch.setattr(limits, "FOLLOWERS_PER_TENANT", 0)
    assert await close_of(await open_socket(chat, ours.key)) == (4429, "connection_limit_exceeded")


async def test_an_id_may_hold_anything(
    caller: MakeCaller, make_key: MakeKey, instance: Instance, open_socket: Open
) -> None:
    """The raw path is split before it is decoded."""
    key = await make_key("t1")
    tenant = await instance.tenants.get("t1")
    owner, _ = await instance.store.participants.ensure(tenant.id, "peer", "ann")
    session, _ = await instance.sessions.create(tenant.id, owner.id, "s")
    chat, _ = await instance.chats.create(tenant.id, session, "a/b %2F?é")
    socket = await open_socket(chat.id, key)
    await (await caller("t1")).start(chat.id)
    assert (await frames_of_a_turn(socket))[-1]["event"] == "turn-ended"


async def test_there_is_no_other_socket(address: str, chat: str) -> None:
    for path in (f"/chats/{chat}", f"/chats/{chat}/events/", "/chats//events", f"/turns/{chat}/events"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}{PREFIX}{path}")
        assert refused.value.response.status_code == 403


async def test_a_deletion_ends_it(
    ours: Caller, chat: str, open_socket: Open, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once; a socket that only reads is not in the way of a deletion that minds connections."""
    monkeypatch.setattr(limits, "CHAT_WATCH_SECONDS", 1000)
    socket = await open_socket(chat, ours.key)
    await ours.start(chat)
    await frames_of_a_turn(socket)
    tenant = await instance.tenants.get("t1")
    await instance.deletions.delete_chat(tenant.id, await instance.chats.get(tenant.id, chat), "refuse")
    assert await close_of(socket) == (4404, "not_found")


async def test_a_deletion_during_a_turn_ends_it(ours: Caller, chat: str, open_socket: Open, instance: Instance) -> None:
    await ours.start(chat, "[[hang]]")
    socket = await open_socket(chat, ours.key)
    assert json.loads(await socket.recv())["event"] == "turn-started"
    tenant = await instance.tenants.get("t1")
    await instance.deletions.delete_chat(tenant.id, await instance.chats.get(tenant.id, chat), "cancel")
    assert (await frames_of_a_turn(socket))[-1]["data"]["state"] == "deleted"
    assert await close_of(socket) == (4404, "not_found")


@pytest.mark.parametrize("by", ["key", "ticket"])
async def test_it_ends_with_its_key(ours: Caller, chat: str, open_socket: Open, by: str) -> None:
    """Also one that was let in by a ticket which that key had made; another is left alone."""
    made = good(await ours.ask("POST", "/keys", json={}), 201)
    ticket = good(await Caller(ours._http, made["key"]).ask("POST", "/tickets", json={}), 201)["ticket"]
    ended = await open_socket(chat, *((made["key"],) if by == "key" else (None, f"?ticket={ticket}")))
    other = await open_socket(chat, ours.key)
    await ours.start(chat)
    await frames_of_a_turn(ended)
    assert (await ours.ask("DELETE", f"/keys/{made['id']}")).status_code == 204
    assert await close_of(ended) == (4401, "authentication_failed")
    await frames_of_a_turn(other)


async def test_it_listens_to_little(ours: Caller, chat: str, open_socket: Open) -> None:
    """What a client says does not matter, unless it is too much in a second."""
    socket = await open_socket(chat, ours.key)
    await socket.send("anything")
    await ours.start(chat)
    await frames_of_a_turn(socket)
    for _ in range(limits.SOCKET_FRAMES_PER_SECOND + 1):
        await socket.send("again")
    assert await close_of(socket) == (1008, "rate_limited")


async def test_the_server_goes_down(
    ours: Caller, chat: str, open_socket: Open, server: Server, make_chat: MakeChat, instance: Instance
) -> None:
    """The end of a turn of this process is told before; nobody new is let in."""
    idle = await open_socket(await make_chat(), ours.key)
    busy = await open_socket(chat, ours.key)
    await ours.start(chat, "[[hang]]")
    assert json.loads(await busy.recv())["event"] == "turn-started"
    sockets = [handler for path, handler in server._sockets if path[0] == "antiphon"]
    closing = asyncio.create_task(sockets[0].close_all(10))  # type: ignore[attr-defined]
    assert await close_of(idle) == (1001, "")
    await instance.turns.close()
    assert (await frames_of_a_turn(busy))[-1]["data"]["state"] == "interrupted"
    assert await close_of(busy) == (1001, "")
    await closing
    assert await close_of(await open_socket(chat, ours.key)) == (1001, "")


async def test_nothing_is_left_behind(
    ours: Caller, chat: str, open_socket: Open, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a follower nor a watch, when a client has left."""
    monkeypatch.setattr(limits, "FOLLOWER_STALL_SECONDS", 1000)  # which would let go of it too
    tasks = len(asyncio.all_tasks())
    await ours.start(chat, "[[hang]]")
    socket = await open_socket(chat, ours.key)
    await socket.recv()
    turn = await instance.streams.next_turn(*(await key_of(instance, chat)), None)
    await socket.close()
    follower = await instance.turns.follow(turn.tenant_id, turn.id, 0, lambda: None)
    async with asyncio.timeout(10):
        while len(follower._channel.followers) > 1:  # type: ignore[attr-defined]  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0)
    follower.close()
    await instance.turns.stop(turn.tenant_id, turn.id)
    while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110  nothing tells of it
        await asyncio.sleep(0)
    assert not instance.streams._watches._watches  # type: ignore[attr-defined]


async def key_of(instance: Instance, chat: str) -> tuple[bytes, bytes]:
    """The tenant `t1` and the key of its chat."""
    tenant = await instance.tenants.get("t1")
    return tenant.id, (await instance.chats.get(tenant.id, chat)).key
