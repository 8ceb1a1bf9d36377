"""The filters of this wire, read into conditions: what each field is called here, and which operators there are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from antiphon.api.honcho.wire import ListOptions, moment_of
from antiphon.api.http import json_text
from antiphon.domain import filters as conditions
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.domain.filters import (
    CONTAINS,
    EQ,
    EVERYTHING,
    FLAG,
    IN,
    IS_NULL,
    IS_SET,
    JSON,
    MOMENT,
    NE,
    NUMBER,
    TEXT,
    All,
    Contained,
    FieldTest,
    Filter,
    KeyTest,
    Not,
    Some,
)
from antiphon.domain.texts import is_storable

WORKSPACE = {"id": "id", "created_at": "created_at", "metadata": "metadata"}
PEER = {**WORKSPACE, "workspace_id": "tenant"}
SESSION = {**PEER, "is_active": "is_active"}
MESSAGE = {
    "peer_id": "author",
    "session_id": "session",
    "workspace_id": "tenant",
    "created_at": "created_at",
    "token_count": "token_count",
    "metadata": "metadata",
}
SEARCH = {**MESSAGE, "peer_perspective": "perspective"}
CONCLUSION = {
    "id": "id",
    "content": "content",
    "level": "level",
    "observer_id": "observer",
    "observer": "observer",
    "observed_id": "observed",
    "observed": "observed",
    "session_id": "session",
    "workspace_id": "tenant",
    "created_at": "created_at",
    "times_derived": "times_derived",
    "metadata": "metadata",
}
"""By what names each resource's fields are asked for."""

_KINDS = {**conditions.SEARCH_FIELDS, **conditions.CONCLUSION_FIELDS, **conditions.SESSION_FIELDS}
_ANYTHING = "*"
_OPERATORS = {
    "gt": conditions.GT,
    "gte": conditions.GTE,
    "lt": conditions.LT,
    "lte": conditions.LTE,
    "ne": NE,
    "in": IN,
    "contains": CONTAINS,
    "icontains": CONTAINS,
}
_NUMBER_MAX = 2.0**53


def list_filter(options: ListOptions | None, fields: Mapping[str, str]) -> Filter | None:
    """What the body of a list asks for; None when that is everything. Raises InvalidInput, as `read_filter` does."""
    return read_filter(options.filters, fields) if options is not None and options.filters else None


def read_filter(rules: dict[str, Any], fields: Mapping[str, str]) -> Filter:
    """The conditions of a filter.

    Raises InvalidInput for an unknown field or operator, an operand of the wrong type, and more levels, conditions or
    operands than allowed.
    """
    return _Reader(fields).read(rules, 0)


class _Reader:
    """Reads one filter, counting what it holds."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self._conditions = 0
        self._values = 0

    def read(self, rules: Any, depth: int) -> Filter:
        """One object: all of its rules hold."""
        if not isinstance(rules, dict):
            raise _wrong("a filter is an object")
        if depth > limits.HONCHO_FILTER_DEPTH:
            raise _wrong(f"filters are nested deeper than {limits.HONCHO_FILTER_DEPTH} levels")
        return _all([self._rule(name, rule, depth) for name, rule in rules.items()])

    def _rule(self, name: str, rule: Any, depth: int) -> Filter:
        self._count()
        if name in {"AND", "OR", "NOT"}:
            return self._joined(name, rule, depth)
        if name not in self._fields:
            raise _wrong(f"there is no field {name[:64]!r}")
        field = self._fields[name]
        kind = _KINDS[field]
        if kind == JSON:
            return self._metadata(rule)
        if field == "perspective" and not isinstance(rule, str):
            raise _wrong("peer_perspective takes the id of a peer")
        if isinstance(rule, dict):
            if not rule:
                raise _wrong(f"{name} takes at least one operator")
            return _all([self._compared(field, kind, word, operand) for word, operand in rule.items()])
        return self._compared(field, kind, "in" if isinstance(rule, list) else "eq", rule)

    def _joined(self, name: str, rule: Any, depth: int) -> Filter:
        if not isinstance(rule, list):
            raise _wrong(f"{name} takes a list of filters")
        parts = tuple(self.read(one, depth + 1) for one in rule)
        if name == "NOT":
            return All(tuple(Not(part) for part in parts))
        return Some(parts) if name == "OR" and parts else All(parts)

    def _compared(self, field: str, kind: str, word: str, operand: Any) -> Filter:
        if operand == _ANYTHING:
            return EVERYTHING
        operator = EQ if word == "eq" else _operator(word)
        if operator == IN:
            if not isinstance(operand, list):
                raise _wrong("in takes a list")
            if _ANYTHING in operand:
                return EVERYTHING
            return FieldTest(field, IN, tuple(self._value(kind, one) for one in operand))
        if operand is None:
            if operator not in {EQ, NE}:
                raise _wrong(f"{word} takes no null")
            return FieldTest(field, IS_NULL if operator == EQ else IS_SET)
        if operator == CONTAINS and kind != TEXT:
            raise _wrong(f"{word} is for text")
        if kind == FLAG and operator not in {EQ, NE}:
            raise _wrong(f"{word} is not for true and false")
        return FieldTest(field, operator, (self._value(kind, operand),))

    def _metadata(self, rule: Any) -> Filter:
        if rule == _ANYTHING:
            return EVERYTHING
        if rule is None:
            return Some()
        if isinstance(rule, dict) and set(rule) & {"contains", "icontains"} and len(rule) == 1:
            (rule,) = rule.values()
        if not isinstance(rule, dict):
            raise _wrong("metadata takes an object")
        parts: list[Filter] = []
        contained: dict[str, Any] = {}
        for key, value in rule.items():
            self._count()
            if isinstance(value, dict) and value and set(value) <= set(_OPERATORS):
                parts += [self._key_test(key, word, operand) for word, operand in value.items()]
            elif value != _ANYTHING:
                contained[key] = value
        if contained:
            text = json_text(contained)
            if "\\u0000" in text or not is_storable(text):
                return Some()
            parts.append(Contained(text))
        return _all(parts)

    def _key_test(self, key: str, word: str, operand: Any) -> Filter:
        if operand == _ANYTHING:
            return EVERYTHING
        if not is_storable(key):
            return Some()
        operator = _operator(word)
        if operator == IN:
            if not isinstance(operand, list):
                raise _wrong("in takes a list")
            if _ANYTHING in operand:
                return EVERYTHING
            return KeyTest(key, IN, tuple(self._plain(one) for one in operand))
        if operand is None:
            if operator != NE:
                raise _wrong(f"{word} takes no null")
            return KeyTest(key, IS_SET)
        return KeyTest(key, operator, (self._plain(operand),))

    def _plain(self, value: Any) -> str | float:
        """An operand as metadata is compared with it: a number, or else a text."""
        self._values_grow()
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return _number(value)
        if isinstance(value, str) and is_storable(value):
            return value
        raise _wrong("metadata is compared with texts and numbers")

    def _value(self, kind: str, value: Any) -> str | float | bool:
        self._values_grow()
        if kind == TEXT and isinstance(value, str):
            if not is_storable(value):
                raise _wrong("a text holds a NUL character or half of one")
            return value
        if kind == FLAG and isinstance(value, bool):
            return value
        if kind == NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
            return _number(value)
        if kind == MOMENT and isinstance(value, str):
            return _moment(value)
        raise _wrong(f"an operand is not a {kind}")

    def _count(self) -> None:
        self._conditions += 1
        if self._conditions > limits.HONCHO_FILTER_CONDITIONS:
            raise _wrong(f"a filter has at most {limits.HONCHO_FILTER_CONDITIONS} conditions")

    def _values_grow(self) -> None:
        self._values += 1
        if self._values > limits.HONCHO_FILTER_VALUES:
            raise _wrong(f"a filter names at most {limits.HONCHO_FILTER_VALUES} values")


def _all(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _operator(word: str) -> str:
    if word not in _OPERATORS:
        raise _wrong(f"there is no operator {word[:64]!r}")
    return _OPERATORS[word]


def _number(value: float) -> float:
    if not isfinite(value):
        raise _wrong("a number is not finite")
    return max(-_NUMBER_MAX, min(_NUMBER_MAX, value))  # beyond is more than anything that is counted


def _moment(text: str) -> int:
    """An ISO time or date as microseconds; without an offset it is UTC, and a date its midnight."""
    try:
        found = datetime.fromisoformat(text)
        return moment_of(found if found.tzinfo is not None else found.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise _wrong("a time is ISO 8601") from None


def _wrong(message: str) -> InvalidInput:
    return InvalidInput(f"filters: {message}", field="filters")
