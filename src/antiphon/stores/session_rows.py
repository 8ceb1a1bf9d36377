"""Sessions as both stores' rows have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from antiphon.domain.sessions import Overview, Session

_OVERVIEW_COLUMNS = 4


def overview_of(row: Iterable[Any]) -> Overview:
    """The overview of a row of `list_overviews`: a session, then what is known of its chats."""
    columns = list(row)
    last_activity_at, latest_chat_id, is_unread, is_answering = columns[-_OVERVIEW_COLUMNS:]
    session = Session(*columns[:-_OVERVIEW_COLUMNS])
    return Overview(session, last_activity_at, latest_chat_id, bool(is_unread), bool(is_answering))
