"""SQL is source: every statement has a name and a sentence, and stays inside one tenant or says why not."""

from __future__ import annotations

import re

from tests.tidy.project import files_under

HEAD = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
SYSTEM_SCOPE = re.compile(r"--.*\bscope: system, \w+ \w+")
# A parameter, an equality, a column of an insert or a column of a new table.
ONE_TENANT = re.compile(
    r":tenant_id\b|\btenant_id\s*=|^INSERT INTO \w+ \([^)]*\btenant_id\b|^CREATE .*\btenant_id\b",
    re.IGNORECASE | re.DOTALL,
)


def comments_of(statement: str) -> list[str]:
    """The text of the comment lines, without their dashes."""
    return [
        line.strip().removeprefix("--").strip() for line in statement.splitlines() if line.lstrip().startswith("--")
    ]


def code_of(statement: str) -> str:
    """The statement without comments."""
    return "\n".join(line.partition("--")[0] for line in statement.splitlines()).strip()


def named_statements(text: str) -> list[tuple[str, str]]:
    """Name and text of each statement under a `-- name:` line."""
    _, *pieces = HEAD.split(text)
    return list(zip(pieces[::2], pieces[1::2], strict=True))


def migration_statements(text: str) -> list[tuple[str, str]]:
    """First line of code and text, with the comments above it, of each statement of a script."""
    pieces = [piece for piece in re.split(r";[ \t]*$", text, flags=re.MULTILINE) if code_of(piece)]
    return [(code_of(piece).splitlines()[0], piece) for piece in pieces]


def statements_of(path: str, text: str) -> list[tuple[str, str]]:
    """The statements of a file: a script in `migrations/`, named ones anywhere else."""
    return migration_statements(text) if "/migrations/" in path else named_statements(text)


def unnamed_code(files: dict[str, str]) -> list[str]:
    """Files with code above the first name, or with two statements under one name."""
    found = []
    for path, text in files.items():
        if "/migrations/" in path:
            continue
        if code_of(HEAD.split(text)[0]) or not named_statements(text):
            found.append(f"{path}: code without a name")
        found += [
            f"{path}: {name} is more than one statement"
            for name, statement in named_statements(text)
            if ";" in code_of(statement).removesuffix(";")
        ]
    return found


def statements_without_sentence(files: dict[str, str]) -> list[str]:
    """Named statements whose first line is not the beginning of a comment that is a sentence."""
    found = []
    for path, text in files.items():
        for name, statement in named_statements(text):
            scoped = statement.strip().startswith("-- scope: system, ")
            starts_so = statement.strip().startswith("--")
            sentence = " ".join(comments_of(statement)).removeprefix("scope: system, ").strip()
            if not (starts_so and re.search(r"\w \w.*\.( |$)", sentence) and (scoped or not sentence[0].islower())):
                found.append(f"{path}: {name} has no sentence that says what it is for")
    return found


def statements_without_tenant(files: dict[str, str]) -> list[str]:
    """Statements that neither ask for one `tenant_id` nor say `-- scope: system` and why; DDL on a table is none."""
    return [
        f"{path}: {name} has no tenant_id and no `-- scope: system, reason`"
        for path, text in files.items()
        for name, statement in statements_of(path, text)
        if not re.match(r"(ALTER|DROP)\b", code_of(statement).strip())
        and not ONE_TENANT.search(code_of(statement))
        and not SYSTEM_SCOPE.search(statement)
    ]


def names_used_twice(files: dict[str, str]) -> list[str]:
    """Names that two statements of one folder have."""
    seen: set[tuple[str, str]] = set()
    found = []
    for path, text in files.items():
        for name, _ in named_statements(text):
            key = (path.rpartition("/")[0], name)
            if key in seen:
                found.append(f"{path}: {name} is used twice")
            seen.add(key)
    return found


def sql_files() -> dict[str, str]:
    """The product's SQL, path to text."""
    return files_under("src/antiphon/stores", ".sql")


def test_all_sql_has_a_name() -> None:
    assert unnamed_code(sql_files()) == []


def test_unnamed_code_is_found() -> None:
    assert unnamed_code({"a.sql": "SELECT 1;\n"}) == ["a.sql: code without a name"]
    assert unnamed_code({"a.sql": "SELECT 1;\n-- name: b\n-- A b.\nSELECT 2;\n"}) == ["a.sql: code without a name"]
    two = "-- name: b\n-- A b.\nSELECT 1;\nSELECT 2;\n"
    assert unnamed_code({"a.sql": two}) == ["a.sql: b is more than one statement"]
    assert unnamed_code({"a.sql": "-- About this file.\n-- name: b\n-- A b.\nSELECT 1;\n"}) == []


def test_every_statement_has_a_sentence() -> None:
    assert statements_without_sentence(sql_files()) == []


def test_statements_without_sentence_are_found() -> None:
    for comment in ("", "-- todo\n", "-- no capital.\n", "-- scope\n"):
        findings = statements_without_sentence({"a.sql": f"-- name: b\n{comment}SELECT 1;\n"})
        assert findings == ["a.sql: b has no sentence that says what it is for"], comment
    assert statements_without_sentence({"a.sql": "-- name: b\n-- scope: system, all of them.\nSELECT 1;\n"}) == []
    assert statements_without_sentence({"a.sql": "-- name: b\n-- The first\n-- of all.\nSELECT 1;\n"}) == []


def test_every_statement_stays_inside_a_tenant() -> None:
    assert statements_without_tenant(sql_files()) == []


def test_statements_without_tenant_are_found() -> None:
    report = "a.sql: b has no tenant_id and no `-- scope: system, reason`"
    assert statements_without_tenant({"a.sql": "-- name: b\n-- The tenant_id.\nSELECT 1;\n"}) == [report]
    assert statements_without_tenant({"a.sql": "-- name: b\n-- scope: system\nSELECT 1;\n"}) == [report]
    assert statements_without_tenant({"a.sql": "-- name: b\n-- scope: system, the clock.\nSELECT 1;\n"}) == []
    assert statements_without_tenant({"a.sql": "-- name: b\nSELECT 1 WHERE tenant_id = :tenant_id;\n"}) == []
    all_tenants = "-- name: b\n-- All of them.\nSELECT tenant_id FROM a;\n"
    assert statements_without_tenant({"a.sql": all_tenants}) == [report]
    script = "-- Ours.\nCREATE TABLE a (x);\n\n-- scope: system, for all.\nCREATE TABLE b (x);\n"
    assert statements_without_tenant({"x/migrations/1.sql": script}) == [
        "x/migrations/1.sql: CREATE TABLE a (x) has no tenant_id and no `-- scope: system, reason`"
    ]


def test_names_are_unique_within_a_store() -> None:
    assert names_used_twice(sql_files()) == []


def test_names_used_twice_are_found() -> None:
    one = "-- name: b\n-- A b.\nSELECT 1;\n"
    assert names_used_twice({"x/a.sql": one, "x/c.sql": one}) == ["x/c.sql: b is used twice"]
    assert names_used_twice({"x/a.sql": one, "y/a.sql": one}) == []
