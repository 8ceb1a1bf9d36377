"""The served document: valid, whole, and enough to hold every answer of these tests against."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from antiphon.api.native.routes import Native
from antiphon.core.instance import Instance
from tests.wire.native.caller import PREFIX, Caller, Document, problem


def test_it_is_valid(document: Document) -> None:
    validate(document.content)


def test_it_has_every_route_and_no_other(instance: Instance, document: Document) -> None:
    served = {(route.path, route.method.lower()) for route in Native(instance, 0).routes.routes}
    assert served == {(path, method) for path, methods in document.content["paths"].items() for method in methods}


async def test_it_and_the_keys_of_receipts_are_for_everybody(http: httpx.AsyncClient, document: Document) -> None:
    assert (await http.get(f"{PREFIX}/openapi.json")).json() == document.content
    paths = document.content["paths"]
    public = {path for path, methods in paths.items() if any(one.get("security") == [] for one in methods.values())}
    assert public == {f"{PREFIX}/openapi.json", f"{PREFIX}/receipt-keys"}


async def test_problems_and_streams_have_their_media_types(document: Document) -> None:
    answers = document.content["paths"][f"{PREFIX}/chats/{{chat_id}}/events"]["get"]["responses"]
    assert list(answers["200"]["content"]) == ["text/event-stream"]
    assert "content" not in answers["204"]
    assert list(answers["404"]["content"]) == ["application/problem+json"]


async def test_the_client_of_these_tests_sees_what_does_not_fit(ours: Caller, document: Document) -> None:
    del document.content["paths"][f"{PREFIX}/whoami"]["get"]["responses"]["200"]
    with pytest.raises(AssertionError, match="not documented"):
        await ours.ask("GET", "/whoami")


async def test_what_is_not_served(ours: Caller) -> None:
    problem(await ours.ask("GET", "/nothing"), 404, "route_not_found")
    answer = await ours.ask("DELETE", "/whoami")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


def contents_of(document: Document) -> list[tuple[str, dict[str, Any]]]:
    """All bodies of all routes, with the route and the media type."""
    return [
        (f"{method} {path} {media_type}", content)
        for path, methods in document.content["paths"].items()
        for method, operation in methods.items()
        for body in (operation.get("requestBody", {}), *operation["responses"].values())
        for media_type, content in body.get("content", {}).items()
    ]


def test_every_body_has_an_example_that_fits(document: Document) -> None:
    components, found = document.content["components"], contents_of(document)
    assert len(found) > 100
    for place, content in found:
        schema = content["schema"]
        name = str(schema.get("$ref", "")).removeprefix("#/components/schemas/")
        shown = [content["example"]] if "example" in content else components["schemas"][name].get("examples", [])
        assert len(shown) == 1, place
        Draft202012Validator({**schema, "components": components}).validate(shown[0])


def test_what_changes_one_thing_takes_its_version(document: Document) -> None:
    bound = {
        f"{method} {path.removeprefix(PREFIX)}"
        for path, methods in document.content["paths"].items()
        for method, operation in methods.items()
        if any(parameter["name"] == "If-Match" for parameter in operation["parameters"])
    }
    assert bound == {
        "patch /tenants/{tenant}",
        "delete /keys/{key_id}",
        "delete /webhooks/{webhook_id}",
        "patch /sessions/{session_id}",
        "patch /chats/{chat_id}",
        "delete /sessions/{session_id}",
        "delete /chats/{chat_id}",
        "post /deletions",
    }
