"""Conclusion: something that an observer holds to be true of an observed one."""

from __future__ import annotations

import msgspec

EXPLICIT = "explicit"
"""The level of a conclusion that somebody has stated. What is derived has others."""


class ConclusionDraft(msgspec.Struct, frozen=True):
    """A conclusion that is to be stored; participants by name, the session by its public id."""

    content: str
    observer: str
    observed: str
    session_id: str | None = None


class Conclusion(msgspec.Struct, frozen=True):
    """A stored conclusion. `id` is 21 characters; `session_id` names the session that it was drawn from."""

    id: str
    observer: str
    observed: str
    session_id: str | None
    content: str
    level: str
    created_at: int
