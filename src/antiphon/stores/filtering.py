"""Filters as conditions in SQL: made of texts that stand here and of parameters, never of what a client wrote.

A statement that is to be filtered has `/* where */ true` for its condition and, where its order may be turned round,
`/* way */` behind each column of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from antiphon.domain.filters import (
    CONTAINS,
    EQ,
    IN,
    IS_NULL,
    IS_SET,
    NE,
    ORDERS,
    All,
    Contained,
    FieldTest,
    Filter,
    KeyTest,
    Not,
    Some,
)

_WHERE, _WAY = "/* where */ true", "/* way */"


class Compiler(ABC):
    """Compiles one filter. `columns` has the SQL of each field; `values` gathers the parameters."""

    def __init__(self, columns: Mapping[str, str], prefix: str = "f") -> None:
        self._columns = columns
        self._prefix = prefix
        self.values: dict[str, Any] = {}

    def compile(self, wanted: Filter) -> str:
        """The condition, which is true or false and never unknown."""
        if isinstance(wanted, All):
            return self._joined("AND", wanted.parts, "(1 = 1)")
        if isinstance(wanted, Some):
            return self._joined("OR", wanted.parts, "(1 = 0)")
        if isinstance(wanted, Not):
            return f"(NOT {self.compile(wanted.part)})"
        if isinstance(wanted, FieldTest):
            return f"(({self._test(wanted)}) IS TRUE)"
        if isinstance(wanted, Contained):
            return f"(({self.contained(self._columns['metadata'], wanted.part)}) IS TRUE)"
        return f"(({self.key_test(self._columns['metadata'], wanted)}) IS TRUE)"

    def _joined(self, word: str, parts: tuple[Filter, ...], neutral: str) -> str:
        return f"({f' {word} '.join(self.compile(part) for part in parts)})" if parts else neutral

    def _test(self, test: FieldTest) -> str:
        column = self._columns[test.field]
        if test.operator == IS_NULL:
            return f"{column} IS NULL"
        if test.operator == IS_SET:
            return f"{column} IS NOT NULL"
        if test.operator == CONTAINS and "{}" not in column:
            return self.contains(column, str(test.values[0]))
        marks = [self.parameter(value) for value in test.values]
        if "{}" in column:  # a field that is a condition of its own
            return column.format(marks[0])
        if test.operator == IN:
            return f"{column} IN ({', '.join(marks)})" if marks else "1 = 0"
        if test.operator == NE:
            return f"{column} IS DISTINCT FROM {marks[0]}"
        if test.operator == EQ:
            return f"{column} = {marks[0]}"
        return f"{self.ordered(column, test.values[0])} {ORDERS[test.operator]} {marks[0]}"

    def name(self, value: Any) -> str:
        """A new parameter of that value, as it stands in a statement."""
        name = f"{self._prefix}_{_letters(len(self.values))}"
        self.values[name] = value
        return f":{name}"

    @abstractmethod
    def parameter(self, value: Any) -> str:
        """A new parameter of the value's own type."""

    @abstractmethod
    def ordered(self, column: str, operand: Any) -> str:
        """The column as it is compared by order: texts by code points."""

    @abstractmethod
    def contains(self, column: str, text: str) -> str:
        """Whether the text of a column holds another, in any case."""

    @abstractmethod
    def contained(self, column: str, part: str) -> str:
        """Whether the JSON object of a column holds all of another."""

    @abstractmethod
    def key_test(self, column: str, test: KeyTest) -> str:
        """What is asked of a key of the JSON object of a column."""


def fill(text: str, condition: str, *, is_reversed: bool) -> str:
    """A statement with its condition and its order."""
    return text.replace(_WHERE, condition).replace(_WAY, "DESC" if is_reversed else "ASC")


def _letters(number: int) -> str:
    """A number as letters: parameters of statements have no digits."""
    letters = ""
    while True:
        number, rest = divmod(number, 26)
        letters = chr(ord("a") + rest) + letters
        if not number:
            return letters
