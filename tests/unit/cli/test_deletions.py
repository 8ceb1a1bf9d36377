"""`antiphon delete`, `deletions` and `doctor` over a database that nobody serves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner

from antiphon.app import PARTS
from antiphon.cli.delete import UNATTENDED, bar
from antiphon.cli.desk import DeletionRow
from antiphon.cli.main import program
from antiphon.core.deletion.worker import Worker
from antiphon.domain import limits
from antiphon.domain.deletions import DONE, PURGING, WAITING
from antiphon.domain.errors import StoreUnavailable
from antiphon.domain.ids import new_uid7
from antiphon.domain.messages import USER, Draft
from antiphon.settings import FIELDS
from antiphon.stores import scan
from antiphon.stores.sqlite.store import SqliteStore
from tests.receipts import receipts_of

T = TypeVar("T")

UNKNOWN = "del_00000000-0000-7000-8000-000000000000"


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with the tenant `acme`, which the commands find by their variable."""
    for field in FIELDS:
        monkeypatch.delenv(f"ANTIPHON_{field.upper()}", raising=False)
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path / "data"))
    run("tenants", "create", "acme")
    return tmp_path / "data"


def invoke(*words: str) -> Any:
    return CliRunner().invoke(program, words, obj=PARTS)


def run(*words: str) -> str:
    """What a command that works prints."""
    done = invoke(*words)
    assert (done.exit_code, done.stderr) == (0, "")
    return str(done.stdout)


def ask(*words: str) -> dict[str, Any]:
    """What a command that works prints as JSON: one line, one object."""
    (line,) = run(*words, "--json").splitlines()
    answer = json.loads(line)
    assert isinstance(answer, dict)
    return answer


def with_store(data_dir: Path, work: Callable[[SqliteStore], Awaitable[T]]) -> T:
    async def open_and_work() -> T:
        store = await SqliteStore.open(data_dir)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(open_and_work())


def fill(data_dir: Path, session_id: str, *words: str, tenant: str = "acme") -> None:
    """A session of ann's with those messages."""

    async def work(store: SqliteStore) -> None:
        found = await store.tenants.find_by_name(tenant)
        assert found is not None
        await store.sessions.put_single(found.id, session_id, "ann", None, None, [])
        chat = await store.chats.find_of_single(found.id, session_id)
        assert chat is not None
        for at in range(0, len(words), limits.MESSAGES_PER_APPEND):
            part = words[at : at + limits.MESSAGES_PER_APPEND]
            await store.messages.append(found.id, chat.key, [Draft("ann", USER, word) for word in part])

    with_store(data_dir, work)


def carry_out(data_dir: Path) -> None:
    """Do what a server's worker does, until no deletion waits."""

    async def work(store: SqliteStore) -> None:
        receipts = receipts_of(store, data_dir)
        await receipts.start()
        worker = Worker(store, receipts)
        async with asyncio.timeout(20):
            while (await store.deletions.pending())[0]:
                await worker.run_once()
                await asyncio.sleep(0.01)  # between two passes

    with_store(data_dir, work)


# Deleting


def test_a_session_is_deleted_and_watched(data_dir: Path) -> None:
    fill(data_dir, "ferries", "one", "two")
    made = ask("delete", "session", "ferries", "--tenant", "acme", "--yes", "--reason", "ticket 7")
    waits = {"kind": "session", "target": "ferries", "state": "purging", "removed": 0, "reason": "ticket 7"}
    assert made == {**made, **waits, "mode": "refuse", "overdue": False, "receipt": None}
    assert ask("deletions", "list")["items"] == [made]
    assert ask("deletions", "show", made["id"]) == made
    carry_out(data_dir)
    done = ask("deletions", "show", made["id"], "--tenant", "acme")
    assert (done["state"], done["next_try_at"], done["removed"]) == ("done", None, done["total"])
    assert done["target"].startswith("hmac:")
    assert ask("receipts", "show", done["receipt"])["deletion"] == made["id"]
    assert run("deletions", "list") == "No deletion waits.\n"
    assert ask("deletions", "list", "--all")["items"] == [done]
    assert "session" in run("deletions", "list", "--all")


@pytest.mark.parametrize("kind", ["chat", "participant", "tenant"])
def test_other_kinds(data_dir: Path, kind: str) -> None:
    fill(data_dir, "ferries", "one")

    name = {"chat": chat_of(data_dir, "ferries"), "participant": "ann", "tenant": "acme"}[kind]
    words = [] if kind == "tenant" else ["--tenant", "acme"]
    made = ask("delete", kind, name, *words, "--yes")
    assert (made["kind"], made["removed"]) == (kind, 0)
    carry_out(data_dir)
    done = ask("deletions", "show", made["id"], "--tenant", made["tenant"])
    assert (done["state"], done["kind"]) == ("done", kind)
    assert (kind == "tenant") == (ask("tenants", "list")["items"] == [])


def chat_of(data_dir: Path, session_id: str) -> str:
    """The id of the chat of a session of `acme`."""

    async def work(store: SqliteStore) -> str:
        found = await store.tenants.find_by_name("acme")
        assert found is not None
        chat = await store.chats.find_of_single(found.id, session_id)
        assert chat is not None
        return chat.id

    return with_store(data_dir, work)


def test_who_waits_is_told_when_nobody_works(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DELETION_STALL_SECONDS", 0.5)
    fill(data_dir, "ferries", "one")
    words = ("delete", "session", "ferries", "--tenant", "acme", "--yes", "--wait", "--json")
    done = invoke(*words)
    assert (done.exit_code, json.loads(done.stdout)["state"]) == (UNATTENDED, PURGING)
    assert "nobody carries deletions out" in done.stderr
    carry_out(data_dir)
    assert run("deletions", "list") == "No deletion waits.\n"


def test_a_dry_run_changes_nothing(data_dir: Path) -> None:
    fill(data_dir, "ferries", "one", "two")
    plan = ask("delete", "session", "ferries", "--tenant", "acme", "--dry-run")
    assert plan == {**plan, "kind": "session", "target": "ferries", "blocked_by": []}
    assert "messages 2" in plan["counts"]
    assert "messages 2" in run("delete", "session", "ferries", "--tenant", "acme", "--dry-run")
    assert ask("deletions", "list") == {"items": []}


def test_what_is_live_is_told_with_a_way_out(data_dir: Path) -> None:
    fill(data_dir, "ferries", "one")

    async def connect(store: SqliteStore) -> None:
        found = await store.tenants.find_by_name("acme")
        assert found is not None
        chat = await store.chats.find_of_single(found.id, "ferries")
        assert chat is not None
        await store.connections.open(found.id, chat.key, "ann", new_uid7(), 0, 600)

    with_store(data_dir, connect)
    words = ["delete", "session", "ferries", "--tenant", "acme"]
    (blocker,) = ask(*words, "--dry-run")["blocked_by"]
    assert blocker.startswith("connection ")
    refused = invoke(*words, "--yes")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("antiphon: ")
    assert "--mode cancel" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert ask(*words, "--yes", "--mode", "after")["state"] == "waiting"
    assert ask(*words, "--yes", "--mode", "cancel")["state"] == "purging"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["session", "nowhere", "--tenant", "acme", "--yes"], 1, "There is no such session"),
        (["participant", "nobody", "--tenant", "acme", "--yes"], 1, "There is no such participant"),
        (["tenant", "nobody", "--yes"], 1, "There is no such tenant"),
        (["session", "s", "--tenant", "nobody", "--yes"], 1, "There is no such tenant"),
        (["session", "s", "--tenant", "acme", "--yes", "--reason", "x" * 501], 1, "longer than 500"),
        (["session", "s", "--tenant", "acme"], 2, "--yes is needed"),
        (["session", "s", "--tenant", "acme", "--json"], 2, "--yes is needed"),
        (["session", "s", "--yes"], 2, "--tenant says whose it is"),
        (["tenant", "acme", "--tenant", "acme", "--yes"], 2, "without --tenant"),
        (["message", "s", "--tenant", "acme", "--yes"], 2, "chat, session, participant or tenant"),
        (["session", "s", "--tenant", "acme", "--yes", "--mode", "force"], 2, "refuse, cancel or after"),
        (["session"], 2, "ID"),
    ],
)
@pytest.mark.usefixtures("data_dir")
def test_what_cannot_be_deleted_is_said(words: list[str], status: int, said: str) -> None:
    done = invoke("delete", *words)
    assert (done.exit_code, done.stdout) == (status, "")
    assert said in " ".join(done.stderr.split())
    assert ask("deletions", "list") == {"items": []}


def test_control_characters_do_not_reach_the_terminal(data_dir: Path) -> None:
    name = "evil\x1b[2J\x07"
    fill(data_dir, name, "one")
    words = ["delete", "session", name, "--tenant", "acme"]
    for printed in (run(*words, "--dry-run"), run(*words, "--yes"), run("deletions", "list")):
        assert "evil" in printed
        assert "\x1b" not in printed
        assert "\x07" not in printed


# Looking


def test_many_are_all_listed(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_ITEMS", 2)
    run("tenants", "create", "other")
    for number in range(5):
        fill(data_dir, f"s{number}", "x")
        ask("delete", "session", f"s{number}", "--tenant", "acme", "--yes")
    fill(data_dir, "s", "x", tenant="other")
    ask("delete", "session", "s", "--tenant", "other", "--yes")
    targets = [item["target"] for item in ask("deletions", "list")["items"]]
    assert targets == ["s4", "s3", "s2", "s1", "s0", "s"]
    assert [item["target"] for item in ask("deletions", "list", "--tenant", "other")["items"]] == ["s"]
    assert ask("deletions", "list", "--overdue") == {"items": []}
    monkeypatch.setattr(limits, "JOB_OVERDUE_SECONDS", -60)
    late = ask("deletions", "list", "--overdue", "--tenant", "other")["items"]
    assert [(item["target"], item["overdue"]) for item in late] == [("s", True)]


def test_one_that_waits_is_tried_again(data_dir: Path) -> None:
    fill(data_dir, "ferries", "one")
    made = ask("delete", "session", "ferries", "--tenant", "acme", "--yes")

    async def fail_once(store: SqliteStore) -> None:
        found = await store.tenants.find_by_name("acme")
        assert found is not None
        node = new_uid7()
        (lease,) = await store.deletions.claim(found.id, node, 10)
        await store.deletions.postpone(lease, node, StoreUnavailable.code, 3_600)

    with_store(data_dir, fail_once)
    waits = ask("deletions", "show", made["id"])
    assert (waits["attempts"], waits["last_error"]) == (1, "store_unavailable")
    again = ask("deletions", "retry", made["id"])
    assert (waits["next_try_at"] > waits["requested_at"], again["next_try_at"]) == (True, None)
    assert again["attempts"] == 1


@pytest.mark.parametrize("name", [UNKNOWN, "nonsense"])
@pytest.mark.parametrize("verb", ["show", "retry"])
@pytest.mark.usefixtures("data_dir")
def test_what_is_no_deletion_is_an_error(verb: str, name: str) -> None:
    done = invoke("deletions", verb, name)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)


def _deletion(state: str, removed: int, total: int) -> DeletionRow:
    texts: dict[str, Any] = dict.fromkeys(
        ("id", "tenant", "target", "reason", "undo_until", "last_error", "next_try_at", "receipt")
    )
    return DeletionRow(
        **texts, kind="chat", mode="cancel", state=state, requested_at="", removed=removed, total=total, attempts=0,
        overdue=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "removed", "total", "line"),
    [
        (WAITING, 0, 10, f"[{' ' * 30}] waiting    0/10"),
        (PURGING, 5, 10, f"[{'#' * 15}{' ' * 15}] purging    5/10"),
        (PURGING, 30, 30, f"[{'#' * 29} ] purging    30/30"),
        (PURGING, 0, 0, f"[{' ' * 30}] purging    0/0"),
        (DONE, 12, 12, f"[{'#' * 30}] done       12/12"),
    ],
)
def test_the_bar_is_full_only_at_the_end(state: str, removed: int, total: int, line: str) -> None:
    assert bar(_deletion(state, removed, total)) == line


def test_chats_are_listed_by_what_they_belong_to(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_ITEMS", 2)
    for number in range(5):
        fill(data_dir, f"s{number}", "x", "y")
    found = ask("chats", "list", "--tenant", "acme")["items"]
    assert [item["session"] for item in found] == ["s4", "s3", "s2", "s1", "s0"]
    assert {(item["participant"], item["messages"], item["connections"]) for item in found} == {("ann", 2, 0)}
    assert ask("chats", "list", "--tenant", "acme", "--limit", "3")["items"] == found[:3]
    assert ask("chats", "list", "--tenant", "acme", "--session", "s3", "--participant", "ann")["items"] == [found[1]]
    assert ask("chats", "list", "--tenant", "acme", "--participant", "bob") == {"items": []}
    assert ask("chats", "show", found[0]["id"], "--tenant", "acme") == found[0]
    assert invoke("chats", "list", "--tenant", "acme", "--session", "nowhere").exit_code == 1
    assert invoke("chats", "list").exit_code == 2


# The doctor


def test_a_sound_database_has_only_zeros(data_dir: Path) -> None:
    fill(data_dir, "ferries", "one")
    found = ask("doctor")
    assert found == {"integrity_faults": 0, "orphans": 0, "overdue_deletions": 0, "details": []}


def test_what_is_late_or_broken_is_told(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(data_dir, "ferries", "one")
    ask("delete", "session", "ferries", "--tenant", "acme", "--yes")
    assert ask("doctor")["overdue_deletions"] == 0
    monkeypatch.setattr(limits, "JOB_OVERDUE_SECONDS", -60)
    late = invoke("doctor", "--json")
    assert (late.exit_code, json.loads(late.stdout)["overdue_deletions"]) == (1, 1)

    async def orphans(_store: SqliteStore) -> dict[str, int]:
        return {"messages.chat_key": 3, "reads.chat_key": 0}

    monkeypatch.setattr(SqliteStore, "orphans", orphans)
    done = invoke("doctor", "--json")
    assert (done.exit_code, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {
        "integrity_faults": 0,
        "orphans": 3,
        "overdue_deletions": 1,
        "details": ["orphans of messages.chat_key: 3"],
    }


def test_deleted_words_are_in_no_file_and_kept_ones_are(data_dir: Path, tmp_path: Path) -> None:
    gone, kept = ([f"{name}-{number}-of-the-scan" for number in range(300)] for name in ("gone", "kept"))
    fill(data_dir, "ferries", *gone)
    fill(data_dir, "harbour", *kept)
    (tmp_path / "gone").write_text("\n".join(["", *gone, ""]))
    (tmp_path / "kept").write_text("\n".join(kept))
    before = invoke("doctor", "--scan", str(tmp_path / "gone"), "--json")
    assert before.exit_code == 1
    items = json.loads(before.stdout)["items"]
    assert {item["line"] for item in items} == set(range(2, 302))
    for item in items[:50]:
        word = gone[item["line"] - 2].encode()
        assert Path(item["file"]).read_bytes()[item["offset"] :].startswith(word)
    assert gone[0] not in before.stdout
    ask("delete", "session", "ferries", "--tenant", "acme", "--yes")
    carry_out(data_dir)
    assert run("doctor", "--scan", str(tmp_path / "gone")) == "None of 300 strings was found.\n"
    left = json.loads(invoke("doctor", "--scan", str(tmp_path / "kept"), "--json").stdout)["items"]
    assert {item["line"] for item in left} == set(range(1, 301))


@pytest.mark.parametrize("block_bytes", [1, 3, 7, 64])
def test_what_lies_across_blocks_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(scan, "_BLOCK_BYTES", block_bytes)
    text = b"xneedle" * 5 + b"nene" + b"needle"
    (tmp_path / "file").write_bytes(text)
    needles = [b"needle", b"ne", b"l", b"needlexneedlexneedle", b"missing"]
    hits = sorted((hit.needle, hit.offset) for hit in scan.scan([tmp_path / "file"], needles))
    expected = [
        (number, at)
        for number, needle in enumerate(needles)
        for at in range(len(text))
        if text[at : at + len(needle)] == needle
    ]
    assert hits == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scan", "missing"], "missing cannot be read"),
        (["--scan", "empty"], "holds no strings"),
        (["--scan", "strings", "--data-dir", "nowhere"], "nothing was searched"),
        (["--scan", "strings", "--database-url", "postgresql://h/d"], "those of PostgreSQL"),
    ],
)
@pytest.mark.usefixtures("data_dir")
def test_a_scan_that_says_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strings").write_text("x")
    (tmp_path / "empty").write_text("\n\n")
    done = invoke("doctor", *words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    assert not (tmp_path / "nowhere").exists()
