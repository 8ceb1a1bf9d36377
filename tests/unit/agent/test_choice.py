"""Which agent and which tools a server gets from its settings, and what it says when it cannot have them."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from antiphon.agent.local import LocalAgent
from antiphon.agent.openai_chat import OpenAiAgent
from antiphon.agent.pydantic_agent import PydanticAgent
from antiphon.app import PARTS
from antiphon.core.ports import Agent, Utterance
from antiphon.domain.errors import AgentFailed
from antiphon.domain.ids import new_uid7
from antiphon.settings import BadSetting, read_settings
from tests.scripted_model import ScriptedModel

URL = "http://127.0.0.1:9/v1"


def make(**variables: str) -> Agent:
    settings = read_settings({f"ANTIPHON_{name}": value for name, value in variables.items()})
    return PARTS.make_agent(settings, lambda _: None)


@pytest.mark.parametrize(
    ("variables", "kind", "shown"),
    [
        ({}, LocalAgent, "SmolLM2-135M-Instruct"),
        ({"MODEL_URL": URL}, OpenAiAgent, "default"),
        ({"MODEL_URL": URL, "MODEL": "m1"}, OpenAiAgent, "m1"),
        ({"MODEL_URL": URL, "AGENT": "pydantic-ai"}, PydanticAgent, "default"),
        ({"MODEL": "openai:m1", "AGENT": "pydantic-ai"}, PydanticAgent, "openai:m1"),
    ],
)
async def test_agent__by_setting(
    variables: dict[str, str], kind: type, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    agent = make(**variables)
    assert type(agent) is kind
    await agent.close()
    settings = read_settings({f"ANTIPHON_{name}": value for name, value in variables.items()})
    assert PARTS.model_name(settings) == shown


def test_agent__without_the_extra_the_line_to_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "antiphon.agent.pydantic_agent")
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    with pytest.raises(BadSetting, match=r"pip install 'antiphon\[agent\]'"):
        make(AGENT="pydantic-ai", MODEL_URL=URL)


def test_agent__pydantic_ai_wants_a_model_or_a_url() -> None:
    with pytest.raises(BadSetting, match="ANTIPHON_MODEL=PROVIDER:MODEL"):
        make(AGENT="pydantic-ai")


@pytest.mark.parametrize(
    ("model", "words"),
    [("m1", "PROVIDER:MODEL"), ("nobody:m1", "the provider nobody"), ("openai:m1", "OPENAI_API_KEY")],
)
def test_agent__a_provider_that_cannot_be_used(model: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AgentFailed, match=words):
        make(AGENT="pydantic-ai", MODEL=model)


@pytest.mark.parametrize(("asked", "got"), [(None, "m1"), ("m2", "m2"), ("openai-chat:m2", "m2"), ("test", "test")])
async def test_agent__a_provider_by_name(asked: str | None, got: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chat chooses among the models of the one provider; it cannot choose another."""
    async with ScriptedModel().serving() as model:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_BASE_URL", model.url)
        agent = make(AGENT="pydantic-ai", MODEL="openai-chat:m1")
        events: list[Any] = [event async for event in agent.run_turn([Utterance("user", "[[tokens=1]]")], (), asked)]
        await agent.close()
        assert events[-1].model == got
        assert [call.body["model"] for call in model.calls] == [got]


@pytest.mark.parametrize(("setting", "count"), [("on", 2), ("off", 0)])
def test_tools__by_setting(setting: str, count: int, store: Any) -> None:
    tools_of = PARTS.make_tools(read_settings({"ANTIPHON_TOOLS": setting}), store)
    assert len(tools_of(new_uid7(), new_uid7())) == count
