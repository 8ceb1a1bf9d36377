"""Sandboxes as both stores' rows have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from antiphon.domain.sandboxes import PROVISIONING, Sandbox

_HAS_ROW = 5  # the place of a column that is no field
_COMPUTED = ("session_id", "is_busy", "touched_at")


def sandbox_of(row: Iterable[Any]) -> Sandbox:
    """The sandbox of a row of `find_sandbox`; one that has no row yet is as at first."""
    columns = list(row)
    has_row = columns.pop(_HAS_ROW)
    sandbox = Sandbox(*columns)
    return msgspec.structs.replace(
        sandbox,
        is_named=bool(sandbox.is_named),
        is_busy=bool(sandbox.is_busy),
        state=sandbox.state if has_row else PROVISIONING,
    )


def values_of(sandbox: Sandbox) -> dict[str, Any]:
    """What `put_sandbox` asks for."""
    values = msgspec.structs.asdict(sandbox)
    return {name: value for name, value in values.items() if name not in _COMPUTED}
