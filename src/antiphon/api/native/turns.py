"""Turns on our own wire: begin, look at, stop."""

from __future__ import annotations

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.native.bodies import check_message, check_metadata, read_body
from antiphon.api.native.errors import refusals
from antiphon.api.native.reach import Reach, check_role, default_speaker, may_speak_as
from antiphon.api.native.versions import versioned
from antiphon.api.native.wire import AskedMessage, NewTurn, Stopped, Turn, parse_turn_id, show_turn
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain import limits, texts
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AccessDenied, InvalidInput, TurnStillRunning
from antiphon.domain.ids import new_uid7
from antiphon.domain.keys import Principal
from antiphon.domain.messages import Draft
from antiphon.domain.turns import RUNNING, STOPPED, TurnStart


class Turns:
    """The routes of turns."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        return [
            Route(
                "POST",
                f"{prefix}/chats/{{chat_id}}/turns",
                self.start,
                "Say something, or nothing, and let the agent answer.",
                {202: Turn, **refusals(409, 413)},
                body=NewTurn,
                is_body_optional=True,
            ),
            Route(
                "GET",
                f"{prefix}/turns/{{turn_id}}",
                self.get,
                "Get a turn.",
                {200: Turn, **refusals()},
            ),
            Route(
                "POST",
                f"{prefix}/turns/{{turn_id}}/stop",
                self.stop,
                "Stop a turn and wait until it is over; 202 when it is not over yet.",
                {200: Stopped, 202: Stopped, **refusals()},
            ),
        ]

    async def start(self, request: Request) -> Reply:
        """POST /chats/{chat_id}/turns: 202; the message is stored and the turn runs."""
        principal = await self._reach.caller(request)
        chat = await self._reach.chat(principal, request.params["chat_id"])
        body = await read_body(request, NewTurn)
        if body.message is None and not chat.message_count:
            raise InvalidInput("the chat is empty: there is nothing to answer", field="message")
        model = chat.model if body.model is None else _check_model(body.model)
        draft = None if body.message is None else _draft(principal, chat, body.message)
        start = TurnStart(chat.key, new_uid7(), principal.agent_name, message=draft, model=model)
        claimed = await self._instance.turns.start(principal.tenant_id, start)
        return json_reply(202, show_turn(claimed.turn, chat.id))

    async def get(self, request: Request) -> Reply:
        """GET /turns/{turn_id}."""
        principal = await self._reach.caller(request)
        turn, chat = await self._reach.turn(principal, parse_turn_id(request.params["turn_id"]))
        return versioned(200, show_turn(turn, chat.id))

    async def stop(self, request: Request) -> Reply:
        """POST /turns/{turn_id}/stop: 200 once the turn is over, which it may have been already; else 202."""
        principal = await self._reach.caller(request)
        turn, _ = await self._reach.turn(principal, parse_turn_id(request.params["turn_id"]))
        try:
            over = await self._instance.turns.stop(principal.tenant_id, turn.id)
        except TurnStillRunning:
            return json_reply(202, Stopped(RUNNING, stopped=False))
        return json_reply(200, Stopped(over.state, over.state == STOPPED))


def _check_model(name: str) -> str:
    if not name:
        raise InvalidInput("a model has a name", field="model")
    return texts.check_text(name, "model", limits.NAME_CHARACTERS)


def _draft(principal: Principal, chat: Chat, message: AskedMessage) -> Draft:
    """The message that asks, said by whom it names, else as `default_speaker`."""
    text, parts = check_message(message)
    author = message.participant or default_speaker(principal, chat, message.role)
    if not may_speak_as(principal, author):
        raise AccessDenied
    return Draft(
        author=author,
        role=check_role(principal, author, message.role, "message"),
        text=text,
        parts=parts,
        metadata=check_metadata(message.metadata),
        client_id=message.client_id,
    )
