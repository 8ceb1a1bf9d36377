"""The tools that come with the server: what they read, and what they refuse."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from antiphon.core.ports import Tool
from antiphon.core.tools import CurrentTime, SearchChat, Tools
from antiphon.domain import limits
from antiphon.domain.errors import ToolRefused
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import USER, Draft
from antiphon.stores.contract.worlds import new_chats, new_tenant


@pytest.fixture
async def place(store: Any) -> tuple[Uid, Uid]:
    """A tenant and a chat in it."""
    tenant = await new_tenant(store)
    _, chats = await new_chats(store, tenant, 2)
    return tenant, chats[0].key


async def say(store: Any, place: tuple[Uid, Uid], *texts: str) -> None:
    for start in range(0, len(texts), limits.MESSAGES_PER_APPEND):
        drafts = [Draft(author="ann", role=USER, text=text) for text in texts[start:][: limits.MESSAGES_PER_APPEND]]
        await store.messages.append(*place, drafts)


async def found(store: Any, place: tuple[Uid, Uid], words: str) -> list[str]:
    answer = await SearchChat(store, *place).run({"words": words})
    return [message["text"] for message in answer["messages"]]


async def test_there_are_two_and_their_schemas_are_sound(store: Any) -> None:
    tools = Tools(store).for_chat(new_uid7(), new_uid7())
    assert [tool.name for tool in tools] == ["current_time", "search_chat"]
    for tool in tools:
        jsonschema.Draft202012Validator.check_schema(dict(tool.schema))
        assert not tool.is_answered_by_client


async def test_time__in_utc_and_elsewhere() -> None:
    tool: Tool = CurrentTime()
    here, there = await tool.run({}), await tool.run({"time_zone": "Asia/Kolkata"})
    for answer, zone, offset in ((here, "UTC", timedelta()), (there, "Asia/Kolkata", timedelta(hours=5.5))):
        told = datetime.fromisoformat(answer["time"])
        assert answer["time_zone"] == zone
        assert told.utcoffset() == offset
        assert abs(datetime.now(UTC) - told) < timedelta(seconds=60)
        assert answer["weekday"] == f"{told:%A}"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe", "a\x00b", "é" * 64])
async def test_time__a_zone_that_is_none(zone: str) -> None:
    with pytest.raises(ToolRefused):
        await CurrentTime().run({"time_zone": zone})


async def test_search__all_words_whatever_their_case_newest_first(store: Any, place: tuple[Uid, Uid]) -> None:
    await say(store, place, "Red apples", "green APPLES", "red pears", "apples, red and green", "STRASSE")
    assert await found(store, place, "red apples") == ["apples, red and green", "Red apples"]
    assert await found(store, place, "straße") == ["STRASSE"]
    assert await found(store, place, "plums") == []


async def test_search__tells_who_and_when(store: Any, place: tuple[Uid, Uid]) -> None:
    await say(store, place, "apples")
    (hit,) = (await SearchChat(store, *place).run({"words": "apples"}))["messages"]
    assert (hit["author"], hit["role"]) == ("ann", "user")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(hit["at"])) < timedelta(seconds=60)


async def test_search__is_bounded(store: Any, place: tuple[Uid, Uid], monkeypatch: pytest.MonkeyPatch) -> None:
    await say(store, place, "the first apple", *(f"pear {i}" for i in range(150)), *(f"plum {i}" for i in range(12)))
    assert await found(store, place, "apple") == ["the first apple"]  # on the second page
    assert await found(store, place, "plum") == [f"plum {i}" for i in range(11, 1, -1)]
    monkeypatch.setattr(limits, "SEARCH_MESSAGES", 100)
    assert await found(store, place, "apple") == []


@pytest.mark.parametrize("before", [0, 100, 5000])
async def test_search__an_excerpt_holds_the_word(store: Any, place: tuple[Uid, Uid], before: int) -> None:
    await say(store, place, "x" * before + " apple " + "y" * 5000)
    (text,) = await found(store, place, "apple")
    assert len(text) == limits.SEARCH_EXCERPT_CHARACTERS
    assert "apple" in text


async def test_search__messages_that_come_meanwhile_double_none(
    store: Any, place: tuple[Uid, Uid], monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(store, place, *(f"apple {i}" if i == 40 else f"pear {i}" for i in range(140)))
    page = store.messages.page

    async def page_and_append(*arguments: Any) -> Any:
        seen = await page(*arguments)
        await say(store, place, *(["another"] * 3))
        return seen

    monkeypatch.setattr(store.messages, "page", page_and_append)
    assert await found(store, place, "apple") == ["apple 40"]


async def test_search__a_chat_that_is_gone(store: Any, place: tuple[Uid, Uid]) -> None:
    tenant, _ = place
    with pytest.raises(ToolRefused):
        await SearchChat(store, tenant, new_uid7()).run({"words": "apple"})


async def test_search__blank_words(store: Any, place: tuple[Uid, Uid]) -> None:
    with pytest.raises(ToolRefused):
        await SearchChat(store, *place).run({"words": "  "})


async def test_search__nothing_of_it_is_logged(
    store: Any, place: tuple[Uid, Uid], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await say(store, place, "secret apple")
        assert json.dumps(await found(store, place, "apple")) == '["secret apple"]'
    assert "apple" not in caplog.text
