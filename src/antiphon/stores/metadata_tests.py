"""What filters ask of metadata, for a database that cannot answer it by itself; the same answers as jsonb gives."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from antiphon.domain.filters import CONTAINS, EQ, GT, GTE, IN, IS_SET, LT, LTE, NE, KeyTest

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    EQ: operator.eq,
    NE: operator.ne,
    GT: operator.gt,
    GTE: operator.ge,
    LT: operator.lt,
    LTE: operator.le,
}


def text_of(value: Any) -> str:
    """A string as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def holds_part(metadata: str, part: str) -> bool:
    """Whether a JSON object holds all of another."""
    whole = _read(metadata)
    return whole is not None and _holds(whole, _decode(part))


def holds_key(metadata: str, test: str) -> bool:
    """Whether what a `KeyTest`, written by `write_test`, asks holds for a JSON object."""
    whole = _read(metadata)
    return whole is not None and _judge(whole, _read_test(test))


def write_test(test: KeyTest) -> str:
    """A test as one text, to be handed through a database."""
    return msgspec.json.encode(test).decode()


@lru_cache(maxsize=256)
def _decode(text: str) -> Any:
    return msgspec.json.decode(text)


@lru_cache(maxsize=256)
def _read_test(text: str) -> KeyTest:
    return msgspec.json.decode(text, type=KeyTest)


def _read(metadata: str) -> dict[str, Any] | None:
    if "\\u0000" in metadata:
        return None
    try:
        found = msgspec.json.decode(metadata)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _holds(whole: Any, part: Any) -> bool:
    """Containment as jsonb has it: of lists each element must be found, whatever the order and the number."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and _holds(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(_holds(one, wanted) for one in whole) for wanted in part)
    return isinstance(whole, bool) == isinstance(part, bool) and bool(whole == part)


def _judge(whole: dict[str, Any], test: KeyTest) -> bool:
    stored = whole.get(test.key)
    if stored is None:
        return False
    if test.operator == IS_SET:
        return True
    is_plain = isinstance(stored, str | int | float)
    if test.operator == IN:
        return is_plain and text_of(stored) in map(text_of, test.values)
    (value,) = test.values
    if test.operator == CONTAINS:
        return is_plain and text_of(value).lower() in text_of(stored).lower()
    if isinstance(value, str):
        return is_plain and _COMPARE[test.operator](text_of(stored), value)
    if isinstance(stored, bool) or not isinstance(stored, int | float):
        return test.operator == NE
    return _COMPARE[test.operator](stored, value)
