"""Sandboxes on Recoup's wire: the order of the checks, the bodies, and a turn in one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.api.recoup.sandboxes import read_repository
from antiphon.core.instance import Instance
from antiphon.core.ports import ALL_OF_IT
from antiphon.core.sandboxes import Sandboxes
from antiphon.domain import limits
from antiphon.sandbox.bubblewrap import BubblewrapSandboxes
from antiphon.stores.contract.worlds import until
from tests.conftest import MakeKey
from tests.wire.recoup.caller import NOBODY, Caller, expect, good, refused, session_path

REPO = {"repoUrl": "https://github.com/recoupable/x"}


@pytest.fixture
async def instance(instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Instance]:
    """The instance with sandboxes, none of which reaches for the network."""
    instance.sandboxes = Sandboxes(instance.store, BubblewrapSandboxes(tmp_path / "data"))
    monkeypatch.setattr(instance.turns, "_enter", instance.sandboxes.enter)
    monkeypatch.setattr(instance.worker, "_remove_files", instance.sandboxes.remove_files)

    async def clone(_sandbox: Any, _repository: str) -> None:
        return

    monkeypatch.setattr(instance.sandboxes, "_clone", clone)
    yield instance
    await instance.sandboxes.close()


@pytest.fixture
async def ann(http: httpx.AsyncClient, make_key: MakeKey) -> Caller:
    return Caller(http, await make_key(participant="ann"))


@pytest.fixture
async def bob(http: httpx.AsyncClient, make_key: MakeKey) -> Caller:
    return Caller(http, await make_key(participant="bob"))


def message(text: str) -> dict[str, Any]:
    return {"id": "u1", "role": "user", "parts": [{"type": "text", "text": text}]}


async def test_a_sandbox_is_made_and_shown(ann: Caller) -> None:
    session = await ann.new_session()
    made = good(await ann.post("/api/sandbox", {**REPO, "sessionId": session["id"]}))
    assert list(made) == ["createdAt", "timeout", "currentBranch", "mode", "timing"]
    assert (made["timeout"] // 1000, made["currentBranch"], made["mode"]) in {
        (1799, "main", "vercel"),
        (1800, "main", "vercel"),
    }
    assert list(made["timing"]) == ["readyMs"]
    shown = good(await ann.get(session_path(session["id"])))["session"]
    assert shown["sandboxState"] == {
        "type": "vercel",
        "sandboxName": f"session-{session['id']}",
        "expiresAt": shown["sandboxState"]["expiresAt"],
    }
    assert (shown["lifecycleState"], shown["lifecycleVersion"], shown["lifecycleError"]) == ("active", 1, None)
    assert shown["lifecycleRunId"].startswith("lifecycle:")
    assert None not in (shown["lastActivityAt"], shown["sandboxExpiresAt"], shown["hibernateAfter"])
    assert shown["updatedAt"] > session["updatedAt"]
    status = good(await ann.get(f"/api/sandbox/status?sessionId={session['id']}"))
    assert list(status) == ["status", "hasSnapshot", "lifecycleVersion", "lifecycle"]
    assert (status["status"], status["hasSnapshot"], status["lifecycleVersion"]) == ("active", False, 1)
    assert list(status["lifecycle"]) == ["serverTime", "state", "lastActivityAt", "hibernateAfter", "sandboxExpiresAt"]
    assert status["lifecycle"]["sandboxExpiresAt"] == shown["sandboxState"]["expiresAt"]
    again = good(await ann.post("/api/sandbox", {**REPO, "sessionId": session["id"]}))
    assert again["timeout"] <= limits.SANDBOX_SECONDS * 1000
    assert good(await ann.get(f"/api/sandbox/status?sessionId={session['id']}"))["lifecycleVersion"] == 2


async def test_before_there_is_one(ann: Caller) -> None:
    session = await ann.new_session()
    status = good(await ann.get(f"/api/sandbox/status?sessionId={session['id']}"))
    assert (status["status"], status["lifecycle"]["state"], status["lifecycleVersion"]) == (
        "no_sandbox",
        "provisioning",
        0,
    )
    asked = good(await ann.get(f"/api/sandbox/reconnect?sessionId={session['id']}"))
    assert list(asked) == ["status", "hasSnapshot", "lifecycle"]
    assert (asked["status"], asked["hasSnapshot"]) == ("no_sandbox", False)


async def test_one_that_is_asleep_counts_as_active(ann: Caller, instance: Instance) -> None:
    session = await ann.new_session()
    good(await ann.post("/api/sandbox", {**REPO, "sessionId": session["id"]}))
    await sleep(instance, session)
    status = good(await ann.get(f"/api/sandbox/status?sessionId={session['id']}"))
    assert (status["status"], status["hasSnapshot"], status["lifecycle"]["state"]) == ("active", True, "hibernated")
    shown = good(await ann.get(session_path(session["id"])))["session"]
    assert shown["sandboxState"] == {"type": "vercel", "sandboxName": f"session-{session['id']}"}


async def sleep(instance: Instance, session: dict[str, Any]) -> None:
    tenant = await instance.tenants.get("t1")
    await instance.sandboxes.hibernate(tenant.id, await instance.sessions.get(tenant.id, session["id"]))


async def test_reconnecting_asks_the_sandbox(ann: Caller, tmp_path: Path, instance: Instance) -> None:
    session = await ann.new_session()
    good(await ann.post("/api/sandbox", {**REPO, "sessionId": session["id"]}))
    asked = good(await ann.get(f"/api/sandbox/reconnect?sessionId={session['id']}"))
    assert list(asked) == ["status", "hasSnapshot", "lifecycle", "expiresAt"]
    assert asked["status"] == "connected"
    assert asked["expiresAt"] == asked["lifecycle"]["sandboxExpiresAt"]
    (tenant,) = (tmp_path / "data" / "sandboxes").glob("?" * 32)
    (work,) = tenant.iterdir()
    work.rmdir()
    lost = good(await ann.get(f"/api/sandbox/reconnect?sessionId={session['id']}"))
    assert lost["status"] == "expired"
    assert {**lost["lifecycle"], "serverTime": 0} == {
        "serverTime": 0,
        "state": "hibernated",
        "lastActivityAt": None,
        "hibernateAfter": None,
        "sandboxExpiresAt": None,
    }
    assert good(await ann.get(f"/api/sandbox/reconnect?sessionId={session['id']}"))["status"] == "no_sandbox"
    assert instance.sandboxes.is_on


@pytest.mark.parametrize("path", ["status", "reconnect"])
async def test_the_order_of_the_checks_of_questions(
    http: httpx.AsyncClient, ann: Caller, bob: Caller, path: str
) -> None:
    session = await ann.new_session()
    refused(
        await Caller(http, None).get(f"/api/sandbox/{path}"),
        401,
        "Exactly one of x-api-key or Authorization must be provided",
    )
    refused(await ann.get(f"/api/sandbox/{path}"), 400, "Missing sessionId")
    refused(await ann.get(f"/api/sandbox/{path}?sessionId="), 400, "Missing sessionId")
    refused(await ann.get(f"/api/sandbox/{path}?sessionId={NOBODY}"), 404, "Session not found")
    refused(await bob.get(f"/api/sandbox/{path}?sessionId={session['id']}"), 403, "Forbidden")


@pytest.mark.parametrize(
    ("body", "field", "text"),
    [
        ({}, ["repoUrl"], "repoUrl is required"),
        ({"repoUrl": 1, "sessionId": 2}, ["repoUrl"], "repoUrl is required"),
        ({"repoUrl": None}, ["repoUrl"], "repoUrl is required"),
        ({"repoUrl": ""}, ["repoUrl"], "repoUrl cannot be empty"),
        ({"repoUrl": "nonsense"}, ["repoUrl"], "repoUrl must be a valid GitHub repository URL"),
        ({"repoUrl": "https://gitlab.com/a/b"}, ["repoUrl"], "repoUrl must be a valid GitHub repository URL"),
        ({"repoUrl": "https://github.com/a"}, ["repoUrl"], "repoUrl must be a valid GitHub repository URL"),
        ({"repoUrl": "git@github.com:a/b.git"}, ["repoUrl"], "repoUrl must be a valid GitHub repository URL"),
        ({"repoUrl": "https://github.com.evil/a/b"}, ["repoUrl"], "repoUrl must be a valid GitHub repository URL"),
        ({**REPO, "sessionId": 7}, ["sessionId"], "Invalid input: expected string, received number"),
        ({**REPO, "sessionId": None}, ["sessionId"], "Invalid input: expected string, received null"),
    ],
)
async def test_bodies_that_are_refused(ann: Caller, body: Any, field: list[str], text: str) -> None:
    expect(await ann.post("/api/sandbox", body), 400, {"status": "error", "missing_fields": field, "error": text})


async def test_the_order_of_the_checks_of_making_one(http: httpx.AsyncClient, ann: Caller, bob: Caller) -> None:
    session = await ann.new_session()
    assert (await Caller(http, None).post("/api/sandbox", {})).status_code == 401
    expect(
        await ann.post("/api/sandbox", content=b"{nonsense"),
        400,
        {"status": "error", "missing_fields": ["repoUrl"], "error": "repoUrl is required"},
    )
    refused(await ann.post("/api/sandbox", {**REPO, "sessionId": NOBODY}), 404, "Session not found")
    refused(await bob.post("/api/sandbox", {**REPO, "sessionId": session["id"]}), 403, "Forbidden")
    assert good(await ann.post("/api/sandbox", {**REPO, "sessionId": ""}))["timeout"] == 1_800_000
    assert (await ann.delete("/api/sandbox")).status_code == 405


@pytest.mark.parametrize(
    ("given", "cloned"),
    [
        ("https://github.com/a/b", "https://github.com/a/b.git"),
        ("http://GitHub.com:80/a/b.git/tree/main?x#y", "https://github.com/a/b.git"),
        ("ssh://git@github.com/a/b", "https://github.com/a/b.git"),
        ("https://github.com/a b/c'$(x)", "https://github.com/a%20b/c%27%24%28x%29.git"),
    ],
)
def test_what_is_cloned(given: str, cloned: str) -> None:
    assert read_repository({"repoUrl": given}) == cloned


async def test_without_sandboxes_none_is_made_and_none_is_asked_for(ann: Caller, instance: Instance) -> None:
    session = await ann.new_session()
    instance.sandboxes.is_on = False
    for body in (REPO, {**REPO, "sessionId": session["id"]}):
        refused(await ann.post("/api/sandbox", body), 502, "Failed to provision sandbox")
    chat = {"messages": [message("hi")], "chatId": session["chat"]["id"], "sessionId": session["id"]}
    assert (await ann.post("/api/chat", chat)).status_code == 200


async def test_a_turn_needs_a_sandbox_and_uses_it(ann: Caller, tmp_path: Path) -> None:
    session = await ann.new_session()
    words = 'x [[tool=write args={"path": "note", "content": "written"}]]'
    body = {"messages": [message(words)], "chatId": session["chat"]["id"], "sessionId": session["id"]}
    refused(await ann.post("/api/chat", body), 400, "Sandbox not initialized")
    refused(await ann.post("/api/chat", {**body, "chatId": NOBODY}), 400, "Sandbox not initialized")
    assert (await ann.post("/api/chat", {"id": session["chat"]["id"], "message": message("hi")})).status_code == 200
    good(await ann.post("/api/sandbox", {**REPO, "sessionId": session["id"]}))
    before = good(await ann.get(session_path(session["id"])))["session"]
    refused(await ann.post("/api/chat", {**body, "chatId": NOBODY}), 404, "Chat not found")
    answer = await ann.post("/api/chat", {**body, "messages": [{**message(words), "id": "u2"}]})
    chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    kinds = [chunk["type"] for chunk in chunks]
    if "tool-output-error" in kinds:
        (error,) = (chunk["errorText"] for chunk in chunks if chunk["type"] == "tool-output-error")
        assert "nothing is run unconfined" in error
        pytest.xfail(error)  # the refusal was shown: nothing can be confined here
    (output,) = (chunk["output"] for chunk in chunks if chunk["type"] == "tool-output-available")
    assert output == {"bytesWritten": 7}
    (note,) = (tmp_path / "data" / "sandboxes").glob("*/*/note")
    assert note.read_text() == "written"
    after = good(await ann.get(session_path(session["id"])))["session"]
    assert after["hibernateAfter"] > before["hibernateAfter"]


async def test_deleting_a_session_removes_its_directory(ann: Caller, instance: Instance, tmp_path: Path) -> None:
    session = await ann.new_session()
    good(await ann.post("/api/sandbox", {**REPO, "sessionId": session["id"]}))
    (work,) = (tmp_path / "data" / "sandboxes").glob("?" * 32 + "/" + "?" * 32)
    (work / "a").write_text("x")
    tenant = await instance.tenants.get("t1")
    found = await instance.sessions.get(tenant.id, session["id"])
    detached = await instance.store.deletions.detach_session(tenant.id, found.key, ALL_OF_IT)
    assert detached.deletion.state == "purging"
    instance.worker.wake()

    async def is_gone() -> bool:
        return not work.exists()

    await until(is_gone, "the directory is gone")


async def test_accounts_have_none(ann: Caller) -> None:
    expect(
        await ann.get("/api/sandboxes"),
        200,
        {"status": "success", "sandboxes": [], "snapshot_id": None, "github_repo": None, "filetree": None},
    )
    refused(await ann.post("/api/sandboxes", {}), 400, "Sandboxes of accounts are not available here")
    expect(await ann.delete("/api/sandboxes"), 200, {"status": "success", "deleted_snapshot": None})


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/sandbox", 204),
        ("/api/sandbox/status", 204),
        ("/api/sandbox/reconnect?sessionId=x", 204),
        ("/api/sandboxes", 200),
        ("/api/sessions", 200),
    ],
)
async def test_preflights(http: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await http.request("OPTIONS", path)
    assert (answer.status_code, answer.content) == (status, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
