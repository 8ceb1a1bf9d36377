"""The loader of SQL files."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.stores.sql import load_statements


def test_statements_are_found_by_name_in_all_files(tmp_path: Path) -> None:
    (tmp_path / "b.sql").write_text("-- name: two\n-- A two.\nSELECT 2;\n")
    (tmp_path / "a.sql").write_text(
        "-- About this file; not a statement.\n"
        "-- name: one\n-- A one.\nSELECT 1,\n    -- not said\n    'é -- said';\n\n"
        "-- name: three  \n-- A three.\nSELECT ';';\n"
    )
    (tmp_path / "c.txt").write_text("-- name: four\nSELECT 4;\n")
    assert load_statements(tmp_path) == {
        "one": "SELECT 1,\n    'é -- said'",
        "three": "SELECT ';'",
        "two": "SELECT 2",
    }


@pytest.mark.parametrize("files", [("a.sql", "a.sql"), ("a.sql", "b.sql")])
def test_a_name_that_is_used_twice_is_refused(tmp_path: Path, files: tuple[str, str]) -> None:
    for file in files:
        with (tmp_path / file).open("a") as sql:
            sql.write("-- name: one\n-- A one.\nSELECT 1;\n")
    with pytest.raises(ValueError, match="one"):
        load_statements(tmp_path)


def test_a_folder_without_sql_has_no_statements(tmp_path: Path) -> None:
    assert load_statements(tmp_path) == {}
