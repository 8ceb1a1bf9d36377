"""Deleting as an operator does it: at a terminal, with a worker that is a process of its own, beside a server."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook as Verifier

from antiphon.core.webhooks import Webhooks
from antiphon.domain import limits
from antiphon.domain.messages import USER, Draft
from antiphon.domain.webhooks import DELETION_DETACHED, DELETION_DONE
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.webhooks.secret_file import read_or_make
from tests.server_process import PROGRAM, ServerProcess, command, environment
from tests.webhook_receiver import Receiver


def fill(data_dir: Path, session_id: str, count: int) -> None:
    """A session of the tenant `acme` with so many messages, and the tenant when it is missing."""

    async def work() -> None:
        store = await SqliteStore.open(data_dir)
        try:
            found = await store.tenants.find_by_name("acme") or await store.tenants.create("acme", "assistant")
            await store.sessions.put_single(found.id, session_id, "ann", None, None, [])
            chat = await store.chats.find_of_single(found.id, session_id)
            assert chat is not None
            for at in range(0, count, limits.MESSAGES_PER_APPEND):
                words = [
                    Draft("ann", USER, f"word {n}") for n in range(at, min(at + limits.MESSAGES_PER_APPEND, count))
                ]
                await store.messages.append(found.id, chat.key, words)
        finally:
            await store.close()

    asyncio.run(work())


def waiting(data_dir: Path) -> list[str]:
    """What the deletions that are not done are called."""
    return [item["target"] for item in command(data_dir, "deletions", "list")["items"]]


def at_terminal(data_dir: Path, *words: str, typed: bytes) -> tuple[int, str, str]:
    """The exit status, the result and what the terminal showed of `antiphon delete`, where somebody types that."""
    ours, theirs = pty.openpty()
    try:
        child = subprocess.Popen(
            [*PROGRAM, "delete", *words, "--tenant", "acme"],
            env=environment(data_dir),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        os.write(ours, typed + b"\x04")  # who is asked more than that has left
        assert child.stdout is not None
        result = child.stdout.read().decode()
        child.stdout.close()
        status = child.wait()
        shown = b""
        while piece := _read(ours):
            shown += piece
        return status, result, shown.decode()
    finally:
        os.close(ours)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux tells that nobody has the other end any more
        return b""


@pytest.mark.parametrize(("typed", "is_deleted"), [(b"y\n", True), (b"n\n", False), (b"\n", False), (b"\x04", False)])
def test_a_small_one_is_a_question_with_yes_or_no(tmp_path: Path, typed: bytes, *, is_deleted: bool) -> None:
    fill(tmp_path, "ferries", 2)
    status, result, shown = at_terminal(tmp_path, "session", "ferries", typed=typed)
    assert "2  messages" in shown
    assert "Delete session ferries for good? [y/N]" in shown
    assert (status, "purging" in result) == ((0, True) if is_deleted else (1, False))
    assert waiting(tmp_path) == (["ferries"] if is_deleted else [])


@pytest.mark.parametrize(
    ("typed", "is_deleted"), [(b"ferries\n", True), (b"y\n", False), (b"ferrie\n", False), (b"\n", False)]
)
def test_a_large_one_is_deleted_by_its_name_only(tmp_path: Path, typed: bytes, *, is_deleted: bool) -> None:
    fill(tmp_path, "ferries", limits.DELETION_LARGE_MESSAGES)
    status, result, shown = at_terminal(tmp_path, "session", "ferries", typed=typed)
    assert f"{limits.DELETION_LARGE_MESSAGES}  messages" in shown
    assert "type ferries:" in shown
    assert (status, "purging" in result) == ((0, True) if is_deleted else (1, False))
    assert ("nothing was deleted" in shown) != is_deleted
    assert waiting(tmp_path) == (["ferries"] if is_deleted else [])


def test_everything_that_somebody_said_is_large(tmp_path: Path) -> None:
    fill(tmp_path, "ferries", 1)
    assert at_terminal(tmp_path, "participant", "ann", typed=b"y\n")[0] == 1
    assert at_terminal(tmp_path, "participant", "ann", typed=b"ann\n")[0] == 0
    assert waiting(tmp_path) == ["ann"]


@contextmanager
def working(data_dir: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """`antiphon worker`, once it is ready."""
    child = subprocess.Popen(
        [*PROGRAM, "worker"],
        env=environment(data_dir, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def stop(worker: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit status of a worker that is asked to stop, and its log."""
    worker.send_signal(signal.SIGTERM)
    _, log = worker.communicate(timeout=20)
    return worker.returncode, log


def test_a_worker_alone_carries_out_what_waits(tmp_path: Path) -> None:
    """With --wait the command returns when all is done, and shows how far it is."""
    fill(tmp_path, "ferries", 2_000)
    fill(tmp_path, "harbour", 1)
    queued = command(tmp_path, "delete", "session", "harbour", "--tenant", "acme", "--yes")
    with working(tmp_path) as worker:
        status, result, shown = at_terminal(tmp_path, "session", "ferries", "--yes", "--wait", typed=b"")
        assert (status, "done" in result) == (0, True)
        assert f"[{'#' * 30}] done" in shown
        assert command(tmp_path, "deletions", "show", queued["id"])["state"] == "done", "it was there before"
        status, log = stop(worker)
    assert (status, "stopped" in log) == (0, True)
    assert "word" not in log
    assert command(tmp_path, "receipts", "verify", "--tenant", "acme")["receipts"] == 2
    assert command(tmp_path, "doctor")["orphans"] == 0


async def test_a_worker_alone_tells_webhooks_of_what_it_has_done(tmp_path: Path) -> None:
    await asyncio.to_thread(fill, tmp_path, "ferries", 200)
    async with Receiver() as receiver:
        store = await SqliteStore.open(tmp_path)
        tenant = await store.tenants.find_by_name("acme")
        assert tenant is not None
        told = [DELETION_DETACHED, DELETION_DONE]
        _, secret = await Webhooks(store, None, read_or_make(tmp_path)).create(tenant.id, receiver.url(), told)
        await store.close()
        made = await asyncio.to_thread(
            command, tmp_path, "delete", "session", "ferries", "--tenant", "acme", "--yes", "--reason", "ticket"
        )
        with working(tmp_path, ANTIPHON_WEBHOOK_PRIVATE="allow") as worker:
            requests = await receiver.wait_for(2)
            status, log = await asyncio.to_thread(stop, worker)
        events = [Verifier(secret).verify(request.body, request.headers) for request in requests]
    assert [event["type"] for event in events] == told
    assert {event["data"]["deletion"] for event in events} == {made["id"]}
    assert (status, "stopped" in log, "ferries" in log) == (0, True, False)


def test_a_worker_goes_on_with_what_a_dead_server_left(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    fill(data_dir, "ferries", 20_000)
    with ServerProcess(data_dir) as server:
        key = command(data_dir, "keys", "create", "--tenant", "acme")["key"]
        with httpx.Client(base_url=f"{server.url}/antiphon/v1", headers={"x-api-key": key}) as client:
            deletion: dict[str, Any] = client.delete("/sessions/ferries").raise_for_status().json()
        server.kill()
    left = command(data_dir, "deletions", "show", deletion["id"])
    assert left["state"] in {"purging", "scrubbing"}
    with working(data_dir):
        ends = time.monotonic() + 40  # the dead server's lease, and the work
        while (now := command(data_dir, "deletions", "show", deletion["id"]))["state"] != "done":
            assert time.monotonic() < ends, now
    assert now["removed"] >= 20_000
    assert command(data_dir, "receipts", "show", now["receipt"])["bytes"] == "erased"
