"""Methods, paths, headers and bodies before any of them means something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.domain import limits
from tests.wire.recoup.caller import NOBODY, Caller, chat_path, chats_of, good, refused, session_path

CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS, PATCH",
    "access-control-allow-headers": "Content-Type, Authorization, X-Requested-With, x-api-key",
    "access-control-expose-headers": "x-workflow-run-id, x-workflow-stream-tail-index",
}
ALLOWED = {
    "/api/openapi.json": "GET, HEAD, OPTIONS",
    "/api/sessions": "GET, HEAD, OPTIONS, POST",
    "/api/sessions/s": "DELETE, GET, HEAD, OPTIONS, PATCH",
    "/api/sessions/s/chats": "GET, HEAD, OPTIONS, POST",
    "/api/sessions/s/chats/c": "DELETE, GET, HEAD, OPTIONS, PATCH",
    "/api/sessions/s/chats/c/read": "OPTIONS, POST",
    "/api/chats": "DELETE, GET, HEAD, OPTIONS, PATCH, POST",
    "/api/chats/compact": "OPTIONS, POST",
    "/api/chats/c/messages": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize("path", ALLOWED)
async def test_another_method_is_405_and_says_which_there_are(ann: Caller, anybody: Caller, path: str) -> None:
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO"} - set(ALLOWED[path].split(", ")):
        for caller in (ann, anybody):
            answer = await caller.call(method, path, content=b"{bad")
            assert answer.headers["allow"] == ALLOWED[path]
            if method == "HEAD":
                assert (answer.status_code, answer.content) == (405, b"")
            else:
                refused(answer, 405, "Method not allowed")


UNKNOWN = ["/api", "/api/", "/api/nothing", "/api/sessions/", "/api/sessions/s/", "/api/sessions/s/chats/",
           "/api/sessions//chats", "/api/sessions/s/chats/c/", "/api/sessions/s/chats/c/read/", "/api/Sessions",
           "/api/sessions/s/chats/c/d", "/api//sessions", "/api/sessions%2Fs", "/api/sessions/s/chats//read",
           "/api/\u00e9", "/api/%ff", "/api/%00"]  # fmt: skip


@pytest.mark.parametrize("path", UNKNOWN)
async def test_an_unknown_path_is_404(ann: Caller, anybody: Caller, path: str) -> None:
    for caller in (ann, anybody):
        for method in ("GET", "POST", "DELETE"):
            refused(await caller.call(method, path), 404, "Not found")


async def test_every_answer_may_be_read_from_anywhere(ann: Caller, anybody: Caller, session: dict[str, Any]) -> None:
    extra = await ann.new_chat(session)
    answers = {
        200: await ann.delete(chat_path(session, extra["id"])),
        400: await ann.post(chats_of(session), {"id": ""}),
        401: await anybody.get(chats_of(session)),
        404: await ann.get(session_path(NOBODY)),
        405: await ann.delete("/api/sessions"),
        413: await ann.post(chats_of(session), content=b" " * (limits.BODY_BYTES + 1)),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert {name: answer.headers.get_list(name) for name in CORS} == {name: [CORS[name]] for name in CORS}
        assert answer.headers.get_list("content-type") == ["application/json"]


@pytest.mark.parametrize("path", [*ALLOWED, "/api/nothing", "/api/chat/c/stop"])
async def test_a_preflight_needs_no_key(anybody: Caller, path: str) -> None:
    answer = await anybody.call("OPTIONS", path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert {name: answer.headers[name] for name in CORS} == CORS


async def test_head_is_get_without_the_body(ann: Caller, anybody: Caller, session: dict[str, Any]) -> None:
    paths = [session_path(session["id"]), chats_of(session), chat_path(session, session["chat"]["id"]),
             session_path(NOBODY), "/api/openapi.json"]  # fmt: skip
    for caller in (ann, anybody):
        for path in paths:
            get, head = await caller.get(path), await caller.call("HEAD", path)
            assert (head.status_code, head.content) == (get.status_code, b"")
            assert head.headers["content-length"] == str(len(get.content))


async def chunked(size: int) -> AsyncIterator[bytes]:
    piece = b" " * 65_536
    for _ in range(size // len(piece) + 1):
        yield piece


async def test_a_body_over_the_limit_is_413_and_makes_nothing(ann: Caller, session: dict[str, Any]) -> None:
    over = b'{"id":"mine"' + b" " * limits.BODY_BYTES + b"}"
    refused(await ann.post(chats_of(session), content=over), 413, "Request body too large")
    refused(await ann.post("/api/sessions", content=over), 413, "Request body too large")
    answer = await ann.http.post(chats_of(session), content=chunked(limits.BODY_BYTES), headers=ann.headers)
    refused(answer, 413, "Request body too large")
    assert await ann.chat_ids(session) == [session["chat"]["id"]]


async def test_a_body_may_be_as_large_as_the_limit(ann: Caller, session: dict[str, Any]) -> None:
    content = b'{"id":"mine"' + b" " * (limits.UNREAD_BODY_BYTES - 13) + b"}"
    assert len(content) == limits.UNREAD_BODY_BYTES
    assert good(await ann.post(chats_of(session), content=content))["chat"]["id"] == "mine"


async def test_a_declared_length_is_enough_to_refuse(ann: Caller, session: dict[str, Any]) -> None:
    headers = {**ann.headers, "content-length": "99999999999"}
    answer = await ann.http.post(chats_of(session), content=b"{}", headers=headers)
    refused(answer, 413, "Request body too large")


async def test_a_query_does_not_matter(ann: Caller, session: dict[str, Any]) -> None:
    plain = await ann.get(chats_of(session))
    for query in ("?x=1", "?account_id=nobody", "?%ff", "?&&="):
        assert (await ann.get(chats_of(session) + query)).json() == plain.json()
