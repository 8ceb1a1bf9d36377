"""What `/readyz` and `/metrics` tell of deletions."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.deletions import CANCEL
from tests.conftest import MakeKey


async def told(http: httpx.AsyncClient) -> tuple[dict[str, Any], dict[str, float]]:
    """The detail of `/readyz`, and the numbers of `/metrics`."""
    ready = (await http.get("/readyz")).json()["deletions"]
    found = re.findall(r"^antiphon_deletion(\w+) (\S+)$", (await http.get("/metrics")).text, re.MULTILINE)
    return ready, {name: float(value) for name, value in found}


async def test_what_waits_and_what_is_late_is_counted(
    http: httpx.AsyncClient, instance: Instance, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(*_: Any) -> list[Any]:
        return []

    monkeypatch.setattr(instance.store.deletions, "claim", none)
    await make_key("t1")
    whose = (await instance.tenants.get("t1")).id
    assert await told(http) == (
        {"pending": 0, "oldest_seconds": 0, "overdue": 0},
        {"s_pending": 0, "s_overdue": 0, "_oldest_seconds": 0},
    )
    for name in ("one", "two"):
        session, _ = await instance.sessions.put_single(whose, name, "ann")
        await instance.deletions.delete_session(whose, session, CANCEL)
    ready, metrics = await told(http)
    assert (ready["pending"], ready["overdue"], metrics["s_pending"], metrics["s_overdue"]) == (2, 0, 2, 0)
    assert 0 < metrics["_oldest_seconds"] < limits.JOB_OVERDUE_SECONDS
    monkeypatch.setattr(limits, "JOB_OVERDUE_SECONDS", -60)
    ready, metrics = await told(http)
    assert (ready["overdue"], metrics["s_overdue"]) == (2, 2)
