"""Sessions: ours of the shape `single`, each with one thread."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.api.honcho import wire
from antiphon.api.honcho.bodies import read_body, read_optional_body
from antiphon.api.honcho.errors import BODY_REFUSALS, REFUSALS
from antiphon.api.honcho.filters import SESSION, list_filter
from antiphon.api.honcho.pages import LIST_QUERY, OPTIONAL_TEXT, page_reply, read_part
from antiphon.api.honcho.reach import (
    Reach,
    Workspace,
    check_session,
    check_session_write,
    check_whole_workspace,
    owner_of,
)
from antiphon.api.honcho.scopes import put_scope
from antiphon.api.honcho.speakers import check_speakers, is_name
from antiphon.api.honcho.workspaces import check_configuration
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Query, Route
from antiphon.core.instance import Instance
from antiphon.domain.deletions import CANCEL
from antiphon.domain.errors import MessageNotFound, SessionIdTaken, SessionNotFound
from antiphon.domain.ids import new_nano_id, parse_short
from antiphon.domain.keys import PARTICIPANT, Principal
from antiphon.domain.participants import SCOPE, Member
from antiphon.domain.sessions import SINGLE, Session

PATH = "/v3/workspaces/{workspace_id}/sessions"


class Sessions:
    """The routes of sessions and their members."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        one = f"{PATH}/{{session_id}}"
        broken = {400: wire.Refusal, 404: wire.Refusal, 409: wire.Refusal}
        made = {200: wire.Session, 201: wire.Session, **broken, **BODY_REFUSALS}
        changed = {200: wire.Session, **broken, **BODY_REFUSALS}
        return [
            Route("POST", PATH, self.get_or_create, "Get a session, or make it.", made, wire.SessionCreate),
            Route(
                "POST",
                f"{PATH}/list",
                self.list,
                "The sessions of a workspace, the oldest first.",
                {200: wire.Page[wire.Session], **BODY_REFUSALS},
                wire.SessionGet | None,
                is_body_optional=True,
                query=LIST_QUERY,
            ),
            Route("PUT", one, self.update, "Change a session, or make it.", changed, wire.SessionUpdate),
            Route(
                "POST",
                f"{one}/clone",
                self.clone,
                "Copy a session, or its part up to a message.",
                {201: wire.Session, 400: wire.Refusal, 404: wire.Refusal, **REFUSALS},
                query=(Query("message_id", OPTIONAL_TEXT, "The last message to be copied."),),
            ),
            Route(
                "DELETE",
                one,
                self.delete,
                "Delete a session with all its messages.",
                {202: wire.Accepted, 404: wire.Refusal, **REFUSALS},
            ),
        ]

    async def get_or_create(self, request: Request) -> Reply:
        """POST …/sessions: 201 when it was made; replaces metadata, merges configuration, adds the peers."""
        principal = await self._reach.identify(request)
        body = await read_body(request, wire.SessionCreate)
        check_session(principal, body.id)
        if body.scopes:
            check_whole_workspace(principal)
        await check_configuration(self._instance.messages, body.configuration)

        async def put(workspace: Workspace) -> tuple[Session, bool]:
            return await self._put(principal, workspace, body)

        name = request.params["workspace_id"]
        session, is_new = await self._reach.in_workspace(principal, name, put)
        return json_reply(201 if is_new else 200, wire.show_session(session, name))

    async def _put(self, principal: Principal, workspace: Workspace, body: wire.SessionCreate) -> tuple[Session, bool]:
        peers = body.peers or {}
        await check_speakers(self._instance.participants, workspace.id, peers)
        scopes = [await put_scope(self._instance, workspace, scope_id) for scope_id in body.scopes or ()]
        owner, is_implied = owner_of(principal, workspace, list(peers))
        made = await self._instance.sessions.put_single(
            workspace.id,
            body.id,
            owner,
            wire.object_text(body.metadata),
            wire.configuration_text(body.configuration),
            [Member(name, config.observe_me, config.observe_others) for name, config in peers.items()],
            principal.participant_id if principal.scope == PARTICIPANT else None,
            is_owner_implied=is_implied,
        )
        if scopes:
            await self._instance.members.join(workspace.id, [body.id], SCOPE, [scope.name for scope, _ in scopes])
        return made

    async def list(self, request: Request) -> Reply:
        """POST …/sessions/list."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        asked = read_part(request)
        wanted = list_filter(await read_optional_body(request, wire.SessionGet), SESSION)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            return page_reply(asked, [], 0)
        if wanted is None:
            rows, total = await self._instance.sessions.list_single(workspace.id, asked.part)
        else:
            rows, total = await self._instance.lists.sessions(workspace.id, workspace.name, None, wanted, asked.part)
        return page_reply(asked, [wire.show_session(row, workspace.name) for row in rows], total)

    async def update(self, request: Request) -> Reply:
        """PUT …/sessions/{session_id}: makes it when it is missing; replaces metadata, merges configuration."""
        principal = await self._reach.identify(request)
        session_id, name = request.params["session_id"], request.params["workspace_id"]
        check_session_write(principal, session_id)
        body = await read_body(request, wire.SessionUpdate)
        await check_configuration(self._instance.messages, body.configuration)
        metadata, configuration = wire.object_text(body.metadata), wire.configuration_text(body.configuration)

        async def put(workspace: Workspace) -> Session:
            return await put_named(self._instance, principal, workspace, session_id, metadata, configuration)

        return json_reply(200, wire.show_session(await self._reach.in_workspace(principal, name, put), name))

    async def clone(self, request: Request) -> Reply:
        """POST …/sessions/{session_id}/clone: all of it, or up to and with a message."""
        principal = await self._reach.identify(request)
        session_id = request.params["session_id"]
        check_session_write(principal, session_id)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            raise SessionNotFound
        source = await self._instance.sessions.get_of_shape(workspace.id, session_id, SINGLE)
        last = None
        if (message_id := request.query.get("message_id")) is not None and (last := parse_short(message_id)) is None:
            raise MessageNotFound
        made = await self._instance.members.clone(workspace.id, source.id, new_nano_id(), last)
        return json_reply(201, wire.show_session(made, workspace.name))

    async def delete(self, request: Request) -> Reply:
        """DELETE …/sessions/{session_id}: gone for everybody when this answers; one of several at once wins."""
        principal = await self._reach.identify(request)
        session_id = request.params["session_id"]
        check_session_write(principal, session_id)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            raise SessionNotFound
        session = await self._instance.sessions.get_of_shape(workspace.id, session_id, SINGLE)
        await self._instance.deletions.delete_session(workspace.id, session, CANCEL)
        return json_reply(202, wire.Accepted("Session deleted: what is left of it is being removed"))


async def put_named(
    instance: Instance,
    principal: Principal,
    workspace: Workspace,
    session_id: str,
    metadata: str | None = None,
    configuration: str | None = None,
    members: Sequence[Member] = (),
) -> Session:
    """The session that a path names, made when missing, changed and joined as told. Raises SessionNotFound.

    That is for an id that no session made here can have, unless another dialect made one of that id.
    """
    if not is_name(session_id) and await instance.sessions.find(workspace.id, session_id) is None:
        raise SessionNotFound
    owner, is_implied = owner_of(principal, workspace, [member.name for member in members])
    try:
        session, _ = await instance.sessions.put_single(
            workspace.id, session_id, owner, metadata, configuration, members, is_owner_implied=is_implied
        )
    except SessionIdTaken:
        raise SessionNotFound from None
    return session
