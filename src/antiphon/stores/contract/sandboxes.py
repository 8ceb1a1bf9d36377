"""The contract of sandboxes: one life a session, changed by one transition at a time, gone with its directory first."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from antiphon.core.ports import ALL_OF_IT, Store
from antiphon.domain import sandboxes
from antiphon.domain.deletions import PURGING, SANDBOX_FILES, Order
from antiphon.domain.errors import NotFound, SandboxStopping, SessionNotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.sandboxes import ACTIVE, PROVISIONING, Sandbox
from antiphon.domain.sessions import Session
from antiphon.domain.turns import TurnStart
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    complete,
    new_multi,
    new_single,
    new_tenant,
    race,
    reload_deletion,
    remove,
    say,
    take_lease,
)

PLACE = "here"
NOW = 1_700_000_000_000_000


def begun(sandbox: Sandbox) -> Sandbox:
    """A sandbox that was made at NOW."""
    return sandboxes.started(sandboxes.placed(sandbox, PLACE), NOW)


async def new_sandbox(store: Store) -> tuple[Uid, Session, Sandbox]:
    """A tenant with a session that has a sandbox."""
    tenant_id = await new_tenant(store)
    session, _ = await new_multi(store, tenant_id)
    return tenant_id, session, await store.sandboxes.change(tenant_id, session.key, begun)


class SandboxContract:
    """Lives as rows."""

    async def test_a_session_has_one_that_was_never_made(self, store: Store) -> None:
        tenant_id = await new_tenant(store)
        session, chat = await new_multi(store, tenant_id)
        found = await store.sandboxes.find(tenant_id, session.key)
        assert found is not None
        assert (found.state, found.version, found.is_named, found.place) == (PROVISIONING, 0, False, None)
        assert (found.session_id, found.session_key) == (session.id, session.key)
        assert await store.sandboxes.find_of_chat(tenant_id, chat.key) is None
        assert await store.sandboxes.is_placed(tenant_id, session.key) is False

    async def test_every_field_comes_back(self, store: Store) -> None:
        tenant_id, session, _ = await new_sandbox(store)
        full = {
            "place": "there",
            "is_named": True,
            "state": None,
            "version": 7,
            "last_activity_at": NOW,
            "expires_at": NOW + 1,
            "runtime_expires_at": NOW + 2,
            "hibernate_after": NOW + 3,
            "run_id": "lifecycle:1:x",
            "error": "é \n 🦜",
        }
        made = await store.sandboxes.change(tenant_id, session.key, lambda old: msgspec.structs.replace(old, **full))
        found = await store.sandboxes.find(tenant_id, session.key)
        assert found is not None
        assert {name: getattr(found, name) for name in full} == full
        assert {name: getattr(made, name) for name in full} == full

    async def test_a_change_moves_the_session_and_no_change_does_not(self, store: Store) -> None:
        tenant_id = await new_tenant(store)
        session, _ = await new_multi(store, tenant_id)
        await store.sandboxes.change(tenant_id, session.key, lambda old: old)
        same = await store.sessions.find(tenant_id, session.id)
        assert same is not None
        assert same.updated_at == session.updated_at
        await store.sandboxes.change(tenant_id, session.key, begun)
        moved = await store.sessions.find(tenant_id, session.id)
        assert moved is not None
        assert moved.updated_at > session.updated_at

    async def test_what_a_transition_raises_changes_nothing(self, store: Store) -> None:
        tenant_id, session, before = await new_sandbox(store)
        with pytest.raises(SandboxStopping):
            await store.sandboxes.change(tenant_id, session.key, sandboxes.unarchived)
        after = await store.sandboxes.find(tenant_id, session.key)
        assert after is not None
        assert (after.state, after.version) == (ACTIVE, before.version)

    async def test_transitions_follow_one_another(self, store: Store) -> None:
        tenant_id = await new_tenant(store)
        session, _ = await new_multi(store, tenant_id)
        await race(*(store.sandboxes.change(tenant_id, session.key, begun) for _ in range(8)))
        found = await store.sandboxes.find(tenant_id, session.key)
        assert found is not None
        assert found.version == 8

    async def test_one_worker_gets_the_lease(self, store: Store) -> None:
        tenant_id, session, _ = await new_sandbox(store)
        names = [f"run {number}" for number in range(6)]
        after = await race(
            *(
                store.sandboxes.change(tenant_id, session.key, partial(sandboxes.leased, now=NOW, run_id=run))
                for run in names
            )
        )
        assert len({sandbox.run_id for sandbox in after}) == 1

    async def test_it_is_busy_while_a_chat_is_answered(self, store: Store) -> None:
        tenant_id = await new_tenant(store)
        session, chat = await new_multi(store, tenant_id)
        start = TurnStart(chat.key, new_uid7(), "assistant")
        await store.turns.claim(tenant_id, new_uid7(), start, new_uid7(), 10, LONG_LEASE_SECONDS)
        found = await store.sandboxes.find(tenant_id, session.key)
        assert found is not None
        assert found.is_busy is True

    async def test_a_single_session_has_none(self, store: Store) -> None:
        tenant_id = await new_tenant(store)
        session, _ = await new_single(store, tenant_id)
        assert await store.sandboxes.find(tenant_id, session.key) is None
        with pytest.raises(SessionNotFound):
            await store.sandboxes.change(tenant_id, session.key, begun)

    async def test_it_is_found_by_any_chat_of_its_session(self, store: Store) -> None:
        tenant_id = await new_tenant(store)
        session, chat = await new_multi(store, tenant_id)
        await store.sandboxes.change(tenant_id, session.key, begun)
        found = await store.sandboxes.find_of_chat(tenant_id, chat.key)
        assert found is not None
        assert found.session_key == session.key

    async def test_the_overdue_ones_of_a_place(self, store: Store) -> None:
        tenant_id, session, sandbox = await new_sandbox(store)
        due = sandbox.hibernate_after
        assert due is not None
        assert (tenant_id, session.key) in await store.sandboxes.overdue(PLACE, due + 1, 1_000)
        assert (tenant_id, session.key) not in await store.sandboxes.overdue(PLACE, due, 1_000)
        assert (tenant_id, session.key) not in await store.sandboxes.overdue("elsewhere", due + 1, 1_000)
        await store.sandboxes.change(tenant_id, session.key, sandboxes.archived)
        assert (tenant_id, session.key) not in await store.sandboxes.overdue(PLACE, due + 1, 1_000)


class SandboxDeletionContract:
    """A session's directory goes before the rows that say where it is."""

    @pytest.mark.parametrize("kind", ["session", "participant", "tenant"])
    async def test_no_row_goes_before_its_directory(self, store: Store, kind: str) -> None:
        tenant_id, session, _ = await new_sandbox(store)
        deletions = store.deletions
        if kind == "session":
            deletion = (await deletions.detach_session(tenant_id, session.key, ALL_OF_IT)).deletion
        elif kind == "participant":
            deletion = (await deletions.detach_participant(tenant_id, session.owner_id, ALL_OF_IT)).deletion
        else:
            deletion = (await deletions.detach_tenant(tenant_id, with_sessions=True)).deletion
        assert await store.sandboxes.find(tenant_id, session.key) is None
        with pytest.raises(SessionNotFound):
            await store.sandboxes.change(tenant_id, session.key, begun)
        node = new_uid7()
        lease = await take_lease(store, tenant_id, node)
        while (step := await deletions.step(lease, node, 500, LONG_LEASE_SECONDS)).state != PURGING or not step.files:
            assert not step.is_done
        assert step.files == ((session.key, PLACE),)
        again = await deletions.step(lease, node, 500, LONG_LEASE_SECONDS)
        assert (again.state, again.files) == (PURGING, step.files)
        assert await store.sandboxes.is_placed(tenant_id, session.key) is True
        await deletions.clear_files(lease, node, session.key, 3)
        assert await store.sandboxes.is_placed(tenant_id, session.key) is False
        removed = await remove(store, lease, node)
        assert removed["sandboxes"] == 1
        await complete(store, lease, node)
        counts = (await reload_deletion(store, tenant_id, deletion.id)).counts
        assert (counts[SANDBOX_FILES], counts["sandboxes"], counts["sessions"]) == (3, 1, 1)

    async def test_a_small_one_is_not_purged_with_its_detach(self, store: Store) -> None:
        tenant_id, session, _ = await new_sandbox(store)
        order = Order("cancel", inline_messages=100)
        deletion = (await store.deletions.detach_session(tenant_id, session.key, order)).deletion
        assert deletion.state == PURGING
        assert await store.sandboxes.is_placed(tenant_id, session.key) is True

    async def test_one_without_a_directory_holds_nothing_up(self, store: Store) -> None:
        tenant_id = await new_tenant(store)
        session, _ = await new_multi(store, tenant_id)
        await store.sandboxes.change(tenant_id, session.key, sandboxes.archived)
        order = Order("cancel", inline_messages=100)
        deletion = (await store.deletions.detach_session(tenant_id, session.key, order)).deletion
        assert deletion.counts == {"chats": 1, "sandboxes": 1, "sessions": 1}

    async def test_who_has_lost_the_lease_notes_nothing(self, store: Store) -> None:
        tenant_id, session, _ = await new_sandbox(store)
        await store.deletions.detach_session(tenant_id, session.key, ALL_OF_IT)
        lease = await take_lease(store, tenant_id, new_uid7())
        with pytest.raises(NotFound):
            await store.deletions.clear_files(lease, new_uid7(), session.key, 3)
        assert await store.sandboxes.is_placed(tenant_id, session.key) is True

    async def test_a_deleted_chat_leaves_the_sandbox_alone(self, store: Store) -> None:
        tenant_id = await new_tenant(store)
        session, chat = await new_multi(store, tenant_id)
        other, _ = await store.chats.create(tenant_id, session.key, session.owner_id, "other", "T", None)
        await say(store, tenant_id, other, "a")
        await store.sandboxes.change(tenant_id, session.key, begun)
        await store.deletions.detach_chat(tenant_id, chat.key, ALL_OF_IT)
        node = new_uid7()
        await remove(store, await take_lease(store, tenant_id, node), node)
        found = await store.sandboxes.find(tenant_id, session.key)
        assert found is not None
        assert found.is_named is True

    async def test_a_late_purge_of_a_chat_leaves_the_session_to_its_own(self, store: Store) -> None:
        tenant_id = await new_tenant(store)
        session, chat = await new_multi(store, tenant_id)
        await store.chats.create(tenant_id, session.key, session.owner_id, "other", "T", None)
        await store.sandboxes.change(tenant_id, session.key, begun)
        await store.deletions.detach_chat(tenant_id, chat.key, ALL_OF_IT)
        await store.deletions.detach_session(tenant_id, session.key, Order("cancel"))
        node = new_uid7()
        first = await take_lease(store, tenant_id, node)
        second = await take_lease(store, tenant_id, node)
        step = await store.deletions.step(second, node, 500, LONG_LEASE_SECONDS)
        assert step.files == ((session.key, PLACE),)
        await remove(store, first, node)
        await store.deletions.clear_files(second, node, session.key, 0)
        assert (await remove(store, second, node))["sessions"] == 1
