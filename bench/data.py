"""What is measured on: one tenant with a key, and chats full of messages, in a database made for the run."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec

from antiphon.core.keys import Keys
from antiphon.core.messages import Messages
from antiphon.core.ports import Store
from antiphon.core.sessions import Sessions
from antiphon.core.tenants import Tenants
from antiphon.domain import times
from antiphon.domain.ids import text_of
from antiphon.domain.messages import USER, Draft
from antiphon.stores.postgres.store import PostgresStore
from antiphon.stores.sqlite.store import SqliteStore

WORKSPACE = "bench"
PEER = "alice"
CHATS = 200
MESSAGES = 100
TEXT_CHARACTERS = 300
_TOKENS = 60
_FIRST_MOMENT = 1_750_000_000 * times.SECOND
_YEAR = 365 * 24 * 3600 * times.SECOND
_LONGEST_GAP = 120 * times.SECOND

_SAMPLE = """
    the ship was late and so was the letter that she had hoped to find in the box near the old stone bridge
    where people wait for a bus in winter while it rains from morning until the lamps are lit again
    because nobody knows when the next one comes or whether it will stop here at all this year
"""
_WORDS = _SAMPLE.split()


class Dataset(msgspec.Struct):
    """What the requests need to know. `sessions` and `chats` are the same conversations by their two public ids.

    Without a URL the database is in `data_dir`.
    """

    data_dir: str
    url: str
    key: str
    tenant_id: str
    sessions: list[str]
    chats: list[str]
    chat_keys: list[str]


def sample_text(seed: int) -> str:
    """TEXT_CHARACTERS characters of plain words, others for every seed."""
    choice = random.Random(seed)
    text = ""
    while len(text) < TEXT_CHARACTERS:
        text += f"{choice.choice(_WORDS)} "
    return text[:TEXT_CHARACTERS]


def moments_of(chat: int) -> list[int]:
    """When the messages of a chat were said: minutes apart, never two at once: equal times print too cheaply."""
    choice = random.Random(chat)
    moment = _FIRST_MOMENT + choice.randrange(_YEAR)
    return [moment := moment + choice.randrange(_LONGEST_GAP) for _ in range(MESSAGES)]


async def make(data_dir: Path, url: str = "") -> Dataset:
    """Fill a new database: CHATS chats of MESSAGES messages each."""
    store: Store = await (PostgresStore.open(url) if url else SqliteStore.open(data_dir))
    tenant = await Tenants(store).create(WORKSPACE)
    _, key = await Keys(store).create(tenant.id)
    sessions, messages = Sessions(store), Messages(store, lambda _: _TOKENS)
    made = Dataset(str(data_dir), url, key, text_of(tenant.id), [], [], [])
    texts = [sample_text(seed) for seed in range(MESSAGES)]
    for number in range(CHATS):
        session_id = f"session-{number:04d}"
        await sessions.put_single(tenant.id, session_id, PEER)
        chat = await store.chats.find_of_single(tenant.id, session_id)
        assert chat is not None
        said = zip(texts, moments_of(number), strict=True)
        await messages.append(tenant.id, chat.key, [Draft(PEER, USER, text, created_at=at) for text, at in said])
        made.sessions.append(session_id)
        made.chats.append(chat.id)
        made.chat_keys.append(text_of(chat.key))
    await store.close()
    return made
