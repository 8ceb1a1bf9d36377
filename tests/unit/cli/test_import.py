"""`antiphon import` over a database that nobody serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from antiphon.settings import FIELDS
from tests.unit.cli.test_deletions import ask, invoke, run, with_store
from tests.unit.cli.test_undo_and_export import _chat as make_chat


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The export of a chat of the tenant `acme`, beside which there is a tenant `other`."""
    for field in FIELDS:
        monkeypatch.delenv(f"ANTIPHON_{field.upper()}", raising=False)
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path / "data"))
    run("tenants", "create", "acme")
    run("tenants", "create", "other")
    chat = with_store(tmp_path / "data", make_chat)
    made = tmp_path / "chat.jsonl"
    made.write_text(run("export", "chat", chat.id, "--tenant", "acme"))
    return made


def test_a_chat_comes_back_once(file: Path) -> None:
    done = ask("import", str(file), "--tenant", "other")
    chat_id = json.loads(file.read_text().splitlines()[1])["id"]
    assert (done["state"], done["kind"], done["id"], done["messages"]) == ("done", "chat", chat_id, 2)
    assert done["import"].startswith("imp_")
    lines = [json.loads(line) for line in run("export", "chat", chat_id, "--tenant", "other").splitlines()]
    assert [line["parts"][0]["text"] for line in lines if line.get("type") == "message"] == ["one", "two"]
    again = ask("import", str(file), "--tenant", "other")
    assert (again["state"], again["import"]) == ("already there", done["import"])


def test_what_is_there_already_is_left_alone(file: Path) -> None:
    done = invoke("import", str(file), "--tenant", "acme")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "antiphon: A session or chat of the file is there already.\n"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('{"end":true', "", "import_cut"),
        ("two", "too", "import_altered"),
        ('"version":1', '"version":7', "import_version"),
        ('{"type":"export"', '{"type":"import"', "import_foreign"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(file: Path, old: str, new: str, code: str) -> None:
    before, _, after = file.read_text().partition(old)
    file.write_text(before + new + after if new else before)
    done = invoke("import", str(file), "--tenant", "other")
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert f"({code})" in done.stderr


def test_a_file_that_is_not_there(file: Path) -> None:
    done = invoke("import", str(file.with_name("nothing")), "--tenant", "other")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "cannot be read" in done.stderr
