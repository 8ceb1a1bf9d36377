"""An account as a client of Recoup, and the check that every answer is what the served document says."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import httpx
from jsonschema import Draft202012Validator, FormatChecker

UNDOCUMENTED = {404, 405}
"""What the framework answers, on whatever path."""

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NOBODY = "3f0c1c52-7a34-4c57-9b0e-0c0d6f1f3a10"
"""A UUID that names nothing."""


class Document:
    """The served OpenAPI document, to hold answers against."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    async def check(self, response: httpx.Response) -> None:
        """Raises AssertionError when the answer is none that the document has for this operation."""
        await response.aread()
        assert response.headers["access-control-allow-origin"] == "*"
        method = response.request.method
        if method == "OPTIONS":
            return
        found = self.operation_of("GET" if method == "HEAD" else method, response.request.url.raw_path.decode())
        if found is None:
            assert response.status_code in UNDOCUMENTED, f"an undocumented route answered {response.text}"
            return
        where = (method, *found, response.status_code)
        answers = self.content["paths"][found[1]][found[0].lower()]["responses"]
        assert str(response.status_code) in answers, f"{where} is not documented: {response.text}"
        described = answers[str(response.status_code)].get("content", {})
        assert response.headers.get("content-type") in (described.keys() or {None}), where
        if method != "HEAD" and "application/json" in described:
            schema = described["application/json"]["schema"]
            self.validator({**schema, "components": self.content["components"]}).validate(response.json())

    @staticmethod
    def validator(schema: dict[str, Any]) -> Draft202012Validator:
        return Draft202012Validator(schema, format_checker=FormatChecker())

    def operation_of(self, method: str, raw_path: str) -> tuple[str, str] | None:
        """Method and template of a request; a literal segment goes before a placeholder."""
        asked = raw_path.split("?", maxsplit=1)[0].split("/")
        fitting = [
            template
            for template, methods in self.content["paths"].items()
            if method.lower() in methods and fits(template.split("/"), asked)
        ]
        return (method, min(fitting, key=lambda template: template.count("{"))) if fitting else None


def fits(template: list[str], asked: list[str]) -> bool:
    """Whether a path is of that form; a placeholder takes anything but nothing."""
    return len(template) == len(asked) and all(
        part == given or (part.startswith("{") and given != "") for part, given in zip(template, asked, strict=True)
    )


class Caller:
    """A client with a key; ids in paths are quoted, slashes too."""

    def __init__(self, http: httpx.AsyncClient, key: str | None, tenant_id: bytes = b"", account_id: str = "") -> None:
        self.http, self.key = http, key
        self.headers = {"x-api-key": key} if key else {}
        self.tenant_id, self.account_id = tenant_id, account_id

    async def call(self, method: str, path: str, json: Any = None, content: bytes | None = None) -> httpx.Response:
        more = {} if json is None else {"json": json}
        return await self.http.request(method, path, headers=self.headers, content=content, **more)

    async def get(self, path: str) -> httpx.Response:
        return await self.call("GET", path)

    async def post(self, path: str, json: Any = None, content: bytes | None = None) -> httpx.Response:
        return await self.call("POST", path, json, content)

    async def delete(self, path: str) -> httpx.Response:
        return await self.call("DELETE", path)

    async def new_session(self, **body: Any) -> dict[str, Any]:
        """A session, with its first chat under the key `chat`."""
        made = good(await self.post("/api/sessions", body))
        return {**made["session"], "chat": made["chat"]}

    async def new_chat(self, session: dict[str, Any], chat_id: str | None = None) -> dict[str, Any]:
        body = {} if chat_id is None else {"id": chat_id}
        chat: dict[str, Any] = good(await self.post(chats_of(session), body))["chat"]
        return chat

    async def listed(self, session: dict[str, Any]) -> list[dict[str, Any]]:
        chats: list[dict[str, Any]] = good(await self.get(chats_of(session)))["chats"]
        return chats

    async def chat_ids(self, session: dict[str, Any]) -> list[str]:
        return [chat["id"] for chat in await self.listed(session)]


def session_path(session_id: str) -> str:
    return f"/api/sessions/{quote(session_id, safe='')}"


def chats_of(session: dict[str, Any]) -> str:
    return f"{session_path(session['id'])}/chats"


def chat_path(session: dict[str, Any], chat_id: str) -> str:
    return f"{chats_of(session)}/{quote(chat_id, safe='')}"


def good(answer: httpx.Response) -> dict[str, Any]:
    """The body of a 200."""
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def expect(answer: httpx.Response, status: int, body: dict[str, Any]) -> None:
    """Status and exact body."""
    assert (answer.status_code, answer.json()) == (status, body), answer.text


def refused(answer: httpx.Response, status: int, text: str) -> None:
    """An error in the envelope of nearly every error, as it stands on the wire."""
    assert (answer.status_code, answer.text) == (status, f'{{"status":"error","error":"{text}"}}')
