"""Filters in SQLite's words, and the functions that it is given for what it has no words for."""

from __future__ import annotations

from typing import Any

import apsw
import sqlite_vec

from antiphon.domain.filters import KeyTest
from antiphon.stores.filtering import Compiler
from antiphon.stores.metadata_tests import holds_key, holds_part, write_test


def add_functions(connection: apsw.Connection) -> None:
    """Give a connection the functions that compiled filters call, and sqlite-vec's, which compare vectors."""
    functions: tuple[tuple[str, int, Any], ...] = (
        ("holds_part", 2, holds_part),
        ("holds_key", 2, holds_key),
        ("lowered", 1, str.lower),
    )
    for name, count, function in functions:
        connection.create_scalar_function(name, function, count, deterministic=True)
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.enable_load_extension(False)


class SqliteCompiler(Compiler):
    """Compiles a filter for SQLite."""

    def parameter(self, value: Any) -> str:
        """See the base."""
        return self.name(int(value) if isinstance(value, bool) else value)

    def ordered(self, column: str, operand: Any) -> str:
        """See the base."""
        return column

    def contains(self, column: str, text: str) -> str:
        """See the base."""
        return f"{column} IS NOT NULL AND instr(lowered({column}), {self.parameter(text.lower())}) > 0"

    def contained(self, column: str, part: str) -> str:
        """See the base."""
        return f"holds_part({column}, {self.name(part)})"

    def key_test(self, column: str, test: KeyTest) -> str:
        """See the base."""
        return f"holds_key({column}, {self.name(write_test(test))})"
