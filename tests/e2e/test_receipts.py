"""Receipts as an auditor meets them: files, public keys and the command line, and no server or database."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.domain.ids import new_uid7
from antiphon.domain.receipts import hash_of
from antiphon.signing.ed25519 import KEY_FILE, FileKeyring
from tests.memory_receipts import MemoryStore, issue_some, verbs
from tests.server_process import PROGRAM, ServerProcess, command, environment
from tests.tidy.project import text_of

TENANT, OTHER = new_uid7(), new_uid7()


class Archive:
    """The files of two processes with keys of their own, which deleted in turn, and where they are."""

    def __init__(self, folder: Path) -> None:
        store = MemoryStore()
        keyrings = [FileKeyring(folder / name) for name in ("one", "other")]
        for turn in range(4):
            for tenant in (TENANT, OTHER):
                asyncio.run(issue_some(store, verbs(store, keyrings[turn % 2]), tenant, 1))
        self.files = [str(path) for path in sorted(folder.glob("*/*.jsonl"))]
        self.keys = [str(path) for path in sorted(folder.glob("*/*.pub"))]
        self.head = store.receipts.chains[TENANT][-1].hash
        self.lines = [receipt.body for chain in store.receipts.chains.values() for receipt in chain]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def verify(folder: Path, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """`antiphon receipts verify`, with a data directory that is not there and must not be made."""
    nowhere = folder / "nowhere"
    done = subprocess.run(
        [*PROGRAM, "receipts", "verify", *words],
        env=environment(nowhere),
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not nowhere.exists()
    return done


def with_keys(keys: list[str]) -> list[str]:
    return [word for key in keys for word in ("--key", key)]


def test_the_files_of_two_processes_are_verified(archive: Archive, tmp_path: Path) -> None:
    done = verify(tmp_path, *archive.files, *with_keys(archive.keys), "--head", archive.head)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok: 8 receipts in 2 chains\n")
    assert archive.head in done.stdout
    lines = "".join(f"{line}\n" for line in archive.lines)
    done = verify(tmp_path, "-", "--json", *with_keys(archive.keys), text=lines)
    answer = json.loads(done.stdout)
    assert (answer["ok"], answer["receipts"], answer["first_error"]) == (True, 8, None)
    assert sorted(chain["receipts"] for chain in answer["chains"]) == [4, 4]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('"messages":3', '"messages":4', ":1: the signature does not fit"),
        ('"sequence":3', '"sequence":4', ":3: the signature does not fit"),
        ("\n", "", ":1: this is no receipt"),
    ],
)
def test_what_was_changed_is_told_with_its_place(
    archive: Archive, tmp_path: Path, old: str, new: str, text: str
) -> None:
    file = Path(archive.files[0])
    file.write_text(file.read_text().replace(old, new, 1))
    done = verify(tmp_path, *archive.files, *with_keys(archive.keys))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"antiphon: not ok: {file}{text}")
    assert done.stderr.count("\n") == 1
    answer = json.loads(verify(tmp_path, *archive.files, *with_keys(archive.keys), "--json").stdout)
    assert answer["ok"] is False
    assert answer["first_error"]["file"] == str(file)


def test_a_missing_file_key_or_end_is_told(archive: Archive, tmp_path: Path) -> None:
    both = with_keys(archive.keys)
    later = next(file for file in archive.files if '"sequence":2' in Path(file).read_text())
    assert "receipt 1 is missing" in verify(tmp_path, later, *both).stderr
    assert "is not among those given" in verify(tmp_path, *archive.files, *both[:2]).stderr
    assert "there is no receipt in it" in verify(tmp_path, os.devnull, *both).stderr
    head = hash_of(b"another")
    assert f"no receipt has the hash {head}" in verify(tmp_path, *archive.files, *both, "--head", head).stderr
    assert "cannot be read" in verify(tmp_path, str(tmp_path / "missing"), *both).stderr


def test_what_is_no_public_key_is_refused(archive: Archive, tmp_path: Path) -> None:
    private = next(tmp_path.glob(f"*/{KEY_FILE}"))
    for word in (str(private), "short", os.devnull):
        done = verify(tmp_path, *archive.files, "--key", word)
        assert done.returncode == 1
        assert "neither a file with a public key nor one itself" in done.stderr
    assert verify(tmp_path, *archive.files).returncode == 2
    assert verify(tmp_path).returncode == 2
    assert verify(tmp_path, *archive.files, *with_keys(archive.keys), "--tenant", "x").returncode == 2


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the guide's lines call openssl")  # not on every machine
def test_the_guide_verifies_with_nothing_of_ours(tmp_path: Path) -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```", text_of("docs/guides/receipts.md"), re.MULTILINE | re.DOTALL)
    store, keyring = MemoryStore(), FileKeyring(tmp_path)
    (*_, last) = asyncio.run(issue_some(store, verbs(store, keyring), TENANT, 2))
    file, public = next(tmp_path.glob("*.jsonl")), next(tmp_path.glob("*.pub"))

    def run() -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", script, str(file), str(public)]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"2 receipts, the last is {last.hash}\n")
    whole = file.read_text()
    for old, new, text in (
        ('"messages":3', '"messages":4', "line 1: the signature does not fit"),
        (whole.splitlines(keepends=True)[0], "", "line 1: the chain is broken"),
        ('"mode":"', '"mode": "', "line 1: not in canonical form"),
    ):
        file.write_text(whole.replace(old, new, 1))
        assert text in run().stderr


# With a server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("receipts") / "data") as started:
        yield started


def delete_a_session(server: ServerProcess) -> None:
    """Make a session with a message over Honcho's wire and delete it."""
    headers = {"Authorization": f"Bearer {server.key('user')}"}
    with httpx.Client(base_url=f"{server.url}/v3/workspaces/default", headers=headers) as client:
        assert client.post("/sessions", json={"id": "ferries"}).is_success
        message = {"content": "Is the ferry in?", "peer_id": "user"}
        assert client.post("/sessions/ferries/messages", json={"messages": [message]}).is_success
        assert client.delete("/sessions/ferries").is_success


def issued(server: ServerProcess, count: int) -> list[dict[str, Any]]:
    """The receipts of the first tenant, as soon as there are so many."""
    for _ in range(100):
        found: list[dict[str, Any]] = command(server.data_dir, "receipts", "list", "--tenant", "default")["items"]
        if len(found) >= count:
            return found
    raise AssertionError(f"{len(found)} receipts instead of {count}: {server.log[-2000:]}")


def test_a_deletion_of_a_running_server_has_a_receipt_that_stands_everywhere(
    server: ServerProcess, tmp_path: Path
) -> None:
    delete_a_session(server)
    (first,) = issued(server, 1)
    assert (first["target"]["kind"], first["counts"]["messages"], first["bytes"]) == ("session", 1, "erased")
    key = command(server.data_dir, "receipts", "rotate-key")
    delete_a_session(server)
    first, second = issued(server, 2)
    assert first["kid"] != second["kid"] == key["kid"]
    assert command(server.data_dir, "receipts", "show", second["id"]) == second
    assert command(server.data_dir, "receipts", "verify", "--tenant", "default")["receipts"] == 2
    keys = command(server.data_dir, "receipts", "keys")
    assert [(item["kid"], item["retired_at"] is None) for item in keys["items"]] == [
        (first["kid"], False),
        (second["kid"], True),
    ]
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    files = sorted(map(str, server.data_dir.glob("receipts-*.jsonl")))
    answer = json.loads(verify(tmp_path, *files, "--key", str(tmp_path / "keys.json"), "--json").stdout)
    assert (answer["ok"], answer["receipts"]) == (True, 2)
    assert "ferr" not in "".join(Path(file).read_text() for file in files)
    assert (server.data_dir / KEY_FILE).stat().st_mode & 0o777 == 0o600
