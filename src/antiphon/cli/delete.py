"""`antiphon delete`: delete a chat, a session, a participant or a tenant, after showing what would go."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated

import typer
from msgspec import to_builtins

from antiphon.cli.desk import LOOK_SECONDS, DeletionRow, Desk, PlanRow
from antiphon.cli.desks import with_desk
from antiphon.cli.output import show_object, text_of
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir
from antiphon.domain import limits, texts
from antiphon.domain.deletions import (
    AFTER,
    CANCEL,
    CHAT,
    DONE,
    PARTICIPANT,
    REFUSE,
    SESSION,
    TENANT,
    UNDONE,
    WAITING,
    Order,
)
from antiphon.domain.errors import InvalidInput

_BAR_WIDTH = 30
_KINDS = (CHAT, SESSION, PARTICIPANT, TENANT)
_MODES = (REFUSE, CANCEL, AFTER)
_OVER = (DONE, UNDONE)
_UNATTENDED = "nobody carries deletions out. It is done as soon as `antiphon serve` or `antiphon worker` runs."

UNATTENDED = 3
"""The exit status of `--wait` when the thing is out of reach, and nobody removes its rows."""


def _check_choice(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """One of the words that the parameter's metavar shows."""
    words = (parameter.metavar or "").split("|")
    if value not in words:
        raise typer.BadParameter(f"it is {', '.join(words[:-1])} or {words[-1]}", context)
    return value


def delete(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="|".join(_KINDS), callback=_check_choice, show_default=False)],
    target_id: Annotated[
        str, typer.Argument(metavar="ID", help="A participant and a tenant are named by name.", show_default=False)
    ],
    tenant: Annotated[
        str | None,
        typer.Option(metavar="NAME|ID", help="Whose it is; not needed for a tenant.", show_default=False),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(metavar="|".join(_MODES), callback=_check_choice, help="What to do about something live on it."),
    ] = REFUSE,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Stands in the receipt: no personal data.", show_default=False)
    ] = None,
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and change nothing.")] = False,
    is_watching: Annotated[
        bool, typer.Option("--wait", help="Return when a server or `antiphon worker` has done it; 3: there is none.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete something with all that belongs to it, for good. Exactly what was shown is deleted, or nothing."""
    if kind == TENANT and tenant is not None:
        raise typer.BadParameter("a tenant is named by NAME|ID alone, without --tenant", context)
    is_asking = not (is_sure or is_dry)
    if is_asking and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter("--yes is needed where nobody can be asked", context)
    if reason is not None:
        texts.check_text(reason, "reason", limits.DELETION_REASON_CHARACTERS)

    async def work(desk: Desk) -> DeletionRow | PlanRow:
        plan = await desk.plan(kind, target_id) if is_asking or is_dry else None
        if plan is not None and is_dry:
            return plan
        if plan is not None:
            _confirm(plan, target_id)
        deletion = await desk.delete(kind, target_id, Order(mode, reason, if_digest=plan.digest if plan else None))
        return await _watch(desk, deletion, as_json=as_json) if is_watching else deletion

    outcome = with_desk(context, (data_dir, database_url), target_id if kind == TENANT else tenant, work)
    show_object(_planned(outcome) if isinstance(outcome, PlanRow) else to_builtins(outcome), as_json=as_json)
    if is_watching and isinstance(outcome, DeletionRow) and outcome.state not in _OVER:
        typer.echo(f"not done yet: {_UNATTENDED}", err=True)
        raise typer.Exit(UNATTENDED)


def _confirm(plan: PlanRow, name: str) -> None:
    """Show what would go and ask; for something large, by its name. Raises InvalidInput when it is not confirmed."""
    for table, count in plan.counts.items():
        typer.echo(f"{count:>10}  {table}", err=True)
    for blocker in plan.blocked_by:
        typer.echo(f"in its way: {text_of(blocker)}", err=True)
    what = f"{plan.kind} {text_of(name)}"
    is_large = plan.counts.get("messages", 0) >= limits.DELETION_LARGE_MESSAGES
    if is_large or plan.kind in (PARTICIPANT, TENANT):
        typed = typer.prompt(
            f"To delete {what} for good, type {text_of(name)}", err=True, default="", show_default=False
        )
        is_confirmed = typed == text_of(name)
    else:
        is_confirmed = typer.confirm(f"Delete {what} for good?", err=True)
    if not is_confirmed:
        raise InvalidInput("nothing was deleted: it was not confirmed")


def _planned(plan: PlanRow) -> dict[str, object]:
    """What would go, as the command shows it."""
    counts = [f"{table} {count}" for table, count in plan.counts.items()]
    return {**to_builtins(plan), "counts": counts, "blocked_by": [text_of(blocker) for blocker in plan.blocked_by]}


async def _watch(desk: Desk, deletion: DeletionRow, *, as_json: bool) -> DeletionRow:
    """Follow a deletion to its end, with a bar where somebody looks; or until it is clear that nobody works on it."""
    is_shown = not as_json and sys.stderr.isatty()
    moved_at, pause = time.monotonic(), LOOK_SECONDS
    while deletion.state not in _OVER and time.monotonic() < moved_at + limits.DELETION_STALL_SECONDS:
        await asyncio.sleep(pause)
        pause = min(2 * pause, desk.poll_seconds)
        before, deletion = deletion, await desk.deletion(deletion.id)
        if deletion != before or not await desk.is_neglected(deletion.id):
            moved_at = time.monotonic()
        if is_shown:
            typer.echo(f"\r{bar(deletion)}", nl=False, err=True)
    if is_shown:
        typer.echo(err=True)
    return deletion


def bar(deletion: DeletionRow) -> str:
    """How far a deletion is, on one line: full only when it is done."""
    done, total = deletion.removed, deletion.total
    part = 0 if deletion.state == WAITING or not total else done / total
    filled = _BAR_WIDTH if deletion.state == DONE else min(int(_BAR_WIDTH * part), _BAR_WIDTH - 1)
    return f"[{'#' * filled:{_BAR_WIDTH}}] {deletion.state:10} {done}/{total}"
