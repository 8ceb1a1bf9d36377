"""What an OpenAPI document says of a wire, as a flat table: a line for each parameter, body, answer and property.

Texts, titles, examples and the order of things are left out, so that two documents of one wire give one table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

_METHODS = ("get", "put", "post", "patch", "delete")
_REF = "#/components/schemas/"
_RANGES = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)


def facts_of(document: Schema, inline: frozenset[str] = frozenset()) -> dict[str, str]:
    """The table, sorted: `POST /path`, `POST /path page in query`, `POST /path 200`, `Schema.property`.

    The schemas named in `inline` are written where they are used, not by their names, which clients never see.
    """
    components = document["components"]["schemas"]
    facts: dict[str, str] = {}
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                facts |= _operation(f"{method.upper()} {path}", operations[method], components, inline)
    for name, schema in components.items():
        if name not in inline:
            facts |= _named(name, schema)
    for name, scheme in document["components"]["securitySchemes"].items():
        facts[f"security {name}"] = " ".join(f"{key}={value}" for key, value in sorted(scheme.items()))
    return dict(sorted(facts.items()))


def _operation(place: str, operation: Schema, components: Schema, inline: frozenset[str]) -> dict[str, str]:
    facts = {place: "public" if operation.get("security") == [] else "secured"}
    for one in operation.get("parameters", []):
        facts[f"{place} {one['name']} in {one['in']}"] = _said(one["schema"], is_required=one.get("required", False))
    contents = {}
    if body := operation.get("requestBody"):
        facts[f"{place} body"] = "required" if body.get("required", False) else "optional"
        contents["body"] = body["content"]
    for status, answer in operation["responses"].items():
        facts[f"{place} {status}"] = "has a body" if "content" in answer else "has no body"
        contents[status] = answer.get("content", {})
    for part, by_media in contents.items():
        for media, content in by_media.items():
            schema = content.get("schema", {})
            name = schema.get("$ref", "").removeprefix(_REF)
            facts |= _named(f"{place} {part} {media}", components[name] if name in inline else schema)
    return facts


def _named(name: str, schema: Schema) -> dict[str, str]:
    """The lines of a schema: one for each property of an object, or one."""
    if "properties" not in schema:
        return {name: shape(schema)}
    required = set(schema.get("required", []))
    facts = {name: "object, with more" if schema.get("additionalProperties") else "object"}
    for field, inner in schema["properties"].items():
        facts[f"{name}.{field}"] = _said(inner, is_required=field in required)
    return facts


def _said(schema: Schema, *, is_required: bool) -> str:
    default = f", {json.dumps(schema['default'])} when absent" if schema.get("default") is not None else ""
    return f"{shape(schema)}{', required' if is_required else default}"


def shape(schema: Schema) -> str:
    """A schema in words: `string 1..512`, `integer 1..100 or null`, `list of Message`."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REF)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(sorted((shape(one) for one in schema[several]), key=lambda text: (text == "null", text)))
    if "enum" in schema:
        return "one of " + " ".join(sorted(map(str, schema["enum"])))
    kind = schema.get("type", "anything")
    words = [" or ".join(kind) if isinstance(kind, list) else kind]
    if "items" in schema:
        words = [f"list of {_grouped(schema['items'])}"]
    if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
        words = [f"object of {_grouped(schema['additionalProperties'])}"]
    if schema.get("contentMediaType") == "application/octet-stream":
        words.append("binary")  # what the format of that name says in other documents
    ranges = [(schema.get(low), schema.get(high)) for low, high in _RANGES]
    words += [f"{_number(low or 0)}..{_number(high)}" for low, high in ranges if low is not None or high is not None]
    words += [schema[key] for key in ("format", "pattern") if key in schema]
    return " ".join(words)


def _grouped(schema: Schema) -> str:
    text = shape(schema)
    return f"({text})" if " or " in text else text


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def main(path: str) -> None:
    """Print the table of the published document in a file, as JSON. Its names of forms are no part of the wire."""
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    forms = frozenset(name for name in document["components"]["schemas"] if name.startswith("Body_"))
    json.dump(facts_of(document, forms), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
