"""Keys in memory: no query on a hot path, and no use of a key for longer than a second after its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.core import keys as module
from antiphon.core.keys import Keys
from antiphon.domain import limits, times
from antiphon.domain.errors import (
    AuthenticationFailed,
    InvalidInput,
    KeyNotFound,
    StoreUnavailable,
    TenantNotFound,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.keys import ADMIN, PARTICIPANT, SESSION, TENANT, read_text, write_text
from antiphon.domain.participants import PEER
from antiphon.stores.contract.worlds import new_tenant, until


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def keys(watched: Any) -> Keys:
    return Keys(watched)


@pytest.fixture
async def tenant(watched: Any) -> Uid:
    return await new_tenant(watched, "acme")


async def is_refused(keys: Keys, text: str) -> bool:
    try:
        await keys.authenticate(text)
    except AuthenticationFailed:
        return True
    return False


async def test_within_a_second_a_key_costs_one_query(keys: Keys, watched: Any, clock: Clock, tenant: Uid) -> None:
    key, text = await keys.create(tenant, "ann")
    found = {await keys.authenticate(text) for _ in range(100)}
    clock.now += limits.KEY_CACHE_SECONDS
    found.add(await keys.authenticate(text))
    assert watched.count("keys.load") == 1
    (principal,) = found
    assert (principal.tenant_id, principal.tenant_name, principal.key_id) == (tenant, "acme", key.id)
    assert (principal.scope, principal.participant_name) == (PARTICIPANT, "ann")
    clock.now += 0.001
    await keys.authenticate(text)
    assert watched.count("keys.load") == 2


async def test_a_key_in_use_is_refreshed_and_costs_its_caller_nothing(
    keys: Keys, watched: Any, clock: Clock, tenant: Uid
) -> None:
    texts = [(await keys.create(tenant))[1] for _ in range(5)]
    for text in texts:
        await keys.authenticate(text)
    for _ in range(10):
        before = watched.count("keys.load")
        clock.now += limits.KEY_CACHE_SECONDS / 2
        await keys.refresh()
        assert watched.count("keys.load") == before + 1, "one statement a tenant"
        for text in texts:
            await keys.authenticate(text)
        assert watched.count("keys.load") == before + 1


async def test_a_key_out_of_use_is_forgotten(keys: Keys, watched: Any, clock: Clock, tenant: Uid) -> None:
    _, text = await keys.create(tenant)
    await keys.authenticate(text)
    await keys.refresh()
    for _ in range(5):
        clock.now += limits.KEY_CACHE_SECONDS
        await keys.refresh()
    assert watched.count("keys.load") == 2
    assert keys._entries == {}


async def test_a_key_revoked_here_ends_at_once(keys: Keys, tenant: Uid) -> None:
    key, text = await keys.create(tenant)
    await keys.authenticate(text)
    await keys.revoke(tenant, key.id)
    assert await is_refused(keys, text)


@pytest.mark.parametrize("is_refreshed", [False, True])
async def test_a_key_revoked_elsewhere_ends_within_a_second(
    keys: Keys, watched: Any, clock: Clock, tenant: Uid, is_refreshed: bool
) -> None:
    key, text = await keys.create(tenant)
    await keys.authenticate(text)
    await watched.keys.revoke(tenant, key.id)
    assert not await is_refused(keys, text), "it may be used for the rest of its second"
    if is_refreshed:
        await keys.refresh()
    else:
        clock.now += limits.KEY_CACHE_SECONDS + 0.001
    assert await is_refused(keys, text)


@pytest.mark.parametrize("verb", ["authenticate", "refresh"])
async def test_a_key_revoked_while_it_is_loaded_does_not_come_back(
    keys: Keys, watched: Any, tenant: Uid, verb: str
) -> None:
    key, text = await keys.create(tenant)
    if verb == "refresh":
        await keys.authenticate(text)
    loaded, go_on = asyncio.Event(), asyncio.Event()

    async def hold(*_: object) -> None:
        loaded.set()
        await go_on.wait()

    watched.after["keys.load"] = hold
    loading = asyncio.ensure_future(is_refused(keys, text) if verb == "authenticate" else keys.refresh())
    await loaded.wait()
    del watched.after["keys.load"]
    await keys.revoke(tenant, key.id)
    go_on.set()
    await loading
    assert await is_refused(keys, text)


async def test_a_key_that_expires_in_memory_is_refused(
    keys: Keys, watched: Any, tenant: Uid, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_at = times.now() + 3_600 * times.SECOND
    _, text = await keys.create(tenant, expires_at=ends_at)
    await keys.authenticate(text)
    monkeypatch.setattr(times, "now", lambda: ends_at - 1)
    assert not await is_refused(keys, text)
    monkeypatch.setattr(times, "now", lambda: ends_at)
    assert await is_refused(keys, text)
    assert watched.count("keys.load") == 1


async def test_only_the_whole_text_is_a_key(keys: Keys, tenant: Uid, watched: Any) -> None:
    key, text = await keys.create(tenant)
    other = await new_tenant(watched, "other")
    await keys.authenticate(text)
    parts = read_text(text)
    assert parts is not None
    for wrong in (
        "",
        "ant_",
        text[:-1],
        text + "A",
        f" {text}",
        f"{text}\n",
        text.replace("ant_", "ANT_"),
        write_text(tenant, key.id, bytes(32)),
        write_text(other, key.id, parts.secret),
        write_text(tenant, new_uid7(), parts.secret),
        write_text(new_uid7(), key.id, parts.secret),
    ):
        assert await is_refused(keys, wrong), wrong
    assert not await is_refused(keys, text)


async def test_a_store_that_is_away_stops_nobody_at_once(keys: Keys, watched: Any, clock: Clock, tenant: Uid) -> None:
    _, text = await keys.create(tenant)
    await keys.authenticate(text)
    watched.fail("keys.load", StoreUnavailable())
    assert not await is_refused(keys, text)
    with pytest.raises(StoreUnavailable):
        await keys.refresh()
    clock.now += limits.KEY_CACHE_SECONDS + 0.001
    with pytest.raises(StoreUnavailable):
        await keys.authenticate(text)
    watched.before.clear()
    assert not await is_refused(keys, text)


async def test_refreshing_outlives_a_store_that_is_away(
    keys: Keys, watched: Any, tenant: Uid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KEY_CACHE_SECONDS", 0.02)
    _, text = await keys.create(tenant)
    await keys.authenticate(text)
    watched.fail("keys.load", StoreUnavailable(), times=3)
    task = asyncio.create_task(keys.keep_fresh())

    async def is_asked_again() -> bool:
        return bool(watched.count("keys.load") >= 5)

    await until(is_asked_again, "the store was asked again")
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_memory_is_bounded(keys: Keys, tenant: Uid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEY_CACHE_ENTRIES", 3)
    for _ in range(10):
        await keys.authenticate((await keys.create(tenant))[1])
        assert len(keys._entries) <= 3


async def test_the_scope_follows_from_what_is_named(keys: Keys, tenant: Uid, watched: Any) -> None:
    assert (await keys.create(tenant))[0].scope == TENANT
    key, text = await keys.create(tenant, "ann")
    assert key.scope == PARTICIPANT
    assert (await keys.create(tenant, "ann", TENANT))[0].participant_id == key.participant_id
    assert (await keys.create(tenant, None, ADMIN))[0].scope == ADMIN
    assert (await keys.create(tenant, None, SESSION, "s"))[0].session_id == "s"
    assert text not in repr(await keys.list(tenant))
    assert len(await keys.list(tenant)) == 5
    assert await watched.participants.find(tenant, PEER, "ann") is not None


@pytest.mark.parametrize(
    ("participant", "scope", "session_id"),
    [
        (None, "root", None),
        (None, PARTICIPANT, None),
        (None, SESSION, None),
        ("ann", TENANT, "s"),
        (None, None, "s"),
        ("", None, None),
        ("a\x00b", None, None),
        ("x" * 513, None, None),
        (None, SESSION, ""),
    ],
)
async def test_what_means_nothing_makes_no_key(
    keys: Keys, tenant: Uid, watched: Any, participant: str | None, scope: str | None, session_id: str | None
) -> None:
    with pytest.raises(InvalidInput):
        await keys.create(tenant, participant, scope, session_id)
    assert await keys.list(tenant) == []
    assert watched.count("participants.ensure") == 0


async def test_what_is_not_there_is_said(keys: Keys, tenant: Uid) -> None:
    with pytest.raises(TenantNotFound):
        await keys.create(new_uid7())
    with pytest.raises(KeyNotFound):
        await keys.revoke(tenant, new_uid7())


async def test_without_authentication_everybody_is_the_first_tenant_s_administrator(keys: Keys, watched: Any) -> None:
    with pytest.raises(TenantNotFound):
        await keys.open_principal()
    first = await new_tenant(watched)
    await new_tenant(watched)
    everybody = await keys.open_principal()
    assert (everybody.tenant_id, everybody.scope, everybody.participant_name) == (first, ADMIN, "user")


async def test_who_watches_a_key_is_told_of_its_end(keys: Keys, tenant: Uid, watched: Any) -> None:
    """By what this process does and by what another does; not once the watch is over."""
    told: list[str] = []
    for how in ("here", "elsewhere", "left"):
        key, text = await keys.create(tenant)
        principal = await keys.authenticate(text)
        with keys.watched(principal, lambda how=how: told.append(how)):  # type: ignore[misc]
            await keys.refresh()
            assert how not in told
            if how == "here":
                await keys.revoke(tenant, key.id)
                assert told == ["here"]
            elif how == "elsewhere":
                await watched.keys.revoke(tenant, key.id)
                await keys.refresh()
        if how == "left":
            await keys.revoke(tenant, key.id)
    assert told == ["here", "elsewhere"]


async def test_a_key_that_is_only_watched_costs_one_query_a_refresh(keys: Keys, tenant: Uid, watched: Any) -> None:
    _, text = await keys.create(tenant)
    principal = await keys.authenticate(text)
    with keys.watched(principal, lambda: None), keys.watched(principal, lambda: None):
        before = watched.count("keys.load")
        await keys.refresh()
        await keys.refresh()
        assert watched.count("keys.load") == before + 2
