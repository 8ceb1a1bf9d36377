"""The commands: what they print, in JSON and for people, and how they fail."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from antiphon import __version__
from antiphon.app import PARTS
from antiphon.cli.keys import expiry_of
from antiphon.cli.main import program
from antiphon.core.keys import Keys
from antiphon.domain import times
from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import parse_uuid
from antiphon.domain.keys import Principal
from antiphon.settings import FIELDS
from antiphon.stores.sqlite.store import SqliteStore
from tests.tidy.project import metadata


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data directory, which the commands find by their variable."""
    for field in FIELDS:
        monkeypatch.delenv(f"ANTIPHON_{field.upper()}", raising=False)
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def run(*words: str) -> str:
    """What a command that works prints."""
    done = CliRunner().invoke(program, words, obj=PARTS)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return done.stdout


def ask(*words: str) -> dict[str, Any]:
    """What a command that works prints as JSON: one line, one object."""
    (line,) = run(*words, "--json").splitlines()
    answer = json.loads(line)
    assert isinstance(answer, dict)
    return answer


def fail(*words: str) -> tuple[int, str]:
    """The exit status and the complaint of a command that does not work, which prints nothing else."""
    done = CliRunner().invoke(program, words, obj=PARTS)
    assert done.stdout == ""
    assert isinstance(done.exception, SystemExit)  # and no trace of ours
    assert done.exit_code != 0
    return done.exit_code, done.stderr


def stands_for(data_dir: Path, key: str) -> tuple[str, str, str | None]:
    """The tenant, scope and participant of a key's text."""

    async def look() -> Principal:
        store = await SqliteStore.open(data_dir)
        try:
            return await Keys(store).authenticate(key)
        finally:
            await store.close()

    principal = asyncio.run(look())
    return principal.tenant_name, principal.scope, principal.participant_name


@pytest.mark.usefixtures("data_dir")
def test_a_tenant_is_made_and_listed() -> None:
    made = ask("tenants", "create", "acme")
    assert made == {"id": made["id"], "name": "acme"}
    assert parse_uuid(made["id"]) is not None
    ask("tenants", "create", "other")
    items = ask("tenants", "list")["items"]
    assert [item["name"] for item in items] == ["acme", "other"]
    assert items[0]["id"] == made["id"]
    assert made["id"] in run("tenants", "list")


@pytest.mark.usefixtures("data_dir")
def test_all_tenants_are_listed_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.domain.limits.PAGE_ITEMS", 2)
    for number in range(5):
        ask("tenants", "create", f"t{number}")
    assert [item["name"] for item in ask("tenants", "list")["items"]] == [f"t{number}" for number in range(5)]


@pytest.mark.usefixtures("data_dir")
def test_a_tenant_that_cannot_be_is_refused_in_one_line() -> None:
    ask("tenants", "create", "acme")
    assert fail("tenants", "create", "acme", "--json") == (1, "antiphon: A tenant of that name exists already.\n")
    status, said = fail("tenants", "create", "a b")
    assert status == 1
    assert said.startswith("antiphon: a tenant's name is")


@pytest.mark.parametrize(
    ("words", "scope", "participant"),
    [
        ([], "tenant", None),
        (["--participant", "bob"], "participant", "bob"),
        (["--participant", "bob", "--scope", "tenant"], "tenant", "bob"),
        (["--scope", "admin"], "admin", None),
        (["--scope", "session", "--session", "s/1"], "session", None),
        (["--expires", "30d", "--label", "for tests"], "tenant", None),
    ],
)
def test_a_key_is_made_with_the_scope_that_was_asked_for(
    data_dir: Path, words: list[str], scope: str, participant: str | None
) -> None:
    ask("tenants", "create", "acme")
    made = ask("keys", "create", "--tenant", "acme", *words)
    assert made == {
        "id": made["id"],
        "tenant": "acme",
        "participant": participant,
        "scopes": [scope],
        "key": made["key"],
    }
    (listed,) = ask("keys", "list", "--tenant", "acme")["items"]
    assert (listed["id"], listed["scopes"], listed["participant"]) == (made["id"], [scope], participant)
    assert stands_for(data_dir, made["key"]) == ("acme", scope, participant)
    assert "key" not in listed
    assert made["key"] not in run("keys", "list", "--tenant", "acme")


@pytest.mark.usefixtures("data_dir")
def test_a_tenant_may_be_named_by_its_id() -> None:
    tenant = ask("tenants", "create", "acme")
    assert ask("keys", "create", "--tenant", tenant["id"])["tenant"] == "acme"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tenant", "nobody"], "There is no such tenant."),
        (["--tenant", "acme", "--scope", "world"], "the scope is one of"),
        (["--tenant", "acme", "--scope", "participant"], "needs a participant"),
        (["--tenant", "acme", "--session", "s"], "the scope session needs a session"),
        (["--tenant", "acme", "--participant", ""], "at least one character"),
        (["--tenant", "acme", "--participant", "x" * 513], "longer than 512"),
        (["--tenant", "acme", "--participant", "\udcff"], "lone surrogate"),
        (["--tenant", "acme", "--label", "x" * 256], "longer than 255"),
        (["--tenant", "acme", "--scope", "session", "--session", ""], "1 to 512 characters"),
        (["--tenant", "acme", "--expires", "soon"], "--expires is an ISO 8601 time"),
    ],
)
@pytest.mark.usefixtures("data_dir")
def test_a_key_that_cannot_be_is_refused_in_one_line(words: list[str], said: str) -> None:
    ask("tenants", "create", "acme")
    status, complaint = fail("keys", "create", *words, "--json")
    assert status == 1
    assert said in complaint
    assert len(complaint.splitlines()) == 1
    assert ask("keys", "list", "--tenant", "acme") == {"items": []}


@pytest.mark.parametrize("names_tenant", [True, False])
@pytest.mark.usefixtures("data_dir")
def test_a_revoked_key_is_listed_no_more(*, names_tenant: bool) -> None:
    ask("tenants", "create", "first")
    ask("tenants", "create", "acme")
    kept, ended = (ask("keys", "create", "--tenant", "acme")["id"] for _ in range(2))
    words = ["--tenant", "acme"] if names_tenant else []
    assert ask("keys", "revoke", ended, *words) == {"id": ended, "revoked": True}
    assert [item["id"] for item in ask("keys", "list", "--tenant", "acme")["items"]] == [kept]


@pytest.mark.usefixtures("data_dir")
def test_revoking_what_is_no_key_is_an_error() -> None:
    ask("tenants", "create", "acme")
    unknown = "key_00000000-0000-7000-8000-000000000000"
    assert fail("keys", "revoke", unknown) == (1, "antiphon: There is no such key.\n")
    assert fail("keys", "revoke", unknown, "--tenant", "acme") == (1, "antiphon: There is no such key.\n")
    assert fail("keys", "revoke", "nonsense")[0] == 1


def test_settings_are_shown_with_their_source_and_without_secrets(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_MODEL_KEY", "hidden-1")
    monkeypatch.setenv("ANTIPHON_MODEL_URL", "http://ann:hidden-2@model:1/v1")
    items = {item["setting"]: item for item in ask("settings")["items"]}
    assert list(items) == [f"ANTIPHON_{field.upper()}" for field in FIELDS]
    assert items["ANTIPHON_DATA_DIR"]["value"] == str(data_dir)
    assert items["ANTIPHON_DATA_DIR"]["source"] == "environment"
    assert items["ANTIPHON_MODEL_KEY"]["value"] == "set"
    assert items["ANTIPHON_MODEL_URL"]["value"] == "http://***@model:1/v1"
    assert items["ANTIPHON_PORT"] == {"setting": "ANTIPHON_PORT", "value": 8000, "source": "default"}
    assert "hidden" not in run("settings")


@pytest.mark.usefixtures("data_dir")
def test_the_option_wins_over_the_variable(tmp_path: Path) -> None:
    ask("tenants", "create", "here")
    assert ask("tenants", "list", "--data-dir", str(tmp_path / "other")) == {"items": []}


def test_misuse_has_the_exit_status_2(data_dir: Path) -> None:
    assert fail("tenants", "list", "--database-url", "mysql://x/y")[0] == 2
    assert fail("keys", "create")[0] == 2
    assert fail("nonsense")[0] == 2
    assert not data_dir.exists()


def test_the_version_is_that_of_the_package() -> None:
    assert run("version") == run("--version") == f"{__version__}\n"
    assert metadata()["project"]["version"] == __version__


NOW = times.from_text("2026-03-01T00:00:00Z")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30d", "2026-03-31T00:00:00Z"),
        ("45m", "2026-03-01T00:45:00Z"),
        ("12h", "2026-03-01T12:00:00Z"),
        ("2w", "2026-03-15T00:00:00Z"),
        ("2027-01-01", "2027-01-01T00:00:00Z"),
        ("2027-01-01T02:00:00+02:00", "2027-01-01T00:00:00Z"),
    ],
)
def test_an_expiry_is_a_time_or_a_span(text: str, moment: str) -> None:
    assert times.text_of(expiry_of(text, NOW)) == moment


@pytest.mark.parametrize("text", ["", "0d", "d", "-1d", "30", "30y", "2026-02-28", "2026-13-01", "999999w"])
def test_other_expiries_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        expiry_of(text, NOW)
    assert caught.value.field == "expires"
