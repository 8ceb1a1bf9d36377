"""`antiphon export`, `deletions undo` and `tenants set` over a database that nobody serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from antiphon.core.deletion.engine import Deletions
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import CANCEL
from antiphon.domain.ids import text_of
from antiphon.domain.messages import USER, Draft
from antiphon.domain.receipts import DELETION_PREFIX
from antiphon.settings import FIELDS
from antiphon.stores.sqlite.store import SqliteStore
from tests.unit.cli.test_deletions import ask, invoke, run, with_store


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with the tenant `acme`, which the commands find by their variable."""
    for field in FIELDS:
        monkeypatch.delenv(f"ANTIPHON_{field.upper()}", raising=False)
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path / "data"))
    run("tenants", "create", "acme")
    return tmp_path / "data"


async def _chat(store: SqliteStore) -> Chat:
    tenant = await store.tenants.find_by_name("acme")
    assert tenant is not None
    chat, _ = await store.chats.create_single(tenant.id, "ann", "Harbour", "{}")
    await store.messages.append(tenant.id, chat.key, [Draft("ann", USER, text) for text in ("one", "two")])
    return chat


def test_a_chat_and_its_session_are_written(data_dir: Path) -> None:
    chat = with_store(data_dir, _chat)
    lines = [json.loads(line) for line in run("export", "chat", chat.id, "--tenant", "acme").splitlines()]
    assert [line["parts"][0]["text"] for line in lines if line.get("type") == "message"] == ["one", "two"]
    assert (lines[-1]["end"], lines[-1]["messages"]) == (True, 2)
    whole = json.loads(run("export", "session", chat.session_id, "--tenant", "acme", "--format", "json"))
    assert (whole["session"]["id"], whole["end"]["messages"]) == (chat.session_id, 2)
    assert "\n> two\n" in run("export", "chat", chat.id, "--tenant", "acme", "--format", "markdown")


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize(
    "words", [("export", "tenant", "x"), ("export", "chat", "x"), ("export", "chat", "x", "--format", "xml")]
)
def test_what_cannot_be_exported(words: tuple[str, ...]) -> None:
    done = invoke(*words, "--tenant", "acme")
    assert (done.exit_code, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_deletion_is_undone_within_the_window(data_dir: Path) -> None:
    assert ask("tenants", "set", "acme", "undo_window=3600")["undo_window"] == 3600
    chat = with_store(data_dir, _chat)

    async def delete(store: SqliteStore) -> str:
        tenant = await store.tenants.find_by_name("acme")
        assert tenant is not None
        deletion = await Deletions(store, lambda *_: None, lambda: None).delete_chat(tenant.id, chat, CANCEL)
        return DELETION_PREFIX + text_of(deletion.id)

    deletion_id = with_store(data_dir, delete)
    assert ask("deletions", "show", deletion_id)["state"] == "detached"
    assert invoke("export", "chat", chat.id, "--tenant", "acme").exit_code == 1
    assert ask("deletions", "undo", deletion_id)["state"] == "undone"
    assert run("export", "chat", chat.id, "--tenant", "acme").count('"type":"message"') == 2
    done = invoke("deletions", "undo", deletion_id)
    assert (done.exit_code, done.stdout) == (1, "")


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize(
    "setting", ["undo_window", "undo_window=-1", "undo_window=99999999", "x=1", "x=", "rate_limit=a", "model= "]
)
def test_a_setting_that_there_is_not(setting: str) -> None:
    done = invoke("tenants", "set", "acme", setting)
    assert (done.exit_code, done.stdout) == (1, "")


@pytest.mark.usefixtures("data_dir")
def test_settings_are_set_and_removed() -> None:
    given = ("system_prompt=Be kind = brief.", "model=m-1", "rate_limit=0", "agent_name=robin")
    done = ask("tenants", "set", "acme", *given)
    told = {name: value for name, value in done.items() if name not in {"id", "name"}}
    assert told == {
        "undo_window": 0,
        "system_prompt": "Be kind = brief.",
        "model": "m-1",
        "rate_limit": 0,
        "agent_name": "robin",
    }
    done = ask("tenants", "set", "acme", "undo_window=60", "model=", "rate_limit=", "agent_name=")
    assert (done["undo_window"], done["system_prompt"]) == (60, "Be kind = brief.")
    assert (done["model"], done["rate_limit"], done["agent_name"]) == (None, None, "assistant")
