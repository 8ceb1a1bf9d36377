"""Tenant: the isolation boundary. Every row, key and metric belongs to one."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import Uid
from antiphon.domain.limits import NAME_CHARACTERS, UNDO_WINDOW_SECONDS

_NAME = re.compile(r"[a-zA-Z0-9_-]+")


class Tenant(msgspec.Struct, frozen=True):
    """A tenant. `name` is unique in the instance.

    `metadata`, `configuration` (the Honcho wire's) and `settings` (`TenantSettings`) are JSON objects as text.
    """

    id: Uid
    name: str
    created_at: int
    agent_name: str
    metadata: str
    configuration: str
    settings: str = "{}"


class TenantSettings(msgspec.Struct, frozen=True):
    """What a tenant has set for itself: `undo_window`, for how many seconds its deletions may be undone (0: not)."""

    undo_window: int = 0


def read_settings(tenant: Tenant) -> TenantSettings:
    """The settings of a tenant; what it has not set is as it is by default."""
    return msgspec.json.decode(tenant.settings, type=TenantSettings)


def check_settings(given: Mapping[str, object]) -> str:
    """Settings that are to be changed, as JSON text. Raises InvalidInput for an unknown one and for a bad value."""
    for name, value in given.items():
        if name not in TenantSettings.__struct_fields__:
            raise InvalidInput(f"there is no setting {name[:NAME_CHARACTERS]!r}", field=f"settings.{name}")
        if type(value) is not int or not 0 <= value <= UNDO_WINDOW_SECONDS:
            raise InvalidInput(
                f"undo_window is a whole number of seconds, 0 to {UNDO_WINDOW_SECONDS}", field="settings.undo_window"
            )
    return msgspec.json.encode(given).decode()


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
