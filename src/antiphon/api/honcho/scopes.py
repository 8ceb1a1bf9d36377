"""Scopes: named sets of sessions, kept as participants of a kind of their own that are members and never speak."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.api.honcho import memory_wire, wire
from antiphon.api.honcho.bodies import read_body
from antiphon.api.honcho.errors import BODY_REFUSALS, REFUSALS
from antiphon.api.honcho.pages import LIST_QUERY, page_reply, read_part
from antiphon.api.honcho.reach import Reach, Workspace, check_whole_workspace
from antiphon.api.honcho.speakers import SCOPE_PREFIX
from antiphon.api.http import Reply, Request, json_reply, raw_json
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain import limits, texts, times
from antiphon.domain.errors import Conflict, NotFound, ParticipantNotFound, SessionNotFound
from antiphon.domain.filters import EVERYTHING
from antiphon.domain.keys import Principal
from antiphon.domain.participants import PEER, SCOPE, Participant
from antiphon.domain.sessions import SINGLE

_PATH = "/v3/workspaces/{workspace_id}/scopes"
_ONE = f"{_PATH}/{{scope_id}}"


class Scopes:
    """The routes of scopes, which are for whole workspaces."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        gone = {404: wire.Refusal}
        made = {200: memory_wire.Scope, 201: memory_wire.Scope, **gone, 409: wire.Refusal, **BODY_REFUSALS}
        sessions = {200: wire.Page[wire.Session], **gone, **BODY_REFUSALS}
        return [
            Route("POST", _PATH, self.get_or_create, "Get a scope, or make it.", made, memory_wire.ScopeCreate),
            Route(
                "POST",
                f"{_PATH}/list",
                self.list,
                "The scopes of a workspace, the oldest first.",
                {200: wire.Page[memory_wire.Scope], **BODY_REFUSALS},
                query=LIST_QUERY,
            ),
            Route("GET", _ONE, self.get, "One scope.", {200: memory_wire.Scope, **gone, **REFUSALS}),
            Route(
                "POST",
                f"{_ONE}/sessions",
                self.add,
                "Add sessions, all or none.",
                {204: None, **gone, **BODY_REFUSALS},
                memory_wire.ScopeSessions,
            ),
            Route(
                "DELETE",
                f"{_ONE}/sessions/{{session_id}}",
                self.remove,
                "Take a session out.",
                {204: None, **gone, **REFUSALS},
            ),
            Route("POST", f"{_ONE}/sessions/list", self.sessions, "Its sessions.", sessions, query=LIST_QUERY),
            Route(
                "GET",
                f"{_ONE}/status",
                self.status,
                "How far its sessions have been taken in.",
                {200: memory_wire.ScopeStatus, **gone, **REFUSALS},
            ),
        ]

    async def get_or_create(self, request: Request) -> Reply:
        """POST …/scopes: 409 when an ordinary peer has the name."""
        principal = await self._principal(request)
        body = await read_body(request, memory_wire.ScopeCreate)

        async def put(workspace: Workspace) -> tuple[Participant, bool]:
            return await put_scope(self._instance, workspace, body.id, wire.object_text(body.metadata))

        scope, is_new = await self._reach.in_workspace(principal, request.params["workspace_id"], put)
        return json_reply(201 if is_new else 200, show_scope(scope))

    async def list(self, request: Request) -> Reply:
        """POST …/scopes/list."""
        principal = await self._principal(request)
        asked = read_part(request)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            return page_reply(asked, [], 0)
        scopes, total = await self._instance.lists.participants(
            workspace.id, workspace.name, SCOPE, EVERYTHING, asked.part
        )
        return page_reply(asked, [show_scope(scope) for scope in scopes], total)

    async def get(self, request: Request) -> Reply:
        """GET …/scopes/{scope_id}."""
        _, scope = await self._scope(await self._principal(request), request)
        return json_reply(200, show_scope(scope))

    async def add(self, request: Request) -> Reply:
        """POST …/scopes/{scope_id}/sessions: all are there, or nothing is added."""
        principal = await self._principal(request)
        body = await read_body(request, memory_wire.ScopeSessions)
        workspace, scope = await self._scope(principal, request)
        missing = []
        for session_id in body.session_ids:
            session = await self._instance.sessions.find(workspace.id, session_id)
            if session is None or session.shape != SINGLE:
                missing.append(session_id[: limits.NAME_CHARACTERS])
        if missing:
            raise NotFound(f"Sessions not found: {', '.join(map(repr, missing))}")
        await self._instance.members.join(workspace.id, body.session_ids, SCOPE, [scope.name])
        return Reply(204)

    async def remove(self, request: Request) -> Reply:
        """DELETE …/scopes/{scope_id}/sessions/{session_id}: also one that is not in it."""
        workspace, scope = await self._scope(await self._principal(request), request)
        session_id = request.params["session_id"]
        if not texts.is_client_id(session_id):
            raise SessionNotFound
        await self._instance.members.leave(workspace.id, session_id, SCOPE, [scope.name])
        return Reply(204)

    async def sessions(self, request: Request) -> Reply:
        """POST …/scopes/{scope_id}/sessions/list: the longest member first."""
        principal = await self._principal(request)
        asked = read_part(request)
        workspace, scope = await self._scope(principal, request)
        rows, total = await self._instance.lists.sessions_of_member(workspace.id, scope.id, asked.part)
        return page_reply(asked, [wire.show_session(row, workspace.name) for row in rows], total)

    async def status(self, request: Request) -> Reply:
        """GET …/scopes/{scope_id}/status: nothing is copied into a scope, so each session is complete at once."""
        workspace, scope = await self._scope(await self._principal(request), request)
        part = Slice(0, limits.HONCHO_ALLOWED_SESSIONS)
        rows, _ = await self._instance.lists.sessions_of_member(workspace.id, scope.id, part)
        done = {row.id: memory_wire.Backfill("completed", times.text_of(row.updated_at)) for row in rows}
        return json_reply(200, memory_wire.ScopeStatus(done))

    async def _principal(self, request: Request) -> Principal:
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        return principal

    async def _scope(self, principal: Principal, request: Request) -> tuple[Workspace, Participant]:
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            raise ParticipantNotFound
        return workspace, await find_scope(self._instance, workspace, request.params["scope_id"])


async def find_scope(instance: Instance, workspace: Workspace, scope_id: str) -> Participant:
    """The scope of that id. Raises ParticipantNotFound."""
    name = SCOPE_PREFIX + scope_id
    found = await instance.store.participants.find(workspace.id, SCOPE, name) if texts.is_storable(name) else None
    if found is None:
        raise ParticipantNotFound
    return found


async def put_scope(
    instance: Instance, workspace: Workspace, scope_id: str, metadata: str | None = None
) -> tuple[Participant, bool]:
    """The scope of that id, and whether it was made. Raises Conflict when an ordinary peer has its name."""
    name = SCOPE_PREFIX + scope_id
    if await instance.store.participants.find(workspace.id, PEER, name) is not None:
        raise Conflict("a peer has the name of this scope")
    return await instance.participants.put_scope(workspace.id, name, metadata)


async def sessions_of_scopes(
    instance: Instance, workspace: Workspace | None, scope_ids: str | Sequence[str]
) -> list[str]:
    """The ids of the sessions in any of those scopes, the longest member first, at most HONCHO_ALLOWED_SESSIONS.

    Raises ParticipantNotFound.
    """
    if workspace is None:
        raise ParticipantNotFound
    part = Slice(0, limits.HONCHO_ALLOWED_SESSIONS)
    found: dict[str, None] = {}
    for scope_id in [scope_ids] if isinstance(scope_ids, str) else scope_ids:
        scope = await find_scope(instance, workspace, scope_id)
        rows, _ = await instance.lists.sessions_of_member(workspace.id, scope.id, part)
        found |= dict.fromkeys(row.id for row in rows)
    return [*found][: limits.HONCHO_ALLOWED_SESSIONS]


def show_scope(scope: Participant) -> memory_wire.Scope:
    """A scope as this wire shows it."""
    scope_id = scope.name.removeprefix(SCOPE_PREFIX)
    return memory_wire.Scope(scope_id, raw_json(scope.metadata), times.text_of(scope.created_at))
