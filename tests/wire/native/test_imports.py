"""Imports: what an export wrote comes back as it was, once, and anything else is refused before a word of it shows."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits, times
from antiphon.domain.ids import Uid
from antiphon.domain.messages import ASSISTANT, USER, Draft
from antiphon.domain.participants import Member
from tests.wire.native.caller import Caller, chat_path, good, problem
from tests.wire.native.conftest import MakeCaller
from tests.wire.native.deleting import order, tenant_id, watch

PAST = times.from_text("2024-03-01T10:00:00.123456Z")
PARTS = (
    '[{"type":"step-start"},{"type":"text","text":"a \\"word\\"\\n"},{"type":"reasoning","text":"hm"},'
    '{"type":"tool-bash","toolCallId":"c1","state":"output-available","input":{"a":[1,2.50]},"output":{"b":null}},'
    '{"type":"file","mediaType":"image/png","url":"data:image/png;base64,AAAA"},{"type":"data-x","data":{"é":"🌊"}}]'
)
DRAFTS = [
    Draft("ann", USER, "plain", is_reasoned=True),
    Draft("ann", USER, "", None, '{"a":[1,{"b":"\\u00e9"}]}', "client-1", PAST, 3),
    Draft("assistant", ASSISTANT, "a word", PARTS, "{}", "client/2 ü", PAST + 1, 9),
    Draft("ben", USER, "the same", '[{"type":"text","text":"the same"}]', created_at=PAST + 2),
    Draft("ben", USER, "quiet\u2028 and 🌊", created_at=PAST + 3, is_reasoned=False),
]


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of three lines, and looks without a pause."""
    monkeypatch.setattr(limits, "IMPORT_STEP_LINES", 3)
    monkeypatch.setattr(limits, "IMPORT_POLL_SECONDS", 0.01)


async def make_session(instance: Instance, whose: Uid, kind: str = "multi") -> tuple[str, list[str]]:
    """A session with two chats (a `single` one with one) that hold every kind of part: its id, and theirs."""
    ann, _ = await instance.store.participants.put(whose, "ann", '{"likes":"tides"}', "{}")
    if kind == "single":
        members = [Member("ann", True, False), Member("zoe", None, None)]
        session, _ = await instance.store.sessions.put_single(whose, "talk/1", "ann", '{"m":1}', '{"c":{}}', members)
        chats = await instance.store.chats.list_of_session(whose, session.key)
    else:
        session, first = await instance.store.sessions.create_multi(whose, ann.id, "Harbour 🌊", None, "gpt")
        second, _ = await instance.store.chats.create(whose, session.key, ann.id, "second", "Two", None)
        chats = [first, second]
    for chat in chats:
        await instance.messages.append(whose, chat.key, DRAFTS)
        await instance.store.chats.mark_read(whose, chat.key, ann.id)
    return session.id, [chat.id for chat in chats]


async def export(caller: Caller, kind: str, name: str) -> bytes:
    """What an export gives."""
    answer = await caller.ask("GET", f"/{kind}s/{name.replace('/', '%2F')}/export")
    assert answer.status_code == 200, answer.text
    return answer.content


def bare(content: bytes) -> bytes:
    """An export without what is ours alone: the ids of messages, and so the checksum."""
    content = re.sub(rb'"id":"msg-[0-9a-f-]{36}"', b'"id":""', content)
    return re.sub(rb'"sha256":"[0-9a-f]*"', b"", content)


def signed(lines: list[bytes], messages: int | None = None) -> bytes:
    """These lines with a last line that fits."""
    body = b"".join(line + b"\n" for line in lines)
    count = sum(b'"type":"message"' in line for line in lines) if messages is None else messages
    end = {"end": True, "messages": count, "sha256": hashlib.sha256(body).hexdigest()}
    return body + json.dumps(end, separators=(",", ":")).encode() + b"\n"


async def bring(caller: Caller, content: bytes) -> dict[str, Any]:
    """The import of a file, once it is over."""
    answer = await caller.ask("POST", "/imports", content=content)
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    for _ in range(1_000):
        if body["state"] != "writing":
            return body
        await asyncio.sleep(0.01)  # between two looks
        body = good(await caller.ask("GET", f"/imports/{body['id']}"))
    raise AssertionError(body)


@pytest.mark.parametrize("kind", ["multi", "single"])
async def test_a_session_there_and_back_is_byte_for_byte_the_same(
    ours: Caller, caller: MakeCaller, instance: Instance, kind: str
) -> None:
    session, chats = await make_session(instance, await tenant_id(instance), kind)
    content = await export(ours, "session", session)
    other = await caller("t2")
    done = await bring(other, content)
    assert (done["state"], done["done"], done["last_error"]) == ("done", len(DRAFTS) * len(chats), None)
    assert done["target"] == {"kind": "session", "id": session}
    assert bare(await export(other, "session", session)) == bare(content)
    for chat in chats:
        assert bare(await export(other, "chat", chat)) == bare(await export(ours, "chat", chat))
    assert bare(await export(ours, "session", session)) == bare(content)


@pytest.mark.parametrize("kind", ["multi", "single"])
async def test_a_chat_there_and_back_is_too(ours: Caller, caller: MakeCaller, instance: Instance, kind: str) -> None:
    session, chats = await make_session(instance, await tenant_id(instance), kind)
    other = await caller("t2")
    for chat in chats:  # the second goes into the session that the first has brought
        content = await export(ours, "chat", chat)
        assert (await bring(other, content))["state"] == "done"
        assert bare(await export(other, "chat", chat)) == bare(content)
    whole = [json.loads(line) for line in (await export(other, "session", session)).splitlines()]
    assert [line["id"] for line in whole if line.get("type") == "chat"] == chats


@pytest.mark.parametrize("is_named", [False, True])
async def test_an_owner_whom_nobody_has_named_is_the_owner_there_and_no_more(
    ours: Caller, caller: MakeCaller, instance: Instance, is_named: bool
) -> None:
    good(await ours.ask("POST", "/sessions", json={"id": "s"}), 201)
    good(await ours.ask("POST", "/chats", json={"id": "c"}), 201)
    if is_named:
        await instance.participants.put(await tenant_id(instance), "assistant")
    other = await caller("t2")
    for kind, name in (("session", "s"), ("chat", "c")):
        content = await export(ours, kind, name)
        assert (b'"is_owner_implied":true' in content) is not is_named
        assert (await bring(other, content))["state"] == "done"
        assert bare(await export(other, kind, name)) == bare(content)
    tenant = await instance.tenants.get("t2")
    owner = await instance.participants.find_owner(tenant.id, "assistant")
    assert owner is not None
    assert owner.is_implied is not is_named
    assert (await instance.sessions.get(tenant.id, "s")).owner_id == owner.id


async def test_an_owner_who_speaks_in_the_file_is_named_by_it(
    ours: Caller, caller: MakeCaller, instance: Instance
) -> None:
    good(await ours.ask("POST", "/sessions", json={"id": "s", "shape": "single"}), 201)
    content = await export(ours, "session", "s")
    message = {"id": "msg-1", "client_id": None, "seq": 1, "role": "assistant", "participant": "assistant"}
    extra: dict[str, Any] = {"parts": [{"type": "text", "text": "hi"}], "metadata": {}, "token_count": 1, "text": None}
    message_line = {"type": "message", **message, **extra, "created_at": times.text_of(PAST)}
    line = json.dumps(message_line, separators=(",", ":"))
    lines = [*content.splitlines()[:-1], line.encode()]
    other = await caller("t2")
    assert (await bring(other, signed(lines)))["state"] == "done"
    assert await instance.participants.find((await instance.tenants.get("t2")).id, "assistant") is not None


async def test_what_was_deleted_comes_back_in_its_own_tenant(ours: Caller, instance: Instance) -> None:
    session, _ = await make_session(instance, await tenant_id(instance))
    content = await export(ours, "session", session)
    problem(await ours.ask("POST", "/imports", content=content), 409, "id_taken")
    await watch(ours, await order(ours, {"kind": "session", "id": session}))
    assert (await bring(ours, content))["state"] == "done"
    assert bare(await export(ours, "session", session)) == bare(content)


async def test_the_same_file_again_is_told_how_it_stands(ours: Caller, caller: MakeCaller, instance: Instance) -> None:
    session, _ = await make_session(instance, await tenant_id(instance))
    content = await export(ours, "session", session)
    other = await caller("t2")
    answers = await asyncio.gather(*(bring(other, content) for _ in range(3)))
    assert len({answer["id"] for answer in answers}) == 1
    again = await other.ask("POST", "/imports", content=content)
    assert (again.status_code, again.json()["state"]) == (202, "done")
    assert bare(await export(other, "session", session)) == bare(content)


async def test_an_altered_a_cut_and_a_foreign_file(ours: Caller, caller: MakeCaller, instance: Instance) -> None:
    session, _ = await make_session(instance, await tenant_id(instance))
    content = await export(ours, "session", session)
    lines = content.splitlines()
    other = await caller("t2")
    cases = {
        "import_cut": [b"\n".join(lines[:-1]) + b"\n", content[: len(content) // 2], lines[0], lines[0] + b"\n"],
        "import_altered": [
            content.replace(b"plain", b"plane", 1),
            b"\n".join([*lines[:5], *lines[6:]]) + b"\n",
            content + b'{"type":"chat"}\n',
            signed(lines[:-1], messages=3),
        ],
        "import_version": [content.replace(b'"version":1', b'"version":2', 1)],
        "import_foreign": [b"", b"\n", b"hello", b"\xff\xfe", b'{"type":"chat"}\n', b"[" * 5_000, b"{}\n", lines[2]],
    }
    for code, bodies in cases.items():
        for body in bodies:
            problem(await other.ask("POST", "/imports", content=body), 400, code)
    whole = (await ours.ask("GET", f"/sessions/{session}/export?format=json")).content
    problem(await other.ask("POST", "/imports", content=whole), 400, "import_foreign")
    problem(await other.ask("GET", f"/sessions/{session}/export"), 404, "not_found")
    assert good(await other.ask("GET", "/deletions"))["items"] == []


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        (1, b'"shape":"multi"', b'"shape":"odd"'),
        (1, b'"status":"running"', b'"status":"odd"'),
        (1, b'"metadata":{}', b'"metadata":[]'),
        (1, b'"lines_added":0', b'"lines_added":1e400'),
        (1, b'"lines_added":0', b'"lines_added":99999999999999999999'),
        (1, b'"title":', b'"name":'),
        (2, b'"kind":"peer"', b'"kind":"gone"'),
        (2, b'"participant":"ann"', b'"participant":""'),
        (2, b'"participant":"ann"', b'"participant":"a\\u0000"'),
        (-8, b'"session":{"id":"', b'"session":{"id":"x'),
        (-7, b'"read_at":"2', b'"read_at":"x'),
        (-8, b'"shape":"multi"', b'"shape":"single"'),
        (-8, b'"created_at":"2', b'"created_at":"x'),
        (-2, b'"role":"user"', b'"role":"tool"'),
        (-2, b'"seq":5', b'"seq":4'),
        (-2, b'"seq":5', b'"seq":8388608'),
        (-2, b'"seq":5', b'"seq":-1'),
        (-2, b'"client_id":null', b'"client_id":""'),
        (-2, b'"token_count":', b'"token_count":-'),
        (-2, b'"type":"text"', b'"type":"file"'),
        (-2, b'"type":"message"', b'"type":"massage"'),
        (-2, b'"metadata":{}', b'"metadata":' + b'{"a":' * 101 + b"1" + b"}" * 101),
        (-2, b'"metadata":{}', b'"metadata":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
        (-2, b'"created_at":"2024', b'"created_at":"0000'),
    ],
)
async def test_a_line_that_breaks_a_rule(
    ours: Caller, caller: MakeCaller, instance: Instance, place: int, old: bytes, new: bytes
) -> None:
    session, _ = await make_session(instance, await tenant_id(instance))
    lines = (await export(ours, "session", session)).splitlines()
    assert old in lines[place], lines[place]
    lines[place] = lines[place].replace(old, new, 1)
    other = await caller("t2")
    body = problem(await other.ask("POST", "/imports", content=signed(lines[:-1])), 400, "import_refused")
    number = place + 1 if place > 0 else len(lines) + place + 1
    assert f"line {number}" in body["detail"]


async def test_lines_out_of_place(ours: Caller, caller: MakeCaller, instance: Instance) -> None:
    session, _ = await make_session(instance, await tenant_id(instance))
    lines = (await export(ours, "session", session)).splitlines()[:-1]
    head, whose, member, message = lines[0], lines[1], lines[2], lines[-1]
    chat = next(line for line in lines if b'"type":"chat"' in line)
    other = await caller("t2")
    for wrong in (
        [head],
        [head, whose],
        [head, chat],
        [head, message],
        [head, whose, message],
        [head, whose, chat, member],
        [head, whose, whose, chat],
        [head, whose, chat, chat],
        [head, head, whose, chat],
        [head, whose, chat, b""],
    ):
        problem(await other.ask("POST", "/imports", content=signed(wrong)), 400, "import_refused")
    assert (await bring(other, signed([head, whose, chat])))["state"] == "done"


async def test_two_messages_of_a_chat_with_one_client_id(ours: Caller, caller: MakeCaller, instance: Instance) -> None:
    """In two chats of a session they may have the same."""
    session, chats = await make_session(instance, await tenant_id(instance))
    lines = (await export(ours, "session", session)).splitlines()[:-1]
    own, twice = b'"client_id":"client-1"', b'"client_id":null'
    assert sum(own in line for line in lines) == len(chats) > 1
    first, last = (place(index for index, line in enumerate(lines) if twice in line) for place in (min, max))
    other = await caller("t2")
    for index in (first, last):
        wrong = [*lines]
        wrong[index] = wrong[index].replace(twice, own, 1)
        body = problem(await other.ask("POST", "/imports", content=signed(wrong)), 400, "import_refused")
        assert "one client_id" in body["detail"]
    assert good(await other.ask("GET", "/deletions"))["items"] == []


async def test_a_key_of_less_than_a_tenant_imports_nothing(ours: Caller, caller: MakeCaller) -> None:
    for scope in ("participant", None):
        ann = await caller("t1", "ann", scope)
        problem(await ann.ask("POST", "/imports", content=b"x"), 403, "access_denied")
        problem(await ann.ask("GET", "/imports/imp_x"), 403, "access_denied")
    problem(await ours.ask("GET", "/imports/imp_x"), 404, "not_found")


async def test_an_import_is_its_tenant_s_alone(ours: Caller, caller: MakeCaller, instance: Instance) -> None:
    session, _ = await make_session(instance, await tenant_id(instance))
    other = await caller("t2")
    done = await bring(other, await export(ours, "session", session))
    assert good(await other.ask("GET", f"/imports/{done['id']}")) == done
    problem(await ours.ask("GET", f"/imports/{done['id']}"), 404, "not_found")


async def test_what_is_too_large_is_not_kept(
    ours: Caller, instance: Instance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits, "IMPORT_BYTES", 1_000)
    instance.imports._folder_given = tmp_path / "imports"

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    problem(await ours.ask("POST", "/imports", content=b"x" * 1_001), 413, "body_too_large")
    problem(await ours.ask("POST", "/imports", content=pieces()), 413, "body_too_large")
    problem(await ours.ask("POST", "/imports", content=b"x" * 1_000), 400, "import_foreign")
    assert [*(tmp_path / "imports").iterdir()] == []


async def test_at_most_so_many_at_a_time(ours: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMPORT_UPLOADS", 0)
    answer = await ours.ask("POST", "/imports", content=b"x")
    problem(answer, 429, "rate_limited")
    assert answer.headers["retry-after"] == "1"


async def test_a_file_is_private_while_it_waits_and_gone_afterwards(
    ours: Caller, caller: MakeCaller, instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "imports"
    instance.imports._folder_given = folder
    session, chats = await make_session(instance, await tenant_id(instance))
    content = await export(ours, "session", session)
    other = await caller("t2")
    modes: set[tuple[int, int]] = set()
    step = instance.imports._step

    async def watched(*args: Any) -> Any:
        modes.update((folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) for path in folder.iterdir())
        return await step(*args)

    monkeypatch.setattr(instance.imports, "_step", watched)
    done = await bring(other, content)
    assert done["done"] == len(DRAFTS) * len(chats)
    assert modes == {(0o700, 0o600)}
    for _ in range(500):
        if not [*folder.iterdir()]:
            break
        await asyncio.sleep(0.01)  # between two looks
    assert [*folder.iterdir()] == []


async def test_chats_that_are_there_are_not_taken_over(ours: Caller, caller: MakeCaller, instance: Instance) -> None:
    session, chats = await make_session(instance, await tenant_id(instance))
    content = await export(ours, "session", session)
    other = await caller("t2")
    whose = (await instance.tenants.get("t2")).id
    ann, _ = await instance.store.participants.ensure(whose, "peer", "ann")
    own, _ = await instance.store.sessions.create_multi(whose, ann.id, "Own", None, None)
    await instance.store.chats.create(whose, own.key, ann.id, chats[1], "mine", None)
    problem(await other.ask("POST", "/imports", content=content), 409, "id_taken")
    assert good(await other.ask("GET", chat_path(chats[1])))["title"] == "mine"
    assert (await other.ask("GET", chat_path(chats[0]))).status_code == 404
