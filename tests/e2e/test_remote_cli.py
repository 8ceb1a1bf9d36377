"""The commands asked of a server elsewhere: the same words, and the same answers, as on its own machine."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner
from websockets.sync.client import connect

from antiphon.app import PARTS
from antiphon.cli.main import program
from tests.server_process import PROGRAM, ServerProcess, command, environment

NO_ID = "00000000-0000-7000-8000-000000000000"
SECRET = "sk-planted-and-never-to-be-seen"


@dataclass(frozen=True)
class Site:
    """A running server with a tenant `acme` in which things were said and deleted, and an administrator's key."""

    server: ServerProcess
    admin: str
    of_acme: str
    chat: str
    deletion: str
    receipt: str

    def here(self, *words: str) -> tuple[int, str, str]:
        """Status, output and complaint of a command on the machine."""
        return said({"ANTIPHON_DATA_DIR": str(self.server.data_dir)}, *words)

    def there(self, *words: str, key: str | None = None) -> tuple[int, str, str]:
        """The same asked of the server, from a machine that has nothing."""
        chosen = self.admin if key is None else key
        done = said({}, "--url", self.server.url, "--key", chosen, *words)
        assert chosen not in done[1] + done[2], "the key was shown"
        return done


def said(variables: dict[str, str], *words: str) -> tuple[int, str, str]:
    clean = {name: None for name in os.environ if name.startswith("ANTIPHON_")}
    done = CliRunner().invoke(program, words, obj=PARTS, env={**clean, "HOME": "/nonexistent", **variables})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data_dir = tmp_path_factory.mktemp("remote") / "data"
    with ServerProcess(data_dir, ANTIPHON_REST_RATE_LIMIT="0") as server:
        admin = server.key("admin")
        command(data_dir, "tenants", "create", "acme")
        command(data_dir, "tenants", "create", "empty")
        key = command(data_dir, "keys", "create", "--tenant", "acme", "--label", "of acme")["key"]
        command(data_dir, "keys", "create", "--tenant", "acme", "--participant", "ann", "--expires", "30d")
        with httpx.Client(base_url=f"{server.url}/antiphon/v1", headers={"x-api-key": key}) as http:
            for name in ("ferries", "harbour", "gone"):
                made = http.post("/chats", json={"id": name, "participant": "ann", "title": f"Of {name}"})
                assert made.status_code == 201
                words = {
                    "messages": [
                        {"role": "user", "participant": "ann", "text": f"{name} {number}"} for number in range(3)
                    ]
                }
                assert http.post(f"/chats/{name}/messages", json=words).status_code == 201
            http.post("/chats", json={"id": "a/b?c", "participant": "bob"}).raise_for_status()
        done = command(data_dir, "delete", "chat", "gone", "--tenant", "acme", "--yes", "--wait")
        yield Site(server, admin, key, "ferries", done["id"], done["receipt"])


READ = [
    "tenants list",
    "keys list --tenant acme",
    "keys list --tenant empty",
    "chats list --tenant acme",
    "chats list --tenant acme --participant ann --limit 1",
    "chats list --tenant acme --session ferries",
    "chats list --tenant acme --session ferries --participant bob",
    "chats list --tenant acme --participant nobody",
    "chats list --tenant empty",
    "chats show CHAT --tenant acme",
    "chats show a/b?c --tenant acme",
    "deletions list --tenant acme",
    "deletions list --tenant acme --all",
    "deletions list --tenant acme --all --overdue",
    "deletions show DELETION --tenant acme",
    "delete chat CHAT --tenant acme --dry-run",
    "delete tenant empty --dry-run",
    "receipts list --tenant acme",
    "receipts list --tenant empty",
    "receipts show RECEIPT --tenant acme",
    "receipts verify --tenant acme",
    "receipts verify --tenant empty",
    "receipts keys",
]


def words_of(site: Site, line: str) -> list[str]:
    named = {"CHAT": site.chat, "DELETION": site.deletion, "RECEIPT": site.receipt}
    return [named.get(word, word) for word in line.split()]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("line", [*READ, "receipts list --tenant acme --lines"])
def test_what_is_shown_is_the_same(site: Site, line: str, form: str) -> None:
    words = words_of(site, line) + (["--json"] if form == "json" else [])
    here = site.here(*words)
    assert (here[0], here[2]) == (0, "")
    assert len(here[1]) > 10
    assert site.there(*words) == here


@pytest.mark.parametrize(
    "line", ["keys list", "chats list", "deletions list --all", "receipts list", "chats show CHAT"]
)
def test_without_a_tenant_it_is_that_of_the_key(site: Site, line: str) -> None:
    words = words_of(site, line)
    assert site.there(*words, key=site.of_acme) == site.here(*words, "--tenant", "acme")


@pytest.mark.parametrize("form", ["jsonl", "json", "markdown"])
@pytest.mark.parametrize("kind", ["chat", "session"])
def test_an_export_is_the_same_from_here_and_there(site: Site, kind: str, form: str) -> None:
    words = ("export", kind, site.chat, "--tenant", "acme", "--format", form)
    here, there = site.here(*words), site.there(*words)
    moments = re.compile(r"^Export of .*|[0-9a-f]{64}")
    assert moments.sub("", there[1]) == moments.sub("", here[1])
    assert "ferries 2" in there[1]
    assert (there[0], there[2]) == (0, "")


REFUSED = [
    ("keys list --tenant nobody", "There is no such tenant."),
    ("keys create --tenant acme --scope participant", "the scope participant needs a participant"),
    ("keys create --tenant acme --session s", "the scope session needs a session, and no other scope takes one"),
    (f"keys revoke key_{NO_ID} --tenant acme", "There is no such key."),
    ("keys revoke nonsense", "a key's id is `key_` and a UUID"),
    ("tenants create acme", "A tenant of that name exists already."),
    ("tenants set nobody model=m", "There is no such tenant."),
    ("tenants set acme x=1", "there is no setting 'x'"),
    ("chats show nowhere --tenant acme", "There is no such chat"),
    ("chats show .. --tenant acme", "There is no such chat"),
    ("chats list --tenant acme --session nowhere", "There is no such session"),
    ("deletions show nonsense", "a deletion's id is `del_` and a UUID"),
    (f"deletions retry {NO_ID}", "There is no such deletion."),
    ("deletions undo DELETION --tenant acme", ""),
    ("delete chat nowhere --tenant acme --yes", "There is no such chat"),
    ("delete session nowhere --tenant acme --dry-run", "There is no such session"),
    ("delete participant nobody --tenant acme --yes", "There is no such participant"),
    ("delete tenant nobody --yes", "There is no such tenant."),
    (f"receipts show rcp_{NO_ID} --tenant acme", "There is no such receipt"),
    ("export chat nowhere --tenant acme", "There is no such chat"),
    ("export chat CHAT --tenant acme --format xml", "format is jsonl, json or markdown"),
]


@pytest.mark.parametrize(("line", "reason"), REFUSED)
def test_what_cannot_be_is_refused_in_the_same_words(site: Site, line: str, reason: str) -> None:
    words = words_of(site, line)
    (status, out, why), (here_status, _, here) = site.there(*words), site.here(*words)
    assert (status, out, why.count("\n"), why.startswith(f"antiphon: {reason}")) == (1, "", 1, True)
    assert here_status == 1
    first = here.rstrip("\n").partition(" That of a tenant")[0].removesuffix(" in this tenant.")
    assert why.startswith(first.rstrip("."))


def test_a_key_is_made_and_ended(site: Site) -> None:
    words = ("keys", "create", "--tenant", "acme", "--participant", "ann", "--label", "x", "--json")
    here, there = json.loads(site.here(*words)[1]), json.loads(site.there(*words)[1])
    assert list(there) == list(here)
    assert [there[name] for name in ("tenant", "participant", "scopes")] == ["acme", "ann", ["participant"]]
    assert site.there("chats", "show", site.chat, "--json", key=there["key"])[0] == 0
    ended = site.there("keys", "revoke", there["id"], "--tenant", "acme", "--json")
    assert ended == (0, site.here("keys", "revoke", there["id"], "--tenant", "acme", "--json")[1], "")
    assert there["id"] not in site.here("keys", "list", "--tenant", "acme")[1]


def test_a_tenant_is_made_changed_and_deleted_with_its_end_awaited(site: Site) -> None:
    status, out, _ = site.there("tenants", "create", "brief", "--json")
    assert (status, json.loads(out)["name"]) == (0, "brief")
    words = ("tenants", "set", "brief", "system_prompt=Be kind.", "rate_limit=7", "--json")
    assert site.there(*words) == site.here(*words)
    status, out, why = site.there("delete", "tenant", "brief", "--yes", "--wait", "--json")
    done = json.loads(out)
    assert (status, done["state"], why) == (0, "done", "")
    assert site.there("deletions", "show", done["id"], "--tenant", done["tenant"], "--json")[1] == out
    assert site.there("receipts", "verify", "--tenant", done["tenant"])[0] == 0
    assert "brief" not in site.here("tenants", "list")[1]


def test_what_was_exported_there_is_imported_there(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text(site.there("export", "chat", site.chat, "--tenant", "acme")[1])
    assert site.there("tenants", "create", "other")[0] == 0
    words = ("import", str(file), "--tenant", "other", "--json")
    first, again, here = (json.loads(done[1]) for done in (site.there(*words), site.there(*words), site.here(*words)))
    assert (first["state"], first["messages"], again["state"]) == ("done", 3, "already there")
    assert again == here
    file.write_text(file.read_text().replace("ferries 1", "ferries 7"))
    refused = site.there(*words)
    assert refused == site.here(*words)
    assert (refused[0], "(import_altered)" in refused[2]) == (1, True)
    assert site.there("import", str(tmp_path / "nothing"))[0] == 1


def test_a_deletion_is_undone(site: Site) -> None:
    site.here("tenants", "create", "slow")
    site.here("tenants", "set", "slow", "undo_window=600")
    key = json.loads(site.here("keys", "create", "--tenant", "slow", "--json")[1])["key"]
    with httpx.Client(base_url=f"{site.server.url}/antiphon/v1", headers={"x-api-key": key}) as http:
        http.post("/chats", json={"id": "c", "participant": "ann"}).raise_for_status()
    made = json.loads(site.there("delete", "chat", "c", "--yes", "--reason", "ticket 7", "--json", key=key)[1])
    assert (made["state"], made["reason"], made["target"]) == ("detached", "ticket 7", "c")
    assert json.loads(site.here("deletions", "show", made["id"], "--json")[1]) == made
    assert site.there("deletions", "retry", made["id"], key=key)[0] == 0
    assert json.loads(site.there("deletions", "undo", made["id"], "--json", key=key)[1])["state"] == "undone"
    assert site.there("chats", "show", "c", key=key)[0] == 0


@pytest.mark.parametrize(("typed", "is_deleted"), [(b"n\n", False), (b"y\n", True)])
def test_what_would_go_is_shown_and_asked(site: Site, typed: bytes, *, is_deleted: bool) -> None:
    with httpx.Client(base_url=f"{site.server.url}/antiphon/v1", headers={"x-api-key": site.of_acme}) as http:
        http.post("/chats", json={"id": "asked", "participant": "ann"}).raise_for_status()
    ours, theirs = pty.openpty()
    try:
        done = subprocess.Popen(
            [*PROGRAM, "delete", "chat", "asked", "--wait"],
            env=environment(Path("/nonexistent"), ANTIPHON_URL=site.server.url, ANTIPHON_KEY=site.of_acme),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        os.write(ours, typed)
        out, _ = done.communicate(timeout=60)
        shown = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
    assert "Delete chat asked for good? [y/N]" in shown
    assert (done.returncode, "done" in out.decode()) == ((0, True) if is_deleted else (1, False))
    assert (site.there("chats", "show", "asked", "--tenant", "acme")[0] == 1) == is_deleted


def test_what_is_live_is_told_with_a_way_out(site: Site) -> None:
    with httpx.Client(base_url=f"{site.server.url}/antiphon/v1", headers={"x-api-key": site.of_acme}) as http:
        chat_id = http.post("/chats", json={"participant": "ann"}).json()["id"]
    address = f"{site.server.socket_url}?api_key={site.of_acme}&user_id=ann&chat_id={chat_id}"
    with connect(address) as socket:
        socket.recv(timeout=20)
        words = ("delete", "chat", chat_id, "--tenant", "acme")
        assert site.there(*words, "--dry-run", "--json") == site.here(*words, "--dry-run", "--json")
        assert json.loads(site.there("chats", "show", chat_id, "--tenant", "acme", "--json")[1])["connections"] == 1
        (status, out, why), (_, _, here) = site.there(*words, "--yes"), site.here(*words, "--yes")
        assert (status, out, why.replace(" (busy)", "")) == (1, "", here)
        assert "--mode cancel ends what is live" in why
        assert site.there(*words, "--yes", "--mode", "cancel", "--wait")[0] == 0


@pytest.mark.parametrize("line", READ)
def test_a_wrong_key_opens_nothing(site: Site, line: str) -> None:
    if line == "receipts keys":
        return
    words = [word for word in words_of(site, line) if word not in {"--tenant", "acme", "empty"}] or []
    if line == "delete tenant empty --dry-run":
        words.insert(2, "acme")
    status, out, why = site.there(*words, key=SECRET)
    assert (status, out) == (1, "")
    assert why == "antiphon: The credential is missing, unknown, expired or revoked. (authentication_failed)\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("keys list --tenant empty", "access_denied"),
        ("keys list --tenant nobody", "access_denied"),
        ("tenants list", "access_denied"),
        ("tenants create mine", "access_denied"),
        ("delete tenant empty --yes", "access_denied"),
        ("keys create --scope admin", "access_denied"),
        ("chats show nowhere", "not_found"),
    ],
)
def test_a_tenants_key_reaches_its_tenant_only(site: Site, line: str, code: str) -> None:
    status, out, why = site.there(*line.split(), key=site.of_acme)
    assert (status, out, why.endswith(f"({code})\n"), why.count("\n")) == (1, "", True, 1)


def test_the_key_comes_from_the_variable_too(site: Site) -> None:
    variables = {"ANTIPHON_URL": f"{site.server.url}/", "ANTIPHON_KEY": site.of_acme}
    assert said(variables, "chats", "list") == site.here("chats", "list", "--tenant", "acme")
    here = said(variables, "tenants", "list", "--data-dir", str(site.server.data_dir))
    assert here == site.here("tenants", "list"), "an option for this machine wins over the variable"
    assert said(variables, "version")[0] == 0
    shown = said({**variables, "ANTIPHON_DATA_DIR": str(site.server.data_dir)}, "settings")
    assert (shown[0], shown[2]) == (0, "")


def test_a_server_that_is_away_is_told_in_one_line() -> None:
    status, out, why = said({}, "--url", "http://127.0.0.1:9", "--key", SECRET, "chats", "list")
    assert (status, out, why.count("\n")) == (1, "", 1)
    assert why.startswith("antiphon: no connection to http://127.0.0.1:9: ")
