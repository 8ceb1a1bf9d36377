"""What the contract's tests are made of: small worlds, odd values, and ways to race, to wait and to compare."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from antiphon.core.ports import Lease, Slice, Store
from antiphon.domain import times
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.connections import Connection
from antiphon.domain.deletions import DONE, ERASED, SCRUBBING, Deletion, Order
from antiphon.domain.ids import Uid, new_public_id, new_uid7
from antiphon.domain.messages import USER, Draft, Message
from antiphon.domain.participants import PEER
from antiphon.domain.receipts import Receipt, canonical, hash_of
from antiphon.domain.sessions import SINGLE, Session

ALL = Slice(0, 1_000)
WAIT_SECONDS = 10.0
LONG_LEASE_SECONDS = 60.0
SHORT_LEASE_SECONDS = 0.05
NO_LIMIT = 0
KID = "kid"

ODD_TEXTS = (
    " ",
    " a",
    "a ",
    "a",
    "A",
    "a/b",
    "a/",
    "/a",
    "..",
    "%",
    "a%",
    "%2F",
    "_",
    "'",
    '"; DROP TABLE chats; --',
    "null",
    "0",
    "00",
    "0.0",
    "1e2",
    "\n",
    "\u00e9",
    "e\u0301",  # the same to a reader, another text to a store
    "ß",
    "ss",
    "\u200b",
    "\u0130",
    "i",
    "🦜",
    "🦜" * 512,
    "x" * 511,
    "x" * 512,
    "X" * 512,
)
"""Texts that a careless collation, pattern or path would take for one another; all are legal as ids and as names."""

ODD_JSON = (
    "{}",
    '{"b":1,"a":2,"c":{"z":[],"y":{}}}',
    '{"n":[0,-1,9007199254740993,18446744073709551615,0.1,1e300,-2.5e-7,true,false,null]}',
    '{"text":"é e\u0301 🦜 \\u0000 \\" \\\\ \\n","":"empty","ключ":"значение"}',
    json.dumps({"deep": json.loads("[" * 90 + "]" * 90)}, separators=(",", ":")),
    json.dumps({"wide": "w" * 2_000_000}, separators=(",", ":")),
)
"""JSON objects as text: key order, numbers past a double, escapes, depth and two megabytes must all come back."""


async def new_tenant(store: Store, name: str | None = None) -> Uid:
    """A tenant, of a name that nobody has when none is given."""
    return (await store.tenants.create(name or f"t-{new_public_id()}", "assistant")).id


async def new_multi(store: Store, tenant_id: Uid, owner: str = "ann", title: str = "T") -> tuple[Session, Chat]:
    """A `multi` session with its first chat."""
    who, _ = await store.participants.ensure(tenant_id, PEER, owner)
    return await store.sessions.create_multi(tenant_id, who.id, title, None, None)


async def new_single(store: Store, tenant_id: Uid, session_id: str = "s", owner: str = "ann") -> tuple[Session, Chat]:
    """A `single` session of that id with its chat."""
    session, _ = await store.sessions.put_single(tenant_id, session_id, owner, None, None, [])
    chat = await store.chats.find_of_single(tenant_id, session_id)
    assert chat is not None
    return session, chat


async def add_chat(store: Store, tenant_id: Uid, session: Session, chat_id: str) -> tuple[Chat, bool]:
    """A chat of that id in a `multi` session, and whether it was made now."""
    return await store.chats.create(tenant_id, session.key, session.owner_id, chat_id, DEFAULT_TITLE, None)


async def new_chats(store: Store, tenant_id: Uid, count: int) -> tuple[Session, list[Chat]]:
    """A `multi` session of that many chats."""
    session, first = await new_multi(store, tenant_id)
    more = [(await add_chat(store, tenant_id, session, f"c{i}"))[0] for i in range(1, count)]
    return session, [first, *more]


def draft(text: str, author: str = "ann", **more: Any) -> Draft:
    """A message of the role `user` that is to be appended."""
    return Draft(author=author, role=more.pop("role", USER), text=text, **more)


async def say(store: Store, tenant_id: Uid, chat: Chat, *texts: str) -> list[Message]:
    """Append one message a text, as one batch."""
    return await store.messages.append(tenant_id, chat.key, [draft(text) for text in texts])


async def say_many(store: Store, tenant_id: Uid, chat: Chat, count: int) -> None:
    """Append that many messages in batches."""
    for first in range(0, count, 100):
        await say(store, tenant_id, chat, *(f"m{i}" for i in range(first, min(first + 100, count))))


async def texts_of(store: Store, tenant_id: Uid, chat_key: Uid) -> list[str]:
    """The texts of a chat's messages (at most a thousand) in order."""
    return [message.text for message in (await store.messages.page(tenant_id, chat_key, ALL)).items]


async def reload_chat(store: Store, chat: Chat, tenant_id: Uid) -> Chat:
    """The chat as it is now."""
    found = await store.chats.find_by_key(tenant_id, chat.key)
    assert found is not None
    return found


async def connect(
    store: Store, tenant_id: Uid, chat: Chat, node: Uid, lease_seconds: float = LONG_LEASE_SECONDS, who: str = "ann"
) -> Connection:
    """A socket on a chat, without a limit on their number."""
    return await store.connections.open(tenant_id, chat.key, who, node, NO_LIMIT, lease_seconds)


async def detach(store: Store, tenant_id: Uid, chat: Chat, mode: str = "refuse") -> Deletion:
    """Delete a chat, leaving all its rows to the purge."""
    return (await store.deletions.detach_chat(tenant_id, chat.key, Order(mode))).deletion


async def take_lease(store: Store, tenant_id: Uid, node: Uid, lease_seconds: float = LONG_LEASE_SECONDS) -> Lease:
    """The lease of the tenant's oldest job; it must be there to take."""
    (lease,) = await store.deletions.claim(tenant_id, node, lease_seconds)
    return lease


async def wait_for_lease(store: Store, tenant_id: Uid, node: Uid) -> Lease:
    """The lease of the tenant's next job, as soon as there is one to take."""
    taken: list[Lease] = []

    async def is_taken() -> bool:
        taken.extend(await store.deletions.claim(tenant_id, node, LONG_LEASE_SECONDS))
        return bool(taken)

    await until(is_taken, "a job could be taken")
    return taken[0]


def issue(deletion: Deletion, tenant: str, sequence: int, previous: str) -> Receipt:
    """A receipt as a store gets it from the core, but for the signature."""
    body = canonical(
        {
            "tenant": tenant,
            "sequence": sequence,
            "previous": previous,
            "target": deletion.target_digest,
            "counts": deletion.counts,
            "bytes": deletion.bytes,
            "scrubbed_at": deletion.scrubbed_at,
        }
    )
    return Receipt(
        deletion.tenant_id, sequence, new_uid7(), deletion.id, KID, body.decode(), hash_of(body), times.now()
    )


async def reload_deletion(store: Store, tenant_id: Uid, deletion_id: Uid) -> Deletion:
    """The deletion as it is now."""
    found = await store.deletions.find(tenant_id, deletion_id)
    assert found is not None
    return found


async def remove(store: Store, lease: Lease, node: Uid, rows_max: int = 500) -> Counter[str]:
    """Do the steps of a job until only its bytes are left: what went, by table."""
    removed: Counter[str] = Counter()
    is_done = lease.state == SCRUBBING
    while not is_done:
        step = await store.deletions.step(lease, node, rows_max, LONG_LEASE_SECONDS)
        assert not step.is_blocked
        removed.update(step.removed)
        is_done = step.is_done
    return removed


async def complete(store: Store, lease: Lease, node: Uid) -> Receipt:
    """End a job that has no rows left."""
    return await store.deletions.complete(lease, node, ERASED, issue)


async def purge(store: Store, tenant_id: Uid, rows_max: int = 500) -> None:
    """Carry out every deletion of a tenant that may run now, to the receipt."""
    node = new_uid7()
    while leases := await store.deletions.claim(tenant_id, node, LONG_LEASE_SECONDS):
        for lease in leases:
            await remove(store, lease, node, rows_max)
            await complete(store, lease, node)
            assert (await reload_deletion(store, tenant_id, lease.deletion_id)).state == DONE


async def race(*racers: Coroutine[Any, Any, Any]) -> list[Any]:
    """Start all at once, in a random order; what each came to, result or error, in the order given."""
    tasks: dict[int, asyncio.Task[Any]] = {}
    for index in random.sample(range(len(racers)), len(racers)):
        tasks[index] = asyncio.ensure_future(racers[index])
    return await asyncio.gather(*(tasks[index] for index in range(len(racers))), return_exceptions=True)


def wins(outcomes: Sequence[Any]) -> list[Any]:
    """The results of a race without its errors."""
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def losses(outcomes: Sequence[object]) -> list[type[BaseException]]:
    """The kinds of the errors of a race."""
    return [type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask again and again until it holds; fails after WAIT_SECONDS."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while not await condition():
        assert time.monotonic() < give_up_at, f"waited in vain until {what}"
        await asyncio.sleep(0.005)


async def check_parts(read: Callable[[Slice], Awaitable[tuple[list[Any], int]]], expected: Sequence[Any]) -> None:
    """Read every part of a list, from every offset to past its end, both ways round; the total is always the same."""
    for is_reversed in (False, True):
        whole = list(expected)[::-1] if is_reversed else list(expected)
        for offset in range(len(whole) + 3):
            for limit in (0, 1, 2, len(whole), len(whole) + 7):
                part, total = await read(Slice(offset, limit, is_reversed))
                assert part == whole[offset : offset + limit], (offset, limit, is_reversed)
                assert total == len(whole), (offset, limit, is_reversed)


async def list_of_sessions(store: Store, tenant_id: Uid, shape: str = SINGLE) -> tuple[list[str], int]:
    """The ids of the sessions of a shape, and how many there are."""
    found, total = await store.sessions.list(tenant_id, shape, ALL)
    return [session.id for session in found], total


async def list_of_names(store: Store, tenant_id: Uid, kind: str = PEER) -> tuple[list[str], int]:
    """The names of the participants of a kind, and how many there are."""
    found, total = await store.participants.list(tenant_id, kind, ALL)
    return [who.name for who in found], total
