"""What is broken in a SQLite file is found, and a file with a table that nobody knows how to delete from is refused."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from antiphon.domain.deletions import CANCEL, Order
from antiphon.domain.errors import StoreFailed
from antiphon.domain.participants import PEER
from antiphon.stores.contract.imports import HEAD, begin, opening, write
from antiphon.stores.contract.soundness import check_sound, new_busy_tenant
from antiphon.stores.contract.worlds import detach, new_tenant, purge
from antiphon.stores.sqlite.database import FILE_NAME
from antiphon.stores.sqlite.store import SqliteStore

BREAKS = (
    ("DELETE FROM chats", {"messages.chat_key", "reads.chat_key", "connections.chat_key", "turns.chat_key"}),
    ("DELETE FROM sessions", {"members.session_key", "chats.session_key"}),
    ("DELETE FROM turns", {"turn_events.turn_id"}),
    ("DELETE FROM participants WHERE name = 'ben'", {"messages.author_id", "members.participant_id"}),
    ("DELETE FROM participants WHERE name = 'ann'", {"keys.participant_id", "reads.participant_id"}),
    ("DELETE FROM tenants", {"participants.tenant_id", "keys.tenant_id", "sessions.tenant_id"}),
    ("DELETE FROM deletions", {"chats.husk"}),
    ("UPDATE deletions SET state = 'waiting'", {"chats.husk"}),
    ("UPDATE deletions SET state = 'detached'", {"chats.husk"}),
    ("UPDATE sessions SET id = NULL; DELETE FROM deletions", {"sessions.husk"}),
    ("UPDATE participants SET kind = 'gone'; DELETE FROM deletions", {"participants.husk"}),
    ("UPDATE tenants SET name = NULL; DELETE FROM deletions", {"tenants.husk"}),
)


def break_file(data_dir: Path, sql: str) -> None:
    """Do it to the database without its rules."""
    connection = apsw.Connection(str(data_dir / FILE_NAME))
    connection.set_busy_timeout(5_000)
    connection.execute(sql)
    connection.close()


@pytest.mark.parametrize(("sql", "expected"), BREAKS)
async def test_what_was_left_behind_is_counted(
    store: SqliteStore, tmp_path: Path, sql: str, expected: set[str]
) -> None:
    tenant = await new_busy_tenant(store)
    chat = await store.chats.find(tenant, "more")
    assert chat is not None
    await detach(store, tenant, chat, CANCEL)
    await check_sound(store)
    break_file(tmp_path / "data", sql)
    found = {name for name, count in (await store.orphans()).items() if count}
    assert expected <= found


async def test_an_unfinished_import_holds_no_name_of_somebody_who_is_deleted(
    store: SqliteStore, tmp_path: Path
) -> None:
    tenant = await new_tenant(store)
    await write(store, tenant, await begin(store, tenant, opening()), HEAD)
    ben = await store.participants.find(tenant, PEER, "ben")
    assert ben is not None
    reader = apsw.Connection(str(tmp_path / "data" / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    named = "SELECT state, instr(participant_ids, 'ben') > 0 FROM imports"
    assert reader.execute(named).fetchall() == [("writing", 1)]
    await store.deletions.detach_participant(tenant, ben.id, Order(CANCEL))
    assert reader.execute(named).fetchall() == [("writing", 0)]


async def test_a_row_without_its_parent_is_a_fault(store: SqliteStore, tmp_path: Path) -> None:
    await new_busy_tenant(store)
    break_file(tmp_path / "data", "DELETE FROM turns")
    faults = await store.check_integrity()
    assert len(faults) == 3
    assert all("turn_events" in fault and "turns" in fault for fault in faults)


async def test_a_deletion_from_before_there_were_receipts_gets_one(store: SqliteStore, tmp_path: Path) -> None:
    tenants = [await new_busy_tenant(store) for _ in range(2)]
    await store.deletions.detach_tenant(tenants[0], with_sessions=True)
    chat = await store.chats.find(tenants[1], "more")
    assert chat is not None
    await detach(store, tenants[1], chat, CANCEL)
    break_file(
        tmp_path / "data", "DELETE FROM receipt_heads; UPDATE deletions SET target_id = NULL, target_digest = ''"
    )
    for tenant in tenants:
        await purge(store, tenant)
        assert [receipt.sequence for receipt in await store.receipts.list(tenant, 0, 10)] == [1]


async def test_a_table_without_a_rule_stops_the_start(tmp_path: Path) -> None:
    await (await SqliteStore.open(tmp_path)).close()
    break_file(tmp_path, "CREATE TABLE diaries (day TEXT)")
    with pytest.raises(StoreFailed, match="diaries"):
        await SqliteStore.open(tmp_path)
    break_file(tmp_path, "DROP TABLE diaries")
    await (await SqliteStore.open(tmp_path)).close()
