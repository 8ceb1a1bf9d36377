"""`antiphon delete`: delete a chat, a session, a participant or a tenant, after showing what would go."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from antiphon.cli.deletions import described
from antiphon.cli.output import show_object, text_of
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir, with_store
from antiphon.core.deletion.engine import Deletions, Plan, Target
from antiphon.core.ports import Store
from antiphon.core.tenants import Tenants
from antiphon.domain import ids, limits, texts
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
    Deletion,
    Order,
    Survey,
)
from antiphon.domain.errors import (
    ChatHasActiveConnections,
    ChatHasActiveTurn,
    Conflict,
    InvalidInput,
)
from antiphon.domain.ids import Uid

_WATCH_SECONDS = 0.2
_BAR_WIDTH = 30
_KINDS = (CHAT, SESSION, PARTICIPANT, TENANT)
_MODES = (REFUSE, CANCEL, AFTER)


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
        bool, typer.Option("--wait", help="Return when it is done; a server or `antiphon worker` must be running.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete something with all that belongs to it, for good. Exactly what was shown is deleted, or nothing."""
    if kind != TENANT and tenant is None:
        raise typer.BadParameter("--tenant says whose it is", context)
    is_asking = not (is_sure or is_dry)
    if is_asking and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter("--yes is needed where nobody can be asked", context)
    if reason is not None:
        texts.check_text(reason, "reason", limits.DELETION_REASON_CHARACTERS)

    async def work(store: Store) -> Deletion | Plan:
        tenant_id, target = await _find(store, kind, target_id, tenant)
        deletions = Deletions(store, _nobody_is_here, lambda: None)
        plan = await deletions.plan(tenant_id, [target])
        if is_dry:
            return plan
        if is_asking:
            _confirm(plan.surveys[0], target_id)
        order = Order(mode, reason, if_digest=plan.digest if is_asking else None)
        deletion = await _delete(deletions, tenant_id, target, order)
        return await _watch(store, deletion, as_json=as_json) if is_watching else deletion

    outcome = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    show_object(described(outcome) if isinstance(outcome, Deletion) else _planned(outcome), as_json=as_json)


def _nobody_is_here(_tenant_id: Uid, _chat_keys: tuple[Uid, ...]) -> None:
    """A command holds no sockets and no turns; servers learn of the deletion from the store."""


async def _find(store: Store, kind: str, target_id: str, tenant: str | None) -> tuple[Uid, Target]:
    """The tenant and the target, a tenant being named by name or id. Raises TenantNotFound."""
    found = await Tenants(store).get(tenant or target_id)
    return found.id, Target(kind, ids.text_of(found.id) if kind == TENANT else target_id)


async def _delete(deletions: Deletions, tenant_id: Uid, target: Target, order: Order) -> Deletion:
    """Delete, and when something is live on it say what can be done about that."""
    try:
        return await deletions.delete(tenant_id, target, order)
    except (ChatHasActiveConnections, ChatHasActiveTurn) as error:
        raise Conflict(f"{error.message} --mode {CANCEL} ends what is live, --mode {AFTER} waits for it.") from None


def _confirm(survey: Survey, name: str) -> None:
    """Show what would go and ask; for something large, by its name. Raises InvalidInput when it is not confirmed."""
    for table, count in survey.counts.items():
        typer.echo(f"{count:>10}  {table}", err=True)
    for blocker in survey.blocked_by:
        typer.echo(f"in its way: {_blocker_text(blocker.kind, blocker.id)}", err=True)
    what = f"{survey.kind} {text_of(name)}"
    is_large = survey.counts.get("messages", 0) >= limits.DELETION_LARGE_MESSAGES
    if is_large or survey.kind in (PARTICIPANT, TENANT):
        typed = typer.prompt(
            f"To delete {what} for good, type {text_of(name)}", err=True, default="", show_default=False
        )
        is_confirmed = typed == text_of(name)
    else:
        is_confirmed = typer.confirm(f"Delete {what} for good?", err=True)
    if not is_confirmed:
        raise InvalidInput("nothing was deleted: it was not confirmed")


def _blocker_text(kind: str, blocker_id: str) -> str:
    return text_of(f"{kind.replace('_', ' ')} {blocker_id}")


def _planned(plan: Plan) -> dict[str, object]:
    """What would go, as the command shows it."""
    (survey,) = plan.surveys
    return {
        "kind": survey.kind,
        "target": survey.id,
        "digest": plan.digest,
        "counts": [f"{table} {count}" for table, count in survey.counts.items()],
        "blocked_by": [_blocker_text(blocker.kind, blocker.id) for blocker in survey.blocked_by],
    }


async def _watch(store: Store, deletion: Deletion, *, as_json: bool) -> Deletion:
    """Follow a deletion to its end, with a bar where somebody looks."""
    is_shown = not as_json and sys.stderr.isatty()
    while deletion.state not in (DONE, UNDONE):
        await asyncio.sleep(_WATCH_SECONDS)
        deletion = await store.deletions.find(deletion.tenant_id, deletion.id) or deletion
        if is_shown:
            typer.echo(f"\r{bar(deletion)}", nl=False, err=True)
    if is_shown:
        typer.echo(err=True)
    return deletion


def bar(deletion: Deletion) -> str:
    """How far a deletion is, on one line: full only when it is done."""
    done = sum(deletion.counts.values())
    total = done if deletion.state == DONE else max(deletion.total, done)
    part = 0 if deletion.state == WAITING or not total else done / total
    filled = _BAR_WIDTH if deletion.state == DONE else min(int(_BAR_WIDTH * part), _BAR_WIDTH - 1)
    return f"[{'#' * filled:{_BAR_WIDTH}}] {deletion.state:10} {done}/{total}"
