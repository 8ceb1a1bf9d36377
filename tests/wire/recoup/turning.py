"""What the tests of turns post and read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from antiphon.api.server import Server
from tests.wire.recoup.caller import Caller, chat_path, good
from tests.wire.recoup.live import LiveCall
from tests.wire.recoup.ui_schema import Reader, chunks_of

Open = Callable[..., LiveCall]


def user(text: str, message_id: str = "u1", **more: Any) -> dict[str, Any]:
    """A message as the AI SDK's clients post it."""
    return {"id": message_id, "role": "user", "parts": [{"type": "text", "text": text}], **more}


def body_of(session: dict[str, Any], *messages: Any, **more: Any) -> dict[str, Any]:
    """A body of Recoup's own clients, for the session's first chat."""
    return {"sessionId": session["id"], "chatId": session["chat"]["id"], "messages": list(messages), **more}


async def ask(who: Caller, body: dict[str, Any]) -> Reader:
    """A whole turn."""
    answer = await who.post("/api/chat", body)
    assert answer.status_code == 200, answer.text
    return Reader().read(chunks_of(answer.content))


def opener(server: Server) -> Open:
    """opener(server)(who, method, path, json): a live call of somebody."""

    def call(who: Caller, method: str, path: str, json: Any = None) -> LiveCall:
        return LiveCall(server, method, path, who.headers, json)

    return call


async def shown(who: Caller, session: dict[str, Any], chat_id: str | None = None) -> dict[str, Any]:
    """The session's first chat, or the one of that id, with its messages."""
    return good(await who.get(chat_path(session, chat_id or session["chat"]["id"])))


async def messages_of(who: Caller, session: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await shown(who, session))["messages"]
    return found


def text_of(message: dict[str, Any]) -> str:
    """The words of a message."""
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")
