"""Deletions on our own wire: planned, ordered, watched, tried again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from antiphon.api.http import Reply, Request, StreamReply, json_reply
from antiphon.api.native.bodies import read_body
from antiphon.api.native.chats import view_chats
from antiphon.api.native.errors import TargetBusy, TooManyTargets, problem_of, refusals
from antiphon.api.native.export import DELETING_ANSWER, DELETING_FORMS, Exports, as_surveyed
from antiphon.api.native.queries import (
    PAGE,
    cut_page,
    list_name,
    read_cursor,
    read_flag,
    read_limit,
)
from antiphon.api.native.reach import Reach
from antiphon.api.native.sessions import view_session
from antiphon.api.native.versions import IF_MATCH, read_tags, tag_of, versioned
from antiphon.api.native.wire import CONNECTION, TURN, Blocker, Problem, parse_id, show_time
from antiphon.api.routing import Query, Route
from antiphon.core.deletion.engine import Target as Aim
from antiphon.core.instance import Instance
from antiphon.domain import deletions, limits, texts, times
from antiphon.domain.deletions import Order, Survey, digest_of_surveys
from antiphon.domain.errors import (
    AccessDenied,
    AntiphonError,
    ChatHasActiveConnections,
    ChatHasActiveTurn,
    ChatIsLastOfSession,
    InvalidInput,
    NotFound,
    PlanChanged,
)
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import is_canonical_uuid, parse_uuid, text_of
from antiphon.domain.keys import ADMIN, TENANT, Principal
from antiphon.domain.participants import PEER
from antiphon.domain.receipts import DELETION_PREFIX, ID_PREFIX

_STATES = (
    deletions.WAITING,
    deletions.DETACHING,
    deletions.DETACHED,
    deletions.PURGING,
    deletions.SCRUBBING,
    deletions.DONE,
    deletions.UNDONE,
)
_MODES = (deletions.REFUSE, deletions.CANCEL, deletions.AFTER)
_BLOCKER_PREFIXES = {"connection": CONNECTION, "turn": TURN}

_MODE = Query("mode", {"enum": [*_MODES], "default": deletions.REFUSE}, "What to do about something live on it.")
_EXPORT = Query("export", {"enum": [*DELETING_FORMS]}, "Send all of it first, and delete only what was sent.")
_FILTER = (
    Query("state", {"type": "array", "items": {"enum": [*_STATES]}}, "Only those in this state; repeat it for more."),
    Query("overdue", {"type": "boolean", "default": False}, "Only those that are late."),
)


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be deleted: a chat or session by its id, a participant by its name or UUID, a tenant likewise."""

    kind: Literal["chat", "session", "participant", "tenant"]
    id: str


class NewPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan is wanted for: one target, or several."""

    target: Target | None = None
    targets: list[Target] | None = None


class NewDeletion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be deleted, and how; `reason` stands in the receipt for ever."""

    target: Target | None = None
    targets: list[Target] | None = None
    mode: Literal["refuse", "cancel", "after"] = "refuse"
    reason: str | None = None


class Planned(msgspec.Struct, frozen=True):
    """What a target's deletion would remove now, by table, and what stands in its way."""

    target: Target
    counts: dict[str, int]
    blocked_by: list[Blocker]


class Plan(msgspec.Struct, frozen=True):
    """What deletions would remove now; the digest, quoted as `If-Match`, makes them do exactly that."""

    digest: str
    targets: list[Planned]


class Doomed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The target of a deletion: its id until it is done, from then on only a digest of it."""

    kind: str
    id: str | None = None
    digest: str | None = None


class Progress(msgspec.Struct, frozen=True):
    """How many rows are gone, and about how many there were."""

    done: int
    total: int


class Deletion(msgspec.Struct, frozen=True):
    """A deletion. `counts` are the rows removed so far, by table; `run_after` stands there while it waits for a try."""

    id: str
    target: Doomed
    mode: str
    reason: str | None
    state: str
    requested_at: str
    detached_at: str | None
    undo_until: str | None
    purged_at: str | None
    scrubbed_at: str | None
    counts: dict[str, int]
    progress: Progress
    attempts: int
    run_after: str | None
    last_error: str | None
    overdue: bool
    receipt: str | None


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one target of several: the status that it would have had alone, with one of the two."""

    target: Target
    status: int
    deletion: Deletion | None = None
    error: Problem | None = None


class Results(msgspec.Struct, frozen=True):
    """What became of several targets, in the order in which they were named."""

    results: list[Result]


class DeletionList(msgspec.Struct, frozen=True):
    """Some deletions, the newest first, and where the next are."""

    items: list[Deletion]
    next: str | None


class Deletions:
    """The routes of deletions. Looking at them is for keys that reach a whole tenant."""

    def __init__(self, instance: Instance, reach: Reach, exports: Exports) -> None:
        self._instance = instance
        self._reach = reach
        self._exports = exports

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        one = f"{prefix}/deletions/{{deletion_id}}"
        ordered = {201: Deletion, 202: Deletion, **refusals(409, 412, 413)}
        made = {**ordered, 200: Results}
        cleared = {**ordered, 200: DELETING_ANSWER}
        listed = {200: DeletionList, **refusals()}
        plan = {200: Plan, **refusals(413)}
        chat, session = f"{prefix}/chats/{{chat_id}}", f"{prefix}/sessions/{{session_id}}"
        return [
            Route("POST", f"{prefix}/deletions/plan", self.plan, "What deleting would remove.", plan, body=NewPlan),
            Route(
                "POST",
                f"{prefix}/deletions",
                self.create,
                "Delete something, or several.",
                made,
                body=NewDeletion,
                query=(IF_MATCH,),
            ),
            Route("GET", f"{prefix}/deletions", self.list, "List deletions.", listed, query=(*_FILTER, *PAGE)),
            Route("GET", one, self.get, "Get a deletion.", {200: Deletion, **refusals()}),
            Route("POST", f"{one}/retry", self.retry, "Let it be tried now.", {202: Deletion, **refusals()}),
            Route("POST", f"{one}/undo", self.undo, "Put back all of it.", {200: Deletion, **refusals(409, 410)}),
            Route("DELETE", chat, self.delete_chat, "Delete a chat.", cleared, query=(_MODE, _EXPORT, IF_MATCH)),
            Route("DELETE", session, self.delete_session, "Delete a session.", ordered, query=(_MODE, IF_MATCH)),
        ]

    async def plan(self, request: Request) -> Reply:
        """POST /deletions/plan: 200 with the digest, as `ETag` too; 404 when one of the targets is not there."""
        principal = await self._reach.caller(request)
        body = await read_body(request, NewPlan)
        targets = _targets_of(body)
        aims = [await self._aim(principal, target) for target in targets]
        plan = await self._instance.deletions.plan(principal.tenant_id, aims)
        planned = [
            Planned(target, survey.counts, _show_blockers(survey))
            for target, survey in zip(targets, plan.surveys, strict=True)
        ]
        return json_reply(200, Plan(plan.digest, planned), [(b"etag", f'"{plan.digest}"'.encode())])

    async def create(self, request: Request) -> Reply:
        """POST /deletions: 202 for one, 200 for a list, in which each target has its own fate."""
        principal = await self._reach.caller(request)
        body = await read_body(request, NewDeletion)
        targets = _targets_of(body)
        reason = None if body.reason is None else _check_reason(body.reason)
        order = Order(body.mode, reason)
        if body.target is not None:
            return await self._order(request, principal, body.target, order)
        return json_reply(200, await self._order_all(request, principal, targets, order))

    async def delete_chat(self, request: Request) -> Reply | StreamReply:
        """DELETE /chats/{chat_id}: 202, out of everybody's reach; with `export` 200 and, first, all of it."""
        principal = await self._reach.caller(request)
        target = Target("chat", request.params["chat_id"])
        order = Order(_mode_of(request))
        if "export" in request.query:
            return await self._export(request, principal, target, order)
        return await self._order(request, principal, target, order)

    async def _export(self, request: Request, principal: Principal, target: Target, order: Order) -> StreamReply:
        """Send a chat and delete it, if it is then as it was; what stands in the way now refuses it at once."""
        if request.query["export"] not in DELETING_FORMS:
            raise InvalidInput(f"export is {' or '.join(DELETING_FORMS)}", field="export")
        if order.mode == deletions.AFTER:
            raise InvalidInput("what waits cannot be what was exported: mode is refuse or cancel", field="mode")
        aim = await self._aim(principal, target)
        await self._expected(request, principal, [aim])
        chat = await self._reach.chat(principal, target.id)
        plan = await self._instance.deletions.plan(principal.tenant_id, [aim])
        (survey,) = plan.surveys
        if any(each.kind == "last_chat" or order.mode == deletions.REFUSE for each in survey.blocked_by):
            raise TargetBusy("something stands in the way", _show_blockers(survey))
        chat = as_surveyed(chat, {each.id: each.last_seq for each in survey.chats})
        exact = msgspec.structs.replace(order, if_digest=plan.digest)
        return await self._exports.delete_chat(request, principal.tenant_id, chat, exact)

    async def delete_session(self, request: Request) -> Reply:
        """DELETE /sessions/{session_id}: 202, with all its chats."""
        principal = await self._reach.caller(request)
        target = Target("session", request.params["session_id"])
        return await self._order(request, principal, target, Order(_mode_of(request)))

    async def get(self, request: Request) -> Reply:
        """GET /deletions/{deletion_id}."""
        principal = await self._reach.overseer(request)
        deletion_id = parse_id(request.params["deletion_id"], DELETION_PREFIX)
        return versioned(200, show_deletion(await self._instance.deletions.get(principal.tenant_id, deletion_id)))

    async def retry(self, request: Request) -> Reply:
        """POST /deletions/{deletion_id}/retry: 202, also for one that is over or at work, which is left alone."""
        principal = await self._reach.overseer(request)
        deletion_id = parse_id(request.params["deletion_id"], DELETION_PREFIX)
        deletion = await self._instance.deletions.retry(principal.tenant_id, deletion_id)
        request.subject = _subject_of(deletion)
        return json_reply(202, show_deletion(deletion))

    async def undo(self, request: Request) -> Reply:
        """POST /deletions/{deletion_id}/undo: 200, all of it is back; 409 or 410, and nothing is."""
        principal = await self._reach.overseer(request)
        deletion_id = parse_id(request.params["deletion_id"], DELETION_PREFIX)
        return json_reply(200, show_deletion(await self._instance.deletions.undo(principal.tenant_id, deletion_id)))

    async def list(self, request: Request) -> Reply:
        """GET /deletions, the newest first."""
        principal = await self._reach.overseer(request)
        states = sorted({value for name, value in request.query_items if name == "state"})
        if unknown := [state for state in states if state not in _STATES]:
            raise InvalidInput(f"{unknown[0]!r} is no state of a deletion", field="state")
        is_overdue, limit = read_flag(request, "overdue"), read_limit(request)
        of_list = list_name("deletions", principal.tenant_id, is_overdue, *states)
        before = read_cursor(of_list, request)
        found = await self._instance.deletions.list(
            principal.tenant_id, states, before, limit + 1, is_overdue=is_overdue
        )
        page, following = cut_page(found, limit, of_list, lambda deletion: deletion.id)
        return json_reply(200, DeletionList([show_deletion(deletion) for deletion in page], following))

    async def _aim(self, principal: Principal, target: Target) -> Aim:
        """What the key may delete under that name. Raises AccessDenied, and NotFound's kinds.

        A participant's key deletes what that participant owns; not the participant, whose words stand in the chats of
        others and whose keys are the tenant's to end.
        """
        if target.kind == "chat":
            chat = await self._reach.chat(principal, target.id)
            self._reach.check_ownership(principal, chat.owner_id)
            return Aim(target.kind, target.id, chat.key)
        if target.kind == "session":
            session = await self._reach.session(principal, target.id)
            self._reach.check_ownership(principal, session.owner_id)
            return Aim(target.kind, target.id, session.key)
        if principal.scope not in {ADMIN, TENANT}:
            raise AccessDenied
        if target.kind == deletions.TENANT:
            return Aim(target.kind, text_of(principal.tenant_id) if target.id == principal.tenant_name else target.id)
        return Aim(target.kind, await self._name_of(principal, target.id))

    async def _name_of(self, principal: Principal, named: str) -> str:
        """The name of a participant that is named so, or by the id that a list shows."""
        people = self._instance.participants
        if is_canonical_uuid(named) and await people.find(principal.tenant_id, named) is None:
            uid = parse_uuid(named)
            found = await people.find_by_id(principal.tenant_id, uid) if uid else None
            return named if found is None or found.kind != PEER else found.name
        return named

    async def _order(self, request: Request, principal: Principal, target: Target, order: Order) -> Reply:
        """Delete one target; 201 when nothing of it is left already."""
        aim = await self._aim(principal, target)
        (digest,) = await self._expected(request, principal, [aim])
        deletion = await self._delete(principal, aim, msgspec.structs.replace(order, if_digest=digest))
        shown = show_deletion(deletion)
        return json_reply(_status_of(deletion), shown, [(b"location", f"/antiphon/v1/deletions/{shown.id}".encode())])

    async def _order_all(
        self, request: Request, principal: Principal, targets: Sequence[Target], order: Order
    ) -> Results:
        """Delete one target after the other. Raises PlanChanged when not all are as a plan said; nothing is deleted."""
        aims = [await self._aim_or_error(principal, target) for target in targets]
        good = [aim for aim in aims if isinstance(aim, Aim)]
        if request.header(b"if-match") is not None and len(good) < len(aims):
            raise PlanChanged
        try:
            digests = iter(await self._expected(request, principal, good))
        except NotFound:
            raise PlanChanged from None
        results = []
        for target, aim in zip(targets, aims, strict=True):
            if isinstance(aim, Aim):
                one = msgspec.structs.replace(order, if_digest=next(digests))
                results.append(await self._result(request, principal, target, aim, one))
            else:
                results.append(_failed(request, target, aim))
        return Results(results)

    async def _aim_or_error(self, principal: Principal, target: Target) -> Aim | AntiphonError:
        try:
            return await self._aim(principal, target)
        except AntiphonError as error:
            return error

    async def _result(self, request: Request, principal: Principal, target: Target, aim: Aim, order: Order) -> Result:
        try:
            deletion = await self._delete(principal, aim, order)
        except AntiphonError as error:
            return _failed(request, target, error)
        return Result(target, _status_of(deletion), deletion=show_deletion(deletion))

    async def _expected(self, request: Request, principal: Principal, aims: Sequence[Aim]) -> Sequence[str | None]:
        """The digest of each target alone, when together they are what `If-Match` says; else PlanChanged."""
        tags = read_tags(request)
        if tags is None or not aims:
            return [None] * len(aims)
        plan = await self._instance.deletions.plan(principal.tenant_id, aims)
        is_known = plan.digest in tags
        if not is_known and request.method == "DELETE":  # then it may be the version of the thing itself
            is_known = await self._version(principal, aims[0]) in tags
        if not is_known:
            raise PlanChanged
        return [digest_of_surveys((survey,)) for survey in plan.surveys]

    async def _version(self, principal: Principal, aim: Aim) -> str:
        """The version of a chat or a session as it is shown now."""
        if aim.kind == "chat":
            chat = await self._reach.chat(principal, aim.id)
            return tag_of((await view_chats(self._instance, principal, [chat]))[0])
        session = await self._reach.session(principal, aim.id)
        return tag_of(await view_session(self._instance, principal, session))

    async def _delete(self, principal: Principal, aim: Aim, order: Order) -> deletions.Deletion:
        """Delete, or raise TargetBusy with what stands in the way at this moment."""
        try:
            deletion = await self._instance.deletions.delete(principal.tenant_id, aim, order)
        except (ChatHasActiveConnections, ChatHasActiveTurn, ChatIsLastOfSession) as error:
            plan = await self._instance.deletions.plan(principal.tenant_id, [aim])
            raise TargetBusy(error.message, _show_blockers(plan.surveys[0])) from None
        if aim.kind in {deletions.PARTICIPANT, deletions.TENANT}:  # with their keys, and a tenant with its name
            self._instance.keys.forget(principal.tenant_id)
            self._instance.tenants.forget(principal.tenant_name)
        return deletion


def _targets_of(body: NewPlan | NewDeletion) -> Sequence[Target]:
    """What a body names, by one of its two fields. Raises InvalidInput."""
    if (body.target is None) == (body.targets is None):
        raise InvalidInput("there is either a target or targets", field="target")
    if body.target is not None:
        return [body.target]
    targets = body.targets or []
    if not targets:
        raise InvalidInput("there is at least one target", field="targets")
    if len(targets) > limits.DELETION_TARGETS:
        raise TooManyTargets(f"at most {limits.DELETION_TARGETS} targets at a time", field="targets")
    return targets


def _check_reason(text: str) -> str:
    return texts.check_text(text, "reason", limits.DELETION_REASON_CHARACTERS)


def _mode_of(request: Request) -> str:
    mode = request.query.get("mode", deletions.REFUSE)
    if mode not in _MODES:
        raise InvalidInput(f"mode is {', '.join(_MODES[:-1])} or {_MODES[-1]}", field="mode")
    return mode


def _failed(request: Request, target: Target, error: AntiphonError) -> Result:
    problem = problem_of(request, error)
    return Result(target, problem.status, error=problem)


def _status_of(deletion: deletions.Deletion) -> int:
    return 201 if deletion.state == deletions.DONE else 202


def _show_blockers(survey: Survey) -> list[Blocker]:
    return [
        Blocker(each.kind, _BLOCKER_PREFIXES.get(each.kind, "") + each.id, _time_or_none(each.until))
        for each in survey.blocked_by
    ]


def show_deletion(deletion: deletions.Deletion) -> Deletion:
    """A deletion as it stands."""
    is_over = deletion.state in {deletions.DONE, deletions.UNDONE}
    done = sum(deletion.counts.values())
    now, begun_at = times.now(), deletion.undo_until or deletion.requested_at
    return Deletion(
        DELETION_PREFIX + text_of(deletion.id),
        Doomed(deletion.kind, digest=deletion.target_digest) if is_over else Doomed(deletion.kind, deletion.target_id),
        deletion.mode,
        deletion.reason,
        deletion.state,
        show_time(deletion.requested_at),
        _time_or_none(deletion.detached_at),
        _time_or_none(deletion.undo_until),
        _time_or_none(deletion.purged_at),
        _time_or_none(deletion.scrubbed_at),
        deletion.counts,
        Progress(done, done if is_over else max(done, deletion.total)),
        deletion.attempts,
        show_time(deletion.run_after) if deletion.run_after > now and not is_over else None,
        deletion.last_error,
        not is_over and now - begun_at > limits.JOB_OVERDUE_SECONDS * times.SECOND,
        None if deletion.receipt_id is None else ID_PREFIX + text_of(deletion.receipt_id),
    )


def _time_or_none(moment: int | None) -> str | None:
    return None if moment is None else show_time(moment)


def _subject_of(deletion: deletions.Deletion) -> Subject:
    """What an answer that names the target of a deletion tells of: it is not kept while that is gone."""
    columns = {deletions.CHAT: "chat_key", deletions.SESSION: "session_key", deletions.PARTICIPANT: "participant_id"}
    column = columns.get(deletion.kind)
    return Subject() if column is None else Subject(**{column: deletion.target_key})
