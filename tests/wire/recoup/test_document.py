"""The served document: it has every route, and says of the two published pages what they say."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, ValidationError
from openapi_spec_validator import validate

from antiphon.api.recoup.routes import Recoup
from antiphon.core.instance import Instance
from antiphon.domain.ids import is_canonical_uuid
from tests.wire.recoup.caller import Caller, Document


def operation(document: Document, method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = document.content["paths"][path][method]
    return found


def answer_name(operation: dict[str, Any], status: str) -> str:
    schema = operation["responses"][status]["content"]["application/json"]["schema"]
    return str(schema["$ref"]).removeprefix("#/components/schemas/")


def test_it_is_valid(document: Document) -> None:
    validate(document.content)
    assert document.content["openapi"] == "3.1.0"


def test_it_has_every_route_and_no_other(instance: Instance, document: Document) -> None:
    served = {(route.method.lower(), route.path) for route in Recoup(instance).routes.routes}
    written = {(method, path) for path, methods in document.content["paths"].items() for method in methods}
    assert written == served
    assert len(served) == 32


async def test_it_needs_no_key_and_is_made_once(anybody: Caller) -> None:
    first, second = await anybody.get("/api/openapi.json"), await anybody.get("/api/openapi.json")
    assert first.status_code == 200
    assert first.content == second.content


def test_all_else_needs_one_of_two_credentials(document: Document) -> None:
    assert document.content["security"] == [{"ApiKeyAuth": []}, {"BearerAuth": []}]
    assert document.content["components"]["securitySchemes"] == {
        "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "BearerAuth": {"type": "http", "scheme": "bearer"},
    }
    public = [
        path for path, methods in document.content["paths"].items() for one in methods.values() if "security" in one
    ]
    assert public == ["/api/openapi.json"]


def test_the_creation_of_a_chat_is_as_its_page_says(document: Document) -> None:
    create = operation(document, "post", "/api/sessions/{sessionId}/chats")
    assert create["summary"] == "Create session chat"
    assert create["requestBody"]["required"] is False
    names = {status: answer_name(create, status) for status in create["responses"]}
    assert names == {
        "200": "CreateSessionChatResponse",
        "400": "InvalidChatIdError",
        "401": "Error",
        "403": "Error",
        "404": "Error",
        "409": "ChatIdConflictError",
        "413": "Error",
        "422": "Error",
        "500": "Error",
        "503": "Error",
    }
    schemas = document.content["components"]["schemas"]
    assert schemas["InvalidChatIdError"]["properties"]["error"]["enum"] == ["Invalid chat id"]
    assert schemas["ChatIdConflictError"]["properties"]["error"]["enum"] == ["Chat ID conflict"]
    assert schemas["CreateSessionChatRequest"]["properties"]["id"] == {"type": "string", "minLength": 1}
    assert "required" not in schemas["CreateSessionChatRequest"] or not schemas["CreateSessionChatRequest"]["required"]
    assert {"id", "sessionId", "title", "modelId", "createdAt", "updatedAt"} <= set(schemas["Chat"]["required"])
    assert schemas["Chat"]["properties"]["createdAt"]["format"] == "date-time"


def test_the_deletion_of_a_chat_is_as_its_page_says(document: Document) -> None:
    delete = operation(document, "delete", "/api/sessions/{sessionId}/chats/{chatId}")
    assert delete["summary"] == "Delete session chat"
    assert "requestBody" not in delete
    names = {status: answer_name(delete, status) for status in delete["responses"]}
    assert names == {
        "200": "DeleteSessionChatResponse",
        **dict.fromkeys(["400", "401", "403", "404", "500", "503"], "Error"),
    }
    assert [(one["name"], one["in"]) for one in delete["parameters"]] == [("sessionId", "path"), ("chatId", "path")]


def test_only_the_envelope_of_errors_fits_an_error(document: Document) -> None:
    schema = {"$ref": "#/components/schemas/Error", "components": document.content["components"]}
    Draft202012Validator(schema).validate({"status": "error", "error": "x"})
    for wrong in ({"error": "x"}, {"status": "failed", "error": "x"}, {"status": "error"}):
        with pytest.raises(ValidationError):
            Draft202012Validator(schema).validate(wrong)


async def test_the_client_of_these_tests_sees_what_does_not_fit(ann: Caller, document: Document) -> None:
    answer = await ann.post("/api/sessions")
    made = answer.json()
    assert is_canonical_uuid(made["session"]["id"])
    for change in ({"createdAt": "yesterday"}, {"status": "gone"}, {"linesAdded": "0"}):
        spoiled = httpx.Response(
            200,
            json={**made, "session": {**made["session"], **change}},
            headers={"access-control-allow-origin": "*"},
            request=answer.request,
        )
        with pytest.raises(ValidationError):
            await document.check(spoiled)


def test_every_body_has_an_example_that_fits(document: Document) -> None:
    components = document.content["components"]["schemas"]
    named = set()
    for methods in document.content["paths"].values():
        for one in methods.values():
            bodies = [one.get("requestBody", {}), *(r for s, r in one["responses"].items() if s.startswith("2"))]
            schemas = [content["schema"] for body in bodies for content in body.get("content", {}).values()]
            named |= {schema["$ref"].removeprefix("#/components/schemas/") for schema in schemas if "$ref" in schema}
    assert len(named) > 30
    for name in sorted(named):
        (example,) = components[name]["examples"]
        schema = {"$ref": f"#/components/schemas/{name}", "components": document.content["components"]}
        Draft202012Validator(schema).validate(example)
