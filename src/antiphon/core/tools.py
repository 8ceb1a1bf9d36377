"""Tools that the agent may use without anybody's leave: they read, and they change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from antiphon.core.ports import Slice, Store, Tool
from antiphon.domain import limits, times
from antiphon.domain.errors import ChatNotFound, StoreError, ToolRefused
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message, Page

_UTC = "UTC"
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ZONE_CHARACTERS = 64
_WORDS_CHARACTERS = 200


class Tools:
    """The tools there are."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def for_chat(self, tenant_id: Uid, chat_key: Uid) -> Sequence[Tool]:
        """The tools of a turn in that chat; what they read is that chat and nothing else."""
        return (CurrentTime(), SearchChat(self._store, tenant_id, chat_key))


class CurrentTime:
    """What time it is."""

    name = "current_time"
    description = "Tells the current date and time, in UTC or in a given time zone."
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "time_zone": {
                "type": "string",
                "description": "A time zone of the IANA database, such as Europe/Berlin. UTC when left out.",
                "maxLength": _ZONE_CHARACTERS,
            }
        },
        "additionalProperties": False,
    }
    is_answered_by_client = False

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """See the port."""
        zone_name = arguments.get("time_zone") or _UTC
        try:
            zone = UTC if zone_name == _UTC else ZoneInfo(zone_name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ToolRefused(f"there is no time zone {zone_name}") from None
        now = datetime.now(UTC).astimezone(zone).replace(microsecond=0)
        return {"time": now.isoformat(), "time_zone": zone_name, "weekday": _WEEKDAYS[now.weekday()]}


class SearchChat:
    """What was said before in one chat."""

    name = "search_chat"
    description = "Finds earlier messages of this chat that contain all of the given words; the newest come first."
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "words": {
                "type": "string",
                "description": "The words to look for, with spaces between them.",
                "minLength": 1,
                "maxLength": _WORDS_CHARACTERS,
            }
        },
        "required": ["words"],
        "additionalProperties": False,
    }
    is_answered_by_client = False

    def __init__(self, store: Store, tenant_id: Uid, chat_key: Uid) -> None:
        self._store = store
        self._tenant_id = tenant_id
        self._chat_key = chat_key

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """See the port. Looks at the newest SEARCH_MESSAGES messages and gives SEARCH_HITS at most."""
        words = arguments["words"].casefold().split()[: limits.SEARCH_WORDS]
        if not words:
            raise ToolRefused("there are no words to look for")
        hits: list[dict[str, Any]] = []
        seen, oldest = 0, limits.MESSAGES_PER_CHAT + 1
        while seen < limits.SEARCH_MESSAGES:
            page = await self._read(seen)
            # One that came meanwhile has moved the pages on, so that the next begins with what was seen already.
            unseen = (message for message in page.items if message.seq < oldest)
            hits += [hit for message in unseen if (hit := _find(message, words)) is not None]
            seen += len(page.items)
            if len(hits) >= limits.SEARCH_HITS or not page.items or seen >= page.total:
                break
            oldest = min(oldest, page.items[-1].seq)
            await asyncio.sleep(0)  # a store that never waits would keep everybody else waiting
        return {"messages": hits[: limits.SEARCH_HITS]}

    async def _read(self, offset: int) -> Page:
        try:
            return await self._store.messages.page(
                self._tenant_id, self._chat_key, Slice(offset, limits.PAGE_ITEMS, is_reversed=True)
            )
        except (ChatNotFound, StoreError):
            raise ToolRefused("the chat cannot be read") from None


def _find(message: Message, words: Sequence[str]) -> dict[str, Any] | None:
    """Who said it, when, and the part of the text around the first of the words; None when not all are in it."""
    folded = message.text.casefold()
    places = [folded.find(word) for word in words]
    if min(places) < 0:
        return None
    room = limits.SEARCH_EXCERPT_CHARACTERS
    begin = max(0, min(min(places) - room // 4, len(message.text) - room))
    return {
        "at": times.text_of(message.created_at),
        "author": message.author,
        "role": message.role,
        "text": message.text[begin : begin + room],
    }
