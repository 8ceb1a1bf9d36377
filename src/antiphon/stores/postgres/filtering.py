"""Filters in PostgreSQL's words. Metadata is text, and read as `jsonb` where it can be."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from antiphon.domain.filters import CONTAINS, EQ, IN, IS_SET, NE, ORDERS, KeyTest
from antiphon.stores.filtering import Compiler
from antiphon.stores.metadata_tests import text_of

_JSON = "(CASE WHEN position('\\u0000' IN {0}) = 0 THEN CAST({0} AS jsonb) END)"  # jsonb takes no NUL
_SIGMA, _FINAL_SIGMA = "σ", "ς"  # lowercase of one letter, by its place in the word; the database sees no places
_LONG, _LONG_LOW = "\u0130", "i\u0307"  # the one letter that is two in lowercase
_FOREIGN = frozenset("k")  # letters of ASCII that others become in lowercase
_PLANES = 0x20000  # letters with two cases are in the first two


@cache
def _uppers() -> dict[str, str]:
    """For each letter those that become it in lowercase."""
    found = {_SIGMA: _FINAL_SIGMA}
    for number in range(_PLANES):
        low = (letter := chr(number)).lower()
        if low != letter and len(low) == 1:
            found[low] = found.get(low, "") + letter
    return found


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

    def contains(self, column: str, text: str) -> str:
        """See the base. Outside of ASCII `lower` knows the letters of the database's locale, and some know none."""
        low = text.lower().replace(_FINAL_SIGMA, _SIGMA)
        if _LONG_LOW[0] in low:
            column = f"replace({column}, {self.parameter(_LONG)}, {self.parameter(_LONG_LOW)})"
        letters = sorted(set(low)) if not low.isascii() else sorted(_FOREIGN.intersection(low))
        pairs = [(upper, letter) for letter in letters for upper in _uppers().get(letter, "")]
        if pairs:
            those, these = (self.parameter("".join(pair[i] for pair in pairs)) for i in (0, 1))
            column = f"translate({column}, {those}, {these})"
        if low.isascii():
            column = f"lower({column})"
        return f"position({self.parameter(low)} IN {column}) > 0"

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
            return self.contains(text, text_of(value))
        sign = {EQ: "=", NE: "<>", **ORDERS}[test.operator]
        if isinstance(value, str):
            return f'{text} COLLATE "C" {sign} {self.parameter(value)}'
        number = f"CAST({self.parameter(msgspec.json.encode(value).decode())} AS numeric)"
        other = f"{whole} ->> {key} IS NOT NULL" if test.operator == NE else "false"
        return f"CASE WHEN {kind} = 'number' THEN CAST({whole} ->> {key} AS numeric) {sign} {number} ELSE {other} END"
