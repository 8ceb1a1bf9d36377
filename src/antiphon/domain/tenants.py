"""Tenant: the isolation boundary. Every row, key and metric belongs to one."""

from __future__ import annotations

import re

import msgspec

from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import Uid
from antiphon.domain.limits import NAME_CHARACTERS

_NAME = re.compile(r"[a-zA-Z0-9_-]+")


class Tenant(msgspec.Struct, frozen=True):
    """A tenant. `name` is unique in the instance; `metadata` and `configuration` are JSON objects as text."""

    id: Uid
    name: str
    created_at: int
    agent_name: str
    metadata: str
    configuration: str


def is_name(text: str) -> bool:
    """Whether a tenant may have that name."""
    return _NAME.fullmatch(text) is not None and len(text) <= NAME_CHARACTERS


def check_name(name: str) -> str:
    """The name itself. Raises InvalidInput unless it is 1 to 512 of A-Z a-z 0-9 _ - (on a wire it is in paths)."""
    if not is_name(name):
        raise InvalidInput(
            f"a tenant's name is 1 to {NAME_CHARACTERS} letters, digits, hyphens and underscores",
            field="name",
        )
    return name
