"""A workspace as one token sees it, and the check that every answer is what the served document says."""

from __future__ import annotations

from typing import Any

import httpx
from jsonschema import Draft202012Validator

UNDOCUMENTED = {307, 405}


class Document:
    """The served OpenAPI document, to hold answers against."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.seen: set[tuple[str, str, int]] = set()

    async def check(self, response: httpx.Response) -> None:
        """Raises AssertionError when the answer is none that the document has for this operation."""
        await response.aread()
        found = self.operation_of(response.request.method, response.request.url.raw_path.decode().split("?")[0])
        if found is None:
            assert response.status_code in {404, *UNDOCUMENTED}, f"an undocumented route answered {response.text}"
            return
        path, operation = found
        where = (response.request.method, path, response.status_code)
        assert str(response.status_code) in operation["responses"], f"{where} is not documented: {response.text}"
        answer = operation["responses"][str(response.status_code)]
        self.seen.add(where)
        if "content" not in answer:
            assert response.content == b""
            return
        media_type = response.headers["content-type"]
        schema = answer["content"][media_type]["schema"]
        if media_type == "application/json":
            Draft202012Validator({**schema, "components": self.content["components"]}).validate(response.json())

    def operation_of(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """Template and operation of a request; a literal segment goes before a placeholder."""
        asked = path.removesuffix("/").split("/") if path.endswith("/messages/") else path.split("/")
        fitting = [
            template
            for template, methods in self.content["paths"].items()
            if method.lower() in methods and fits(template.split("/"), asked)
        ]
        if not fitting:
            return None
        best = min(fitting, key=lambda template: template.count("{"))
        return best, self.content["paths"][best][method.lower()]


def fits(template: list[str], asked: list[str]) -> bool:
    """Whether a path is of that form; a placeholder takes anything but nothing."""
    return len(template) == len(asked) and all(
        part == given or (part.startswith("{") and given != "") for part, given in zip(template, asked, strict=True)
    )


class Caller:
    """One token in one workspace; paths are relative to the workspace."""

    def __init__(self, http: httpx.AsyncClient, key: str | None, workspace: str) -> None:
        self.http, self.workspace, self.root = http, workspace, f"/v3/workspaces/{workspace}"
        self.headers = {"authorization": f"Bearer {key}"} if key else {}

    async def call(self, method: str, path: str, json: Any = None, **query: Any) -> httpx.Response:
        more = {} if json is None else {"json": json}
        return await self.http.request(method, self.root + path, params=query or None, headers=self.headers, **more)

    async def send(self, method: str, path: str, content: bytes, content_type: str | None) -> httpx.Response:
        """A body as it stands."""
        media = {} if content_type is None else {"content-type": content_type}
        return await self.http.request(method, self.root + path, content=content, headers={**self.headers, **media})

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.call("GET", path, **query)

    async def post(self, path: str, json: Any = None, **query: Any) -> httpx.Response:
        return await self.call("POST", path, json, **query)

    async def put(self, path: str, json: Any = None) -> httpx.Response:
        return await self.call("PUT", path, json)

    async def delete(self, path: str = "", json: Any = None) -> httpx.Response:
        return await self.call("DELETE", path, json)

    async def top(self, method: str, path: str, json: Any = None, **query: Any) -> httpx.Response:
        """A path that begins at `/v3`."""
        more = {} if json is None else {"json": json}
        return await self.http.request(method, "/v3" + path, params=query or None, headers=self.headers, **more)

    async def new_session(self, session_id: str, **body: Any) -> dict[str, Any]:
        answer = await self.post("/sessions", {"id": session_id, **body})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def say(self, session_id: str, *said: str | dict[str, Any], peer: str = "ann") -> list[dict[str, Any]]:
        """Store one batch of texts, or of whole messages."""
        batch = [{"content": one, "peer_id": peer} if isinstance(one, str) else one for one in said]
        answer = await self.post(f"/sessions/{session_id}/messages", {"messages": batch})
        assert answer.status_code == 201, answer.text
        stored: list[dict[str, Any]] = answer.json()
        return stored

    async def listed(self, path: str, filters: dict[str, Any] | None = None, **query: Any) -> list[dict[str, Any]]:
        """The items of a well-formed page."""
        answer = await self.post(path, None if filters is None else {"filters": filters}, **query)
        return items_of(answer)

    async def texts(self, session_id: str, **query: Any) -> list[str]:
        return [item["content"] for item in await self.listed(f"/sessions/{session_id}/messages/list", **query)]

    async def members(self, session_id: str) -> list[str]:
        return [item["id"] for item in items_of(await self.get(f"/sessions/{session_id}/peers", size=100))]


def items_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The items of a well-formed page."""
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert page["pages"] == -(-page["total"] // page["size"])
    items: list[dict[str, Any]] = page["items"]
    return items


def text_of(answer: httpx.Response, status: int) -> str:
    """The `detail` of an error that is told in words."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"detail"}
    detail: str = answer.json()["detail"]
    assert isinstance(detail, str)
    assert detail
    return detail


def first_fault(answer: httpx.Response) -> dict[str, Any]:
    """The first entry of a 422 of the request's form."""
    assert answer.status_code == 422, answer.text
    entry: dict[str, Any] = answer.json()["detail"][0]
    assert "url" not in entry
    return entry
