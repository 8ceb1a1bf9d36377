"""Every code has its row, and a store that is away is told as such."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from antiphon.api.honcho.errors import TABLE, refuse
from antiphon.core.instance import Instance
from antiphon.domain.errors import AntiphonError, RateLimitExceeded, StoreFailed, StoreUnavailable
from antiphon.stores.sqlite.store import SqliteStore
from tests.wire.honcho.caller import Caller, text_of


def tree(root: type[AntiphonError]) -> Iterator[type[AntiphonError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_every_code_has_a_row() -> None:
    ours = ("antiphon.domain.", "antiphon.core.", "antiphon.api.http", "antiphon.api.routing", "antiphon.api.honcho.")
    codes = {error.code for error in tree(AntiphonError) if error.__module__.startswith(ours)}
    assert codes - set(TABLE) == set()
    assert len(codes) > 30


def test_no_token_is_ever_refused_with_403() -> None:
    assert 403 not in {status for status, _ in TABLE.values()}
    assert {TABLE[code][0] for code in ("authentication_failed", "access_denied", "admin_only")} == {401}


def test_waiting_times_are_told() -> None:
    assert dict(refuse(RateLimitExceeded(7)).headers)[b"retry-after"] == b"7"


@pytest.mark.parametrize(("error", "status"), [(StoreUnavailable(), 503), (StoreFailed(), 500)])
async def test_a_store_that_fails_is_told(
    w: Caller, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    await w.say("s", "hello")

    async def fail(*_: object, **__: object) -> None:
        raise error

    for part, name in [(store.messages, "append"), (store.messages, "page_of_single"),
                       (store.deletions, "detach_session"),
                       (store.participants, "put"), (store.sessions, "put_single")]:  # fmt: skip
        monkeypatch.setattr(part, name, fail)
    batch = {"messages": [{"content": "x", "peer_id": "ann"}]}
    for method, path, body in [("POST", "/sessions/s/messages", batch), ("POST", "/sessions/s/messages/list", None),
                               ("DELETE", "/sessions/s", None), ("POST", "/peers", {"id": "x"}),
                               ("POST", "/sessions", {"id": "x"})]:  # fmt: skip
        answer = await w.call(method, path, body)
        text_of(answer, status)
        assert answer.headers.get("retry-after") == ("1" if status == 503 else None)
    monkeypatch.undo()
    assert await w.texts("s") == ["hello"]


async def test_an_unforeseen_fault_says_nothing_of_itself(
    w: Caller, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(instance.messages, "append", fail)
    answer = await w.post("/sessions/s/messages", {"messages": [{"content": "x", "peer_id": "ann"}]})
    assert "secret" not in text_of(answer, 500)
