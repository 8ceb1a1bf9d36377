"""Names of those who speak or are to be members, where they come in as message authors or as keys of `peers`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from antiphon.core.participants import Participants
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput, ParticipantNotFound
from antiphon.domain.ids import Uid

SCOPE_PREFIX = "scope."

_NAME = re.compile(r"[a-zA-Z0-9_-]+")


def is_name(text: str) -> bool:
    """Whether a workspace, peer or session made on this wire may have that id."""
    return len(text) <= limits.NAME_CHARACTERS and _NAME.fullmatch(text) is not None


async def check_makeable(participants: Participants, tenant_id: Uid, name: str) -> None:
    """Raises ParticipantNotFound for an impossible id of a peer that is not there."""
    if not is_name(name) and (name.startswith(SCOPE_PREFIX) or await participants.find(tenant_id, name) is None):
        raise ParticipantNotFound


async def check_speakers(participants: Participants, tenant_id: Uid, names: Iterable[str]) -> None:
    """Raises InvalidInput for a name that no peer made here can have, unless one of another dialect has it.

    Names with the prefix of scopes are refused always: they are sets of sessions and do not speak.
    """
    for name in names:
        if is_name(name):
            continue
        if name.startswith(SCOPE_PREFIX) or await participants.find(tenant_id, name) is None:
            raise InvalidInput(f"not an id of a peer: {name[:64]!r}", field="peer_id")
