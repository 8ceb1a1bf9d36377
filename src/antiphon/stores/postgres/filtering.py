"""Filters in PostgreSQL's words. Metadata is text, and read as `jsonb` where it can be."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.domain.filters import CONTAINS, EQ, IN, IS_SET, NE, ORDERS, KeyTest
from antiphon.stores.filtering import Compiler
from antiphon.stores.metadata_tests import text_of

_JSON = "(CASE WHEN position('\\u0000' IN {0}) = 0 THEN CAST({0} AS jsonb) END)"  # jsonb takes no NUL


class PostgresCompiler(Compiler):
    """Compiles a filter for PostgreSQL."""

    def parameter(self, value: Any) -> str:
        """See the base."""
        if isinstance(value, bool):
            return f"CAST({self.name(value)} AS boolean)"
        if isinstance(value, int | float):  # moments are whole microseconds on both sides of the driver
            return self.name(value)
        return f"CAST({self.name(value)} AS text)"

    def ordered(self, column: str, operand: Any) -> str:
        """See the base."""
        return f'{column} COLLATE "C"' if isinstance(operand, str) else column

    def contains(self, column: str, mark: str) -> str:
        """See the base."""
        return f"position(lower({mark}) IN lower({column})) > 0"

    def contained(self, column: str, part: str) -> str:
        """See the base."""
        return f"{_JSON.format(column)} @> CAST(CAST({self.name(part)} AS text) AS jsonb)"

    def key_test(self, column: str, test: KeyTest) -> str:
        """See the base."""
        whole, key = _JSON.format(column), f"CAST({self.name(test.key)} AS text)"
        kind = f"jsonb_typeof({whole} -> {key})"
        text = f"(CASE WHEN {kind} IN ('string', 'number', 'boolean') THEN {whole} ->> {key} END)"
        if test.operator == IS_SET:
            return f"{whole} ->> {key} IS NOT NULL"
        if test.operator == IN:
            marks = [self.parameter(text_of(value)) for value in test.values]
            return f"{text} IN ({', '.join(marks)})" if marks else "1 = 0"
        (value,) = test.values
        if test.operator == CONTAINS:
            return self.contains(text, self.parameter(text_of(value)))
        sign = {EQ: "=", NE: "<>", **ORDERS}[test.operator]
        if isinstance(value, str):
            return f'{text} COLLATE "C" {sign} {self.parameter(value)}'
        number = f"CAST({self.parameter(msgspec.json.encode(value).decode())} AS numeric)"
        other = f"{whole} ->> {key} IS NOT NULL" if test.operator == NE else "false"
        return f"CASE WHEN {kind} = 'number' THEN CAST({whole} ->> {key} AS numeric) {sign} {number} ELSE {other} END"
