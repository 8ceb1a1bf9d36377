"""Peers: our participants, by their names."""

from __future__ import annotations

from antiphon.api.honcho import wire
from antiphon.api.honcho.bodies import read_body, read_optional_body
from antiphon.api.honcho.errors import BODY_REFUSALS
from antiphon.api.honcho.filters import PEER, SESSION, list_filter
from antiphon.api.honcho.pages import LIST_QUERY, page_reply, read_part
from antiphon.api.honcho.reach import Reach, Workspace, check_own_peer, check_peer, check_whole_workspace
from antiphon.api.honcho.speakers import check_makeable
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain import keys, participants
from antiphon.domain.filters import EVERYTHING
from antiphon.domain.ids import Uid
from antiphon.domain.participants import Participant

PATH = "/v3/workspaces/{workspace_id}/peers"

_KINDS: dict[str | None, str | None] = {None: participants.PEER, "scope": participants.SCOPE, "all": None}


class Peers:
    """The routes of peers."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        made = {200: wire.Peer, 201: wire.Peer, 404: wire.Refusal, **BODY_REFUSALS}
        return [
            Route("POST", PATH, self.get_or_create, "Get a peer, or make it.", made, wire.PeerCreate),
            Route(
                "POST",
                f"{PATH}/list",
                self.list,
                "The peers of a workspace, the oldest first.",
                {200: wire.Page[wire.Peer], **BODY_REFUSALS},
                wire.PeerGet | None,
                is_body_optional=True,
                query=LIST_QUERY,
            ),
            Route(
                "PUT",
                f"{PATH}/{{peer_id}}",
                self.update,
                "Replace what is given of a peer.",
                {200: wire.Peer, 404: wire.Refusal, **BODY_REFUSALS},
                wire.PeerUpdate,
            ),
            Route(
                "POST",
                f"{PATH}/{{peer_id}}/sessions",
                self.sessions,
                "The sessions in which a peer is or was a member, the oldest first.",
                {200: wire.Page[wire.Session], **BODY_REFUSALS},
                wire.SessionGet | None,
                is_body_optional=True,
                query=LIST_QUERY,
            ),
        ]

    async def get_or_create(self, request: Request) -> Reply:
        """POST …/peers: 201 when it was made; replaces what is given."""
        principal = await self._reach.identify(request)
        body = await read_body(request, wire.PeerCreate)
        check_peer(principal, body.id)
        metadata, configuration = wire.object_text(body.metadata), wire.object_text(body.configuration)

        async def put(workspace: Workspace) -> tuple[Participant, bool]:
            if principal.scope == keys.SESSION:
                return await self._put_if_new(workspace.id, body.id, metadata, configuration)
            return await self._instance.participants.put(workspace.id, body.id, metadata, configuration)

        name = request.params["workspace_id"]
        peer, is_new = await self._reach.in_workspace(principal, name, put)
        return json_reply(201 if is_new else 200, wire.show_peer(peer, name))

    async def _put_if_new(
        self, tenant_id: Uid, name: str, metadata: str | None, configuration: str | None
    ) -> tuple[Participant, bool]:
        """The peer, with metadata and configuration only if it was made here: a session's token changes no other."""
        verbs = self._instance.participants
        peer, is_new = await verbs.put(tenant_id, name)
        if is_new and (metadata is not None or configuration is not None):
            peer, _ = await verbs.put(tenant_id, name, metadata, configuration)
        return peer, is_new

    async def list(self, request: Request) -> Reply:
        """POST …/peers/list."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        asked = read_part(request)
        body = await read_optional_body(request, wire.PeerGet)
        wanted = list_filter(body, PEER)
        kind = _KINDS[body.kind if body else None]
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            return page_reply(asked, [], 0)
        if wanted is None and kind == participants.PEER:
            peers, total = await self._instance.participants.list(workspace.id, asked.part)
        else:
            wanted = wanted or EVERYTHING
            peers, total = await self._instance.lists.participants(
                workspace.id, workspace.name, kind, wanted, asked.part
            )
        return page_reply(asked, [wire.show_peer(peer, workspace.name) for peer in peers], total)

    async def update(self, request: Request) -> Reply:
        """PUT …/peers/{peer_id}: makes it when it is missing; replaces what is given."""
        principal = await self._reach.identify(request)
        peer_id, name = request.params["peer_id"], request.params["workspace_id"]
        check_own_peer(principal, peer_id)
        body = await read_body(request, wire.PeerUpdate)
        metadata, configuration = wire.object_text(body.metadata), wire.object_text(body.configuration)

        async def put(workspace: Workspace) -> Participant:
            await check_makeable(self._instance.participants, workspace.id, peer_id)
            return (await self._instance.participants.put(workspace.id, peer_id, metadata, configuration))[0]

        return json_reply(200, wire.show_peer(await self._reach.in_workspace(principal, name, put), name))

    async def sessions(self, request: Request) -> Reply:
        """POST …/peers/{peer_id}/sessions: those in which it is or was a member."""
        principal = await self._reach.identify(request)
        check_own_peer(principal, request.params["peer_id"])
        asked = read_part(request)
        wanted = list_filter(await read_optional_body(request, wire.SessionGet), SESSION) or EVERYTHING
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            return page_reply(asked, [], 0)
        peer = await self._instance.participants.find(workspace.id, request.params["peer_id"])
        if peer is None:
            return page_reply(asked, [], 0)
        rows, total = await self._instance.lists.sessions(workspace.id, workspace.name, peer.id, wanted, asked.part)
        return page_reply(asked, [wire.show_session(row, workspace.name) for row in rows], total)
