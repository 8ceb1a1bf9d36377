"""Who puts sandboxes to sleep, what becomes of them, and what the agent may do in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.deletion.worker import Worker
from antiphon.core.instance import Instance
from antiphon.core.ports import ALL_OF_IT, Store
from antiphon.core.ports.sandboxes import Command, CommandEnd
from antiphon.core.sandbox_tools import Shell, matches, tools_in
from antiphon.core.sandboxes import Hooks, Sandboxes
from antiphon.domain import limits, times
from antiphon.domain.deletions import DONE, SANDBOX_FILES
from antiphon.domain.errors import SandboxFailed, SandboxNotActive, SessionNotFound, ToolRefused
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.sandboxes import ACTIVE, ARCHIVED, FAILED, HIBERNATED, Sandbox
from antiphon.domain.sessions import Session
from antiphon.domain.turns import COMPLETED, TurnEnding, TurnStart
from antiphon.sandbox.bubblewrap import BubblewrapSandboxes
from antiphon.stores.contract.worlds import until
from antiphon.stores.sqlite.store import SqliteStore
from tests.receipts import receipts_of

START = 1_787_306_400_000_000


class Clock:
    """Time that passes only when somebody sleeps, and then at once."""

    def __init__(self) -> None:
        self.now = START
        self.naps: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def __call__(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        await self.gate.wait()
        self.naps.append(seconds)
        self.now += times.micros_of(seconds)

    @property
    def passed(self) -> float:
        return (self.now - START) / times.SECOND


class Provider:
    """A provider that has directories in memory only."""

    def __init__(self) -> None:
        self.there: set[tuple[Uid, Uid]] = set()
        self.stopped: list[Uid] = []
        self.ran: list[Command] = []
        self.fault: SandboxFailed | None = None
        self.end = CommandEnd(0, b"", b"", is_cut=False)
        self.name = "here"

    async def place(self) -> str:
        return self.name

    async def prepare(self, tenant_id: Uid, session_key: Uid) -> None:
        self.there.add((tenant_id, session_key))

    async def run(self, tenant_id: Uid, session_key: Uid, command: Command) -> CommandEnd:
        self.ran.append(command)
        if self.fault is not None:
            raise self.fault
        return self.end

    async def stop(self, tenant_id: Uid, session_key: Uid) -> None:
        self.stopped.append(session_key)
        if self.fault is not None:
            raise self.fault

    async def remove(self, tenant_id: Uid, session_key: Uid) -> int:
        self.there.discard((tenant_id, session_key))
        return 5

    async def directories(self) -> list[tuple[Uid, Uid]]:
        return sorted(self.there)

    async def close(self) -> None:
        return


class World:
    """A session, a provider, a clock and the verbs over them."""

    def __init__(self, store: Store, tenant_id: Uid, session: Session, chat_key: Uid) -> None:
        self.store, self.tenant_id, self.session, self.chat_key = store, tenant_id, session, chat_key
        self.clock, self.provider = Clock(), Provider()
        self.seen: list[str] = []
        self.verbs = Sandboxes(
            store,
            self.provider,
            hooks=Hooks(self.hook("start"), self.hook("stop"), self.hook("timeout"), self.hook("longer")),
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def hook(self, name: str) -> Any:
        async def note(_sandbox: Sandbox, *_more: float) -> None:
            self.seen.append(name)
            if name != "start":
                raise RuntimeError("hooks may break")

        return note

    async def settle(self) -> Sandbox:
        """The sandbox once all work on it is done."""
        while self.verbs._tasks:
            await asyncio.gather(*self.verbs._tasks)
        return await self.verbs.get(self.tenant_id, self.session)

    async def create(self, repository: str | None = None) -> Sandbox:
        return await self.verbs.create(self.tenant_id, self.session, repository)

    async def begin_turn(self) -> Uid:
        turn_id = new_uid7()
        start = TurnStart(self.chat_key, new_uid7(), "assistant")
        await self.store.turns.claim(self.tenant_id, turn_id, start, self.session.key, 9, 10_000)
        return turn_id


@pytest.fixture
async def world(store: SqliteStore) -> AsyncIterator[World]:
    tenant = await store.tenants.create("t", "assistant")
    owner, _ = await store.participants.ensure(tenant.id, "peer", "ann")
    session, chat = await store.sessions.create_multi(tenant.id, owner.id, "T", None, None)
    made = World(store, tenant.id, session, chat.key)
    yield made
    await made.verbs.close()


async def test_what_nobody_uses_sleeps_after_five_minutes(world: World) -> None:
    made = await world.create()
    assert (made.state, made.version) == (ACTIVE, 1)
    assert made.run_id is not None
    asleep = await world.settle()
    assert (asleep.state, asleep.run_id, asleep.name) == (HIBERNATED, None, made.name)
    assert world.clock.passed == limits.SANDBOX_IDLE_SECONDS
    assert world.provider.stopped == [world.session.key]
    assert world.seen == ["start", "stop"]


async def test_what_is_busy_stays_awake_and_sleeps_at_its_end(world: World) -> None:
    turn_id = await world.begin_turn()
    world.clock.gate.clear()
    await world.create()
    world.clock.gate.set()
    while world.clock.passed < 2_000:
        await asyncio.sleep(0)
        assert (await world.verbs.get(world.tenant_id, world.session)).state == ACTIVE
    assert set(world.clock.naps[1:]) == {limits.SANDBOX_SLEEP_SECONDS}
    assert world.seen == ["start", "timeout"]
    await world.store.turns.finish(world.tenant_id, turn_id, world.session.key, TurnEnding(COMPLETED, None, None))
    assert (await world.settle()).state == HIBERNATED


async def test_use_pushes_the_sleep_away(world: World) -> None:
    world.clock.gate.clear()
    await world.create()
    world.clock.now += times.micros_of(200)
    tools = await world.verbs.enter(world.tenant_id, world.chat_key)
    names = ["bash", "read", "write", "edit", "grep", "glob", "ask_user_question"]
    assert [tool.name for tool in tools] == names
    assert [tool.name for tool in tools if tool.is_answered_by_client] == ["ask_user_question"]
    world.clock.gate.set()
    assert (await world.settle()).state == HIBERNATED
    assert world.clock.passed >= 500


async def test_without_a_sandbox_there_are_no_tools(world: World) -> None:
    assert await world.verbs.enter(world.tenant_id, world.chat_key) == ()
    world.clock.gate.clear()
    await world.create()
    silent = Sandboxes(world.store, world.provider, offers_tools=False)
    assert await silent.enter(world.tenant_id, world.chat_key) == ()


async def test_a_sleep_that_fails_is_told_and_recovers_when_somebody_looks(world: World) -> None:
    world.clock.gate.clear()
    await world.create()
    world.provider.fault = SandboxFailed("stuck")
    world.clock.gate.set()
    broken = await world.settle()
    assert (broken.state, broken.error) == (FAILED, "stuck")
    well, _ = await world.verbs.status(world.tenant_id, world.session)
    assert (well.state, well.error) == (ACTIVE, None)


async def test_one_worker_a_session(world: World) -> None:
    world.clock.gate.clear()
    runs = {(await world.create()).run_id for _ in range(3)}
    assert len(runs) == 1
    assert len(world.verbs._tasks) == 1


async def test_a_dead_worker_s_lease_is_taken_over(world: World) -> None:
    world.clock.gate.clear()
    first = await world.create()
    await world.verbs.close()
    world.clock.now += times.micros_of(limits.SANDBOX_IDLE_SECONDS + limits.SANDBOX_LEASE_GRACE_SECONDS + 1)
    kicked, _ = await world.verbs.status(world.tenant_id, world.session)
    assert kicked.run_id != first.run_id
    world.clock.gate.set()
    assert (await world.settle()).state == HIBERNATED


async def test_the_sweep_kicks_what_is_overdue_and_removes_what_no_row_speaks_of(world: World) -> None:
    world.clock.gate.clear()
    await world.create()
    await world.verbs.close()
    stray = (world.tenant_id, new_uid7())
    world.provider.there.add(stray)
    world.clock.now += times.micros_of(limits.SANDBOX_IDLE_SECONDS + limits.SANDBOX_LEASE_GRACE_SECONDS + 1)
    running = asyncio.create_task(world.verbs.run())

    async def is_kicked() -> bool:
        return bool(world.verbs._tasks)

    await until(is_kicked, "the sandbox was kicked")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert world.provider.there == {(world.tenant_id, world.session.key)}
    world.clock.gate.set()
    assert (await world.settle()).state == HIBERNATED


async def test_check_active(world: World) -> None:
    with pytest.raises(SandboxNotActive):
        await world.verbs.check_active(world.tenant_id, world.session)
    world.clock.gate.clear()
    await world.create()
    await world.verbs.check_active(world.tenant_id, world.session)
    world.clock.now += times.micros_of(limits.SANDBOX_SECONDS)
    with pytest.raises(SandboxNotActive):
        await world.verbs.check_active(world.tenant_id, world.session)
    off = Sandboxes(world.store, world.provider, is_on=False)
    await off.check_active(world.tenant_id, world.session)
    with pytest.raises(SandboxFailed):
        await off.create(world.tenant_id, world.session)


async def test_reconnecting(world: World) -> None:
    assert (await world.verbs.reconnect(world.tenant_id, world.session))[1] is False
    assert world.provider.ran == []
    await world.create()
    await world.settle()
    sandbox, is_lost = await world.verbs.reconnect(world.tenant_id, world.session)
    assert (sandbox.state, is_lost) == (HIBERNATED, False)
    assert sandbox.expires_at == world.clock.now + times.micros_of(limits.SANDBOX_RECONNECT_SECONDS)
    world.provider.fault = SandboxFailed("for a moment")
    same, is_lost = await world.verbs.reconnect(world.tenant_id, world.session)
    assert (same.expires_at, is_lost) == (sandbox.expires_at, False)
    world.provider.name = "elsewhere"
    world.provider.fault = SandboxFailed("sandbox not found", is_gone=True)
    assert (await world.verbs.reconnect(world.tenant_id, world.session))[1] is False
    world.provider.name = "here"
    gone, is_lost = await world.verbs.reconnect(world.tenant_id, world.session)
    assert (gone.name, is_lost) == (None, True)


async def test_a_probe_that_fails_keeps_the_name(world: World) -> None:
    made = await world.create()
    world.provider.end = CommandEnd(1, b"", b"", is_cut=False)
    lost, is_lost = await world.verbs.reconnect(world.tenant_id, world.session)
    assert (lost.state, lost.name, is_lost) == (HIBERNATED, made.name, True)


async def test_what_comes_of_the_clone_is_noted(world: World) -> None:
    world.clock.gate.clear()
    world.provider.end = CommandEnd(128, b"", b"Cloning\nfatal: no network\n", is_cut=False)
    await world.create("https://github.com/a/b.git")

    async def is_noted() -> bool:
        return (await world.verbs.get(world.tenant_id, world.session)).error is not None

    await until(is_noted, "the clone has failed")
    sandbox = await world.verbs.get(world.tenant_id, world.session)
    assert sandbox.error == "The repository could not be cloned: fatal: no network"
    assert sandbox.state == ACTIVE
    (command,) = world.provider.ran
    assert command.has_network is True
    assert command.argv[-1] == "https://github.com/a/b.git"


async def test_archive_and_back(world: World) -> None:
    world.clock.gate.clear()
    await world.create()
    put = await world.verbs.archive(world.tenant_id, world.session)
    assert (put.state, put.run_id) == (ARCHIVED, None)
    world.clock.gate.set()
    stopped = await world.settle()
    assert (stopped.state, stopped.runtime_expires_at) == (ARCHIVED, None)
    assert world.provider.stopped == [world.session.key]
    assert (await world.verbs.unarchive(world.tenant_id, world.session)).state is None


async def test_hibernating_by_hand_and_living_longer(world: World) -> None:
    world.clock.gate.clear()
    made = await world.create()
    longer = await world.verbs.extend(world.tenant_id, world.session, 60)
    assert longer.expires_at == (made.expires_at or 0) + times.micros_of(60)
    asleep = await world.verbs.hibernate(world.tenant_id, world.session)
    assert asleep.state == HIBERNATED
    assert world.seen == ["start", "longer", "stop"]


async def test_a_session_that_goes_while_its_sandbox_is_made_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prepare(tenant_id: Uid, session_key: Uid) -> None:
        world.provider.there.add((tenant_id, session_key))
        await world.store.deletions.detach_session(tenant_id, session_key, ALL_OF_IT)

    monkeypatch.setattr(world.provider, "prepare", prepare)
    with pytest.raises(SessionNotFound):
        await world.create()
    assert world.provider.there == set()


async def test_deleting_a_session_removes_its_directory_and_says_so(store: SqliteStore, tmp_path: Path) -> None:
    provider = BubblewrapSandboxes(tmp_path / "data")
    verbs = Sandboxes(store, provider)
    tenant = await store.tenants.create("t", "assistant")
    owner, _ = await store.participants.ensure(tenant.id, "peer", "ann")
    session, _ = await store.sessions.create_multi(tenant.id, owner.id, "T", None, None)
    await verbs.create(tenant.id, session)
    work = tmp_path / "data" / "sandboxes" / tenant.id.hex() / session.key.hex()
    for name in ("a", "b"):
        (work / name).write_text("x")
    receipts = receipts_of(store, tmp_path)
    await receipts.start()
    deletion = (await store.deletions.detach_session(tenant.id, session.key, ALL_OF_IT)).deletion
    elsewhere = Sandboxes(store, BubblewrapSandboxes(tmp_path / "other"))
    stranger = Worker(store, receipts, remove_files=elsewhere.remove_files)
    await stranger.run_once()
    waiting = await store.deletions.find(tenant.id, deletion.id)
    assert waiting is not None
    assert (waiting.last_error, work.exists()) == ("sandbox_failed", True)
    await store.deletions.retry(tenant.id, deletion.id)
    worker = Worker(store, receipts, remove_files=verbs.remove_files)
    while (found := await store.deletions.find(tenant.id, deletion.id)) is not None and found.state != DONE:
        await worker.run_once()
        await asyncio.sleep(0.01)
    assert found is not None
    assert (found.counts[SANDBOX_FILES], found.counts["sandboxes"]) == (2, 1)
    assert not work.exists()
    await verbs.close()


async def tools_of(tmp_path: Path) -> tuple[dict[str, Any], Path]:
    provider, tenant_id, key = BubblewrapSandboxes(tmp_path / "data"), new_uid7(), new_uid7()
    await provider.prepare(tenant_id, key)
    try:
        await Shell(provider, tenant_id, key).run("true")
    except ToolRefused as refusal:
        if "nothing is run unconfined" not in refusal.message:
            raise
        pytest.xfail(refusal.message)  # the refusal was shown: nothing can be confined here
    work = tmp_path / "data" / "sandboxes" / tenant_id.hex() / key.hex()
    return {tool.name: tool for tool in tools_in(provider, tenant_id, key)}, work


async def test_the_tools_at_work(tmp_path: Path) -> None:
    tools, work = await tools_of(tmp_path)
    text = "one\ntwo\nthree é\n"
    assert await tools["write"].run({"path": "src/a.txt", "content": text}) == {"bytesWritten": len(text.encode())}
    assert (work / "src" / "a.txt").read_text() == text
    assert await tools["read"].run({"path": "/sandbox/src/a.txt"}) == {"content": text}
    assert await tools["read"].run({"path": "src/a.txt", "offset": 2, "limit": 1}) == {"content": "two\n"}
    edit = {"path": "src/a.txt", "oldString": "two", "newString": "2"}
    assert await tools["edit"].run(edit) == {"replacements": 1}
    assert await tools["grep"].run({"pattern": "^(one|2)$"}) == {"matches": ["src/a.txt:1:one", "src/a.txt:2:2"]}
    assert await tools["grep"].run({"pattern": "nothing"}) == {"matches": []}
    assert await tools["glob"].run({"pattern": "**/*.txt"}) == {"files": ["src/a.txt"]}
    assert await tools["glob"].run({"pattern": "*.txt", "path": "src"}) == {"files": ["a.txt"]}
    ran = await tools["bash"].run({"command": "cat src/a.txt; echo oops >&2; exit 3"})
    assert ran == {"exitCode": 3, "stdout": "one\n2\nthree é\n", "stderr": "oops\n"}
    long = await tools["bash"].run({"command": "yes '\"' | head -c 200000"})
    assert long["truncated"] is True


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("read", {"path": "../x"}, "the path leads out of the work directory"),
        ("read", {"path": "/etc/passwd"}, "the path leads out of the work directory"),
        ("read", {"path": "link"}, "the path leads out of the work directory"),
        ("read", {"path": "folder/../../usr"}, "the path leads out of the work directory"),
        ("read", {"path": "none"}, "there is no such file"),
        ("read", {"path": "folder"}, "that is no file"),
        ("read", {"path": "a\0b"}, "there is no NUL in a path or a command"),
        ("write", {"path": "/tmp/x", "content": "x"}, "the path leads out of the work directory"),
        ("write", {"path": "link", "content": "x"}, "the path leads out of the work directory"),
        ("write", {"path": "up/x", "content": "x"}, "the path leads out of the work directory"),
        ("write", {"path": "folder", "content": "x"}, "that is a directory"),
        ("edit", {"path": "link", "oldString": "a", "newString": "b"}, "the path leads out of the work directory"),
        ("edit", {"path": "file", "oldString": "z", "newString": "b"}, "the file has no such text"),
        ("edit", {"path": "file", "oldString": "a", "newString": "b"}, "the file has that text 2 times"),
        ("grep", {"pattern": "a", "path": "/usr"}, "the path leads out of the work directory"),
        ("grep", {"pattern": "("}, "grep: Unmatched ( or \\("),
        ("glob", {"pattern": "*", "path": ".."}, "the path leads out of the work directory"),
        ("ask_user_question", {"questions": []}, "only the user can answer that"),
    ],
)
async def test_what_tools_refuse(tmp_path: Path, name: str, arguments: dict[str, Any], words: str) -> None:
    tools, _ = await tools_of(tmp_path)
    setup = "mkdir folder; printf 'a a' > file; ln -s /usr/bin/env link; ln -s .. up"
    await tools["bash"].run({"command": setup})
    with pytest.raises(ToolRefused) as refused:
        await tools[name].run(arguments)
    assert refused.value.message == words


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.py", "a.py", True),
        ("*.py", "d/a.py", False),
        ("**/*.py", "a.py", True),
        ("**/*.py", "d/e/a.py", True),
        ("d/**", "d/e/a.py", True),
        ("d/**/a.py", "d/a.py", True),
        ("**/e/**/a.py", "d/e/a.py", True),
        ("d/?.py", "d/ab.py", False),
        ("**/**/**/**/x", "a/b/c/d/e/f/g/h/y", False),
    ],
)
def test_patterns_of_paths(pattern: str, path: str, fits: bool) -> None:
    assert matches(pattern.split("/"), path.split("/")) is fits


async def test_an_instance_without_a_provider_has_none(instance: Instance) -> None:
    assert instance.sandboxes.is_on is False
