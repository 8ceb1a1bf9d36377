"""Pages of other origins: those that were named may read what is answered, others may not."""

from __future__ import annotations

import httpx
import pytest

from antiphon.api.cross_origin import CrossOrigin
from antiphon.api.server import Server
from tests.conftest import MakeKey

PAGE, OTHER = "https://chat.example.com", "https://elsewhere.example.com"
SHARED = ["/api/v1/chats/", "/v3/workspaces", "/antiphon/v1/whoami", "/healthz"]
ALLOWED = "access-control-allow-origin"


def client_of(server: Server, *origins: str) -> httpx.AsyncClient:
    """A client of the server for whose pages these origins were named."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=CrossOrigin(server, origins)), base_url="http://antiphon.test"
    )


def preflight(origin: str, method: str = "DELETE") -> dict[str, str]:
    """What a browser asks before it sends a page's request."""
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "content-type,x-api-key",
    }


@pytest.mark.parametrize("path", SHARED)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_preflight_of_a_page_that_was_named_is_allowed(server: Server, path: str, method: str) -> None:
    async with client_of(server, PAGE, "http://localhost:3000") as http:
        answer = await http.options(path, headers=preflight(PAGE, method))
        assert answer.status_code == 200
        assert answer.headers[ALLOWED] == PAGE
        assert method in answer.headers["access-control-allow-methods"]
        assert {"content-type", "x-api-key"} <= {*answer.headers["access-control-allow-headers"].lower().split(",")}
        assert answer.headers["access-control-allow-credentials"] == "true"
        refused = await http.options(path, headers=preflight(OTHER, method))
        assert refused.status_code == 400
        assert ALLOWED not in refused.headers


@pytest.mark.parametrize("path", SHARED)
async def test_a_page_that_was_named_may_read_answers_and_refusals(server: Server, path: str) -> None:
    async with client_of(server, PAGE) as http:
        answer = await http.get(path, headers={"origin": PAGE})
        assert answer.headers[ALLOWED] == PAGE
        assert "retry-after" in answer.headers["access-control-expose-headers"]
        assert "origin" in answer.headers["vary"].lower()
        for origin in OTHER, "null":
            assert ALLOWED not in (await http.get(path, headers={"origin": origin})).headers


async def test_all_origins_come_without_cookies(server: Server, make_key: MakeKey) -> None:
    async with client_of(server, "*") as http:
        answer = await http.get(
            "/antiphon/v1/whoami", headers={"origin": OTHER, "x-api-key": await make_key("t1", scope="tenant")}
        )
        assert answer.status_code == 200
        assert answer.headers[ALLOWED] == "*"
        assert "access-control-allow-credentials" not in answer.headers


async def test_recoups_wire_says_itself_who_may_read(server: Server) -> None:
    """Everybody, whoever was named."""
    async with client_of(server, PAGE) as http:
        for origin in PAGE, OTHER:
            answer = await http.options("/api/chat", headers=preflight(origin, "POST"))
            assert answer.status_code in (200, 204)
            assert answer.headers[ALLOWED] == "*"
            assert (await http.get("/api/sessions", headers={"origin": origin})).headers[ALLOWED] == "*"


@pytest.mark.parametrize("path", SHARED)
async def test_unless_somebody_is_named_no_page_may_read(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers={"origin": PAGE})
    assert ALLOWED not in answer.headers
    assert ALLOWED not in (await http.options(path, headers=preflight(PAGE))).headers
