"""POST /api/chat: what is taken, refused and stored, and what the model sees."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from antiphon.api.recoup.turn_bodies import title_of
from antiphon.core.instance import Instance
from antiphon.core.ports import ToolCall, ToolResult, Utterance
from antiphon.domain import limits
from antiphon.domain.messages import ASSISTANT, Draft
from tests.scripted_agent import ScriptedAgent
from tests.wire.recoup.caller import NOBODY, Caller, expect, refused
from tests.wire.recoup.turning import ask, body_of, messages_of, shown, text_of, user

MISSING = "Invalid input: expected array, received undefined"


def field_error(text: str, *path: str) -> dict[str, Any]:
    return {"status": "error", "missing_fields": list(path), "error": text}


async def test_a_turn_is_streamed_and_stored(ann: Caller, session: dict[str, Any]) -> None:
    asked = user("What is stored?", metadata={"k": [1, "ü", None]})
    answer = await ann.post("/api/chat", body_of(session, asked))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert answer.headers["x-workflow-run-id"].startswith("wrun_")
    assert "x-workflow-stream-tail-index" not in answer.headers
    found = await shown(ann, session)
    assert found["isStreaming"] is False
    assert found["chat"]["activeStreamId"] is None
    assert found["chat"]["lastAssistantMessageAt"] is not None
    assert found["messages"][0] == asked
    assert [text_of(message) for message in found["messages"]] == ["What is stored?", "You said: What is stored?"]


async def test_the_stored_answer_is_what_was_streamed(ann: Caller, session: dict[str, Any]) -> None:
    read = await ask(ann, body_of(session, user("[[thinks]]Hello there")))
    stored = (await messages_of(ann, session))[1]
    assert read.is_finished
    assert (stored["id"], stored["parts"]) == (read.message_id, read.parts)
    assert [part["type"] for part in stored["parts"]] == ["step-start", "reasoning", "text"]
    assert read.metadata == {
        "modelId": "scripted",
        "lastStepFinishReason": "stop",
        "lastStepUsage": {
            "inputTokens": 1,
            "outputTokens": 2,
            "totalTokens": 3,
            "inputTokenDetails": {},
            "outputTokenDetails": {},
        },
    }
    assert stored["metadata"] == {
        "modelId": "scripted",
        "lastStepFinishReason": "stop",
        "totalMessageUsage": {"totalTokens": 3, "inputTokenDetails": {}, "outputTokenDetails": {}},
    }


async def test_metadata_that_are_not_ours_are_shown_as_they_are(
    ann: Caller, instance: Instance, session: dict[str, Any]
) -> None:
    chat = await instance.chats.get(ann.tenant_id, session["chat"]["id"])
    draft = Draft("assistant", ASSISTANT, "Hi", metadata='{"model":"m","mood":1}')
    await instance.messages.append(ann.tenant_id, chat.key, [draft])
    assert (await messages_of(ann, session))[0]["metadata"] == {"model": "m", "mood": 1}


GARBAGE = [
    (b"", {"status": "error", "error": "Invalid JSON body"}),
    (b"{", {"status": "error", "error": "Invalid JSON body"}),
    (b"\xff", {"status": "error", "error": "Invalid JSON body"}),
    (b'{"messages":[{"parts":[{"type":"text","text":"\\ud800"}]}]}', {"status": "error", "error": "Invalid JSON body"}),
    (b"[" * 500 + b"]" * 500, {"status": "error", "error": f"JSON nested deeper than {limits.JSON_DEPTH} levels"}),
    (b"[]", field_error("Invalid input: expected object, received array")),
    (b"null", field_error("Invalid input: expected object, received null")),
    (b"7", field_error("Invalid input: expected object, received number")),
]


@pytest.mark.parametrize(("content", "body"), GARBAGE)
async def test_what_is_no_object_is_400_before_anything_else(
    anybody: Caller, content: bytes, body: dict[str, Any]
) -> None:
    expect(await anybody.post("/api/chat", content=content), 400, body)


FAULTS: list[tuple[dict[str, Any], str, list[str]]] = [
    ({}, MISSING, ["messages"]),
    ({"messages": None}, "Invalid input: expected array, received null", ["messages"]),
    ({"messages": 1, "chatId": 2}, "Invalid input: expected array, received number", ["messages"]),
    ({"messages": []}, "Invalid input: expected string, received undefined", ["chatId"]),
    ({"messages": [], "chatId": ""}, "chatId is required", ["chatId"]),
    ({"messages": [], "chatId": {}}, "Invalid input: expected string, received object", ["chatId"]),
    ({"messages": [], "chatId": "c"}, "Invalid input: expected string, received undefined", ["sessionId"]),
    ({"messages": [], "chatId": "c", "sessionId": ""}, "sessionId is required", ["sessionId"]),
    ({"context": 1}, "Invalid input: expected object, received number", ["context"]),
    ({"context": {}}, "contextLimit must be an integer", ["context", "contextLimit"]),
    ({"context": {"contextLimit": 1.5}}, "contextLimit must be an integer", ["context", "contextLimit"]),
    ({"context": {"contextLimit": True}}, "contextLimit must be an integer", ["context", "contextLimit"]),
    ({"recoupAccessToken": None}, "Invalid input: expected string, received null", ["recoupAccessToken"]),
    ({"recoupAccessToken": ""}, "Too small: expected string to have >=1 characters", ["recoupAccessToken"]),
    (
        {"recoupAccessToken": "x" * 8_193},
        "Too big: expected string to have <=8192 characters",
        ["recoupAccessToken"],
    ),
    ({"id": "c"}, MISSING, ["messages"]),
    ({"id": 5, "messages": []}, "Invalid input: expected string, received number", ["id"]),
    ({"id": "", "messages": []}, "id is required", ["id"]),
    ({"id": "c", "message": "hi"}, "Invalid input: expected object, received string", ["message"]),
    ({"id": "c", "chatId": "c", "message": {}}, MISSING, ["messages"]),
]


@pytest.mark.parametrize(("body", "text", "path"), FAULTS)
async def test_the_first_fault_is_told_before_the_credential(
    anybody: Caller, body: dict[str, Any], text: str, path: list[str]
) -> None:
    if "context" in body or "recoupAccessToken" in body:
        body = {"messages": [], "chatId": "c", "sessionId": "s", **body}
    expect(await anybody.post("/api/chat", body), 400, field_error(text, *path))


async def test_a_good_body_without_a_key_is_401(anybody: Caller, session: dict[str, Any]) -> None:
    body = body_of(session, user("Hi"), context={"contextLimit": 5.0}, recoupAccessToken="x" * 8_192)
    refused(await anybody.post("/api/chat", body), 401, "Exactly one of x-api-key or Authorization must be provided")


async def test_a_long_body_is_taken_from_those_only_who_are_known(
    ann: Caller, anybody: Caller, session: dict[str, Any]
) -> None:
    body = body_of(session, user("Hi"), padding="x" * limits.UNREAD_BODY_BYTES)
    refused(await anybody.post("/api/chat", body), 413, "Request body too large")
    assert (await ask(ann, body)).text == "You said: Hi"


async def test_the_order_of_what_is_looked_for(ann: Caller, bob: Caller, eve: Caller, session: dict[str, Any]) -> None:
    other = await ann.new_session()
    body = body_of(session, user("Hi"))
    refused(await ann.post("/api/chat", {**body, "sessionId": NOBODY}), 404, "Session not found")
    refused(await eve.post("/api/chat", body), 404, "Session not found")
    refused(await bob.post("/api/chat", {**body, "chatId": NOBODY}), 403, "Forbidden")
    for chat_id in (NOBODY, other["chat"]["id"], "\x00", "x" * 600):
        refused(await ann.post("/api/chat", {**body, "chatId": chat_id}), 404, "Chat not found")
    assert await messages_of(ann, session) == []


async def test_a_chat_of_other_apps_is_found_by_its_id_alone(
    ann: Caller, bob: Caller, eve: Caller, session: dict[str, Any]
) -> None:
    body = {"id": session["chat"]["id"], "message": user("Hi")}
    refused(await bob.post("/api/chat", body), 403, "Forbidden")
    refused(await eve.post("/api/chat", body), 404, "Chat not found")
    assert (await ask(ann, body)).text == "You said: Hi"
    assert (await messages_of(ann, session))[0]["id"] == "u1"


async def test_a_client_that_sends_both_forms_is_one_of_recoup(ann: Caller, session: dict[str, Any]) -> None:
    body = body_of(session, user("Hi"), id="something else", trigger="submit-message")
    assert (await ask(ann, body)).text == "You said: Hi"


async def test_of_two_posts_at_once_one_starts(ann: Caller, agent: ScriptedAgent, session: dict[str, Any]) -> None:
    bodies = [body_of(session, user(f"[[tokens=5]] {name}", name)) for name in ("a", "b")]
    answers = await asyncio.gather(*(ann.post("/api/chat", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    loser = next(answer for answer in answers if answer.status_code == 409)
    refused(loser, 409, "Another workflow is already running for this chat")
    assert len(agent.heard) == 1
    assert [message["role"] for message in await messages_of(ann, session)] == ["user", "assistant"]


async def test_a_model_that_fails_is_an_error_on_the_stream_and_frees_the_chat(
    ann: Caller, session: dict[str, Any]
) -> None:
    read = await ask(ann, body_of(session, user("[[fail]]")))
    assert (len(read.errors), read.is_finished) == (1, True)
    assert read.metadata == {"lastStepFinishReason": "error"}
    read = await ask(ann, body_of(session, user("[[break]] now", "u2")))
    assert (len(read.errors), read.text) == (1, "You")
    assert [text_of(message) for message in await messages_of(ann, session)] == ["[[fail]]", "[[break]] now", "You"]


def heard(agent: ScriptedAgent) -> list[tuple[str, str]]:
    return [(one.role, one.text) for one in agent.heard[-1]]


async def test_the_model_sees_what_was_posted(ann: Caller, agent: ScriptedAgent, session: dict[str, Any]) -> None:
    await ask(ann, body_of(session, user("First")))
    posted = [
        {"id": "s", "role": "system", "parts": [{"type": "text", "text": "Be kind"}]},
        None,
        7,
        {"role": ["user"], "parts": []},
        {"id": "x", "role": "robot", "parts": [{"type": "text", "text": "no"}]},
        {"id": "a", "role": "assistant", "parts": [{"type": "step-start"}, {"type": "text", "text": "Invented"}, 5]},
        user("Second", "u2"),
    ]
    await ask(ann, body_of(session, *posted))
    assert heard(agent) == [("system", "Be kind"), ("assistant", "Invented"), ("user", "Second")]
    assert [text_of(message) for message in await messages_of(ann, session)] == [
        "First",
        "You said: First",
        "Second",
        "You said: Second",
    ]


@pytest.mark.parametrize("posted", ["message", "nothing"])
async def test_with_one_message_or_none_the_model_sees_what_is_stored(
    ann: Caller, agent: ScriptedAgent, session: dict[str, Any], posted: str
) -> None:
    await ask(ann, body_of(session, user("First")))
    chat_id = session["chat"]["id"]
    body = {"id": chat_id, "message": user("Second", "u2")} if posted == "message" else body_of(session)
    await ask(ann, body)
    expected = [("user", "First"), ("assistant", "You said: First")]
    assert heard(agent) == [*expected, *([("user", "Second")] if posted == "message" else [])]


async def test_the_model_of_the_chat_is_asked(ann: Caller, instance: Instance) -> None:
    found = await instance.participants.find(ann.tenant_id, "ann")
    assert found is not None
    session, chat = await instance.store.sessions.create_multi(ann.tenant_id, found.id, "T", None, "some/model")
    read = await ask(ann, {"sessionId": session.id, "chatId": chat.id, "messages": [user("Hi")]})
    assert read.metadata["modelId"] == "some/model"


async def test_a_message_that_is_stored_already_is_not_stored_again(ann: Caller, session: dict[str, Any]) -> None:
    await ask(ann, body_of(session, user("Hi")))
    await ask(ann, body_of(session, user("Something else")))
    stored = await messages_of(ann, session)
    assert [message["role"] for message in stored] == ["user", "assistant", "assistant"]
    assert text_of(stored[0]) == "Hi"


@pytest.mark.parametrize("message_id", [None, "", 5, "x" * 600, "\x00", {"a": 1}])
async def test_an_id_that_is_none_is_replaced_by_one_of_ours(
    ann: Caller, session: dict[str, Any], message_id: Any
) -> None:
    await ask(ann, body_of(session, {**user("Hi"), "id": message_id}))
    assert (await messages_of(ann, session))[0]["id"].startswith("msg-")


ODD_MESSAGES: list[tuple[dict[str, Any], list[Any]]] = [
    ({"parts": None}, []),
    ({"parts": [None, 5, "x", [], {}]}, [{}]),
    ({"parts": [{"type": "text"}, {"type": "text", "text": 5}]}, [{"type": "text"}, {"type": "text", "text": 5}]),
    ({"parts": [{"type": "text", "text": "a\x00b"}]}, [{"type": "text", "text": "a\x00b"}]),
    ({"parts": [{"type": "data-x", "data": 10**30}]}, [{"type": "data-x", "data": 10**30}]),
    ({"parts": [], "metadata": [1]}, []),
]


@pytest.mark.parametrize(("odd", "stored"), ODD_MESSAGES)
async def test_what_cannot_be_read_is_kept_or_left_out_and_never_a_fault(
    ann: Caller, session: dict[str, Any], odd: dict[str, Any], stored: list[Any]
) -> None:
    answer = await ann.post("/api/chat", body_of(session, {"id": "u1", "role": "user", **odd}))
    assert answer.status_code == 200
    assert (await messages_of(ann, session))[0] == {"id": "u1", "role": "user", "parts": stored}


async def test_metadata_have_a_limit(ann: Caller, session: dict[str, Any]) -> None:
    body = body_of(session, user("Hi", metadata={"x": "y" * limits.METADATA_BYTES}))
    refused(await ann.post("/api/chat", body), 400, f"metadata is larger than {limits.METADATA_BYTES} bytes")
    assert await messages_of(ann, session) == []


def named(*texts: str) -> dict[str, Any]:
    return {"parts": [{"type": "text", "text": text} for text in texts]}


TITLES = [
    (named("  List", "files "), "List files"),
    (named("x" * 80), "x" * 80),
    (named("x" * 81), "x" * 79 + "…"),
    (named("x" * 78 + "🦜🦜"), "x" * 78 + "…"),
    (named("🦜" * 40), "🦜" * 40),
    (named("a\x00b"), "ab"),
    (named(" ", "\n"), None),
    ({"parts": [{"type": "file", "text": "no"}]}, None),
    ({}, None),
]


@pytest.mark.parametrize(("message", "title"), TITLES)
def test_a_title_is_the_words_shortened_in_units_of_utf_16(message: dict[str, Any], title: str | None) -> None:
    assert title_of(message) == title


async def test_the_first_message_names_the_chat_and_no_other(ann: Caller, session: dict[str, Any]) -> None:
    await ask(ann, body_of(session, user("List files")))
    await ask(ann, body_of(session, user("Now delete them", "u2")))
    assert (await shown(ann, session))["chat"]["title"] == "List files"


async def test_a_first_message_without_words_leaves_the_title(ann: Caller, session: dict[str, Any]) -> None:
    await ask(ann, body_of(session, {"id": "u1", "role": "user", "parts": [{"type": "file", "url": "data:,"}]}))
    assert (await shown(ann, session))["chat"]["title"] == "New chat"


async def two_turns(ann: Caller, session: dict[str, Any]) -> list[dict[str, Any]]:
    await ask(ann, body_of(session, user("One", "u1")))
    await ask(ann, body_of(session, user("Two", "u2")))
    return await messages_of(ann, session)


@pytest.mark.parametrize("form", ["whole", "one"])
async def test_an_answer_is_made_anew(ann: Caller, agent: ScriptedAgent, session: dict[str, Any], form: str) -> None:
    before = await two_turns(ann, session)
    command = {"trigger": "regenerate-message", "messageId": before[3]["id"]}
    if form == "whole":
        await ask(ann, body_of(session, *before[:3], **command))
    else:
        await ask(ann, {"id": session["chat"]["id"], "message": before[2], **command})
    after = await messages_of(ann, session)
    assert after[:3] == before[:3]
    assert [text_of(message) for message in after[3:]] == ["You said: Two"]
    assert after[3]["id"] != before[3]["id"]
    assert heard(agent) == [("user", "One"), ("assistant", "You said: One"), ("user", "Two")]


async def test_an_edit_takes_what_came_after_away(ann: Caller, session: dict[str, Any]) -> None:
    await two_turns(ann, session)
    edited = user("Other", "u1", metadata={"edited": True})
    await ask(ann, body_of(session, edited, trigger="submit-message", messageId="u1"))
    after = await messages_of(ann, session)
    assert after[0] == edited
    assert [text_of(message) for message in after] == ["Other", "You said: Other"]


async def test_an_edit_by_the_id_that_we_gave(ann: Caller, session: dict[str, Any]) -> None:
    await ask(ann, body_of(session, {**user("One"), "id": None}))
    ours = (await messages_of(ann, session))[0]["id"]
    await ask(ann, body_of(session, user("Other", ours), messageId=ours))
    assert [text_of(message) for message in await messages_of(ann, session)] == ["Other", "You said: Other"]


@pytest.mark.parametrize("message_id", ["unknown", "of the answer", 5, None])
async def test_a_submission_that_names_no_message_of_a_user_is_no_edit(
    ann: Caller, session: dict[str, Any], message_id: Any
) -> None:
    before = await two_turns(ann, session)
    if message_id == "of the answer":
        message_id = before[3]["id"]
    await ask(ann, body_of(session, *before, user("Three", "u3"), trigger="submit-message", messageId=message_id))
    after = await messages_of(ann, session)
    assert after[:4] == before
    assert [text_of(message) for message in after[4:]] == ["Three", "You said: Three"]


async def test_a_message_of_another_chat_is_not_edited(ann: Caller, session: dict[str, Any]) -> None:
    other = await ann.new_session()
    await two_turns(ann, session)
    await ask(ann, body_of(other, user("Mine", "u1"), messageId="u1"))
    assert len(await messages_of(ann, session)) == 4
    assert [text_of(message) for message in await messages_of(ann, other)] == ["Mine", "You said: Mine"]


QUESTION = {"type": "tool-ask_user_question", "toolCallId": "q1", "state": "input-available", "input": {"q": "Tea?"}}
ANSWERED = {**QUESTION, "state": "output-available", "output": {"a": "Yes"}}


@pytest.mark.parametrize("form", ["whole", "one"])
async def test_an_answer_goes_on_after_the_client_answered_a_tool(
    ann: Caller, instance: Instance, agent: ScriptedAgent, session: dict[str, Any], form: str
) -> None:
    await ask(ann, body_of(session, user("[[text=Fine]]")))
    chat = await instance.chats.get(ann.tenant_id, session["chat"]["id"])
    draft = Draft("assistant", ASSISTANT, "", parts=json.dumps([QUESTION]))
    await instance.messages.append(ann.tenant_id, chat.key, [draft])
    stored = await messages_of(ann, session)
    answered = {**stored[2], "parts": [{"type": "step-start"}, ANSWERED]}
    command = {"trigger": "submit-message", "messageId": answered["id"]}
    if form == "whole":
        read = await ask(ann, body_of(session, *stored[:2], answered, **command))
    else:
        read = await ask(ann, {"id": chat.id, "message": answered, **command})
    after = await messages_of(ann, session)
    assert after[:2] == stored[:2]
    assert len(after) == 3
    assert after[2]["id"] == read.message_id == answered["id"]
    assert after[2]["parts"] == [*answered["parts"], *read.parts]
    assert text_of(after[2]) == "Fine"
    assert agent.heard[-1][2:] == [
        Utterance("assistant", "", (ToolCall("q1", "ask_user_question", '{"q":"Tea?"}'),)),
        Utterance("tool", '{"a":"Yes"}', result=ToolResult("q1", "ask_user_question", '{"a":"Yes"}')),
    ]


async def test_an_unknown_answer_that_is_gone_on_with_gets_an_id_of_ours(ann: Caller, session: dict[str, Any]) -> None:
    posted = {"id": "unknown", "role": "assistant", "parts": [ANSWERED, None]}
    read = await ask(ann, body_of(session, user("Hi"), posted))
    after = await messages_of(ann, session)
    assert [(message["id"], message["role"]) for message in after] == [(read.message_id, "assistant")]
    assert after[0]["parts"] == read.parts
