"""Paths, methods, media, bodies, queries: what is wrong is said in the wire's own shape, and never 500."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from antiphon.domain import limits
from tests.wire.honcho.caller import Caller, first_fault, text_of

JSON = "application/json"
WITH_BODY = [("PUT", ""), ("POST", "/peers"), ("POST", "/sessions"), ("POST", "/sessions/s/messages")]
LISTS = ["/peers/list", "/sessions/list", "/sessions/s/messages/list"]
MISSING = {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
NO_OBJECT = "Input should be a valid dictionary or object to extract fields from"


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_a_body_is_needed(w: Caller, method: str, path: str) -> None:
    assert (await w.call(method, path)).json() == {"detail": [MISSING]}
    assert (await w.send(method, path, b"null", JSON)).json() == {"detail": [MISSING]}


@pytest.mark.parametrize("media", [None, "text/plain", "application/x-www-form-urlencoded", "json", "", "text/json"])
async def test_a_body_that_is_not_said_to_be_json_is_no_object(w: Caller, media: str | None) -> None:
    for method, path in [*WITH_BODY, *(("POST", path) for path in LISTS)]:
        entry = first_fault(await w.send(method, path, b'{"id":"x"}', media))
        assert entry == {"type": "model_attributes_type", "loc": ["body"], "msg": NO_OBJECT, "input": '{"id":"x"}'}
    assert first_fault(await w.send("POST", "/peers", b"\xff", media))["input"] == "\ufffd"
    batch = b'{"messages":[{"content":"a","peer_id":"b"}]}'
    assert first_fault(await w.send("POST", "/sessions/s/messages", batch, media))["type"] == "model_attributes_type"
    assert await w.listed("/sessions/list") == []


@pytest.mark.parametrize(
    "media", [JSON, "application/json; charset=utf-8", "Application/JSON", "application/problem+json"]
)
async def test_json_by_any_of_its_names_is_taken(w: Caller, media: str) -> None:
    assert (await w.send("POST", "/peers", b'{"id":"x"}', media)).status_code == 201
    batch = b'{"messages":[{"content":"a","peer_id":"b"}]}'
    assert (await w.send("POST", "/sessions/s/messages", batch, media)).status_code == 201


MALFORMED = [
    (b"{", 1, "Expecting property name enclosed in double quotes"),
    (b'{"id": }', 7, "Expecting value"),
    (b'{"id": "x"} x', 12, "Extra data"),
    (b'{"id": "\xff"}', 8, "Invalid UTF-8"),
    (b'{"id": NaN}', 7, "Invalid value"),
    (b'{"id": "\\ud800"}', 0, "Invalid value"),
    (b'{"metadata": {"a": 1e999}}', 0, "Invalid value"),
]


@pytest.mark.parametrize(("raw", "offset", "reason"), MALFORMED)
async def test_what_is_no_json_is_told_with_its_place(w: Caller, raw: bytes, offset: int, reason: str) -> None:
    expected = {"type": "json_invalid", "loc": ["body", offset], "msg": "JSON decode error", "input": {},
                "ctx": {"error": reason}}  # fmt: skip
    for method, path in [*WITH_BODY, *(("POST", path) for path in LISTS)]:
        assert (await w.send(method, path, raw, JSON)).json() == {"detail": [expected]}


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"id":' * 5000 + b"1" + b"}" * 5000, b"[" * 101 + b"]" * 101])
async def test_what_is_nested_too_deep_is_refused(w: Caller, raw: bytes) -> None:
    for method, path in WITH_BODY:
        text_of(await w.send(method, path, raw, JSON), 422)


async def test_a_number_of_any_length_is_no_fault_of_ours(w: Caller) -> None:
    raw = b'{"id": "x", "metadata": {"n": ' + b"9" * 5000 + b"}}"
    assert (await w.send("POST", "/peers", raw, JSON)).status_code in {201, 422}


@pytest.mark.parametrize("raw", [b"[]", b"5", b'"x"', b"true", b"[1]"])
async def test_json_that_is_no_object_is_refused(w: Caller, raw: bytes) -> None:
    for method, path in [*WITH_BODY, *(("POST", path) for path in LISTS)]:
        entry = first_fault(await w.send(method, path, raw, JSON))
        assert (entry["type"], entry["loc"], entry["msg"]) == ("model_attributes_type", ["body"], NO_OBJECT)


async def test_a_body_over_the_limit_is_413(w: Caller) -> None:
    for method, path in WITH_BODY:
        most = limits.HONCHO_BATCH_BYTES if path.endswith("/messages") else limits.BODY_BYTES
        raw = b'{"id": "x", "y": "' + b"y" * most + b'"}'
        text_of(await w.send(method, path, raw, JSON), 413)
    assert await w.listed("/peers/list", {"id": "x"}) == []


async def test_a_batch_of_the_longest_messages_is_taken(w: Caller) -> None:
    """Whatever way a client writes them."""
    text = "\N{HERB}" * limits.HONCHO_CONTENT_CHARACTERS
    batch = {"messages": [{"content": text, "peer_id": "ann"}] * limits.MESSAGES_PER_APPEND}
    raw = json.dumps(batch).encode()
    assert len(raw) > 12 * limits.HONCHO_CONTENT_CHARACTERS * limits.MESSAGES_PER_APPEND
    answer = await w.send("POST", "/sessions/s/messages", raw, JSON)
    assert answer.status_code == 201
    assert [len(message["content"]) for message in answer.json()] == [len(text)] * limits.MESSAGES_PER_APPEND


QUERY_FAULTS = [
    ("page", "0", "greater_than_equal", {"ge": 1}),
    ("page", "-1", "greater_than_equal", {"ge": 1}),
    ("page", "", "int_parsing", None),
    ("page", "x", "int_parsing", None),
    ("page", "1.5", "int_parsing", None),
    ("size", "0", "greater_than_equal", {"ge": 1}),
    ("size", "101", "less_than_equal", {"le": 100}),
    ("size", "9" * 5000, "int_parsing_size", None),
    ("reverse", "", "bool_parsing", None),
    ("reverse", "perhaps", "bool_parsing", None),
]


@pytest.mark.parametrize(("name", "value", "kind", "ctx"), QUERY_FAULTS)
async def test_pages_out_of_range_are_refused(w: Caller, name: str, value: str, kind: str, ctx: dict | None) -> None:
    for path in LISTS:
        entry = first_fault(await w.post(path, **{name: value}))
        assert (entry["type"], entry["loc"], entry["input"], entry.get("ctx")) == (kind, ["query", name], value, ctx)


@pytest.mark.parametrize("value", ["true", "TRUE", "1", "yes", "on", "false", "False", "0", "no", "off"])
async def test_reverse_is_said_in_many_ways(w: Caller, value: str) -> None:
    await w.say("s", "a", "b")
    expected = ["b", "a"] if value.lower() in {"true", "1", "yes", "on"} else ["a", "b"]
    assert await w.texts("s", reverse=value) == expected


@pytest.mark.parametrize("page", [3, 10**6, 2**63, 10**40])
async def test_a_page_past_the_end_is_empty(w: Caller, page: int) -> None:
    await w.say("s", "a", "b")
    for path, reverse in [(path, reverse) for path in LISTS for reverse in (False, True)]:
        answer = await w.post(path, page=page, size=100, reverse=reverse)
        assert (answer.status_code, answer.json()["items"], answer.json()["page"]) == (200, [], page)
    assert (await w.get("/sessions/s/peers", page=page)).json()["items"] == []


METHODS = [
    ("GET", "", "DELETE, PUT"),
    ("GET", "/peers", "POST"),
    ("DELETE", "/peers", "POST"),
    ("GET", "/sessions/s", "DELETE, PUT"),
    ("PATCH", "/sessions/s", "DELETE, PUT"),
    ("DELETE", "/sessions/s/messages/m", "GET, HEAD, PUT"),
]


@pytest.mark.parametrize(("method", "path", "allowed"), METHODS)
async def test_a_wrong_method_is_405_with_the_right_ones(w: Caller, method: str, path: str, allowed: str) -> None:
    answer = await w.call(method, path)
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    assert answer.headers["allow"] == allowed


UNKNOWN = ["/v3", "/v3/", "/v3/nothing", "/v3/workspaces/w1/nothing", "/v3/workspaces//peers"]
UNKNOWN += ["/v3/workspaces/w1/peers//", "/v3/workspaces/w1/sessions/s/messages/m/n"]


@pytest.mark.parametrize("path", UNKNOWN)
async def test_an_unknown_path_is_404(w: Caller, path: str) -> None:
    answer = await w.http.post(path, headers=w.headers)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


WITH_SLASH = [
    ("POST", "/workspaces"),
    ("POST", "/workspaces/w1/peers/list"),
    ("GET", "/workspaces/w1/sessions/a%2Fb/peers"),
    ("GET", "/workspaces/w1/peers"),
    ("DELETE", "/workspaces/w1/sessions/s"),
    ("GET", "/workspaces/w1/sessions/s/messages"),
]


@pytest.mark.parametrize(("method", "path"), WITH_SLASH)
async def test_a_slash_at_the_end_is_sent_to_the_path_without_it(w: Caller, method: str, path: str) -> None:
    answer = await w.http.request(method, f"/v3{path}/", params={"page": "2"})
    assert (answer.status_code, answer.headers["location"]) == (307, f"/v3{path}?page=2")


async def test_a_client_that_follows_gets_its_answer(w: Caller) -> None:
    answer = await w.http.post("/v3/workspaces/w1/peers/", json={"id": "ann"}, headers=w.headers, follow_redirects=True)
    assert answer.status_code == 201


HOSTILE = ["%00", "%FF", "%C3%28", "%2E%2E", "a%2Fb", "x" * 5000, "%F0%9F%8C%8D", "'; --", "%ED%A0%80", "*", "{x}"]


@pytest.mark.parametrize("part", HOSTILE)
async def test_impossible_ids_in_paths_are_never_a_fault_of_the_server(w: Caller, admin: Caller, part: str) -> None:
    batch = {"messages": [{"content": "x", "peer_id": "ann"}]}
    calls: list[tuple[Caller, str, str, Any]] = [
        (w, "DELETE", f"/workspaces/w1/sessions/{part}", None),
        (w, "POST", f"/workspaces/w1/sessions/{part}/messages", batch),
        (w, "POST", f"/workspaces/w1/sessions/{part}/messages/list", None),
        (w, "GET", f"/workspaces/w1/sessions/{part}/messages/{part}", None),
        (admin, "PUT", f"/workspaces/{part}", {}),
        (admin, "DELETE", f"/workspaces/{part}", None),
        (admin, "POST", f"/workspaces/{part}/peers", {"id": "ann"}),
        (admin, "POST", f"/workspaces/{part}/sessions", {"id": "s"}),
        (admin, "POST", f"/workspaces/{part}/sessions/s/messages", batch),
    ]
    for one, method, path, body in calls:
        answer = await one.top(method, path, body)
        assert answer.status_code in {200, 404, 422}, answer.text
        assert answer.status_code != 200 or answer.json().get("items") == []


async def test_the_document_needs_no_token(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v3/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")


async def test_what_is_named_like_a_route_is_changed_and_deleted(w: Caller) -> None:
    await w.new_session("list")
    assert (await w.put("/sessions/list", {"metadata": {"a": 1}})).json()["metadata"] == {"a": 1}
    assert (await w.put("/peers/list", {"metadata": {"a": 1}})).json()["id"] == "list"
    assert (await w.post("/scopes", {"id": "list"})).status_code == 201
    assert (await w.get("/scopes/list")).json()["id"] == "list"
    assert (await w.delete("/sessions/list")).status_code == 202
    assert await w.listed("/sessions/list") == []
    text_of(await w.get("/sessions/s/messages/list"), 404)
    assert (await w.call("PATCH", "/sessions/list")).status_code == 405
