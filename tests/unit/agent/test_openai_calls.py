"""Tool calls in the forms in which servers really send them, and histories with calls that are shortened."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.agent import retries
from antiphon.agent.local_tools import named_tools, readable
from antiphon.agent.openai_messages import messages_of, shorten
from antiphon.agent.openai_stream import Reader
from antiphon.agent.tool_loop import Said
from antiphon.core.ports import CallDelta, CallStarted, ToolCall, ToolResult, Utterance
from antiphon.core.tools import CurrentTime
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed


def part(index: int | None, call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    """A tool call's part of a delta; what is None is not sent."""
    function = {"name": name, "arguments": arguments}
    whole = {"index": index, "id": call_id, "function": {k: v for k, v in function.items() if v is not None}}
    return {k: v for k, v in whole.items() if v is not None}


def read(*parts: dict[str, Any]) -> tuple[list[tuple[str, str]], list[Any]]:
    """The calls (name and arguments) that these parts, each in a chunk of its own, make; and the pieces."""
    reader = Reader("m")
    pieces: list[Any] = []
    for one in parts:
        pieces += reader.take(json.dumps({"choices": [{"delta": {"tool_calls": [one]}}]}).encode())
    said = reader.end(is_told=True)
    started = [piece.id for piece in pieces if isinstance(piece, CallStarted)]
    assert [call.id for call in said.calls] == started
    assert len(set(started)) == len(started)
    return [(call.name, call.arguments) for call in said.calls], pieces


@pytest.mark.parametrize(
    "parts",
    [
        [part(0, "a", "f", '{"x"'), part(0, None, None, ":1}"), part(1, "b", "g", "{}")],
        [part(0, "a", "f", '{"x"'), part(1, "b", "g", "{}"), part(0, None, None, ":1}")],
        [part(0, "a", "f", '{"x"'), part(0, "a", "f", ":1}"), part(1, "b", "g", "{}")],
        [part(None, "a", "f", '{"x":1}'), part(None, "b", "g", "{}")],
        [part(0, "a", "f", '{"x":1}'), part(0, "b", "g", "{}")],
        [part(None, "a", "f", '{"x"'), part(None, None, None, ":1}"), part(None, "b", "g", "{}")],
        [part(0, None, "f", '{"x":1}'), part(1, None, "g", "{}")],
        [part(0, "a", "f", '{"x":1}'), part(1, "a", "g", "{}")],
        [part(None, None, "f", '{"x":1}'), part(None, None, "g", "{}")],
    ],
    ids=["usual", "mixed", "repeated id", "no index", "index 0 for all", "id once", "no id", "same id", "neither"],
)
def test_calls__are_told_apart(parts: list[dict[str, Any]]) -> None:
    assert read(*parts)[0] == [("f", '{"x":1}'), ("g", "{}")]


def test_calls__arguments_may_be_an_object() -> None:
    calls, pieces = read(part(0, "a", "f", {"x": 1}))
    assert calls == [("f", '{"x":1}')]
    assert pieces == [CallStarted("a", "f"), CallDelta("a", '{"x":1}')]


@pytest.mark.parametrize(
    "bad", [part(0, "a", None, "{}"), part(0, "a", "f", 3), {"function": 3}, {"index": 0, "function": {"name": 3}}]
)
def test_calls__what_is_none_is_unreadable(bad: dict[str, Any]) -> None:
    with pytest.raises(AgentFailed, match="unreadable"):
        read(bad)


def test_end__an_error_in_the_stream_is_told_without_its_words() -> None:
    with pytest.raises(AgentFailed) as failed:
        Reader("m").take(b'{"error": {"message": "private words"}}')
    assert failed.value.message == "the model's server reported an error"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content-filter"),
        ("tool_calls", "tool-calls"),
        ("function_call", "tool-calls"),
        ("eos", "other"),
    ],
)
def test_end__reasons_in_our_words(told: str, reason: str) -> None:
    reader = Reader("m")
    reader.take(json.dumps({"choices": [{"delta": {}, "finish_reason": told}]}).encode())
    assert reader.end(is_told=False) == Said(reason, "m")


# What goes out


CALLED = Utterance("assistant", "", (ToolCall("c1", "f", "{}"),))
ANSWERED = Utterance("tool", "r" * 30, result=ToolResult("c1", "f", "r" * 30))


def test_messages__a_call_without_text_has_none() -> None:
    assert messages_of([CALLED])[0]["content"] is None


@pytest.mark.parametrize("tokens", range(1, 40))
def test_shorten__a_result_is_never_without_its_call(tokens: int) -> None:
    history = [Utterance("user", "u" * 20), CALLED, ANSWERED, Utterance("assistant", "a" * 10)]
    for said in (history, history[:3]):
        kept = shorten(said, tokens)
        assert kept
        assert (CALLED in kept) == any(one.result is not None for one in kept)


def test_shorten__a_long_result_keeps_its_beginning() -> None:
    kept = shorten([CALLED, Utterance("tool", "0123456789", result=ToolResult("c1", "f", "0123456789"))], 3)
    assert kept[1].result == ToolResult("c1", "f", "0123")
    assert kept[1].text == "0123"


# A model without tools


def test_local__a_tool_is_offered_when_it_is_named_as_a_word() -> None:
    tools = [CurrentTime()]
    for text, count in (
        ("please use current_time.", 1),
        ("`current_time`?", 1),
        ("what is the current time", 0),
        ("not_current_time", 0),
        ("current_times", 0),
    ):
        assert len(named_tools([Utterance("user", text)], tools)) == count, text
    assert named_tools([Utterance("user", "current_time"), Utterance("assistant", "current_time")], tools) == []
    assert named_tools([], tools) == []


def test_local__it_reads_the_newest_results_as_text() -> None:
    history = [
        Utterance("user", "first"),
        CALLED,
        ANSWERED,
        Utterance("assistant", "done"),
        Utterance("user", "second"),
        CALLED,
        Utterance("tool", "2", result=ToolResult("c1", "f", "2")),
        Utterance("tool", "3", result=ToolResult("c2", "g", "3")),
    ]
    assert readable(history) == [
        Utterance("user", "first"),
        Utterance("assistant", "done"),
        Utterance("user", "f says: 2\ng says: 3\n\nsecond"),
    ]


# Patience


def test_retries__waits_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MODEL_ATTEMPTS", 4)
    *found, last = retries.waits(8)
    assert last is None
    assert [low <= (wait or 0) <= 2 * low for low, wait in zip((4, 8, 16), found, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("told", "wait"), [(None, 0.5), (3, 3), (0, 0), (-5, 0), (1e9, limits.MODEL_RETRY_AFTER_SECONDS)]
)
def test_retries__a_server_may_ask_for_a_wait_but_not_a_long_one(told: float | None, wait: float) -> None:
    assert retries.asked_for(told, 0.5) == wait
