"""Keys over HTTP: shown once, of the maker's reach or less, ended everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.domain import times
from tests.wire.native.caller import Caller, good, problem
from tests.wire.native.conftest import MakeCaller, Pages

PATH = "/keys"


async def made_by(key: Caller, **body: Any) -> dict[str, Any]:
    return good(await key.ask("POST", PATH, json=body), 201)


def with_text(key: Caller, made: dict[str, Any]) -> Caller:
    """The same client with a key that was made over HTTP."""
    return Caller(key._http, made["key"])


async def test_a_key_works_and_its_text_is_shown_once(ours: Caller) -> None:
    answer = await ours.ask("POST", PATH, json={"participant": "ann", "label": "Ann's"})
    made = good(answer, 201)
    text = made.pop("key")
    assert {name: made[name] for name in ("participant", "session", "scopes", "label", "expires_at")} == {
        "participant": "ann",
        "session": None,
        "scopes": ["participant"],
        "label": "Ann's",
        "expires_at": None,
    }
    whoami = good(await Caller(ours._http, text).ask("GET", "/whoami"))
    assert (whoami["key"], whoami["scopes"], whoami["participant"]["name"]) == (made["id"], ["participant"], "ann")
    assert whoami["tenant"]["id"] == made["tenant"]
    assert answer.headers["location"] == f"/antiphon/v1/keys/{made['id']}"
    assert good(await ours.ask("GET", f"{PATH}/{made['id']}")) == made
    listed = await ours.ask("GET", PATH)
    assert made in good(listed)["items"]
    assert text not in listed.text


@pytest.mark.parametrize(
    ("body", "scope"),
    [
        ({}, "tenant"),
        ({"session": "s"}, "session"),
        ({"participant": "ann"}, "participant"),
        ({"participant": "ann", "scopes": ["tenant"]}, "tenant"),
        ({"participant": "ann", "session": "s"}, "session"),
    ],
)
async def test_the_scope_follows_from_what_is_named(ours: Caller, body: dict[str, Any], scope: str) -> None:
    made = await made_by(ours, **body)
    assert made["scopes"] == [scope]
    assert good(await with_text(ours, made).ask("GET", "/whoami"))["scopes"] == [scope]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["tenant", "participant"]}, "scopes"),
        ({"scopes": ["root"]}, "scopes"),
        ({"scopes": ["participant"]}, "participant"),
        ({"scopes": ["session"]}, "session"),
        ({"scopes": ["tenant"], "session": "s"}, "session"),
        ({"participant": " "}, "participant"),
        ({"participant": "x" * 513}, "participant"),
        ({"label": "x" * 256}, "label"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2999-01-01"}, "expires_at"),
        ({"expires_at": "2999-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "2999-02-30T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:00"}, "expires_at"),
        ({"expires_at": 5}, "expires_at"),
    ],
)
async def test_what_means_nothing_is_refused(ours: Caller, body: dict[str, Any], field: str) -> None:
    refused = problem(await ours.ask("POST", PATH, json=body), 400, "invalid_input")
    assert [error["field"] for error in refused["errors"]] == [field]


async def test_a_key_ends_when_it_says(ours: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await made_by(ours, expires_at="2999-01-01T01:00:00+01:00")
    assert made["expires_at"] == "2999-01-01T00:00:00.000000Z"
    key = with_text(ours, made)
    good(await key.ask("GET", "/whoami"))
    later = times.from_text("2999-01-01T00:00:01")
    monkeypatch.setattr(times, "now", lambda: later)
    problem(await key.ask("GET", "/whoami"), 401, "authentication_failed")


async def test_an_ended_key_works_nowhere_and_is_not_there(ours: Caller) -> None:
    made = await made_by(ours)
    key, path = with_text(ours, made), f"{PATH}/{made['id']}"
    good(await key.ask("GET", "/whoami"))
    assert (await ours.ask("DELETE", path)).status_code == 204
    problem(await key.ask("GET", "/whoami"), 401, "authentication_failed")
    problem(await ours.ask("GET", path), 404, "not_found")
    problem(await ours.ask("DELETE", path), 404, "not_found")
    assert made["id"] not in {one["id"] for one in good(await ours.ask("GET", PATH))["items"]}


async def test_a_key_is_ended_as_it_was_seen(ours: Caller) -> None:
    made = await made_by(ours)
    path = f"{PATH}/{made['id']}"
    tag = (await ours.ask("GET", path)).headers["etag"]
    problem(await ours.ask("DELETE", path, headers={"if-match": '"other"'}), 412, "changed")
    problem(await ours.ask("DELETE", path, headers={"if-match": "W/" + tag}), 412, "changed")
    problem(await ours.ask("DELETE", path, headers={"if-match": "other"}), 400, "invalid_input")
    assert (await ours.ask("DELETE", path, headers={"if-match": f'"other", {tag}'})).status_code == 204


async def test_a_key_makes_none_that_reaches_further(ours: Caller, caller: MakeCaller) -> None:
    problem(await ours.ask("POST", PATH, json={"scopes": ["admin"]}), 403, "access_denied")
    admin = await caller("t1", scope="admin")
    root = await made_by(admin, scopes=["admin"])
    problem(await ours.ask("DELETE", f"{PATH}/{root['id']}"), 403, "access_denied")
    assert (await admin.ask("DELETE", f"{PATH}/{root['id']}")).status_code == 204
    for less in (await caller("t1", "ann"), await caller("t1", None, "session", session_id="s")):
        problem(await less.ask("POST", PATH, json={}), 403, "access_denied")
        problem(await less.ask("GET", PATH), 403, "access_denied")
        problem(await less.ask("GET", f"{PATH}/{root['id']}"), 403, "access_denied")
        problem(await less.ask("DELETE", f"{PATH}/{root['id']}"), 403, "access_denied")


async def test_an_administrator_makes_keys_of_the_tenant_that_it_names(caller: MakeCaller) -> None:
    admin, theirs = await caller("t1", scope="admin"), await caller("t2")
    made = good(await admin.ask("POST", PATH, json={"participant": "ann"}, headers={"x-tenant": "t2"}), 201)
    assert good(await with_text(admin, made).ask("GET", "/whoami"))["tenant"]["name"] == "t2"
    assert good(await theirs.ask("GET", f"{PATH}/{made['id']}"))["id"] == made["id"]


async def test_keys_of_others_are_not_there(ours: Caller, caller: MakeCaller) -> None:
    made = await made_by(await caller("t2"))
    for key_id in (made["id"], "key_00000000-0000-7000-8000-000000000000", "never", made["id"].upper()):
        problem(await ours.ask("GET", f"{PATH}/{key_id}"), 404, "not_found")
        problem(await ours.ask("DELETE", f"{PATH}/{key_id}"), 404, "not_found")


async def test_keys_come_in_pages_whose_cursors_are_of_one_list(ours: Caller, caller: MakeCaller, pages: Pages) -> None:
    made = [(await made_by(ours, label=str(i)))["id"] for i in range(4)]
    assert [key["id"] for key in await pages(ours, f"{PATH}?limit=2")][1:] == made
    cursor = good(await ours.ask("GET", f"{PATH}?limit=1"))["next"]
    theirs = await caller("t2")
    for key, text in ((theirs, cursor), (ours, cursor[:-4] + "AAAA"), (ours, "x"), (ours, "é"), (ours, "")):
        refused = problem(await key.ask("GET", PATH, params={"cursor": text}), 400, "invalid_cursor")
        assert [error["field"] for error in refused["errors"]] == ["cursor"]
    for limit in ("0", "201", "x", "-1", "1.5", ""):
        refused = problem(await ours.ask("GET", PATH, params={"limit": limit}), 400, "invalid_input")
        assert [error["field"] for error in refused["errors"]] == ["limit"]
    problem(await ours.ask("GET", f"{PATH}?page=2"), 400, "unknown_field")
