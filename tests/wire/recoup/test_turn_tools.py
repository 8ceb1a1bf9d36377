"""Tools in an answer: run here, refused here, or left to the client, whose next request brings what it answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from antiphon.api.server import Server
from antiphon.core.instance import Instance
from antiphon.domain.errors import ToolRefused
from tests.scripted_agent import ScriptedAgent
from tests.wire.recoup.caller import Caller, expect
from tests.wire.recoup.turning import ask, body_of, messages_of, opener, user
from tests.wire.recoup.ui_schema import Reader


class Scale:
    """A tool that answers, refuses, waits, or leaves it to the client."""

    description = "Weighs."
    schema: Mapping[str, Any] = {"type": "object", "properties": {"what": {"type": "string"}}}

    def __init__(self, name: str, *, is_answered_by_client: bool = False) -> None:
        self.name = name
        self.is_answered_by_client = is_answered_by_client

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        if self.name == "broken":
            raise ToolRefused("it is broken")
        if self.name == "slow":
            await asyncio.Event().wait()
        return {"weight": len(arguments.get("what", ""))}


@pytest.fixture(autouse=True)
def tools(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    scales = [Scale("scale"), Scale("broken"), Scale("slow"), Scale("ask_user_question", is_answered_by_client=True)]
    monkeypatch.setattr(instance.turns, "_tools_of", lambda *_: scales)


def tool_part(message: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(part for part in message["parts"] if part["type"].startswith("tool-"))
    return found


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("scale", {"state": "output-available", "output": {"weight": 3}}),
        ("broken", {"state": "output-error", "errorText": "it is broken"}),
        ("unheard_of", {"state": "output-error"}),
    ],
)
async def test_a_tool_is_run_and_both_steps_are_one_message(
    ann: Caller, session: dict[str, Any], name: str, ending: dict[str, Any]
) -> None:
    read = await ask(ann, body_of(session, user(f'[[tool={name} args={{"what":"tea"}}]][[text=Done]]')))
    stored = (await messages_of(ann, session))[1]
    assert (stored["id"], stored["parts"]) == (read.message_id, read.parts)
    assert [part["type"] for part in read.parts] == ["step-start", f"tool-{name}", "step-start", "text"]
    part = tool_part(stored)
    assert part.items() >= ending.items()
    assert part["toolCallId"] == "call-1"
    assert (read.text, read.metadata["lastStepFinishReason"]) == ("Done", "stop")


async def test_stop_closes_a_tool_that_runs(ann: Caller, server: Server, session: dict[str, Any]) -> None:
    call = await opener(server)(ann, "POST", "/api/chat", body_of(session, user("[[tool=slow]]"))).begin()
    seen = await call.until("tool-input-available")
    expect(await ann.post(f"/api/chat/{session['chat']['id']}/stop"), 200, {"success": True, "stopped": True})
    rest = await call.rest()
    assert [chunk["type"] for chunk in rest] == ["tool-output-error", "abort", "finish"]
    assert rest[0]["errorText"] == "Cancelled"
    stored = (await messages_of(ann, session))[1]
    assert stored["parts"] == Reader().read([*seen, *rest]).parts
    assert tool_part(stored)["state"] == "output-error"


async def test_the_client_answers_and_the_same_message_goes_on(
    ann: Caller, agent: ScriptedAgent, session: dict[str, Any]
) -> None:
    read = await ask(ann, body_of(session, user("[[tool=ask_user_question]][[text=Fine]]")))
    assert read.is_finished
    assert tool_part({"parts": read.parts})["state"] == "input-available"
    assert read.metadata["lastStepFinishReason"] == "tool-calls"
    question, waiting = await messages_of(ann, session)
    assert waiting["parts"] == read.parts
    tool_part(waiting).update(state="output-available", output="Tea")
    more = await ask(ann, body_of(session, question, waiting, trigger="submit-message", messageId=waiting["id"]))
    assert (more.message_id, more.text) == (waiting["id"], "Fine")
    after = await messages_of(ann, session)
    assert [message["id"] for message in after] == [question["id"], waiting["id"]]
    assert after[1]["parts"] == [*waiting["parts"], *more.parts]
    assert [one.role for one in agent.heard[1]] == ["user", "assistant", "tool"]
    assert agent.heard[1][2].text == '"Tea"'
