"""The filter language: what each form lets through, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.api.honcho.filters import CONCLUSION, MESSAGE, SESSION, read_filter
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.domain.filters import EQ, EVERYTHING, IN, IS_SET, All, Contained, FieldTest, KeyTest, Not, Some
from tests.wire.honcho.caller import Caller, text_of

READ: list[tuple[dict[str, Any], Any]] = [
    ({}, EVERYTHING),
    ({"peer_id": "ann"}, FieldTest("author", EQ, ("ann",))),
    ({"peer_id": "*"}, EVERYTHING),
    ({"peer_id": {"in": ["a", "*"]}}, EVERYTHING),
    ({"peer_id": ["a", "b"]}, FieldTest("author", IN, ("a", "b"))),
    ({"peer_id": {"ne": None}}, FieldTest("author", IS_SET)),
    ({"created_at": "2024-01-02"}, FieldTest("created_at", EQ, (1_704_153_600_000_000,))),
    ({"created_at": "2024-01-02T05:00:00+05:00"}, FieldTest("created_at", EQ, (1_704_153_600_000_000,))),
    ({"AND": []}, EVERYTHING),
    ({"OR": []}, EVERYTHING),
    ({"OR": [{"peer_id": "a"}]}, Some((FieldTest("author", EQ, ("a",)),))),
    ({"NOT": [{"peer_id": "a"}]}, All((Not(FieldTest("author", EQ, ("a",))),))),
    ({"metadata": {}}, EVERYTHING),
    ({"metadata": {"a": 1, "b": "*"}}, Contained('{"a":1}')),
    ({"metadata": {"contains": {"a": [1]}}}, Contained('{"a":[1]}')),
    ({"metadata": {"a": {"gte": 1}}}, KeyTest("a", "gte", (1,))),
    ({"metadata": {"a": {"gte": 1, "b": 2}}}, Contained('{"a":{"gte":1,"b":2}}')),
]


@pytest.mark.parametrize(("given", "wanted"), READ)
def test_a_filter_is_read(given: dict[str, Any], wanted: Any) -> None:
    assert read_filter(given, MESSAGE) == wanted


def nested(depth: int) -> dict[str, Any]:
    return {"AND": [nested(depth - 1)]} if depth else {"peer_id": "a"}


REFUSED: list[dict[str, Any]] = [
    {"colour": 1},
    {"id": "x"},
    {"peer_id": 5},
    {"peer_id": True},
    {"peer_id": {}},
    {"peer_id": {"like": "a"}},
    {"peer_id": {"gte": None}},
    {"peer_id": {"in": "a"}},
    {"peer_id": "a\x00"},
    {"token_count": "1"},
    {"token_count": True},
    {"token_count": {"contains": "1"}},
    {"created_at": "yesterday"},
    {"created_at": 1},
    {"created_at": "9999-12-31T23:59:59-14:00"},
    {"AND": {}},
    {"AND": ["a"]},
    {"NOT": None},
    {"metadata": 1},
    {"metadata": {"a": {"gte": None}}},
    {"metadata": {"a": {"gte": [1]}}},
    nested(limits.HONCHO_FILTER_DEPTH + 1),
    {"peer_id": {"in": ["a"] * (limits.HONCHO_FILTER_VALUES + 1)}},
    {"OR": [{"peer_id": "a"}] * limits.HONCHO_FILTER_CONDITIONS},
]


@pytest.mark.parametrize("given", REFUSED)
def test_what_means_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="filters"):
        read_filter(given, MESSAGE)


def test_the_deepest_and_the_largest_are_taken() -> None:
    read_filter(nested(limits.HONCHO_FILTER_DEPTH), MESSAGE)
    read_filter({"peer_id": {"in": ["a"] * limits.HONCHO_FILTER_VALUES}}, MESSAGE)
    assert read_filter({"token_count": {"lt": 10**30}}, MESSAGE) == FieldTest("token_count", "lt", (2.0**53,))
    read_filter({"is_active": True, "workspace_id": "w"}, SESSION)
    read_filter({"observer": "a", "observed_id": "b", "level": "explicit"}, CONCLUSION)


async def test_messages_sessions_and_peers_are_filtered(w: Caller) -> None:
    await w.say("s", {"content": "a", "peer_id": "ann", "metadata": {"n": 1}}, {"content": "b", "peer_id": "bob"})
    await w.new_session("t", metadata={"k": ["x", "y"]}, peers={"ann": {}})
    url = "/sessions/s/messages/list"
    assert [one["content"] for one in await w.listed(url, {"metadata": {"n": {"gte": 1}}})] == ["a"]
    assert [one["content"] for one in await w.listed(url, {"NOT": [{"peer_id": "ann"}]})] == ["b"]
    assert [one["id"] for one in await w.listed("/sessions/list", {"metadata": {"k": ["y"]}})] == ["t"]
    assert await w.listed("/sessions/list", {"is_active": False}) == []
    assert [one["id"] for one in await w.listed("/peers/list", {"id": {"contains": "AN"}})] == ["ann"]
    assert [one["id"] for one in await w.listed("/peers/ann/sessions")] == ["s", "t"]
    assert [one["id"] for one in await w.listed("/peers/ann/sessions", reverse=True)] == ["t", "s"]
    text_of(await w.post(url, {"filters": {"colour": 1}}), 422)
