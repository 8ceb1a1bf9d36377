"""Kept answers: one of all who try does the work, and nobody is shown what tells of something that is gone."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.deletions import Order
from antiphon.domain.errors import TenantNotFound
from antiphon.domain.idempotency import KeptAnswer, Subject
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    SHORT_LEASE_SECONDS,
    add_chat,
    detach,
    draft,
    new_multi,
    new_single,
    new_tenant,
    purge,
    race,
    until,
    wins,
)

DIGEST, OTHER = bytes(range(32)), bytes(range(32, 64))
REQUEST, ANSWER = b"r" * 32, b"sealed"
HOLDER = new_uid7()
NO_TIME = 0.0


async def begin(store: Store, tenant: Uid, holder: Uid = HOLDER, **more: Any) -> KeptAnswer | None:
    """A claim; with a request or a lease of its own where they are given."""
    asked = {"request": REQUEST, "lease_seconds": LONG_LEASE_SECONDS, "digest": DIGEST, **more}
    return await store.idempotency.claim(tenant, holder=holder, **asked)


async def keep(store: Store, tenant: Uid, digest: bytes = DIGEST, **subject: Uid) -> bool:
    """A claim and its answer, which is kept for long."""
    assert await begin(store, tenant, digest=digest) is None
    return await store.idempotency.keep(tenant, digest, HOLDER, ANSWER, Subject(**subject), LONG_LEASE_SECONDS)


class IdempotencyContract:
    """`core.ports.IdempotencyStore`."""

    async def test_an_answer_is_kept(self, store: Store) -> None:
        tenant = await new_tenant(store)
        assert await begin(store, tenant) is None
        assert await begin(store, tenant, new_uid7()) == KeptAnswer(REQUEST, None)
        assert await store.idempotency.keep(tenant, DIGEST, HOLDER, ANSWER, Subject(), LONG_LEASE_SECONDS) is True
        for request in (REQUEST, b"x" * 32):
            assert await begin(store, tenant, new_uid7(), request=request) == KeptAnswer(REQUEST, ANSWER)
        assert await begin(store, tenant, digest=OTHER) is None

    async def test_one_of_many_does_the_work(self, store: Store) -> None:
        tenant = await new_tenant(store)
        for number in range(5):
            outcomes = await race(*(begin(store, tenant, new_uid7(), digest=bytes([number]) * 32) for _ in range(8)))
            assert outcomes.count(None) == 1
            assert len(wins(outcomes)) == 8

    async def test_a_claim_whose_holder_is_dead_is_taken_over(self, store: Store) -> None:
        tenant = await new_tenant(store)
        assert await begin(store, tenant, lease_seconds=SHORT_LEASE_SECONDS) is None
        heir = new_uid7()

        async def is_taken() -> bool:
            return await begin(store, tenant, heir) is None

        await until(is_taken, "the lease is over")
        assert await store.idempotency.keep(tenant, DIGEST, HOLDER, b"late", Subject(), LONG_LEASE_SECONDS) is False
        await store.idempotency.release(tenant, DIGEST, HOLDER)
        assert await begin(store, tenant) == KeptAnswer(REQUEST, None), "the dead one took it from the heir"
        assert await store.idempotency.keep(tenant, DIGEST, heir, ANSWER, Subject(), LONG_LEASE_SECONDS) is True

    async def test_a_dead_claim_is_for_the_same_request_alone(self, store: Store) -> None:
        tenant = await new_tenant(store)
        assert await begin(store, tenant, lease_seconds=NO_TIME) is None
        other = {"request": b"x" * 32, "lease_seconds": -limits.IDEMPOTENCY_SECONDS}
        assert await begin(store, tenant, new_uid7(), **other) == KeptAnswer(REQUEST, None)
        assert await begin(store, tenant, new_uid7(), lease_seconds=-limits.IDEMPOTENCY_SECONDS) is None
        assert await begin(store, tenant, new_uid7(), **other) is None, "it lasts longer than an answer"

    async def test_a_renewed_claim_stays(self, store: Store) -> None:
        tenant = await new_tenant(store)
        assert await begin(store, tenant) is None
        await store.idempotency.renew(tenant, DIGEST, new_uid7(), NO_TIME)
        assert await begin(store, tenant) == KeptAnswer(REQUEST, None), "somebody else has renewed it"
        await store.idempotency.renew(tenant, DIGEST, HOLDER, NO_TIME)
        assert await begin(store, tenant) is None
        await store.idempotency.keep(tenant, DIGEST, HOLDER, ANSWER, Subject(), LONG_LEASE_SECONDS)
        await store.idempotency.renew(tenant, DIGEST, HOLDER, NO_TIME)
        assert await begin(store, tenant) == KeptAnswer(REQUEST, ANSWER), "a late renewal has cut the answer's time"

    async def test_what_is_given_up_is_free(self, store: Store) -> None:
        tenant = await new_tenant(store)
        assert await begin(store, tenant) is None
        await store.idempotency.release(tenant, DIGEST, new_uid7())
        assert await begin(store, tenant) == KeptAnswer(REQUEST, None)
        await store.idempotency.release(tenant, DIGEST, HOLDER)
        assert await keep(store, tenant) is True
        await store.idempotency.release(tenant, DIGEST, HOLDER)
        assert await begin(store, tenant) == KeptAnswer(REQUEST, ANSWER), "an answer was given up"

    async def test_old_answers_do_not_count_and_are_swept(self, store: Store) -> None:
        tenant, other = await new_tenant(store), await new_tenant(store)
        assert await keep(store, tenant, OTHER) is True
        for number in range(3):
            assert await begin(store, tenant, digest=bytes([number]) * 32) is None
            await store.idempotency.keep(tenant, bytes([number]) * 32, HOLDER, ANSWER, Subject(), NO_TIME)
        assert await begin(store, other, lease_seconds=-limits.IDEMPOTENCY_SECONDS) is None
        assert await begin(store, other, digest=OTHER, lease_seconds=NO_TIME) is None
        assert set(await store.idempotency.late(100)) == {tenant, other}
        assert len(await store.idempotency.late(1)) == 1
        assert await begin(store, tenant, digest=bytes(32)) is None, "an answer that is too old was given"
        assert [await store.idempotency.sweep(tenant, 1) for _ in range(3)] == [1, 1, 0]
        assert await store.idempotency.late(100) == [other]
        assert [await store.idempotency.sweep(other, 100) for _ in range(2)] == [1, 0]
        assert await store.idempotency.late(100) == [], "a claim was swept that still says what was asked"
        assert await begin(store, tenant, digest=OTHER) == KeptAnswer(REQUEST, ANSWER), "one in time was swept"

    async def test_it_is_gone_with_what_it_tells_of(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_multi(store, tenant)
        gone, _ = await add_chat(store, tenant, session, "gone")
        digests = [bytes([number]) * 32 for number in range(2)]
        assert await keep(store, tenant, digests[0], chat_key=chat.key, session_key=session.key) is True
        assert await keep(store, tenant, digests[1], chat_key=gone.key) is True
        await detach(store, tenant, gone)
        assert await begin(store, tenant, digest=digests[0]) == KeptAnswer(REQUEST, ANSWER)
        assert await begin(store, tenant, digest=digests[1]) is None, "it was shown before it was purged"
        assert (
            await store.idempotency.keep(tenant, digests[1], HOLDER, ANSWER, Subject(chat_key=gone.key), NO_TIME)
            is False
        )
        assert await keep(store, tenant, digests[1]) is True, "a claim whose subject is gone was left behind"
        await purge(store, tenant)
        assert await begin(store, tenant, digest=digests[0]) == KeptAnswer(REQUEST, ANSWER)
        assert sum((await store.orphans()).values()) == 0

    async def test_the_purge_takes_it(self, store: Store) -> None:
        tenant = await new_tenant(store)
        single, chat = await new_single(store, tenant)
        await keep(store, tenant, DIGEST, chat_key=chat.key)
        await keep(store, tenant, OTHER, session_key=single.key)
        await store.deletions.detach_session(tenant, single.key, Order("cancel"))
        await purge(store, tenant, rows_max=1)
        assert sum((await store.orphans()).values()) == 0
        assert [await begin(store, tenant, digest=digest) for digest in (DIGEST, OTHER)] == [None, None]

    async def test_it_goes_with_a_participant_and_from_the_chats_it_spoke_in(self, store: Store) -> None:
        tenant = await new_tenant(store)
        ann, _ = await store.participants.ensure(tenant, PEER, "ann")
        ben, _ = await store.participants.ensure(tenant, PEER, "ben")
        _, chat = await new_single(store, tenant, "s", "ben")
        _, apart = await new_single(store, tenant, "t", "ben")
        await store.messages.append(tenant, chat.key, [draft("a", "ann"), draft("b", "ben")])
        digests = [bytes([number]) * 32 for number in range(4)]
        await keep(store, tenant, digests[0], participant_id=ann.id)
        await keep(store, tenant, digests[1], participant_id=ben.id)
        await keep(store, tenant, digests[2], chat_key=chat.key)
        await keep(store, tenant, digests[3], chat_key=apart.key)
        await store.deletions.detach_participant(tenant, ann.id, Order("cancel"))
        assert await begin(store, tenant, new_uid7(), digest=digests[0]) is None
        await purge(store, tenant, rows_max=2)
        left = [await begin(store, tenant, new_uid7(), digest=digest) is not None for digest in digests]
        assert left == [True, True, False, True]

    async def test_it_goes_with_the_tenant(self, store: Store) -> None:
        tenant = await new_tenant(store)
        await keep(store, tenant)
        await store.deletions.detach_tenant(tenant)
        with pytest.raises(TenantNotFound):
            await begin(store, tenant, digest=OTHER)
        await purge(store, tenant)
        with pytest.raises(TenantNotFound):
            await begin(store, tenant)
        assert await store.idempotency.late(100) == []

    async def test_another_tenant_s_is_not_there(self, store: Store) -> None:
        tenant, other = await new_tenant(store), await new_tenant(store)
        _, chat = await new_single(store, other)
        await keep(store, tenant)
        assert await begin(store, other) is None
        assert await store.idempotency.keep(other, DIGEST, HOLDER, b"theirs", Subject(), LONG_LEASE_SECONDS) is True
        assert await begin(store, tenant) == KeptAnswer(REQUEST, ANSWER)
        assert await keep(store, tenant, OTHER, chat_key=chat.key) is False, "it hangs on another tenant's chat"
