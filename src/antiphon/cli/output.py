"""What commands print: one JSON object, or lines for a person; and the one line when something is wrong."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


def show_object(value: Mapping[str, Any], *, as_json: bool) -> None:
    """A thing: as JSON, or a line for each of its fields."""
    if as_json:
        print(msgspec.json.encode(value).decode())
        return
    width = max(len(name) for name in value)
    for name, item in value.items():
        print(f"{name:{width}}  {text_of(item)}")


def show_list(items: Sequence[Mapping[str, Any]], *, as_json: bool, nothing: str) -> None:
    """Things of one kind: as JSON under `items`, or as a table; `nothing` is said when there are none."""
    if as_json:
        print(msgspec.json.encode({"items": items}).decode())
        return
    if not items:
        print(nothing)
        return
    rows = [list(items[0]), *([text_of(value) for value in item.values()] for item in items)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def text_of(value: Any) -> str:
    """A value as people read it; what is absent is a hyphen, a control character is not sent to the terminal."""
    if value is None or value in ("", []):
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def complain(text: str) -> None:
    """One line on standard error."""
    print(f"antiphon: {text}", file=sys.stderr, flush=True)
