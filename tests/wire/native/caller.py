"""A client of our own wire with one key, whose answers are held against the served document; and readers of events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from jsonschema import Draft202012Validator

PREFIX = "/antiphon/v1"
NEVER = "trn_00000000-0000-7000-8000-000000000000"
PROBLEM_FIELDS = {"type", "title", "status", "detail", "code", "request_id"}


class Told(NamedTuple):
    """One event of a stream."""

    id: str | None
    event: str
    data: dict[str, Any]


class Caller:
    """One key; `tenant` is what it names in `X-Tenant`."""

    def __init__(self, http: httpx.AsyncClient, key: str, tenant: str | None = None) -> None:
        self._http = http
        self.key = key
        self.headers = {"authorization": f"Bearer {key}"} | ({"x-tenant": tenant} if tenant else {})

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer to a request; `path` begins behind the prefix."""
        headers = {**self.headers, **more.pop("headers", {})}
        return await self._http.request(method, PREFIX + path, headers=headers, **more)

    async def start(self, chat_id: str, text: str = "hello there", **message: Any) -> dict[str, Any]:
        """A turn that has begun with that text."""
        return good(await self.ask("POST", turns_path(chat_id), json={"message": {"text": text, **message}}), 202)

    async def events(self, chat_id: str, **more: Any) -> list[Told]:
        """The events of the chat's stream, to its end."""
        answer = await self.ask("GET", events_path(chat_id), **more)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/event-stream"
        return read_events(answer.text)


def chat_path(chat_id: str) -> str:
    return f"/chats/{quote(chat_id, safe='')}"


def turns_path(chat_id: str) -> str:
    return f"{chat_path(chat_id)}/turns"


def events_path(chat_id: str) -> str:
    return f"{chat_path(chat_id)}/events"


def read_events(text: str) -> list[Told]:
    """The events of a stream's text; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            found.append(Told(fields.get("id"), fields["event"], json.loads(fields["data"])))
    return found


def text_of(told: Iterable[Told]) -> str:
    """What was said in these events."""
    return "".join(one.data["text"] for one in told if one.event == "text-added")


def good(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The body of an answer that went well."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a problem, which has the fields of the wire."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) - {"errors", "turn", "blocked_by"} == PROBLEM_FIELDS
    assert (body["status"], body["request_id"]) == (status, answer.headers["x-request-id"])
    assert code != "not_found" or body["detail"] == body["title"]  # one body, whatever is not there
    return body


class Document:
    """The served OpenAPI document, to hold answers against."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    async def check(self, response: httpx.Response) -> None:
        """Raises AssertionError or ValidationError for an answer that the document does not have."""
        await response.aread()
        if not response.request.url.path.startswith(PREFIX):
            return  # another dialect's
        operation = self._operation(response)
        if operation is None:
            assert response.status_code in {404, 405}, response.text
            return
        assert str(response.status_code) in operation["responses"], f"not documented: {response.text}"
        content = operation["responses"][str(response.status_code)].get("content", {})
        if response.status_code == 204 or response.request.method == "HEAD":
            return
        assert response.headers["content-type"] in content, content.keys()
        if response.headers["content-type"] in {"application/json", "application/problem+json"}:
            schema = content[response.headers["content-type"]]["schema"]
            Draft202012Validator({**schema, "components": self.content["components"]}).validate(response.json())

    def _operation(self, response: httpx.Response) -> dict[str, Any] | None:
        path = response.request.url.raw_path.split(b"?")[0].decode().split("/")
        method = response.request.method.lower().replace("head", "get")
        for template, operations in self.content["paths"].items():
            segments = template.split("/")
            if len(segments) == len(path) and all(
                asked == known or known.startswith("{") for asked, known in zip(path, segments, strict=True)
            ):
                operation: dict[str, Any] | None = operations.get(method)
                return operation
        return None
