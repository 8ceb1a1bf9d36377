"""Which JSON Schemas an answer may be asked to have: an object, not too deep, not too large, without recursion."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator, SchemaError

from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput

_REFUSED = {"$dynamicRef", "patternProperties", "if", "then", "else", "not"}
_DEFINITIONS = ("$defs", "definitions")


def check_response_format(schema: dict[str, Any] | None) -> None:
    """Raises InvalidInput for a schema that is none, or not of the kind that is taken.

    A reference to a definition at the root counts as what it refers to, so one that refers to itself is too deep.
    """
    if schema is None:
        return
    if schema.get("type") != "object":
        raise InvalidInput("Invalid response_format: the root is of the type object", field="response_format")
    definitions = _definitions_of(schema)
    count, depth, level = 0, 0, [schema]
    while level and depth < limits.HONCHO_FORMAT_DEPTH and count <= limits.HONCHO_FORMAT_NODES:
        count, depth = count + len(level), depth + 1
        if any(_REFUSED & set(node) for node in level):
            raise InvalidInput("Invalid response_format: a keyword is not supported", field="response_format")
        level = [child for node in level for child in _children(node, definitions)]
    if level or count > limits.HONCHO_FORMAT_NODES:
        raise InvalidInput("Invalid response_format: too deep or too large", field="response_format")
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        raise InvalidInput("Invalid response_format: no JSON Schema", field="response_format") from None


def _definitions_of(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The definitions at the root, by the text of a reference to each."""
    return {
        f"#/{word}/{name}": one
        for word in _DEFINITIONS
        if isinstance(named := schema.get(word), dict)
        for name, one in named.items()
        if isinstance(one, dict)
    }


def _children(node: dict[str, Any], definitions: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The schemas right inside a schema, and what it refers to. Raises InvalidInput for any other reference."""
    found: list[Any] = []
    if "$ref" in node:
        if not isinstance(node["$ref"], str) or node["$ref"] not in definitions:
            raise InvalidInput("Invalid response_format: a reference is to no definition", field="response_format")
        found.append(definitions[node["$ref"]])
    if isinstance(properties := node.get("properties"), dict):
        found += properties.values()
    for name in ("items", "additionalProperties"):
        found.append(node.get(name))
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(several := node.get(name), list):
            found += several
    return [one for one in found if isinstance(one, dict)]
