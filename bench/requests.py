"""The requests, written out once: a load generator that builds them while it measures would measure itself."""

from __future__ import annotations

import msgspec

from bench import data

PAGE = 50


def _request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]) + body.decode("latin-1")


def posted(key: str, path: str, body: bytes) -> str:
    """A POST as Honcho's clients write it."""
    return _request("POST", path, {"Authorization": f"Bearer {key}"}, body)


def deleted(key: str, path: str) -> str:
    """A DELETE as Honcho's clients write it."""
    return _request("DELETE", path, {"Authorization": f"Bearer {key}"})


def append_body(seed: int) -> bytes:
    """The body of an append of one message."""
    return msgspec.json.encode({"messages": [{"content": data.sample_text(seed), "peer_id": data.PEER}]})


def honcho_append(dataset: data.Dataset) -> list[str]:
    """One append for every session, as Honcho's clients write it."""
    headers = {"Authorization": f"Bearer {dataset.key}"}
    return [
        _request("POST", f"/v3/workspaces/{data.WORKSPACE}/sessions/{name}/messages", headers, append_body(seed))
        for seed, name in enumerate(dataset.sessions)
    ]


def honcho_page(dataset: data.Dataset) -> list[str]:
    """The first page of every session, as Honcho's clients ask for it."""
    headers = {"Authorization": f"Bearer {dataset.key}"}
    return [
        _request(
            "POST", f"/v3/workspaces/{data.WORKSPACE}/sessions/{name}/messages/list?page=1&size={PAGE}", headers, b"{}"
        )
        for name in dataset.sessions
    ]


def lexicon_page(dataset: data.Dataset) -> list[str]:
    """The first page of every chat, as Lexicon's clients ask for it."""
    headers = {"X-API-Key": dataset.key}
    return [_request("GET", f"/api/v1/chats/{chat}/messages?limit={PAGE}", headers) for chat in dataset.chats]


def floor_of(path: str, requests: list[str]) -> list[str]:
    """The same requests to a path of the HTTP floor: it is to read as many bytes as the server under test."""
    return [f"{method} {path} {rest}" for method, _, rest in (request.split(" ", 2) for request in requests)]
