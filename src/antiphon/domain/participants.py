"""Participant: someone who speaks, a person or an agent."""

from __future__ import annotations

import msgspec

from antiphon.domain.ids import Uid

PEER = "peer"
SCOPE = "scope"
"""The kinds. A scope is Honcho's named set of sessions; a user who happens to have its name is somebody else."""

DEFAULT_AGENT_NAME = "assistant"
DEFAULT_USER_NAME = "user"


class Participant(msgspec.Struct, frozen=True):
    """A participant. `name` is unique per tenant and kind; `metadata` and `configuration` are JSON objects as text.

    `is_implied`: it owns something that was made without anybody, and nobody has named it yet. Then it is not listed or
    counted among the peers; whoever names it is told that it was made.
    """

    id: Uid
    kind: str
    name: str
    metadata: str
    configuration: str
    created_at: int
    is_implied: bool = False


class Member(msgspec.Struct, frozen=True):
    """A participant's place in a session; None means that the participant's own setting holds."""

    name: str
    observe_me: bool | None = None
    observe_others: bool | None = None
