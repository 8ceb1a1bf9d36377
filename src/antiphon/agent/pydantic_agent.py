"""Models of any provider, by pydantic-ai (the extra `agent`).

Of the library only one thing is used: one request to a model, with one form for what is sent and what comes back,
whoever the provider is. How a turn goes, and how tools run, is the same as for every agent here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any

import httpx2
import msgspec
import openai
from pydantic_ai import messages as wire
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelTimeoutError,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse, infer_model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider, infer_provider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition

from antiphon.agent.openai_chat import first_listed, refusal_of
from antiphon.agent.openai_messages import bent_id, bent_name, object_text
from antiphon.agent.retries import PASSING, asked_for, waits
from antiphon.agent.tool_loop import (
    CONTENT_FILTER,
    LENGTH,
    OTHER,
    STOP,
    TOOL_CALLS,
    Piece,
    Said,
    new_call_id,
    run_steps,
)
from antiphon.core.ports import (
    AgentEvent,
    CallDelta,
    CallStarted,
    TextDelta,
    ThoughtDelta,
    Tool,
    ToolCall,
    Utterance,
)
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed

_log = logging.getLogger(__name__)

_REASONS = {"stop": STOP, "length": LENGTH, "content_filter": CONTENT_FILTER, "tool_call": TOOL_CALLS}
# A stream that just stops is no whole answer: without this the library takes it for one.
_WHOLE = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
_OUT_OF_TIME = "the model did not answer in time"


class PydanticAgent:
    """`core.ports.Agent` over one provider of pydantic-ai.

    `model` is `PROVIDER:MODEL`, or, with a `base_url`, the name of a model at that OpenAI-compatible endpoint (None:
    the first that it lists, asked for at the first answer). Raises AgentFailed when the library does not know the
    provider, or misses its package or its key. Nothing is asked before the first answer.
    """

    def __init__(
        self,
        model: str | None,
        base_url: str | None = None,
        key: str | None = None,
        *,
        silence_seconds: float = limits.MODEL_SILENCE_SECONDS,
        retry_seconds: float = limits.MODEL_RETRY_SECONDS,
    ) -> None:
        self._silence_seconds = silence_seconds
        self._retry_seconds = retry_seconds
        self._base_url = base_url and base_url.rstrip("/")
        self._client: httpx2.AsyncClient | None = None
        self._provider: Provider[Any]
        provider_name, colon, name = (model or "").partition(":")
        if self._base_url is not None:
            self._kind, self._model = "openai-chat", model
            self._client = _make_client()
            self._provider = _openai_at(self._base_url, key, self._client)
            return
        if not colon:
            raise AgentFailed("pydantic-ai wants a model's name as PROVIDER:MODEL")
        self._kind, self._model = provider_name, name
        try:
            self._provider = infer_provider(provider_name)
        except (UserError, ImportError, ValueError) as fault:
            raise AgentFailed(f"pydantic-ai cannot use the provider {provider_name}: {fault}") from None

    async def run_turn(
        self, history: Sequence[Utterance], tools: Sequence[Tool] = (), model: str | None = None
    ) -> AsyncGenerator[AgentEvent, None]:
        """See the port."""
        name = (model or "").removeprefix(f"{self._kind}:") or await self._default_model()
        async with aclosing(run_steps(self._ask, history, tools, name)) as events:
            async for event in events:
                yield event

    async def close(self) -> None:
        """See the port."""
        async with self._provider:
            pass  # leaving it closes the HTTP client that it made for itself
        if self._client is not None:
            await self._client.aclose()

    async def _default_model(self) -> str:
        if self._model is None and self._client is not None and self._base_url is not None:
            self._model = await first_listed(self._client, self._base_url)
        return self._model or ""

    async def _ask(self, history: Sequence[Utterance], tools: Sequence[Tool], name: str) -> AsyncGenerator[Piece, None]:
        """One step (see `tool_loop.Ask`)."""
        is_open = False
        try:
            async with AsyncExitStack() as stack:
                stream = await self._open(stack, history, tools, name)
                is_open = True
                reader = _Reader()
                events = aiter(stream)
                while (event := await self._next(events)) is not None:
                    for piece in reader.take(event):
                        yield piece
                yield _end_of(stream, name, reader.calls)
        except AgentFailed:
            raise
        except Exception as fault:  # noqa: BLE001  each provider's client has errors of its own
            _log.info("model failed", extra={"fault": type(fault).__name__})
            raise _failure_of(fault, is_open=is_open, offered_tools=bool(tools)) from None

    async def _open(
        self, stack: AsyncExitStack, history: Sequence[Utterance], tools: Sequence[Tool], name: str
    ) -> StreamedResponse:
        """The answer, of which nothing has been read; what may pass by itself is tried MODEL_ATTEMPTS times."""
        model = self._model_of(name)
        parameters = ModelRequestParameters(function_tools=[_definition_of(tool) for tool in tools])
        said = messages_of(history)
        for wait in waits(self._retry_seconds):
            try:
                async with asyncio.timeout(self._silence_seconds):
                    asked = model_request_stream(
                        model,
                        said,
                        model_settings={"max_retries": 0},
                        model_request_parameters=parameters,
                        instrument=False,
                    )
                    return await stack.enter_async_context(asked)
            except ModelAPIError as fault:
                if wait is None or not _may_pass(fault):
                    raise
                seconds = asked_for(fault.retry_after, wait)
            await asyncio.sleep(seconds)
        raise AssertionError("the last attempt ends in an answer or an error")

    def _model_of(self, name: str) -> Model:
        if self._client is not None:
            return OpenAIChatModel(name, provider=self._provider, profile=_WHOLE)
        return infer_model(f"{self._kind}:{name}", lambda _: self._provider)

    async def _next(self, events: AsyncIterator[wire.ModelResponseStreamEvent]) -> Any:
        """The next event; None at the end. Raises TimeoutError when there is none for too long."""
        async with asyncio.timeout(self._silence_seconds):
            return await anext(events, None)


def _make_client() -> httpx2.AsyncClient:
    """A client that heeds no proxy of the environment, as the other agent's."""
    timeout = httpx2.Timeout(limits.MODEL_SILENCE_SECONDS, connect=limits.MODEL_CONNECT_SECONDS)
    context = httpx2.create_ssl_context(trust_env=False)
    return httpx2.AsyncClient(trust_env=False, verify=context, timeout=timeout)


def _openai_at(base_url: str, key: str | None, client: httpx2.AsyncClient) -> OpenAIProvider:
    """OpenAI's words at that address. Its client demands a key, also where the server does not."""
    asking = openai.AsyncOpenAI(base_url=base_url, api_key=key or "none", max_retries=0, http_client=client)
    return OpenAIProvider(openai_client=asking)


def messages_of(history: Sequence[Utterance]) -> list[wire.ModelMessage]:
    """Utterances as the library's messages; those that follow one another on the same side make one."""
    messages: list[wire.ModelMessage] = []
    for said in history:
        if said.role == "assistant":
            calls = [
                wire.ToolCallPart(bent_name(call.name), object_text(call.arguments), bent_id(call.id))
                for call in said.calls
            ]
            text = [wire.TextPart(said.text)] if said.text else []
            messages.append(wire.ModelResponse([*text, *calls]))
            continue
        if not messages or not isinstance(messages[-1], wire.ModelRequest):
            messages.append(wire.ModelRequest([]))
        request = messages[-1]
        request.parts = [*request.parts, _request_part_of(said)]
    return messages


def _request_part_of(said: Utterance) -> wire.ModelRequestPart:
    if said.result is not None:
        name, call_id = bent_name(said.result.name), bent_id(said.result.call_id)
        return wire.ToolReturnPart(name, said.result.output, call_id)
    return wire.SystemPromptPart(said.text) if said.role == "system" else wire.UserPromptPart(said.text)


def _definition_of(tool: Tool) -> ToolDefinition:
    return ToolDefinition(
        name=tool.name, parameters_json_schema=dict(tool.schema), description=tool.description, strict=False
    )


class _Reader:
    """Turns one step's events into pieces; `calls` are those that are complete."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self._ids: dict[int, str] = {}

    def take(self, event: wire.ModelResponseStreamEvent) -> list[Piece]:
        if isinstance(event, wire.PartStartEvent):
            return self._start(event.index, event.part)
        if isinstance(event, wire.PartDeltaEvent):
            return self._go_on(event.index, event.delta)
        if isinstance(event, wire.PartEndEvent) and isinstance(event.part, wire.ToolCallPart):
            self.calls.append(ToolCall(self._ids[event.index], event.part.tool_name, _arguments_of(event.part)))
        return []

    def _start(self, index: int, part: wire.ModelResponsePart) -> list[Piece]:
        if isinstance(part, wire.ToolCallPart):
            call_id = part.tool_call_id if part.tool_call_id not in self._ids.values() else new_call_id()
            self._ids[index] = call_id
            return [CallStarted(call_id, part.tool_name), *_call_delta(call_id, part.args)]
        if isinstance(part, wire.TextPart) and part.content:
            return [TextDelta(part.content)]
        if isinstance(part, wire.ThinkingPart) and part.content:
            return [ThoughtDelta(part.content)]
        return []

    def _go_on(self, index: int, delta: wire.ModelResponsePartDelta) -> list[Piece]:
        if isinstance(delta, wire.ToolCallPartDelta):
            return _call_delta(self._ids[index], delta.args_delta)
        if isinstance(delta, wire.TextPartDelta) and delta.content_delta:
            return [TextDelta(delta.content_delta)]
        if isinstance(delta, wire.ThinkingPartDelta) and delta.content_delta:
            return [ThoughtDelta(delta.content_delta)]
        return []


def _call_delta(call_id: str, written: object) -> list[Piece]:
    """A piece of arguments; those that come as an object come whole at the end."""
    return [CallDelta(call_id, written)] if isinstance(written, str) and written else []


def _arguments_of(part: wire.ToolCallPart) -> str:
    return part.args if isinstance(part.args, str) else msgspec.json.encode(part.args or {}).decode()


def _end_of(stream: StreamedResponse, name: str, calls: list[ToolCall]) -> Said:
    """The end of the step. Raises AgentFailed for an answer that has none."""
    response = stream.get()
    if response.finish_reason is None:
        raise AgentFailed("the model's answer broke off")
    taken, given = response.usage.input_tokens or None, response.usage.output_tokens or None
    both = None if taken is None and given is None else (taken or 0) + (given or 0)
    reason = _REASONS.get(response.finish_reason, OTHER)
    return Said(reason, response.model_name or name, tuple(calls), taken, given, both)


def _may_pass(fault: ModelAPIError) -> bool:
    if isinstance(fault, ModelHTTPError):
        return fault.status_code in PASSING
    return isinstance(fault, ModelConnectionError) and not isinstance(fault, ModelTimeoutError)


def _failure_of(fault: Exception, *, is_open: bool, offered_tools: bool) -> AgentFailed:
    """An error in words of ours: those of the library may quote the chat."""
    if isinstance(fault, ModelHTTPError) and not is_open:
        return refusal_of(fault.status_code, offered_tools=offered_tools)
    if isinstance(fault, TimeoutError | ModelTimeoutError | httpx2.TimeoutException):
        return AgentFailed("the model fell silent" if is_open else _OUT_OF_TIME)
    if isinstance(fault, UnexpectedModelBehavior):
        return AgentFailed("the model's server sent something unreadable")
    if not is_open:
        return AgentFailed("the model cannot be reached")
    return AgentFailed("the model's answer broke off")
