"""Filters as SQL: nothing that a client wrote is ever in the statement, and unknown is never an answer."""

from __future__ import annotations

import pytest

from antiphon.domain.filters import (
    CONTAINS,
    EQ,
    GT,
    IN,
    NE,
    All,
    Contained,
    FieldTest,
    Filter,
    KeyTest,
    Not,
    Some,
)
from antiphon.stores.filtering import Compiler, fill
from antiphon.stores.metadata_tests import holds_key, holds_part, write_test
from antiphon.stores.postgres.filtering import PostgresCompiler
from antiphon.stores.sqlite.filtering import SqliteCompiler

COLUMNS = {"id": "s.id", "created_at": "s.created_at", "metadata": "s.metadata"}
EVIL = "x'); DROP TABLE sessions; --"
COMPILERS = (SqliteCompiler, PostgresCompiler)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(
    "wanted",
    [
        FieldTest("id", EQ, (EVIL,)),
        FieldTest("id", IN, (EVIL, EVIL + "2")),
        FieldTest("id", CONTAINS, (EVIL,)),
        FieldTest("id", GT, (EVIL,)),
        Contained('{"' + EVIL + '":"' + EVIL + '"}'),
        KeyTest(EVIL, EQ, (EVIL,)),
        KeyTest(EVIL, IN, (EVIL,)),
        KeyTest(EVIL, CONTAINS, (EVIL,)),
        Not(Some((FieldTest("id", NE, (EVIL,)), All()))),
    ],
)
def test_what_a_client_wrote_is_a_parameter(compiler: type[Compiler], wanted: Filter) -> None:
    made = compiler(COLUMNS)
    text = made.compile(wanted)
    assert "DROP" not in text
    assert any("DROP" in str(value).upper() for value in made.values.values())
    assert all(f":{name}" in text for name in made.values)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_parameter_has_the_name_of_another(compiler: type[Compiler]) -> None:
    made = compiler(COLUMNS)
    made.compile(FieldTest("id", IN, tuple(f"v{i}" for i in range(1_000))))
    assert len(made.values) == 1_000
    assert all(name.replace("_", "").isalpha() for name in made.values)


def test_a_statement_is_filled_where_it_is_marked() -> None:
    text = "SELECT 1 WHERE a AND /* where */ true ORDER BY b /* way */"
    assert fill(text, "(c)", is_reversed=True) == "SELECT 1 WHERE a AND (c) ORDER BY b DESC"
    assert fill(text, "(c)", is_reversed=False) == "SELECT 1 WHERE a AND (c) ORDER BY b ASC"


@pytest.mark.parametrize(
    ("metadata", "part", "is_held"),
    [
        ('{"a":1,"b":2}', '{"a":1}', True),
        ('{"a":1}', '{"a":1.0}', True),
        ('{"a":true}', '{"a":1}', False),
        ('{"a":{"b":1,"c":2}}', '{"a":{"b":1}}', True),
        ('{"a":["x","y"]}', '{"a":["y","y","x"]}', True),
        ('{"a":["x"]}', '{"a":"x"}', False),
        ('{"a":null}', '{"a":null}', True),
        ("{}", '{"a":null}', False),
        ('{"a":"\\u0000"}', "{}", False),
    ],
)
def test_containment_is_that_of_jsonb(metadata: str, part: str, is_held: bool) -> None:
    assert holds_part(metadata, part) is is_held


@pytest.mark.parametrize(
    ("metadata", "test", "is_held"),
    [
        ('{"n":10}', KeyTest("n", GT, (9,)), True),
        ('{"n":"10"}', KeyTest("n", GT, (9,)), False),
        ('{"n":"10"}', KeyTest("n", NE, (9,)), True),
        ("{}", KeyTest("n", NE, (9,)), False),
        ('{"n":"b"}', KeyTest("n", GT, ("a",)), True),
        ('{"n":1}', KeyTest("n", IN, ("1",)), True),
        ('{"n":true}', KeyTest("n", EQ, ("true",)), True),
        ('{"n":"Tea"}', KeyTest("n", CONTAINS, ("eA",)), True),
        ('{"n":["a"]}', KeyTest("n", CONTAINS, ("a",)), False),
    ],
)
def test_keys_are_compared_by_what_they_hold(metadata: str, test: KeyTest, is_held: bool) -> None:
    assert holds_key(metadata, write_test(test)) is is_held
