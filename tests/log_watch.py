"""No log has a key or a word of anybody's: everything that the suite lets the program write is searched for them.

What is planted is what the tests themselves send: every text with a space in it (a title, a message, a reason …) and
every key, noted where requests leave and messages are stored. A line of the log must have none of it, whichever test
wrote it, in this process or in a server of its own.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from antiphon.api.logs import _json_line
from antiphon.core.messages import Messages

TEXT_CHARACTERS = 12
"""Shorter texts are words that a log may have for reasons of its own."""

PLANTED_MAX = 1_000
"""So many texts, and so many keys, are looked for at a time: the newest."""

_KEY_CHARACTERS = 24
_COMPARED = 200
_SECRET = re.compile(r"ant_[A-Za-z0-9_-]{40,}|eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|whsec_[A-Za-z0-9+/=_-]{16,}")
_TRACE = "Traceback (most recent call last)"


class Watch(logging.Handler):
    """What was sent, and what was logged meanwhile in this process."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: dict[str, None] = {}
        self.keys: dict[str, None] = {}
        self.lines: list[str] = []
        self.searched = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line that the program would write."""
        self.lines.append(_json_line(record))

    def note(self, value: Any) -> None:
        """Plant every text in a JSON value."""
        if isinstance(value, str):
            if len(value) >= TEXT_CHARACTERS and " " in value.strip():
                self._plant(self.texts, json.dumps(value, ensure_ascii=False)[1:-1][:_COMPARED])
        elif isinstance(value, dict):
            for item in value.values():
                self.note(item)
        elif isinstance(value, list):
            for item in value:
                self.note(item)

    def note_request(self, request: httpx.Request) -> None:
        """Plant what a request says and the key that it bears."""
        for name in ("authorization", "x-api-key"):
            key = request.headers.get(name, "").rpartition(" ")[2]
            if len(key) >= _KEY_CHARACTERS:
                self._plant(self.keys, key)
        try:
            self.note(json.loads(request.content))
        except (httpx.RequestNotRead, ValueError, RecursionError):  # a stream, or no JSON that can be read
            return

    @staticmethod
    def _plant(planted: dict[str, None], text: str) -> None:
        planted[text] = None
        if len(planted) > PLANTED_MAX:
            del planted[next(iter(planted))]  # the oldest

    def found_in(self, text: str) -> list[str]:
        """What of it stands in a log."""
        self.searched += len(text)
        found = [key for key in (*self.keys, *self.texts) if key in text]
        return found + _SECRET.findall(text) + [_TRACE] * (_TRACE in text)


WATCH = Watch()


@pytest.fixture(autouse=True, scope="session")
def planting() -> Iterator[None]:
    """Note what is sent, as long as the suite runs."""
    root, ours = logging.getLogger(), logging.getLogger("antiphon")
    level = ours.level
    root.addHandler(WATCH)
    ours.setLevel(logging.INFO)
    originals = (httpx.Client.send, httpx.AsyncClient.send, Messages.append)

    def send(client: httpx.Client, request: httpx.Request, **more: Any) -> Any:
        WATCH.note_request(request)
        return originals[0](client, request, **more)

    async def send_async(client: httpx.AsyncClient, request: httpx.Request, **more: Any) -> Any:
        WATCH.note_request(request)
        return await originals[1](client, request, **more)

    async def append(messages: Messages, tenant_id: Any, chat_key: Any, drafts: Any, *rest: Any, **more: Any) -> Any:
        WATCH.note([draft.text for draft in drafts])
        return await originals[2](messages, tenant_id, chat_key, drafts, *rest, **more)

    patch = pytest.MonkeyPatch()
    patch.setattr(httpx.Client, "send", send)
    patch.setattr(httpx.AsyncClient, "send", send_async)
    patch.setattr(Messages, "append", append)
    yield
    patch.undo()
    root.removeHandler(WATCH)
    ours.setLevel(level)


@pytest.fixture(autouse=True)
def no_secrets_in_the_log() -> Iterator[None]:
    """What a test logged in this process has nothing of what was sent until then."""
    WATCH.lines.clear()
    yield
    log = "".join(WATCH.lines)
    found = WATCH.found_in(log) if log else []
    assert found == [], f"the log has what people wrote: {found} in {log[-2000:]}"
