"""Reasoning: whether something is to be derived from what is said, as the configurations of session and tenant say."""

from __future__ import annotations

from typing import Any

import msgspec

_OBJECT = msgspec.json.Decoder(dict[str, Any])


def is_reasoned(*configurations: str) -> bool:
    """Whether reasoning is on: the first of the configurations (JSON objects) that says so counts; else it is."""
    for configuration in configurations:
        reasoning = _OBJECT.decode(configuration).get("reasoning")
        enabled = reasoning.get("enabled") if isinstance(reasoning, dict) else None
        if isinstance(enabled, bool):
            return enabled
    return True
