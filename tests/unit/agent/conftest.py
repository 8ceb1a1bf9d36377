"""Both agents over a scripted model: what a test asks of one, it asks of the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack

import pytest

from antiphon.agent.openai_chat import OpenAiAgent
from antiphon.agent.pydantic_agent import PydanticAgent
from antiphon.core.ports import Agent
from tests.scripted_model import ScriptedModel

KEY = "sk-very-secret"
AGENTS: Mapping[str, Callable[..., Agent]] = {
    "openai": lambda url, **options: OpenAiAgent(url, KEY, "m1", **options),
    "pydantic-ai": lambda url, **options: PydanticAgent("m1", url, KEY, **options),
}
MODULES = {"openai": "antiphon.agent.openai_chat", "pydantic-ai": "antiphon.agent.pydantic_agent"}

Make = Callable[..., Agent]


@pytest.fixture(params=AGENTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel().serving() as serving:
        yield serving


@pytest.fixture
async def make(kind: str, model: ScriptedModel) -> AsyncIterator[Make]:
    """Makes an agent of the scripted model, or of another URL."""
    async with AsyncExitStack() as stack:

        def make_one(url: str = model.url, silence_seconds: float = 30) -> Agent:
            made = AGENTS[kind](url, silence_seconds=silence_seconds, retry_seconds=0)
            stack.push_async_callback(made.close)
            return made

        yield make_one


@pytest.fixture
def agent(make: Make) -> Agent:
    return make()
