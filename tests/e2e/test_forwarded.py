"""Whose word about where a request comes from counts: only that of the proxies that are allowed."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.server_process import ServerProcess


def address_in_log(server: ServerProcess, **headers: str) -> str:
    """What the log says about where a refused request came from."""
    answer = httpx.get(f"{server.url}/antiphon/v1/whoami", headers={"x-request-id": "asked", **headers})
    assert answer.status_code == 401
    server.await_log('"request":"asked"')
    (line,) = [each for each in server.log.splitlines() if '"request":"asked"' in each]
    client = json.loads(line)["client"]
    assert isinstance(client, str)
    return client


@pytest.mark.parametrize(
    ("allowed", "seen"),
    [("127.0.0.1", "203.0.113.9"), ("127.0.0.0/8", "203.0.113.9"), ("192.0.2.1", "127.0.0.1"), ("", "127.0.0.1")],
)
def test_only_an_allowed_proxy_is_believed(tmp_path: Path, allowed: str, seen: str) -> None:
    more = {"ANTIPHON_FORWARDED_ALLOW_IPS": allowed} if allowed else {}
    with ServerProcess(tmp_path / "data", **more) as server:
        assert address_in_log(server, **{"x-forwarded-for": "198.51.100.7, 203.0.113.9"}) == seen


def test_an_address_is_not_kept_of_who_is_let_in(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        headers = {"x-request-id": "asked", "x-api-key": server.key("user")}
        assert httpx.get(f"{server.url}/antiphon/v1/whoami", headers=headers).status_code == 200
        server.await_log('"request":"asked"')
        assert "127.0.0.1" not in server.log.partition('"request":"asked"')[2]
