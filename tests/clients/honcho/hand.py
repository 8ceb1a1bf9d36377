"""One hand for both halves of Honcho's Python SDK: the same call, blocking or not, remembered by class and method."""

from __future__ import annotations

import inspect
from typing import Any

import honcho  # type: ignore[import-untyped]
from honcho.http.exceptions import HonchoError  # type: ignore[import-untyped]

Called = set[tuple[str, str]]


class Hand:
    """Calls methods of the SDK's objects, of their `aio` views when it is asynchronous, and keeps which it called."""

    def __init__(self, called: Called, *, is_async: bool) -> None:
        self.called = called
        self.is_async = is_async

    async def __call__(self, target: Any, method: str, /, *given: Any, **named: Any) -> Any:
        """What the method gives. A blocking one blocks the loop, where nothing else runs."""
        view = getattr(target, "aio", target) if self.is_async else target
        self.called.add((type(view).__name__, method))
        answer = getattr(view, method)(*given, **named)
        return await answer if inspect.isawaitable(answer) else answer

    async def all(self, target: Any, method: str, /, *given: Any, **named: Any) -> list[Any]:
        """All that a list or a stream has, page after page."""
        return await all_of(await self(target, method, *given, **named))


async def all_of(several: Any) -> list[Any]:
    """What an iteration gives, of either kind."""
    return [one async for one in several] if hasattr(several, "__aiter__") else list(several)


def public_methods() -> Called:
    """Every public method of every class that the SDK exports, by the class's own name and the method's."""
    exported = [getattr(honcho, name) for name in honcho.__all__]
    classes = [one for one in exported if inspect.isclass(one) and not issubclass(one, HonchoError)]
    return {
        (kind.__name__, name)
        for kind in classes
        for name in dir(kind)
        if not name.startswith("_") and _is_method(kind, name)
    }


def _is_method(kind: type, name: str) -> bool:
    """Whether that is a function of the SDK's own, not of the library that its classes stand on."""
    owner = next(one for one in kind.__mro__ if name in vars(one))
    return owner.__module__.startswith("honcho") and callable(getattr(kind, name))
