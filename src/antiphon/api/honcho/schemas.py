"""Which JSON Schemas an answer may be asked to have: an object, not too deep, not too large, without recursion."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator, SchemaError

from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput

_REFUSED = {"$ref", "$defs", "definitions", "$dynamicRef", "patternProperties", "if", "then", "else", "not"}


def check_response_format(schema: dict[str, Any] | None) -> None:
    """Raises InvalidInput for a schema that is none, or not of the kind that is taken."""
    if schema is None:
        return
    if schema.get("type") != "object":
        raise InvalidInput("Invalid response_format: the root is of the type object", field="response_format")
    count, level = 0, [schema]
    for _ in range(limits.HONCHO_FORMAT_DEPTH + 1):
        count += len(level)
        if not level:
            break
        if any(_REFUSED & set(node) for node in level):
            raise InvalidInput("Invalid response_format: a keyword is not supported", field="response_format")
        level = [child for node in level for child in _children(node)]
    if level or count > limits.HONCHO_FORMAT_NODES:
        raise InvalidInput("Invalid response_format: too deep or too large", field="response_format")
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        raise InvalidInput("Invalid response_format: no JSON Schema", field="response_format") from None


def _children(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas right inside a schema."""
    found: list[Any] = []
    if isinstance(properties := node.get("properties"), dict):
        found += properties.values()
    for name in ("items", "additionalProperties"):
        found.append(node.get(name))
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(several := node.get(name), list):
            found += several
    return [one for one in found if isinstance(one, dict)]
