"""The contract of a store as tests: a store is one when it passes them.

One class a noun. A project with a store of its own subclasses each in a test module and supplies a fixture `store` that
gives a fresh, open `core.ports.Store`, its background work not running:

    class TestChats(ChatContract): ...

The tests are coroutines without marks; run them with pytest-asyncio in its mode `auto`. Limits are lowered by setting
the names in `domain.limits`, so a store must read them there when it needs them.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "chats",
            "concurrency",
            "connections",
            "deletions",
            "fences",
            "forgetting",
            "idempotency",
            "isolation",
            "keys",
            "lists",
            "messages",
            "orders",
            "pages",
            "participants",
            "receipts",
            "rooms",
            "sandboxes",
            "sessions",
            "soundness",
            "tenants",
            "tickets",
            "turn_races",
            "turns",
            "twins",
            "undo",
            "vectors",
            "webhooks",
            "worlds",
        )
    )
)
