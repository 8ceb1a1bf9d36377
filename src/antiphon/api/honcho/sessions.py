"""Sessions: ours of the shape `single`, each with one thread."""

from __future__ import annotations

from antiphon.api.honcho import wire
from antiphon.api.honcho.bodies import read_body, read_optional_body
from antiphon.api.honcho.errors import BODY_REFUSALS, REFUSALS
from antiphon.api.honcho.filters import wanted_ids
from antiphon.api.honcho.pages import LIST_QUERY, PAGE_QUERY, page_of_few, page_reply, read_page, read_part
from antiphon.api.honcho.reach import (
    Reach,
    Workspace,
    check_session,
    check_session_write,
    check_whole_workspace,
    owner_name,
)
from antiphon.api.honcho.speakers import check_speakers
from antiphon.api.honcho.workspaces import check_configuration
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain.deletions import CANCEL
from antiphon.domain.errors import SessionNotFound
from antiphon.domain.keys import PARTICIPANT, Principal
from antiphon.domain.participants import Member
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
        return [
            Route("POST", PATH, self.get_or_create, "Get a session, or make it.", made, wire.SessionCreate),
            Route(
                "POST",
                f"{PATH}/list",
                self.list,
                "The sessions of a workspace, the oldest first.",
                {200: wire.Page[wire.Session], **BODY_REFUSALS},
                wire.ListOptions,
                is_body_optional=True,
                query=LIST_QUERY,
            ),
            Route(
                "GET",
                f"{one}/peers",
                self.members,
                "Who is a member now.",
                {200: wire.Page[wire.Peer], **REFUSALS},
                query=PAGE_QUERY,
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
        await check_configuration(self._instance.messages, body.configuration)

        async def put(workspace: Workspace) -> tuple[Session, bool]:
            return await self._put(principal, workspace, body)

        name = request.params["workspace_id"]
        session, is_new = await self._reach.in_workspace(principal, name, put)
        return json_reply(201 if is_new else 200, wire.show_session(session, name))

    async def _put(self, principal: Principal, workspace: Workspace, body: wire.SessionCreate) -> tuple[Session, bool]:
        peers = body.peers or {}
        await check_speakers(self._instance.participants, workspace.id, peers)
        return await self._instance.sessions.put_single(
            workspace.id,
            body.id,
            owner_name(principal, workspace, list(peers)),
            wire.object_text(body.metadata),
            wire.configuration_text(body.configuration),
            [Member(name, config.observe_me, config.observe_others) for name, config in peers.items()],
            principal.participant_id if principal.scope == PARTICIPANT else None,
        )

    async def list(self, request: Request) -> Reply:
        """POST …/sessions/list."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        asked = read_part(request)
        ids = wanted_ids(await read_optional_body(request, wire.ListOptions), has_activity=True)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            return page_reply(asked, [], 0)
        if ids is None:
            rows, total = await self._instance.sessions.list_single(workspace.id, asked.part)
            return page_reply(asked, [wire.show_session(row, workspace.name) for row in rows], total)
        found = [row for one in ids if (row := await self._instance.sessions.find(workspace.id, one)) is not None]
        shown = [row for row in found if row.shape == SINGLE]
        return page_of_few(asked, shown, lambda row: row.key, lambda row: wire.show_session(row, workspace.name))

    async def members(self, request: Request) -> Reply:
        """GET …/sessions/{session_id}/peers."""
        principal = await self._reach.identify(request)
        found = await self._reach.readable_session(principal, request)
        asked = read_page(request)
        if found is None:
            return page_reply(asked, [], 0)
        workspace, session = found
        members, total = await self._instance.sessions.members(workspace.id, session, asked.part)
        return page_reply(asked, [wire.show_peer(member, workspace.name) for member in members], total)

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
