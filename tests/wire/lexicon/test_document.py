"""The served document: it has every route, needs no key, and what it says of a create is what is taken."""

from __future__ import annotations

import httpx
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from antiphon.api.lexicon.routes import Lexicon
from antiphon.core.instance import Instance
from tests.wire.lexicon.caller import CHATS, Caller, Document


def test_it_has_every_route_and_no_other(instance: Instance, document: Document) -> None:
    served = {(route.method.lower(), route.path) for route in Lexicon(instance, 0).routes.routes}
    written = {(method, path) for path, methods in document.content["paths"].items() for method in methods}
    assert written == served
    assert len(served) == 8


def test_it_is_an_openapi_document(document: Document) -> None:
    validate(document.content)
    assert document.content["openapi"].startswith("3.1")


async def test_it_needs_no_key_and_everything_else_does(http: httpx.AsyncClient, document: Document) -> None:
    assert (await http.get("/api/v1/openapi.json")).json() == document.content
    public = [
        (method, path)
        for path, methods in document.content["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") == []
    ]
    assert public == [("get", "/api/v1/openapi.json"), ("get", "/ws/asyncapi.json")]
    assert document.content["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"


async def test_what_it_says_of_a_create_is_so(ours: Caller, document: Document) -> None:
    good: list[dict[str, object]] = [{"user_id": "u"}, {"user_id": "u", "title": None, "metadata": {"a": 1}, "x": 1}]
    bad: list[dict[str, object]] = [
        {},
        {"user_id": ""},
        {"user_id": "u" * 256},
        {"user_id": "u", "title": 1},
        {"user_id": "u", "metadata": []},
    ]
    for body in good + bad:
        is_taken = (await ours.ask("POST", f"{CHATS}/", json=body)).status_code == 201
        assert (validator(document).is_valid(body), is_taken) == (body in good, body in good), body


def validator(document: Document) -> Draft202012Validator:
    operation = document.content["paths"][f"{CHATS}/"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**schema, "components": document.content["components"]})
