"""Tenant: the isolation boundary. Every row, key and metric belongs to one."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from antiphon.domain import texts
from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import Uid
from antiphon.domain.limits import (
    NAME_CHARACTERS,
    RATE_LIMIT_REQUESTS,
    SYSTEM_PROMPT_CHARACTERS,
    UNDO_WINDOW_SECONDS,
)
from antiphon.domain.participants import DEFAULT_AGENT_NAME

_NAME = re.compile(r"[a-zA-Z0-9_-]+")


class Tenant(msgspec.Struct, frozen=True):
    """A tenant. `name` is unique in the instance.

    `metadata`, `configuration` (the Honcho wire's) and `settings` (`TenantSettings`, without the name of the agent) are
    JSON objects as text.
    """

    id: Uid
    name: str
    created_at: int
    agent_name: str
    metadata: str
    configuration: str
    settings: str = "{}"


class TenantSettings(msgspec.Struct, frozen=True):
    """What a tenant has set for itself.

    `undo_window`: for how many seconds its deletions may be undone (0: not). `system_prompt`: what the model is told
    before a conversation that does not begin with such a text. `model`: the one that answers in chats without one of
    their own. `rate_limit`: requests a minute (0: no limit). `agent_name`: as whom the agent speaks. None: as the
    instance has it.
    """

    undo_window: int = 0
    system_prompt: str | None = None
    model: str | None = None
    rate_limit: int | None = None
    agent_name: str = DEFAULT_AGENT_NAME


AGENT_NAME = "agent_name"
"""The setting that stands in a column of its own: whoever looks at a tenant needs it."""

_NUMBERS = {
    "undo_window": (UNDO_WINDOW_SECONDS, "a whole number of seconds"),
    "rate_limit": (RATE_LIMIT_REQUESTS, "a whole number of requests a minute"),
}
_TEXTS = {"system_prompt": SYSTEM_PROMPT_CHARACTERS, "model": NAME_CHARACTERS, AGENT_NAME: NAME_CHARACTERS}

NUMBERS = frozenset(_NUMBERS)
"""The settings that are numbers; the others are texts."""


def read_settings(tenant: Tenant) -> TenantSettings:
    """The settings of a tenant; what it has not set is as it is by default."""
    given = msgspec.json.decode(tenant.settings, type=dict[str, int | str | None])
    has = {name: value for name, value in given.items() if value is not None}
    return TenantSettings(**{**has, AGENT_NAME: tenant.agent_name})  # type: ignore[arg-type]  # `check_settings` did


def check_settings(given: Mapping[str, object]) -> None:
    """Settings that are to be changed; None removes one. Raises InvalidInput for an unknown one and for a bad value."""
    for name, value in given.items():
        field = f"settings.{name[:NAME_CHARACTERS]}"
        if name not in TenantSettings.__struct_fields__:
            raise InvalidInput(f"there is no setting {name[:NAME_CHARACTERS]!r}", field=field)
        if value is None:
            continue
        if name in _NUMBERS:
            most, what = _NUMBERS[name]
            if type(value) is not int or not 0 <= value <= most:
                raise InvalidInput(f"{name} is {what}, 0 to {most}", field=field)
        elif type(value) is not str or not value.strip():
            raise InvalidInput(f"{name} is a text that is not blank", field=field)
        else:
            texts.check_text(value, field, _TEXTS[name])


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
