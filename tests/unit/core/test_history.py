"""What an agent is told was said before: the newest, in order, and not without bounds."""

from __future__ import annotations

import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.ids import Uid
from antiphon.domain.messages import USER, Draft


async def chat_with(instance: Instance, texts: list[str]) -> tuple[Uid, Chat]:
    """A chat of a tenant of its own, with these messages."""
    tenant = await instance.tenants.create("t1")
    chat, _ = await instance.chats.create_single(tenant.id, "ann", None, "{}")
    for at in range(0, len(texts), limits.MESSAGES_PER_APPEND):
        drafts = [Draft(author="ann", role=USER, text=text) for text in texts[at : at + limits.MESSAGES_PER_APPEND]]
        await instance.messages.append(tenant.id, chat.key, drafts)
    return tenant.id, chat


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 199, 200, 201, 250])
async def test_the_newest_messages_in_order(instance: Instance, count: int) -> None:
    """As many as there are, or as may be."""
    texts = [str(number) for number in range(count)]
    where = await chat_with(instance, texts)
    told = [message.text for message in await instance.messages.history(where[0], where[1].key)]
    assert told == texts[-limits.HISTORY_MESSAGES :] if texts else told == []


async def test_what_is_long_ends_sooner(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is added once the characters are reached, and what is there is whole and in order."""
    monkeypatch.setattr(limits, "HISTORY_CHARACTERS", 1_000)
    texts = [f"{number:03}" + "x" * 27 for number in range(120)]
    where = await chat_with(instance, texts)
    told = [message.text for message in await instance.messages.history(where[0], where[1].key)]
    assert told == texts[-len(told) :]
    assert 1_000 <= sum(map(len, told)) < 1_000 + limits.HISTORY_PART * 30
