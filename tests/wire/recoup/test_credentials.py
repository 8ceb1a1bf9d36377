"""Who may call, and which of the envelopes says no."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from tests.wire.recoup.caller import NOBODY, Caller, chat_path, chats_of, expect, good, refused, session_path
from tests.wire.recoup.conftest import MakeCaller

EXACTLY_ONE = "Exactly one of x-api-key or Authorization must be provided"
UNAUTHORIZED = {"status": "error", "error": "Unauthorized", "message": "Unauthorized"}
BEARER_REQUIRED = "Authorization header with Bearer token required"
UNKNOWN = "ant_" + "A" * 86

OPERATIONS = [
    ("POST", "/api/sessions"),
    ("GET", f"/api/sessions/{NOBODY}"),
    ("GET", f"/api/sessions/{NOBODY}/chats"),
    ("POST", f"/api/sessions/{NOBODY}/chats"),
    ("GET", f"/api/sessions/{NOBODY}/chats/c"),
    ("DELETE", f"/api/sessions/{NOBODY}/chats/c"),
    ("POST", f"/api/sessions/{NOBODY}/chats/c/read"),
]


async def test_none_is_401(anybody: Caller) -> None:
    for method, path in OPERATIONS:
        refused(await anybody.call(method, path), 401, EXACTLY_ONE)


async def test_both_are_401_however_good(http: httpx.AsyncClient, ann: Caller) -> None:
    both = {"x-api-key": str(ann.key), "authorization": f"Bearer {ann.key}"}
    for method, path in OPERATIONS:
        refused(await http.request(method, path, headers=both), 401, EXACTLY_ONE)


@pytest.mark.parametrize("key", [UNKNOWN, "recoup_sk_nobody", "x", "ant_", "ant_" + "!" * 86])
async def test_an_unknown_one_is_401(http: httpx.AsyncClient, key: str) -> None:
    for method, path in OPERATIONS:
        for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
            expect(await http.request(method, path, headers=headers), 401, UNAUTHORIZED)


@pytest.mark.parametrize("scheme", ["Basic ", "BEARER ", "bEarer ", "Bearer", "Token ", ""])
async def test_another_scheme_is_401(http: httpx.AsyncClient, ann: Caller, scheme: str) -> None:
    for method, path in OPERATIONS:
        answer = await http.request(method, path, headers={"authorization": f"{scheme}{ann.key}"})
        expect(answer, 401, {"status": "error", "error": BEARER_REQUIRED, "message": BEARER_REQUIRED})


async def test_a_bearer_scheme_alone_is_none(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/api/sessions/{NOBODY}", headers={"authorization": "Bearer "})
    assert (answer.status_code, answer.json()["error"]) == (401, BEARER_REQUIRED)


async def test_a_blank_header_counts_as_absent(http: httpx.AsyncClient, ann: Caller, session: dict[str, Any]) -> None:
    good(await http.get(session_path(session["id"]), headers={"x-api-key": " ", "authorization": f"Bearer {ann.key}"}))
    good(await http.get(session_path(session["id"]), headers={"x-api-key": str(ann.key), "authorization": ""}))
    blank = {"x-api-key": "", "authorization": " "}
    refused(await http.get(session_path(session["id"]), headers=blank), 401, EXACTLY_ONE)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_a_key_is_good_in_either_header(
    http: httpx.AsyncClient, ann: Caller, session: dict[str, Any], scheme: str
) -> None:
    answer = await http.get(session_path(session["id"]), headers={"authorization": f"{scheme} {ann.key}"})
    assert answer.json() == (await ann.get(session_path(session["id"]))).json()
    assert good(answer)["session"]["userId"] == ann.account_id


async def test_a_revoked_key_is_401(ann: Caller, instance: Instance, session: dict[str, Any]) -> None:
    principal = await instance.keys.authenticate(str(ann.key))
    assert principal.key_id is not None
    await instance.keys.revoke(principal.tenant_id, principal.key_id)
    expect(await ann.get(chats_of(session)), 401, UNAUTHORIZED)


@pytest.mark.parametrize("scope", ["tenant", "admin"])
async def test_a_key_that_stands_for_nobody_is_403(caller: MakeCaller, scope: str) -> None:
    nobody = await caller("t1", None, scope)
    for method, path in OPERATIONS:
        refused(await nobody.call(method, path), 403, "Forbidden")


async def test_a_key_of_one_session_is_403(caller: MakeCaller, session: dict[str, Any]) -> None:
    narrow = await caller("t1", "ann", "session", session_id=session["id"])
    paths = [
        ("POST", "/api/sessions"),
        ("GET", session_path(session["id"])),
        ("GET", chats_of(session)),
        ("POST", chats_of(session)),
        ("GET", chat_path(session, session["chat"]["id"])),
        ("DELETE", chat_path(session, session["chat"]["id"])),
        ("POST", chat_path(session, session["chat"]["id"]) + "/read"),
    ]
    for method, path in paths:
        refused(await narrow.call(method, path), 403, "Forbidden")


@pytest.mark.parametrize("scope", ["tenant", "admin"])
async def test_a_wider_key_acts_as_its_participant_and_reaches_no_further(
    caller: MakeCaller, bob: Caller, session: dict[str, Any], scope: str
) -> None:
    wide_ann = await caller("t1", "ann", scope)
    assert good(await wide_ann.get(session_path(session["id"])))["session"]["userId"] == wide_ann.account_id
    theirs = await bob.new_session()
    refused(await wide_ann.get(session_path(theirs["id"])), 403, "Forbidden")


async def test_without_authentication_everybody_is_one_and_no_header_counts(
    anybody: Caller, ann: Caller, instance: Instance, session: dict[str, Any]
) -> None:
    instance.everybody = await instance.keys.authenticate(str(ann.key))
    assert good(await anybody.get(session_path(session["id"])))["session"]["userId"] == ann.account_id
    assert good(await Caller(ann.http, UNKNOWN).get(session_path(session["id"])))["session"]["id"] == session["id"]
    instance.everybody = await instance.keys.open_principal()
    refused(await anybody.get(session_path(session["id"])), 403, "Forbidden")


async def test_the_body_of_a_new_session_is_judged_before_the_credential(anybody: Caller) -> None:
    answer = await anybody.post("/api/sessions", {"title": 5})
    assert answer.status_code == 400
    assert answer.json()["missing_fields"] == ["title"]


async def test_the_credential_is_judged_before_the_id_of_a_new_chat(anybody: Caller) -> None:
    refused(await anybody.post(f"/api/sessions/{NOBODY}/chats", {"id": ""}), 401, EXACTLY_ONE)
