"""Deletions in PostgreSQL killed everywhere: `python -m tests.crash.kill_points_postgres URL FOLDER TARGET [--pause]`.

As in `kill_points`, one process is warmed, never connects itself, and is forked for whoever does. All points share a
database, and each has a tenant of its own, which is the rehearsed one under another id. First all are killed, each at
its point; then two processes, each at home in one directory after the other, look at what they left and go on, once for
each state that was left: most kills leave one that others left.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from antiphon.core.ports import Store
from antiphon.domain.errors import NotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.stores.postgres.database import Cursor, open_database
from antiphon.stores.postgres.deletions import PostgresDeletions
from antiphon.stores.postgres.store import PostgresStore
from tests.crash.deletion_stage import (
    PATIENCE_SECONDS,
    Ground,
    Stage,
    check_end,
    check_store,
    furnish,
    go_on,
    rehearse,
    shorten,
)
from tests.crash.deletion_view import View, view_of
from tests.crash.deletion_world import World, make_world
from tests.crash.kill_points import AT_ONCE, Fault, Outcome, fork, in_child, lines_beside

STEP_ROWS = 24
"""Steps that are longer than those of SQLite: there are enough of them, and a kill costs more here."""

COMMIT = "COMMIT"
DURABLE = (COMMIT, "claim_scrubs", "claim_deletion", "insert_signing_key", "retire_signing_key")
"""What makes something durable: the end of a transaction, and statements that are one by themselves."""

SENT = ("rows", "run", "script", "commit")
"""The methods of a cursor that send something which a deletion sends."""

Tables = dict[str, list[tuple[str, str]]]
"""Columns with their types, by table."""

Answers = dict[int, str]
"""What went wrong, by the number of the point: nothing at most of them."""


class Sends(Fault):
    """A shim with a point before every statement; around what is durable by itself, also while it is under way.

    After any other statement is before the next one.
    """

    def sending(self, send: Callable[..., Any]) -> Callable[..., Any]:
        """A cursor's method with points."""

        async def call(cursor: Cursor, name: str = COMMIT, /, **values: Any) -> Any:
            self._pass(f"before {name}")
            work = send(cursor) if name == COMMIT else send(cursor, name, **values)
            if name not in DURABLE:
                return await work
            answer = asyncio.ensure_future(work)
            await asyncio.sleep(0)  # one turn of the loop: by then the driver has written it to the socket
            self._pass(f"under way {name}")
            result = await answer
            self._pass(f"after {name}")
            return result

        return call

    def install(self) -> None:
        """Put points around everything that this process sends to the database, or does to files."""
        for name in SENT:
            setattr(Cursor, name, self.sending(getattr(Cursor, name)))
        self.watch_files()


class Pauses(Sends):
    """A shim that counts what was made durable only: who stands still holds no lock that others wait for."""

    def _pass(self, name: str) -> None:
        if name.startswith("after "):
            super()._pass(name)

    def install(self) -> None:
        """Leave files alone."""
        for name in SENT:
            setattr(Cursor, name, self.sending(getattr(Cursor, name)))


class OwnQueue(PostgresDeletions):
    """Deletions of which a worker finds one tenant's only: the others are those of other points."""

    def __init__(self, store: PostgresStore, tenant_id: Uid) -> None:
        super().__init__(store._database)
        self._tenant_id = tenant_id

    async def due(self) -> list[tuple[Uid, int]]:
        """See the port."""
        return [(tenant_id, at) for tenant_id, at in await super().due() if tenant_id == self._tenant_id]


def stage_of(folder: Path, store: PostgresStore, ground: Ground) -> Stage:
    """A process's hold of one of the worlds."""
    own = copy.copy(store)
    own.deletions = OwnQueue(store, ground.world.tenant_id)
    return Stage(folder, own)


class Looks:
    """What states worlds are in, and views of them: tenants of which all tables say the same look the same.

    What they say is, for each column, how many rows have a value in it, and the sum of what is a number.
    """

    def __init__(self, connection: Any, census: str) -> None:
        self.connection = connection
        self._census = census
        self._seen: dict[tuple[Any, ...], tuple[World, View]] = {}

    @classmethod
    async def begin(cls, url: str) -> Looks:
        """With a connection of its own."""
        connection = await asyncpg.connect(url)
        parts = [
            f'(SELECT ROW(count(*), {", ".join(_told(*column) for column in columns)})::text FROM "{table}"'
            " WHERE tenant_id = $1)"
            for table, columns in (await tables_of(connection)).items()
        ]
        return cls(connection, f"SELECT {', '.join(parts)}")

    async def state_of(self, world: World) -> tuple[Any, ...]:
        """What all tables say of a world."""
        return tuple(await self.connection.fetchrow(self._census, world.tenant_id.hex()))

    async def look(self, store: Store, world: World) -> View:
        """All that can be read of a world."""
        state = await self.state_of(world)
        if state not in self._seen:
            self._seen[state] = world, await view_of(store, world)
            return self._seen[state][1]
        other, view = self._seen[state]
        text = retold(msgspec.json.encode(view).decode(), other, world.tenant_id, world.name)
        return msgspec.json.decode(text, type=View)


def _told(column: str, kind: str) -> str:
    return f'sum("{column}")' if kind in ("smallint", "integer", "bigint") else f'count("{column}")'


async def tables_of(connection: Any) -> Tables:
    """The tables that know a tenant, each with its columns and their types."""
    found: Tables = {}
    for table, column, kind in await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    ):
        found.setdefault(table, []).append((column, kind))
    return {table: columns for table, columns in found.items() if "tenant_id" in dict(columns)}


def retold(text: str, world: World, tenant_id: Uid, name: str) -> str:
    """What is said of a world as JSON, said of its copy."""
    old, new = (base64.b64encode(uid).decode() for uid in (world.tenant_id, tenant_id))
    return text.replace(old, new).replace(world.name, name)


# In the processes


async def prepare(url: str) -> Ground:
    """Make the two worlds."""
    store = await PostgresStore.open(url)
    world, other = await make_world(store, f"t-{new_uid7().hex()}"), await make_world(store, "other")
    ground = Ground(world, other, [await view_of(store, world)], await view_of(store, other))
    await store.close()
    return ground


async def copies_of(url: str, folder: Path, ground: Ground, points: int) -> list[Ground]:
    """A copy for each point, with a directory of its own."""
    connection = await asyncpg.connect(url)
    tables = await tables_of(connection)
    del tables["texts"]  # its hashes are other ones in each tenant: it is made anew
    copies = [await copy_of(connection, tables, folder / f"point-{point}", ground) for point in range(1, points + 1)]
    await connection.execute("ANALYZE")
    await connection.close()
    store = await PostgresStore.open(url)
    for made in copies:
        for place in made.world.places:
            drafted = len(place.messages) - 1  # what the world has indexed: all but the answer
            assert await store.search.advance(made.world.tenant_id, place.key, 0, drafted) == drafted
    await store.close()
    return copies


async def copy_of(connection: Any, tables: Tables, folder: Path, ground: Ground) -> Ground:
    """The same world again as another tenant, with the files of both worlds in that directory."""
    tenant_id = new_uid7()
    name = f"t-{tenant_id.hex()}"
    replaced = {"tenant_id": f"'{tenant_id.hex()}'::uuid"}
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # in any order of the tables
        for table, columns in tables.items():
            its = dict(columns)
            new = replaced | ({"name": f"'{name}'"} if table in ("tenants", "tenant_names") else {})
            new |= {"text_seq": "0"} if table == "chats" else {}
            values = ", ".join(new.get(column, f'"{column}"') for column in its)
            names = ", ".join(f'"{column}"' for column in its)
            query = f'INSERT INTO "{table}" ({names}) SELECT {values} FROM "{table}" WHERE tenant_id = '
            await connection.execute(f"{query}'{ground.world.tenant_id.hex()}'::uuid")
    made = renamed(ground, tenant_id, name)
    furnish(folder, made.world, made.other)
    return made


def renamed(ground: Ground, tenant_id: Uid, name: str) -> Ground:
    """What is true of the world, said of its copy."""
    return msgspec.json.decode(retold(msgspec.json.encode(ground).decode(), ground.world, tenant_id, name), type=Ground)


async def rehearsed(url: str, folder: Path, ground: Ground, target: str, shim: type[Sends]) -> tuple[Ground, list[str]]:
    """The deletion without a kill: how the world looks then, and the points that it has."""
    (own,) = await copies_of(url, folder / "rehearsal", ground, 1)
    fault = shim(None)
    fault.install()
    store = await PostgresStore.open(url)
    own = await rehearse(stage_of(folder / "rehearsal" / "point-1", store, own), own, target, fault)
    await check_store(store)
    await store.close()
    return renamed(own, ground.world.tenant_id, ground.world.name), fault.names


async def delete_and_stop(url: str, folder: Path, ground: Ground, target: str, fault: Sends) -> None:
    """The deletion, in a process that does not come to its end, or only after a pause."""
    fault.install()
    store = PostgresStore(await open_database(url))
    fault.arm()
    with suppress(NotFound):  # while it stood still, another was first with the request, too
        await stage_of(folder, store, ground).run(ground.world, target)


async def look_again(url: str, folder: Path, ground: Ground, target: str) -> None:
    """Whether everything is as the second process left it: one receipt, one line, nothing done twice."""
    store = await PostgresStore.open(url)
    await check_end(folder, stage_of(folder, store, ground), ground, target)
    await store.close()


async def take_over(url: str, folder: Path, copies: dict[int, Ground], target: str) -> Answers:
    """The next process, in each of the worlds."""
    store, found = await PostgresStore.open(url), Answers()
    looks = await Looks.begin(url)
    for point, ground in copies.items():
        place = folder / f"point-{point}"
        try:
            await go_on(place, stage_of(place, store, ground), ground, target, looks.look)
        except Exception:  # noqa: BLE001  whatever it is, it is what the test wants to know
            found[point] = traceback.format_exc()
    await looks.connection.close()
    await store.close()
    return found


async def firsts_of(url: str, folder: Path, copies: dict[int, Ground]) -> list[int]:
    """The points of the first of the worlds that were left in each state."""
    looks, firsts = await Looks.begin(url), dict[str, int]()
    for point, ground in copies.items():
        state = await looks.state_of(ground.world), lines_beside(folder / f"point-{point}")
        firsts.setdefault(repr(state), point)
    await looks.connection.close()
    return list(firsts.values())


async def let_leases_run_out(url: str, *, is_after_death: bool = True) -> None:
    """As if all leases had; those of the dead once the server has noticed their ends and finished what it was sent."""
    connection = await asyncpg.connect(url)
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    ends = time.monotonic() + PATIENCE_SECONDS
    while is_after_death and await connection.fetchval(others):
        assert time.monotonic() < ends, "the server still holds a connection of the dead"
    await connection.execute("UPDATE deletions SET lease_until = now() - interval '1 second' WHERE lease_until > now()")
    await connection.close()


async def look_at_all(url: str) -> None:
    """When all is over, nothing is left anywhere."""
    store = await PostgresStore.open(url)
    await check_store(store)
    await store.close()


# The command

Act = Callable[[str, Path, Ground, str, Sends], Coroutine[Any, Any, None]]
"""What a process does until it is killed."""

Take = Callable[[str, Path, dict[int, Ground], str], Coroutine[Any, Any, Answers]]
"""What the next process does in each of the worlds."""


def answer_of(folder: Path, work: Callable[[], Coroutine[Any, Any, Any]], answer_type: Any) -> Any:
    """What comes of doing it in a process of its own. Raises SystemExit when it fails."""
    answer = folder / "answer"
    if in_child(work, answer):
        raise SystemExit(answer.read_text(encoding="utf-8"))
    return msgspec.json.decode(answer.read_bytes(), type=answer_type)


def kill_all(
    url: str,
    folder: Path,
    copies: dict[int, Ground],
    target: str,
    act: Act = delete_and_stop,
    shim: type[Sends] = Sends,
) -> tuple[int, Answers]:
    """Kill each at its point, some at the same time: how many were, and what else became of the others."""
    reached, found, waiting, running = 0, Answers(), list(copies.items())[::-1], dict[int, int]()
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            point, ground = waiting.pop()
            place = folder / f"point-{point}"
            child = fork(lambda: act(url, place, ground, target, shim(point)), place / "answer")  # noqa: B023  at once
            running[child] = point
        child, status = os.wait()
        point = running.pop(child)
        is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        reached += is_killed
        if status and not is_killed:
            found[point] = (folder / f"point-{point}" / "answer").read_text(encoding="utf-8")
    return reached, found


def take_over_all(url: str, folder: Path, copies: dict[int, Ground], target: str, take: Take = take_over) -> Answers:
    """Let some processes go on, each with a part of the worlds."""
    parts = [{point: copies[point] for point in list(copies)[number::AT_ONCE]} for number in range(AT_ONCE)]
    children = [
        fork(lambda: take(url, folder, part, target), folder / f"found-{number}")  # noqa: B023  forked at once
        for number, part in enumerate(parts)
    ]
    found = Answers()
    for number, child in enumerate(children):
        status, answer = os.waitpid(child, 0)[1], (folder / f"found-{number}").read_bytes()
        if status:
            raise SystemExit(answer.decode())
        found |= msgspec.json.decode(answer, type=Answers)
    return found


def pause_all(url: str, folder: Path, copies: dict[int, Ground], target: str) -> tuple[int, Answers]:
    """Let each stand still at its point until another has done its work, and go on then."""
    reached, found = 0, Answers()
    for point, ground in copies.items():
        place = folder / f"point-{point}"
        fault = Pauses(point, signal.SIGSTOP)
        child = fork(lambda: delete_and_stop(url, place, ground, target, fault), place / "answer")  # noqa: B023  at once
        if not os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]):
            continue
        reached += 1
        answer_of(folder, lambda: let_leases_run_out(url, is_after_death=False), None)
        found |= answer_of(folder, lambda: take_over(url, folder, {point: ground}, target), Answers)  # noqa: B023  likewise
        os.kill(child, signal.SIGCONT)
        if os.waitpid(child, 0)[1]:
            found[point] = (place / "answer").read_text(encoding="utf-8")
        answer_of(folder, lambda: look_again(url, place, ground, target), None)  # noqa: B023  likewise
    return reached, found


def main() -> None:
    """The command."""
    url, folder, target, is_pausing = sys.argv[1], Path(sys.argv[2]), sys.argv[3], "--pause" in sys.argv
    shim = Pauses if is_pausing else Sends
    shorten(STEP_ROWS)
    firsts: list[int] = []
    ground = answer_of(folder, lambda: prepare(url), Ground)
    ground, names = answer_of(folder, lambda: rehearsed(url, folder, ground, target, shim), tuple[Ground, list[str]])
    made = answer_of(folder, lambda: copies_of(url, folder, ground, len(names)), list[Ground])
    copies = dict(enumerate(made, start=1))
    if is_pausing:
        reached, found = pause_all(url, folder, copies, target)
    else:
        reached, found = kill_all(url, folder, copies, target)
        answer_of(folder, lambda: let_leases_run_out(url), None)
        firsts = answer_of(folder, lambda: firsts_of(url, folder, copies), list[int])
        found |= take_over_all(url, folder, {point: copies[point] for point in firsts}, target)
    answer_of(folder, lambda: look_at_all(url), None)
    faults = {point: f"{names[point - 1]}: {fault}" for point, fault in found.items()}
    sys.stdout.write(msgspec.json.encode(Outcome(len(names), reached, faults, len(firsts))).decode())


if __name__ == "__main__":
    main()
