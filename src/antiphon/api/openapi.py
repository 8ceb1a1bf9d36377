"""OpenAPI 3.1 documents, made from a dialect's route table so that they cannot differ from what is served."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_args

import msgspec
import pydantic

from antiphon.api.routing import Content, Route

_REF = "#/components/schemas/{}"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def document(
    title: str,
    version: str,
    description: str,
    routes: Sequence[Route],
    security_schemes: dict[str, dict[str, Any]],
    examples: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The document of a dialect. `security_schemes` are alternatives of each other; public routes need none.

    `examples` has an example for some schemas, by their names.
    """
    said = [one for route in routes for answer in (route.body, *route.answers.values()) for one in _each(answer)]
    types = [_kind(one) for one in said]
    schemas, components = _describe(types)
    for name, example in (examples or {}).items():
        components[name]["examples"] = [example]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, schemas)
        if route.is_public:
            operation["security"] = []
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": security_schemes},
        "security": [{name: []} for name in security_schemes],
    }


def _operation(route: Route, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    words = [part.strip("{}") for part in re.split(r"[/_-]", route.path) if part]
    if route.path.endswith("/"):
        words.append("slash")  # an operationId is unique, and the same path may be there without the slash
    operation: dict[str, Any] = {
        "operationId": "_".join([route.method.lower(), *words]),
        "summary": route.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PLACEHOLDER.findall(route.path)
        ]
        + [
            {
                "name": query.name,
                "in": query.place,
                "required": query.is_required,
                "schema": query.schema,
                "description": query.description,
            }
            for query in route.query
        ],
        "responses": {
            str(status): _response(status, answer, route.media_type, schemas)
            for status, answer in sorted(route.answers.items())
        },
    }
    if route.body is not None:
        media_type = _media_type(route.body, "application/json")
        operation["requestBody"] = {
            "required": not route.is_body_optional,
            "content": {media_type: _content(route.body, schemas)},
        }
    return operation


def _response(status: int, answer: Any, media_type: str, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    usual = media_type if status < HTTPStatus.BAD_REQUEST else "application/json"
    if contents := _each(answer):
        response["content"] = {_media_type(one, usual): _content(one, schemas) for one in contents}
    return response


def _content(body: Any, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schemas[_key(_kind(body))]}
    if isinstance(body, Content) and body.example is not None:
        content["example"] = body.example
    return content


def _each(answer: Any) -> tuple[Any, ...]:
    """An answer of several media types, one by one; none for no body."""
    if isinstance(answer, tuple):
        return answer
    return () if answer is None else (answer,)


def _kind(answer: Any) -> Any:
    return answer.kind if isinstance(answer, Content) else answer


def _media_type(answer: Any, usual: str) -> str:
    return answer.media_type if isinstance(answer, Content) else usual


def _key(kind: Any) -> Any:
    return kind if isinstance(kind, type) else repr(kind)


def _describe(types: Sequence[Any]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Schemas by type, and the components they refer to; pydantic's models and msgspec's types side by side."""
    unique = {_key(kind): kind for kind in types}
    models = {key: kind for key, kind in unique.items() if _is_model(kind)}
    others = [kind for key, kind in unique.items() if key not in models]
    schemas: dict[Any, dict[str, Any]] = {}
    components: dict[str, Any] = {}
    if others:
        described, components = msgspec.json.schema_components(others, ref_template=_REF.format("{name}"))
        schemas.update(zip([_key(kind) for kind in others], described, strict=True))
    if models:
        by_key, definitions = pydantic.TypeAdapter.json_schemas(
            [(key, "validation", pydantic.TypeAdapter(kind)) for key, kind in models.items()],
            ref_template=_REF.format("{model}"),
        )
        schemas.update({key: schema for (key, _), schema in by_key.items()})
        components |= definitions.get("$defs", {})
    return schemas, components


def _is_model(kind: Any) -> bool:
    """Whether that is a model of pydantic's, or one that may be null."""
    return any(isinstance(one, type) and issubclass(one, pydantic.BaseModel) for one in get_args(kind) or (kind,))
