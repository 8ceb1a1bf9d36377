"""Reasoning: whether something is to be derived from what is said.

A message says it itself, or its session's configuration does, or its tenant's; else it is.
"""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.domain.ids import Uid

_OBJECT = msgspec.json.Decoder(dict[str, Any])


def is_reasoned(*configurations: str) -> bool:
    """Whether reasoning is on: the first of the configurations (JSON objects) that says so counts; else it is."""
    for configuration in configurations:
        reasoning = _OBJECT.decode(configuration).get("reasoning")
        enabled = reasoning.get("enabled") if isinstance(reasoning, dict) else None
        if isinstance(enabled, bool):
            return enabled
    return True


class SessionUnits(msgspec.Struct, frozen=True):
    """The messages of a session from which something may be derived.

    `unmarked` of them leave that to `configuration`, the session's, and the tenant's; `wanted` ask for it themselves.
    """

    session_key: Uid
    session_id: str
    configuration: str
    unmarked: int
    wanted: int

    def count(self, configuration_of_tenant: str) -> int:
        """From how many something is to be derived."""
        is_on = is_reasoned(self.configuration, configuration_of_tenant)
        return self.wanted + (self.unmarked if is_on else 0)
