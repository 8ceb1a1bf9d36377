"""Peers: our participants, by their names."""

from __future__ import annotations

from antiphon.api.honcho import wire
from antiphon.api.honcho.bodies import read_body, read_optional_body
from antiphon.api.honcho.errors import BODY_REFUSALS
from antiphon.api.honcho.filters import wanted_ids
from antiphon.api.honcho.pages import LIST_QUERY, page_of_few, page_reply, read_part
from antiphon.api.honcho.reach import Reach, Workspace, check_peer, check_whole_workspace
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain.ids import Uid
from antiphon.domain.keys import SESSION
from antiphon.domain.participants import Participant

PATH = "/v3/workspaces/{workspace_id}/peers"


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
                wire.ListOptions,
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
            if principal.scope == SESSION:
                return await self._put_if_new(workspace.id, body.id, metadata, configuration)
            return await self._instance.participants.put(workspace.id, body.id, metadata, configuration)

        name = request.params["workspace_id"]
        peer, is_new = await self._reach.in_workspace(principal, name, put)
        return json_reply(201 if is_new else 200, wire.show_peer(peer, name))

    async def _put_if_new(
        self, tenant_id: Uid, name: str, metadata: str | None, configuration: str | None
    ) -> tuple[Participant, bool]:
        """The peer, with metadata and configuration only if it was made here: a session's token changes no other."""
        participants = self._instance.participants
        peer, is_new = await participants.put(tenant_id, name)
        if is_new and (metadata is not None or configuration is not None):
            peer, _ = await participants.put(tenant_id, name, metadata, configuration)
        return peer, is_new

    async def list(self, request: Request) -> Reply:
        """POST …/peers/list."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        asked = read_part(request)
        ids = wanted_ids(await read_optional_body(request, wire.ListOptions))
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            return page_reply(asked, [], 0)
        participants = self._instance.participants
        if ids is None:
            peers, total = await participants.list(workspace.id, asked.part)
            return page_reply(asked, [wire.show_peer(peer, workspace.name) for peer in peers], total)
        found = [peer for name in ids if (peer := await participants.find(workspace.id, name)) is not None]
        return page_of_few(asked, found, lambda peer: peer.id, lambda peer: wire.show_peer(peer, workspace.name))
