"""The served document: it has every route, and what it says of bodies is what is taken."""

from __future__ import annotations

from jsonschema import Draft202012Validator

from antiphon.api.honcho.routes import DOCUMENT_PATH, Honcho
from antiphon.core.instance import Instance
from tests.wire.honcho.caller import Document


def test_it_has_every_route_and_no_other(instance: Instance, document: Document) -> None:
    served = {(route.method.lower(), route.path) for route in Honcho(instance).routes.routes}
    served.remove(("get", DOCUMENT_PATH))
    written = {(method, path) for path, methods in document.content["paths"].items() for method in methods}
    assert written == served
    assert len(served) == 54


def test_every_schema_is_one_and_every_reference_leads_somewhere(document: Document) -> None:
    schemas = document.content["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    named = {target.removeprefix("#/components/schemas/") for target in references(document.content)}
    assert named - set(schemas) == set()
    assert {"MessageBatchCreate", "Message", "HTTPValidationError"} <= named


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [target for child in value.values() for target in references(child)]
    if isinstance(value, list):
        return [target for child in value for target in references(child)]
    return []


def test_the_deletion_of_a_session_is_as_its_page_says(document: Document) -> None:
    operation = document.content["paths"]["/v3/workspaces/{workspace_id}/sessions/{session_id}"]["delete"]
    assert {"202", "422"} <= set(operation["responses"])
    assert [(one["name"], one["in"], one["required"]) for one in operation["parameters"]] == [
        ("workspace_id", "path", True),
        ("session_id", "path", True),
    ]
    assert "requestBody" not in operation
    assert document.content["components"]["securitySchemes"] == {"HTTPBearer": {"type": "http", "scheme": "bearer"}}
    fields = document.content["components"]["schemas"]["ValidationError"]
    assert {"loc", "msg", "type"} <= set(fields["required"])


def test_only_the_document_itself_is_public(document: Document) -> None:
    public = [
        path for path, methods in document.content["paths"].items() for operation in methods.values()
        if operation.get("security") == []
    ]  # fmt: skip
    assert public == ["/v3/openapi.json"]
