"""Without authentication a page of somewhere else, open in a browser of this machine, is not served."""

from __future__ import annotations

import httpx
import pytest

from antiphon.api.lexicon.handshake import Given, admit
from antiphon.core.instance import Instance
from antiphon.domain.errors import AuthenticationFailed

REQUESTS = [
    ("POST", "/api/sessions", {"title": "x"}),
    ("POST", "/api/v1/chats", {"user_id": "ann"}),
    ("POST", "/v3/workspaces/t/sessions", {"id": "s"}),
    ("POST", "/antiphon/v1/chats", {}),
    ("GET", "/antiphon/v1/whoami", None),
]
ELSEWHERE = ["https://example.org", "http://localhost.example.org", "null", "http://10.0.0.7:8000", "http://[", ""]
HERE = [None, "http://localhost:5173", "http://127.0.0.1:8000", "http://[::1]:8000"]


@pytest.fixture
async def open_instance(instance: Instance) -> Instance:
    await instance.tenants.create("t")
    instance.everybody = await instance.keys.open_principal()
    return instance


async def ask(http: httpx.AsyncClient, method: str, path: str, body: object, origin: str | None) -> int:
    headers = {} if origin is None else {"origin": origin}
    return (await http.request(method, path, json=body, headers=headers)).status_code


@pytest.mark.usefixtures("open_instance")
@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_only_pages_of_this_machine_are_served(
    http: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    assert {await ask(http, method, path, body, origin) for origin in ELSEWHERE} == {401}
    assert all([await ask(http, method, path, body, origin) < 300 for origin in HERE])


@pytest.mark.parametrize("origin", ELSEWHERE)
async def test_a_socket_of_such_a_page_is_refused(
    open_instance: Instance, http: httpx.AsyncClient, origin: str
) -> None:
    chat = (await http.post("/api/v1/chats", json={"user_id": "ann"})).json()["id"]
    with pytest.raises(AuthenticationFailed, match="only pages"):
        await admit(open_instance, Given(None, "ann", chat, origin=origin))
    assert (await admit(open_instance, Given(None, "ann", chat, origin="http://localhost:3000"))).chat.id == chat


async def test_with_keys_every_page_is_served(http: httpx.AsyncClient, make_key: object) -> None:
    key = await make_key("t", "ann")  # type: ignore[operator]
    answer = await http.get("/antiphon/v1/whoami", headers={"x-api-key": key, "origin": "https://example.org"})
    assert answer.status_code == 200
