"""Who is in a session: members come, go, and have settings of their own there."""

from __future__ import annotations

from antiphon.api.honcho import wire
from antiphon.api.honcho.bodies import read_body
from antiphon.api.honcho.errors import BODY_REFUSALS, REFUSALS
from antiphon.api.honcho.memory_wire import PeerIds, SessionPeers
from antiphon.api.honcho.pages import PAGE_QUERY, page_reply, read_page
from antiphon.api.honcho.reach import Reach, Workspace, check_peer, check_session_write
from antiphon.api.honcho.sessions import PATH, put_named
from antiphon.api.honcho.speakers import check_speakers
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain.errors import ParticipantNotFound, SessionNotFound
from antiphon.domain.keys import Principal
from antiphon.domain.participants import PEER, Member
from antiphon.domain.sessions import SINGLE, Session
from antiphon.domain.texts import is_storable

_PEERS = f"{PATH}/{{session_id}}/peers"
_CONFIG = f"{_PEERS}/{{peer_id}}/config"


class Members:
    """The routes of members."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        broken = {400: wire.Refusal, 404: wire.Refusal, 409: wire.Refusal}
        changed = {200: wire.Session, **broken, **BODY_REFUSALS}
        page = {200: wire.Page[wire.Peer], **REFUSALS}
        settings = {200: wire.SessionPeerConfig, 404: wire.Refusal, **REFUSALS}
        return [
            Route("GET", _PEERS, self.list, "Who is a member now.", page, query=PAGE_QUERY),
            Route("POST", _PEERS, self.add, "Add members.", changed, SessionPeers),
            Route("PUT", _PEERS, self.replace, "Replace the members.", changed, SessionPeers),
            Route("DELETE", _PEERS, self.remove, "Remove members.", changed, PeerIds),
            Route("GET", _CONFIG, self.settings, "A member's settings.", settings),
            Route(
                "PUT",
                _CONFIG,
                self.set,
                "Set what is given of a member's settings.",
                {204: None, **broken, **BODY_REFUSALS},
                wire.SessionPeerConfig,
            ),
        ]

    async def list(self, request: Request) -> Reply:
        """GET …/peers."""
        principal = await self._reach.identify(request)
        found = await self._reach.readable_session(principal, request)
        asked = read_page(request)
        if found is None:
            return page_reply(asked, [], 0)
        workspace, session = found
        members, total = await self._instance.sessions.members(workspace.id, session, asked.part)
        return page_reply(asked, [wire.show_peer(member, workspace.name) for member in members], total)

    async def add(self, request: Request) -> Reply:
        """POST …/peers: makes a missing session; who is a member keeps the settings."""
        principal = await self._reach.identify(request)
        session_id, name = request.params["session_id"], request.params["workspace_id"]
        check_session_write(principal, session_id)
        members = members_of((await read_body(request, SessionPeers)).root)

        async def join(workspace: Workspace) -> Session:
            await check_speakers(self._instance.participants, workspace.id, [member.name for member in members])
            return await put_named(self._instance, principal, workspace, session_id, members=members)

        return json_reply(200, wire.show_session(await self._reach.in_workspace(principal, name, join), name))

    async def replace(self, request: Request) -> Reply:
        """PUT …/peers: these and no others are members afterwards."""
        principal = await self._reach.identify(request)
        check_session_write(principal, request.params["session_id"])
        members = members_of((await read_body(request, SessionPeers)).root)
        workspace, session = await self._session(principal, request)
        await check_speakers(self._instance.participants, workspace.id, [member.name for member in members])
        session = await self._instance.members.replace(workspace.id, session.id, members)
        return json_reply(200, wire.show_session(session, workspace.name))

    async def remove(self, request: Request) -> Reply:
        """DELETE …/peers: who is no member is passed over."""
        principal = await self._reach.identify(request)
        check_session_write(principal, request.params["session_id"])
        names = [name for name in (await read_body(request, PeerIds)).root if "\x00" not in name]
        workspace, session = await self._session(principal, request)
        session = await self._instance.members.leave(workspace.id, session.id, PEER, names)
        return json_reply(200, wire.show_session(session, workspace.name))

    async def settings(self, request: Request) -> Reply:
        """GET …/peers/{peer_id}/config: also of one that has left."""
        principal = await self._reach.identify(request)
        found = await self._reach.readable_session(principal, request)
        check_peer(principal, request.params["peer_id"])
        if found is None:
            raise SessionNotFound
        workspace, session = found
        name = request.params["peer_id"]
        member = await self._instance.members.find(workspace.id, session.id, name) if is_storable(name) else None
        if member is None:
            raise ParticipantNotFound
        return json_reply(200, {"observe_me": member.observe_me, "observe_others": member.observe_others})

    async def set(self, request: Request) -> Reply:
        """PUT …/peers/{peer_id}/config: makes it a member when it never was."""
        principal = await self._reach.identify(request)
        check_session_write(principal, request.params["session_id"])
        body = await read_body(request, wire.SessionPeerConfig)
        workspace, session = await self._session(principal, request)
        peer = await self._instance.participants.find(workspace.id, request.params["peer_id"])
        if peer is None:
            raise ParticipantNotFound
        member = Member(peer.name, body.observe_me, body.observe_others)
        await self._instance.members.configure(workspace.id, session.id, member)
        return Reply(204)

    async def _session(self, principal: Principal, request: Request) -> tuple[Workspace, Session]:
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            raise SessionNotFound
        return workspace, await self._instance.sessions.get_of_shape(workspace.id, request.params["session_id"], SINGLE)


def members_of(given: dict[str, wire.SessionPeerConfig]) -> list[Member]:
    """Members as a body names them."""
    return [Member(name, config.observe_me, config.observe_others) for name, config in given.items()]
