"""The AsyncAPI document of the socket: it is one, and it says all that the socket can say and no more.

That every event is as the document says is checked wherever a test meets one (`caller.EVENT`).
"""

from __future__ import annotations

import ast
import json
from importlib.resources import files
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from antiphon.api.lexicon import events
from antiphon.api.lexicon.errors import ANSWERS
from tests.wire.lexicon.caller import EVENT, SOCKET_DOCUMENT, Caller, Exchange

SCHEMAS: dict[str, Any] = SOCKET_DOCUMENT["components"]["schemas"]
SOCKET = ast.parse((files("antiphon.api.lexicon") / "socket.py").read_text())


async def test_it_is_served_to_everybody(http: httpx.AsyncClient) -> None:
    answer = await http.get("/ws/asyncapi.json")
    assert (answer.status_code, answer.json()) == (200, json.loads(json.dumps(SOCKET_DOCUMENT)))


def test_all_that_the_code_can_send_is_in_it() -> None:
    """The socket sends events of these types and of no other, and each is told of."""
    called = {
        node.func.id for node in ast.walk(SOCKET) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    kinds = {event.__name__ for event in events.Event.__subclasses__()}
    assert called & kinds == kinds == {event.__name__ for event in events.EVENTS}
    told = SOCKET_DOCUMENT["operations"]["tell"]["messages"]
    assert {reference["$ref"].rpartition("/")[2] for reference in told} == kinds
    names = {message["name"] for message in SOCKET_DOCUMENT["components"]["messages"].values()}
    assert names == {str(event.__struct_config__.tag) for event in events.EVENTS} | {"message"}


def test_every_error_and_every_close_is_in_it() -> None:
    assert set(SCHEMAS["Failed"]["properties"]["error_code"]["enum"]) == {row.event_code for row in ANSWERS.values()}
    closes = {int(code) for code in SOCKET_DOCUMENT["x-close-codes"]}
    assert closes == {1000, 1001, 1009} | {row.close_code for row in ANSWERS.values()}


def test_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for each in value.values() for found in references(each)]
        return [found for each in value for found in references(each)] if isinstance(value, list) else []

    assert len(references(SOCKET_DOCUMENT)) > 20
    for reference in references(SOCKET_DOCUMENT):
        found = SOCKET_DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


@pytest.mark.parametrize("kind", [event.__name__ for event in events.EVENTS])
def test_an_event_with_a_field_less_or_more_is_none(kind: str) -> None:
    whole = {name: _sample(schema) for name, schema in SCHEMAS[kind]["properties"].items()}
    assert EVENT.is_valid(whole)
    assert not EVENT.is_valid({**whole, "more": 1})
    for name in whole:
        assert not EVENT.is_valid({key: value for key, value in whole.items() if key != name}), name


def _sample(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {"fix": "so"}
    by_form = {"date-time": "2025-03-04T09:14:20Z", "uuid": "7d0f2a94-1b3c-4e5d-9f60-81a2b3c4d5e6"}
    return by_form.get(schema.get("format", ""), "msg-7d0f2a94-1b3c-4e5d-9f60-81a2b3c4d5e6")


async def test_what_it_says_of_a_frame_is_so(ours: Caller, exchange: Exchange) -> None:
    frame = Draft202012Validator({**SCHEMAS["Frame"], "components": SOCKET_DOCUMENT["components"]})
    good: list[Any] = [{"content": "x"}, {"content": " x ", "metadata": None}, {"content": "x", "metadata": {}, "y": 1}]
    bad: list[Any] = [{}, {"content": " "}, {"content": 1}, {"content": "x", "metadata": []}, {"content": "x" * 32_769}]
    chat = await ours.create("mara")
    for each in good + bad:
        async with exchange.join(ours.key, chat) as phone:
            await phone.raw.send(json.dumps(each))
            is_taken = (await phone.next())["event_type"] == "message_received"
        assert (frame.is_valid(each), is_taken) == (each in good, each in good), each
