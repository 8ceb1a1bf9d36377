"""What an observer knows of a target, as text: the conclusions that fit, line by line, and the card."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.api.honcho.reach import Workspace
from antiphon.api.honcho.scopes import sessions_of_scopes
from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain import times
from antiphon.domain.errors import InvalidInput, ParticipantNotFound
from antiphon.domain.filters import EQ, IN, All, FieldTest, Filter
from antiphon.domain.texts import is_storable

_CONCLUSIONS = 25
_HEADING = "## Explicit Observations"
_SCOPE = "scope."


class View(msgspec.Struct, frozen=True):
    """What is known: Markdown, empty when that is nothing, and the card, None when there is none."""

    representation: str
    card: list[str] | None


async def view_of(
    instance: Instance,
    workspace: Workspace,
    observer: str,
    target: str,
    *,
    scope: str | Sequence[str] | None = None,
    sessions: Sequence[str] | None = None,
    query: str | None = None,
    limit: int | None = None,
    distance: float | None = None,
) -> View:
    """What an observer knows of a target: the newest conclusions, or those that fit a query best, none too distant.

    Only from some sessions where they are given, and then without the card. Raises ParticipantNotFound for an unknown
    observer that is not the target, and for an unknown scope; InvalidInput for a scope as target.
    """
    check_no_scope(target)
    wanted: list[Filter] = [FieldTest("observed", EQ, (target,))]
    if scope is not None:
        sessions = await sessions_of_scopes(instance, workspace, scope)
    elif observer != target and await instance.participants.find(workspace.id, observer) is None:
        raise ParticipantNotFound
    else:
        wanted.append(FieldTest("observer", EQ, (observer,)))
    if sessions is not None:
        wanted.append(FieldTest("session", IN, tuple(one for one in sessions if is_storable(one))))
    if not is_storable(target + observer):
        return View("", None)
    lines = await _lines(instance, workspace, All(tuple(wanted)), query, limit or _CONCLUSIONS, distance)
    card = None
    if sessions is None and await instance.participants.find(workspace.id, observer) is not None:
        card = await instance.conclusions.card(workspace.id, observer, target)
    return View("\n".join([_HEADING, "", *lines]) if lines else "", card)


def check_no_scope(*names: str | None) -> None:
    """Raises InvalidInput for the name of a scope, which is nobody."""
    if any(name is not None and name.startswith(_SCOPE) for name in names):
        raise InvalidInput("a scope is no peer", field="peer_id")


async def _lines(
    instance: Instance, workspace: Workspace, wanted: Filter, query: str | None, limit: int, distance: float | None
) -> list[str]:
    if query:
        found = await instance.conclusions.query(workspace.id, workspace.name, query, wanted, limit, distance)
    else:
        newest = Slice(0, limit, is_reversed=True)
        found, _ = await instance.conclusions.list(workspace.id, workspace.name, wanted, newest)
    return [f"[{times.text_of(one.created_at)[:19].replace('T', ' ')}] {one.content}" for one in found[::-1]]
