"""A store that is watched and disturbed: it notes every call, and does first what a test put in its way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from antiphon.core.ports import Store

Disturbance = Callable[..., Awaitable[None]]
"""Called with the arguments of the call that it goes before; may raise, or wait."""


class WatchedStore:
    """A Store over another. `calls` are the names of all calls (`keys.load`); `before` what goes before which."""

    def __init__(self, store: Store) -> None:
        self.kind = store.kind
        self.calls: list[str] = []
        self.before: dict[str, Disturbance] = {}
        self.after: dict[str, Disturbance] = {}
        self._store = store

    def __getattr__(self, noun: str) -> Any:
        return _WatchedNoun(self, noun, getattr(self._store, noun))

    async def scrub(self) -> str:
        """The store's own, watched."""
        self.calls.append("scrub")
        if (disturb := self.before.get("scrub")) is not None:
            await disturb()
        return await self._store.scrub()

    def count(self, name: str) -> int:
        """How often that was called."""
        return self.calls.count(name)

    def fail(self, name: str, error: Exception, times: int | None = None) -> None:
        """Let calls of that name raise the error: so many times, or always."""
        left = [times if times is not None else -1]

        async def disturb(*_: object) -> None:
            if left[0] != 0:
                left[0] -= 1
                raise error

        self.before[name] = disturb


class _WatchedNoun:
    def __init__(self, watched: WatchedStore, noun: str, target: Any) -> None:
        self._watched, self._noun, self._target = watched, noun, target

    def __getattr__(self, verb: str) -> Any:
        name, method = f"{self._noun}.{verb}", getattr(self._target, verb)
        if not callable(method):
            return method

        async def call(*args: Any, **more: Any) -> Any:
            self._watched.calls.append(name)
            if (disturb := self._watched.before.get(name)) is not None:
                await disturb(*args)
            result = await method(*args, **more)
            if (disturb := self._watched.after.get(name)) is not None:
                await disturb(*args)
            return result

        return call
