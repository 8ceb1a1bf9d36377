"""Every code has its row, and a store that fails is told as such, with nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from antiphon.api.recoup.errors import ROWS, FieldInvalid, refuse
from antiphon.core.instance import Instance
from antiphon.domain.errors import AntiphonError, RateLimitExceeded, StoreFailed, StoreUnavailable
from antiphon.stores.sqlite.store import SqliteStore
from tests.wire.recoup.caller import Caller, chat_path, chats_of, expect, good, refused, session_path

BUSY = "The server is busy, try again in a moment"
INTERNAL = "Internal server error"


def tree(root: type[AntiphonError]) -> Iterator[type[AntiphonError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_every_code_has_a_row() -> None:
    ours = ("antiphon.domain.", "antiphon.core.", "antiphon.api.http", "antiphon.api.routing", "antiphon.api.recoup.")
    codes = {error.code for error in tree(AntiphonError) if error.__module__.startswith(ours)}
    assert codes == set(ROWS)


def test_no_error_of_a_client_is_one_of_the_server() -> None:
    servers = {code for code, row in ROWS.items() if row.status >= 500}
    assert servers == {"error", "internal_fault", "agent_failed", "sandbox_failed", "store_error", "store_failed",
                       "store_too_new", "store_unavailable", "turn_still_running"}  # fmt: skip


def test_an_error_without_a_row_is_an_internal_one() -> None:
    class Unheard(AntiphonError):
        code = "unheard"

    reply = refuse(Unheard("secret words"))
    assert (reply.status, reply.body) == (500, b'{"status":"error","error":"Internal server error"}')


def test_the_path_of_a_value_is_told_in_the_order_of_the_page() -> None:
    reply = refuse(FieldInvalid("No", ["chatId", 0]))
    assert (reply.status, reply.body) == (400, b'{"status":"error","missing_fields":["chatId",0],"error":"No"}')


def test_waiting_times_are_told() -> None:
    assert dict(refuse(RateLimitExceeded(7)).headers)[b"retry-after"] == b"7"


METHODS_OF_THE_STORE = [
    ("sessions", "create_multi"), ("sessions", "find"), ("sessions", "titles"), ("chats", "create"), ("chats", "find"),
    ("chats", "list_of_session"), ("chats", "read_marks"), ("chats", "mark_read"), ("messages", "page"),
    ("deletions", "detach_chat"),
]  # fmt: skip


def break_store(monkeypatch: pytest.MonkeyPatch, store: SqliteStore, error: Exception, *only: str) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    for part, name in METHODS_OF_THE_STORE:
        if not only or name in only:
            monkeypatch.setattr(getattr(store, part), name, fail)


@pytest.fixture
async def extra(ann: Caller, session: dict[str, Any]) -> str:
    """The path of a second chat of the session."""
    return chat_path(session, (await ann.new_chat(session, "extra"))["id"])


CASES = [
    ("POST", "/api/sessions", "titles", INTERNAL),
    ("POST", "/api/sessions", "create_multi", INTERNAL),
    ("GET", "{session}", "find", INTERNAL),
    ("GET", "{session}/chats", "list_of_session", INTERNAL),
    ("GET", "{session}/chats", "read_marks", INTERNAL),
    ("POST", "{session}/chats", "create", "Failed to create chat"),
    ("GET", "{session}/chats/extra", "find", INTERNAL),
    ("DELETE", "{session}/chats/extra", "detach_chat", "Failed to delete chat"),
    ("POST", "{session}/chats/extra/read", "mark_read", "Failed to mark chat as read"),
]


@pytest.mark.parametrize(("method", "path", "broken", "text"), CASES)
async def test_a_store_that_fails_is_500_and_one_that_is_away_503(
    ann: Caller,
    store: SqliteStore,
    session: dict[str, Any],
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    broken: str,
    text: str,
) -> None:
    where = path.format(session=session_path(session["id"]))
    for error, status, words, wait in [(StoreFailed(), 500, text, None), (StoreUnavailable(), 503, BUSY, "1")]:
        with monkeypatch.context() as patch:
            break_store(patch, store, error, broken)
            answer = await ann.call(method, where)
        refused(answer, status, words)
        assert answer.headers.get("retry-after") == wait
    assert await ann.chat_ids(session) == [session["chat"]["id"], "extra"]
    assert extra.endswith("/extra")


async def test_messages_that_cannot_be_read_are_none_but_a_store_that_is_away_is_told(
    ann: Caller, store: SqliteStore, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        break_store(patch, store, StoreFailed(), "page")
        assert good(await ann.get(extra))["messages"] == []
    with monkeypatch.context() as patch:
        break_store(patch, store, StoreUnavailable(), "page")
        refused(await ann.get(extra), 503, BUSY)


async def test_a_fault_of_ours_is_told_without_its_words(
    ann: Caller, store: SqliteStore, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_store(monkeypatch, store, ValueError("secret words"), "list_of_session")
    refused(await ann.get(chats_of(session)), 500, INTERNAL)


async def test_a_session_deleted_in_between_is_404(
    ann: Caller, instance: Instance, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await instance.sessions.get(ann.tenant_id, session["id"])
    await instance.deletions.delete_session(ann.tenant_id, found, "cancel")

    async def still_there(*_: object) -> object:
        return found

    monkeypatch.setattr(instance.store.sessions, "find", still_there)
    refused(await ann.post(chats_of(session)), 404, "Session not found")
    expect(await ann.post(chats_of(session), {"id": ""}), 400, {"error": "Invalid chat id"})
