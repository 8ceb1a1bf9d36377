"""`POST /api/sessions` and `GET /api/sessions/{sessionId}`."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from antiphon.api.recoup import titles
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.ids import text_of
from tests.wire.recoup.caller import NOBODY, UUID4, Caller, chats_of, expect, good, refused, session_path

KEYS = (
    "id", "userId", "artistId", "title", "status", "repoOwner", "repoName", "branch", "cloneUrl",
    "isNewBranch", "globalSkillRefs", "sandboxState", "lifecycleState", "lifecycleVersion",
    "lastActivityAt", "sandboxExpiresAt", "hibernateAfter", "lifecycleRunId", "lifecycleError",
    "linesAdded", "linesRemoved", "snapshotUrl", "snapshotCreatedAt", "snapshotSizeBytes",
    "cachedDiff", "cachedDiffUpdatedAt", "createdAt", "updatedAt",
)  # fmt: skip
CHAT_KEYS = (
    "id", "sessionId", "title", "modelId", "activeStreamId", "lastAssistantMessageAt", "createdAt",
    "updatedAt",
)  # fmt: skip


def wrong(text: str, *path: str) -> dict[str, Any]:
    return {"status": "error", "missing_fields": list(path), "error": text}


@pytest.mark.parametrize(
    "content", [b"", b"  \n", b"{}", b"{bad", b"\xff\xfe", b'{"title":"\xff"}', b'{"title":NaN}', b"[" * 5000]
)
async def test_an_absent_or_unreadable_body_is_an_empty_one(ann: Caller, content: bytes) -> None:
    made = good(await ann.post("/api/sessions", content=content))
    assert list(made) == ["session", "chat"]
    assert made["session"]["title"] in titles.CITIES


async def test_a_new_session_is_whole(ann: Caller, instance: Instance) -> None:
    made = good(await ann.post("/api/sessions", {"title": "  Lisbon trip "}))
    session, chat = made["session"], made["chat"]
    assert tuple(session) == KEYS
    assert UUID4.fullmatch(session["id"])
    varying = ("id", "createdAt", "updatedAt")
    assert {key: value for key, value in session.items() if key not in varying} == {
        **dict.fromkeys(KEYS[1:-2]),
        "userId": ann.account_id,
        "title": "Lisbon trip",
        "status": "running",
        "cloneUrl": f"https://github.com/recoupable/{ann.account_id}",
        "isNewBranch": False,
        "globalSkillRefs": [],
        "sandboxState": {"type": "vercel"},
        "lifecycleState": "provisioning",
        "lifecycleVersion": 0,
        "linesAdded": 0,
        "linesRemoved": 0,
    }
    assert session["createdAt"] == session["updatedAt"]
    assert tuple(chat) == CHAT_KEYS
    assert UUID4.fullmatch(chat["id"])
    assert chat == {
        "id": chat["id"],
        "sessionId": session["id"],
        "title": "New chat",
        "modelId": instance.default_model,
        "activeStreamId": None,
        "lastAssistantMessageAt": None,
        "createdAt": session["createdAt"],
        "updatedAt": session["createdAt"],
    }


async def test_what_was_made_can_be_got(ann: Caller, session: dict[str, Any]) -> None:
    chat = session.pop("chat")
    expect(await ann.get(session_path(session["id"])), 200, {"session": session})
    assert await ann.chat_ids(session) == [chat["id"]]


@pytest.mark.parametrize("content", [b'{"title":"\\u00e9","other":{"a":[1]},"id":"x"}', b'\n{"title":"\xc3\xa9"}'])
async def test_unknown_keys_and_the_media_type_do_not_matter(ann: Caller, content: bytes) -> None:
    for media_type in ("text/plain", "application/xml", "nonsense"):
        headers = {**ann.headers, "content-type": media_type}
        answer = await ann.http.post("/api/sessions", content=content, headers=headers)
        assert good(answer)["session"]["title"] == "é"


async def test_what_is_nested_deep_does_not_matter_where_nothing_is_kept(ann: Caller) -> None:
    deep = b"[" * 200 + b"]" * 200
    made = good(await ann.post("/api/sessions", content=b'{"title":"Deep","other":' + deep + b"}"))
    assert made["session"]["title"] == "Deep"


@pytest.mark.parametrize("blank", ["", "  ", "\t\n"])
async def test_a_blank_title_is_as_good_as_none(ann: Caller, blank: str) -> None:
    assert (await ann.new_session(title=blank))["title"] in titles.CITIES


async def test_sessions_without_a_title_are_called_after_different_cities(ann: Caller, bob: Caller) -> None:
    given = [(await ann.new_session())["title"] for _ in range(40)]
    assert len(set(given)) == 40
    assert set(given) <= set(titles.CITIES)
    assert (await bob.new_session())["title"] in titles.CITIES


async def test_when_all_cities_are_taken_a_number_is_added(ann: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(titles.free_title, "__defaults__", (("Tokyo",),))
    assert [(await ann.new_session())["title"] for _ in range(3)] == ["Tokyo", "Tokyo 2", "Tokyo 3"]


async def test_an_organization_is_the_tenant_however_it_is_written(ann: Caller) -> None:
    tenant = text_of(ann.tenant_id)
    for written in (tenant, tenant.upper()):
        session = await ann.new_session(organizationId=written)
        assert session["cloneUrl"] == f"https://github.com/recoupable/{written}"
        assert session["userId"] == ann.account_id
        got = good(await ann.get(session_path(session["id"])))["session"]
        assert got == {key: session[key] for key in KEYS}


async def test_another_organization_is_403_and_makes_nothing(ann: Caller, eve: Caller, instance: Instance) -> None:
    text = "Access denied to specified organization_id"
    for foreign in (text_of(eve.tenant_id), eve.account_id, NOBODY):
        refused(await ann.post("/api/sessions", {"organizationId": foreign, "title": "T"}), 403, text)
    assert await instance.sessions.titles(ann.tenant_id, (await principal_id(instance, ann))) == set()


async def principal_id(instance: Instance, caller: Caller) -> bytes:
    found = (await instance.keys.authenticate(str(caller.key))).participant_id
    assert found is not None
    return found


async def test_ones_own_account_is_an_organization_too(ann: Caller) -> None:
    session = await ann.new_session(organizationId=ann.account_id)
    assert session["cloneUrl"].endswith(f"/{ann.account_id}")


async def test_an_artist_is_kept_as_written(ann: Caller) -> None:
    artist = str(uuid4()).upper()
    session = await ann.new_session(artistId=artist)
    assert session["artistId"] == artist
    assert good(await ann.get(session_path(session["id"])))["session"]["artistId"] == artist


NOT_UUIDS = ["", "x", "11111111-1111-1111-1111-111111111111", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
             "3f0c1c527a344c579b0e0c0d6f1f3a10", f" {NOBODY}", f"{NOBODY}\n"]  # fmt: skip


@pytest.mark.parametrize("field", ["organizationId", "artistId"])
@pytest.mark.parametrize("text", NOT_UUIDS)
async def test_what_is_no_uuid_is_400(ann: Caller, field: str, text: str) -> None:
    answer = await ann.post("/api/sessions", {field: text})
    expect(answer, 400, wrong(f"{field} must be a valid UUID", field))


@pytest.mark.parametrize("text", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"])
async def test_the_two_special_uuids_are_taken(ann: Caller, text: str) -> None:
    assert (await ann.new_session(artistId=text))["artistId"] == text


@pytest.mark.parametrize("field", ["title", "organizationId", "artistId"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [(5, "number"), (1.5, "number"), (True, "boolean"), ([], "array"), ({}, "object"), (None, "null")],
)
async def test_another_type_is_400(ann: Caller, field: str, value: Any, kind: str) -> None:
    answer = await ann.post("/api/sessions", {field: value})
    expect(answer, 400, wrong(f"Invalid input: expected string, received {kind}", field))


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"[]", "array"), (b'"x"', "string"), (b"null", "null"), (b"1e9", "number"), (b"9" * 5000, "number"),
     (b"true", "boolean")],
)  # fmt: skip
async def test_a_body_that_is_no_object_is_400(ann: Caller, content: bytes, kind: str) -> None:
    answer = await ann.post("/api/sessions", content=content)
    expect(answer, 400, wrong(f"Invalid input: expected object, received {kind}"))


async def test_only_the_first_fault_is_told_in_the_order_of_the_fields(ann: Caller) -> None:
    answer = await ann.post("/api/sessions", {"artistId": 1, "organizationId": "x", "title": None})
    assert answer.json()["missing_fields"] == ["title"]
    answer = await ann.post("/api/sessions", {"artistId": 1, "organizationId": "x"})
    assert answer.json()["missing_fields"] == ["organizationId"]


@pytest.mark.parametrize("content", [b'{"title":"a\\u0000b"}', b'{"title":"\\ud800"}'])
async def test_a_title_that_cannot_be_kept_is_400(ann: Caller, content: bytes) -> None:
    answer = await ann.post("/api/sessions", content=content)
    expect(answer, 400, wrong("title holds a NUL character or a lone surrogate", "title"))


async def test_a_title_may_be_as_long_as_its_limit(ann: Caller) -> None:
    longest = "é" * limits.TITLE_CHARACTERS
    assert (await ann.new_session(title=f" {longest} "))["title"] == longest
    answer = await ann.post("/api/sessions", {"title": longest + "x"})
    expect(answer, 400, wrong(f"title is longer than {limits.TITLE_CHARACTERS} characters", "title"))


@pytest.mark.parametrize("session_id", [NOBODY, "no-such", "a b", "a/b", "100%", "ü", "x" * 513, "\x00", "\n"])
async def test_a_session_that_is_not_there_is_404(ann: Caller, session_id: str) -> None:
    refused(await ann.get(session_path(session_id)), 404, "Session not found")
    refused(await ann.get(chats_of({"id": session_id})), 404, "Session not found")


async def test_bytes_that_are_no_utf8_name_nothing(ann: Caller) -> None:
    refused(await ann.get("/api/sessions/%ff%fe"), 404, "Session not found")


async def test_a_session_of_the_other_shape_is_not_shown(ann: Caller, instance: Instance) -> None:
    chat, _ = await instance.chats.create_single(ann.tenant_id, "ann", None, "{}")
    single = {"id": chat.session_id}
    refused(await ann.get(session_path(chat.session_id)), 404, "Session not found")
    refused(await ann.get(chats_of(single)), 404, "Session not found")
    refused(await ann.post(chats_of(single)), 404, "Session not found")
    refused(await ann.delete(f"{chats_of(single)}/{chat.id}"), 404, "Session not found")
