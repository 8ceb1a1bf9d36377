"""A whole conversation over the socket with the published `websockets` client and the real local model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.server_process import ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data", ANTIPHON_MODEL_URL="") as started:
        yield started


def until(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """The events up to the first of that kind, which is the last of them; an error event fails."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["event_type"] != kind:
        events.append(json.loads(socket.recv(timeout=60)))
        assert events[-1]["event_type"] != "error", events[-1]
    return events


def test_conversation__two_questions_to_the_local_model(server: ServerProcess) -> None:
    headers = {"X-API-Key": server.key("user")}
    with httpx.Client(base_url=f"{server.url}/api/v1/chats", headers=headers, timeout=30) as http:
        chat = http.post("/", json={"user_id": "ann", "title": "Greetings"}).json()["id"]
        address = f"{server.socket_url}?user_id=ann&chat_id={chat}"
        with connect(address, additional_headers=headers) as socket:
            assert json.loads(socket.recv())["event_type"] == "connection_established"
            for question in ("Say hello in one short sentence.", "And now say goodbye."):
                socket.send(json.dumps({"content": question}))
                events = until(socket, "message_stream_ended")
                kinds = [event["event_type"] for event in events]
                tokens = [event["token"] for event in events if event["event_type"] == "message_stream_token"]
                assert kinds[:2] == ["message_received", "message_stream_started"]
                assert len(tokens) > 1
                assert "".join(tokens) == events[-1]["content"]
            assert http.delete(f"/{chat}").status_code == 409
        messages = http.get(f"/{chat}/messages").json()["messages"]
        assert [message["sender_role"] for message in messages] == ["user", "assistant"] * 2
        assert messages[-1]["content"] == events[-1]["content"]
        assert messages[-1]["metadata"]["tokens_used"] > 0
        while (gone := http.delete(f"/{chat}")).status_code == 409:  # until the server has seen the close
            continue
        assert gone.json()["success"] is True
        assert http.get(f"/{chat}").status_code == 404
