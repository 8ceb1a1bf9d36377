"""Lexicon's clients: one over REST with one key, one over a socket; and the check of answers against the document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
from jsonschema import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from antiphon.api.lexicon.asyncapi import socket_document

CHATS = "/api/v1/chats"
NEVER = "00000000-0000-4000-8000-000000000000"
CLOSED = "(closed)"
Event = dict[str, Any]


SOCKET_DOCUMENT = socket_document()
EVENT = Draft202012Validator(
    {
        "oneOf": [
            {"$ref": f"#/components/schemas/{reference['$ref'].rpartition('/')[2]}", "unevaluatedProperties": False}
            for reference in SOCKET_DOCUMENT["operations"]["tell"]["messages"]
        ],
        "components": SOCKET_DOCUMENT["components"],
    },
    format_checker=Draft202012Validator.FORMAT_CHECKER,
)
"""Every event that any test meets is held against the AsyncAPI document: its fields, all of them and no others."""


def check_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of an error, which has the five fields of the wire."""
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"success", "error_code", "error_message", "details", "detail"}
    assert body["success"] is False
    assert body["error_message"] == body["detail"] != ""
    assert body["details"]["fix"]
    return body


class Document:
    """The served OpenAPI document, to hold answers against."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    async def check(self, response: httpx.Response) -> None:
        """Raises AssertionError or ValidationError for an answer that the document does not have."""
        await response.aread()
        assert response.headers["content-type"] == "application/json"
        assert response.headers["cache-control"] == "no-store"
        schema = self.schema_of(response)
        if schema is not None and response.request.method != "HEAD":
            Draft202012Validator({**schema, "components": self.content["components"]}).validate(response.json())

    def schema_of(self, response: httpx.Response) -> dict[str, Any] | None:
        """The schema of an answer; None for what no route answers (404, 405, 426 and whatever comes before routing)."""
        path = response.request.url.raw_path.split(b"?")[0].decode().split("/")[1:]
        template = "/".join("/".join(part) for part in template_of(path))
        operation = (
            self.content["paths"].get(f"/{template}", {}).get(response.request.method.lower().replace("head", "get"))
        )
        if operation is None:
            assert response.status_code in {401, 404, 405, 426, 429}, response.text
            return None
        assert str(response.status_code) in operation["responses"], f"not documented: {response.text}"
        schema: dict[str, Any] = operation["responses"][str(response.status_code)]["content"]["application/json"][
            "schema"
        ]
        return schema


def template_of(path: list[str]) -> list[list[str]]:
    """The path with its ids replaced by placeholders."""
    head, rest = path[:3], path[3:]
    if head != ["api", "v1", "chats"] or not rest or rest == [""]:
        return [path]
    if rest[0] == "user" and len(rest) > 1:
        return [head, ["user", "{user_id}"]]
    return [head, ["{chat_id}"], *([rest[1:]] if rest[1:] else [])]


class Caller:
    """One key."""

    def __init__(self, http: httpx.AsyncClient, key: str | None) -> None:
        self.http = http
        self.key = key
        self.headers = {} if key is None else {"X-API-Key": key}

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Any request."""
        return await self.http.request(method, path, headers={**self.headers, **more.pop("headers", {})}, **more)

    async def create(self, user_id: str = "mara", **body: Any) -> dict[str, Any]:
        """A new chat."""
        answer = await self.ask("POST", f"{CHATS}/", json={"user_id": user_id, **body})
        assert answer.status_code == 201, answer.text
        chat: dict[str, Any] = answer.json()
        return chat

    async def post(self, raw: bytes, content_type: str | None = "application/json") -> httpx.Response:
        """A create with exactly this body."""
        headers = {} if content_type is None else {"content-type": content_type}
        return await self.ask("POST", f"{CHATS}/", content=raw, headers=headers)

    async def get(self, chat_id: str) -> httpx.Response:
        """E3."""
        return await self.ask("GET", f"{CHATS}/{chat_id}")

    async def chats_of(self, user_id: str, **query: Any) -> httpx.Response:
        """E2."""
        return await self.ask("GET", f"{CHATS}/user/{user_id}", params=query)

    async def messages(self, chat_id: str, **query: Any) -> httpx.Response:
        """E4."""
        return await self.ask("GET", f"{CHATS}/{chat_id}/messages", params=query)

    async def said(self, chat_id: str) -> list[tuple[str, str]]:
        """Role and text of all messages of a short chat."""
        answer = await self.messages(chat_id)
        return [(m["sender_role"], m["content"]) for m in answer.json()["messages"]]

    async def delete(self, chat_id: str) -> httpx.Response:
        """E5."""
        return await self.ask("DELETE", f"{CHATS}/{chat_id}")


class Phone:
    """One socket; a close reads as an event of the type CLOSED with code and reason."""

    def __init__(self, raw: ClientConnection) -> None:
        self.raw = raw

    async def say(self, content: Any, **more: Any) -> None:
        """Send one message."""
        await self.raw.send(json.dumps({"content": content, **more}))

    async def next(self, seconds: float = 10) -> Event:
        """The next event."""
        try:
            text = await asyncio.wait_for(self.raw.recv(), seconds)
        except ConnectionClosed as closed:
            frame = closed.rcvd
            return {"event_type": CLOSED, "code": frame and frame.code, "reason": frame and frame.reason}
        event: Event = json.loads(text)
        EVENT.validate(event)
        return event

    async def take(self, count: int) -> list[Event]:
        """The next events."""
        return [await self.next() for _ in range(count)]

    async def until(self, kind: str) -> Event:
        """The first event of that type; AssertionError when an error or the close comes before it."""
        while (event := await self.next())["event_type"] != kind:
            assert event["event_type"] not in {"error", CLOSED}, event
        return event

    async def error(self, code: str) -> Event:
        """The first error event, which has that code."""
        while (event := await self.next())["event_type"] != "error":
            assert event["event_type"] != CLOSED, event
        assert event["error_code"] == code, event
        assert set(event) == {"event_type", "timestamp", "error_code", "error_message", "details"}
        assert event["details"]["fix"]
        return event

    async def closed(self, code: int, reason: str) -> None:
        """The next thing is the close."""
        assert await self.next() == {"event_type": CLOSED, "code": code, "reason": reason}

    async def exchange(self, content: str, **more: Any) -> list[Event]:
        """Say something; all events up to the end of the answer."""
        await self.say(content, **more)
        events = [await self.until("message_received")]
        while events[-1]["event_type"] != "message_stream_ended":
            events.append(await self.next())
            assert events[-1]["event_type"].startswith("message_stream_"), events
        return events


class Exchange:
    """The address of a served instance, at which sockets are opened."""

    def __init__(self, address: str) -> None:
        self.address = address

    @asynccontextmanager
    async def dial(self, headers: Any = None, **query: str) -> AsyncIterator[Phone]:
        """A socket with these query values and headers; says nothing about what comes next."""
        asked = f"?{urlencode(query)}" if query else ""
        url = f"ws://{self.address}/ws/chat{asked}"
        async with connect(url, additional_headers=headers, proxy=None, max_size=None) as raw:
            yield Phone(raw)

    @asynccontextmanager
    async def join(self, key: str | None, chat: dict[str, Any], user: str = "mara") -> AsyncIterator[Phone]:
        """A socket on the chat, which has been told that it is connected."""
        async with self.dial(api_key=key or "", user_id=user, chat_id=chat["id"]) as phone:
            assert (await phone.next())["event_type"] == "connection_established"
            if user != chat["user_id"]:
                assert (await phone.next())["event_type"] == "user_created"
            yield phone
