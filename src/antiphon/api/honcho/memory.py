"""What is known of peers: cards, representations, and answers to questions about them."""

from __future__ import annotations

from typing import Any

from antiphon.api.honcho import memory_wire, wire
from antiphon.api.honcho.bodies import read_body, validate
from antiphon.api.honcho.errors import BODY_REFUSALS, REFUSALS
from antiphon.api.honcho.pages import OPTIONAL_TEXT
from antiphon.api.honcho.reach import Reach, Workspace, check_own_peer, check_whole_workspace
from antiphon.api.honcho.reads import VIEW_QUERY
from antiphon.api.honcho.schemas import check_response_format
from antiphon.api.honcho.scopes import sessions_of_scopes
from antiphon.api.honcho.speakers import check_makeable
from antiphon.api.honcho.views import check_no_scope, view_of
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Content, Query, Route
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.errors import AccessDenied, InvalidInput, ParticipantNotFound, TenantNotFound
from antiphon.domain.keys import PARTICIPANT

_WORKSPACE = "/v3/workspaces/{workspace_id}"
_PEER = f"{_WORKSPACE}/peers/{{peer_id}}"
_EVENTS = "text/event-stream"
_TARGET = Query("target", OPTIONAL_TEXT, "Of whom; the peer itself when absent.")
_CONTEXT_QUERY = (
    _TARGET,
    Query("include_most_frequent", {"type": "boolean", "default": True}, "Whether what was found often goes first."),
    *VIEW_QUERY,
)


class Memory:
    """The routes of cards, representations and questions."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        gone = {404: wire.Refusal}
        card = {200: memory_wire.PeerCardResponse, **gone}
        answered = (memory_wire.DialecticResponse, Content(Any, _EVENTS))
        return [
            Route("GET", f"{_PEER}/card", self.card, "A card.", {**card, **REFUSALS}, query=(_TARGET,)),
            Route(
                "PUT",
                f"{_PEER}/card",
                self.put_card,
                "Replace a card.",
                {**card, **BODY_REFUSALS},
                memory_wire.PeerCardSet,
                query=(_TARGET,),
            ),
            Route(
                "POST",
                f"{_PEER}/representation",
                self.representation,
                "What a peer knows, as text.",
                {200: memory_wire.RepresentationResponse, **gone, **BODY_REFUSALS},
                memory_wire.PeerRepresentationGet,
            ),
            Route(
                "GET",
                f"{_PEER}/context",
                self.context,
                "What a peer knows, and its card.",
                {200: memory_wire.PeerContext, **gone, **REFUSALS},
                query=_CONTEXT_QUERY,
            ),
            Route(
                "POST",
                f"{_PEER}/chat",
                self.chat,
                "Ask about a peer.",
                {200: answered, **gone, **BODY_REFUSALS},
                memory_wire.DialecticOptions,
            ),
            Route(
                "POST",
                f"{_WORKSPACE}/schedule_dream",
                self.dream,
                "Have conclusions gone over again.",
                {204: None, **gone, **BODY_REFUSALS},
                memory_wire.ScheduleDreamRequest,
            ),
        ]

    async def card(self, request: Request) -> Reply:
        """GET …/card."""
        workspace = await self._workspace(request)
        peer, target = request.params["peer_id"], request.query.get("target")
        check_no_scope(peer, target)
        if workspace is None:
            raise ParticipantNotFound
        lines = await self._instance.conclusions.card(workspace.id, peer, target or peer)
        return json_reply(200, memory_wire.PeerCardResponse(lines))

    async def put_card(self, request: Request) -> Reply:
        """PUT …/card: makes the peers when they are missing."""
        principal = await self._reach.identify(request)
        peer, target = request.params["peer_id"], request.query.get("target") or request.params["peer_id"]
        check_own_peer(principal, peer)
        body = await read_body(request, memory_wire.PeerCardSet)
        check_no_scope(peer, target)

        async def put(workspace: Workspace) -> None:
            for name in (peer, target):
                await check_makeable(self._instance.participants, workspace.id, name)
            await self._instance.conclusions.put_card(workspace.id, peer, target, body.peer_card)

        await self._reach.in_workspace(principal, request.params["workspace_id"], put)
        return json_reply(200, memory_wire.PeerCardResponse(body.peer_card))

    async def representation(self, request: Request) -> Reply:
        """POST …/representation: empty as long as nothing is known."""
        principal = await self._reach.identify(request)
        peer = request.params["peer_id"]
        check_own_peer(principal, peer)
        body = await read_body(request, memory_wire.PeerRepresentationGet)
        sessions = session_filter(body.filters, body.session_id)
        if body.scope is not None and (sessions is not None or principal.scope == PARTICIPANT):
            raise InvalidInput("scope excludes filters and session_id", field="scope")
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None or await self._instance.participants.find(workspace.id, peer) is None:
            return json_reply(200, memory_wire.RepresentationResponse(""))
        view = await view_of(
            self._instance,
            workspace,
            peer,
            body.target or peer,
            scope=body.scope,
            sessions=sessions,
            query=body.search_query,
            limit=body.search_top_k if body.search_query and body.search_top_k else body.max_conclusions,
            distance=body.search_max_distance,
        )
        return json_reply(200, memory_wire.RepresentationResponse(view.representation))

    async def context(self, request: Request) -> Reply:
        """GET …/context."""
        workspace = await self._workspace(request)
        peer = request.params["peer_id"]
        asked = validate(memory_wire.PeerContextQuery, request.query, ("query",))
        if workspace is None or await self._instance.participants.find(workspace.id, peer) is None:
            raise ParticipantNotFound
        target = asked.target or peer
        view = await view_of(
            self._instance,
            workspace,
            peer,
            target,
            query=asked.search_query,
            limit=asked.max_conclusions,
            distance=asked.search_max_distance,
        )
        return json_reply(200, memory_wire.PeerContext(peer, target, view.representation, view.card))

    async def chat(self, request: Request) -> Reply:
        """POST …/chat: null as long as nothing is derived; a stream is over at once then."""
        principal = await self._reach.identify(request)
        peer = request.params["peer_id"]
        check_own_peer(principal, peer)
        body = await read_body(request, memory_wire.DialecticOptions)
        sessions = session_filter(body.filters, body.session_id)
        check_response_format(body.response_format)
        check_no_scope(peer, body.target)
        if body.scope is not None and sessions is not None:
            raise InvalidInput("scope excludes filters and session_id", field="scope")
        if body.scope is not None and principal.scope == PARTICIPANT:
            raise AccessDenied

        async def ask(workspace: Workspace) -> None:
            await check_makeable(self._instance.participants, workspace.id, peer)
            if body.scope is not None:
                await sessions_of_scopes(self._instance, workspace, body.scope)
            await self._instance.participants.put(workspace.id, peer)

        await self._reach.in_workspace(principal, request.params["workspace_id"], ask)
        if body.stream:
            return Reply(200, b'data: {"done": true}\n\n', [(b"content-type", _EVENTS.encode())])
        return json_reply(200, memory_wire.DialecticResponse(None))

    async def dream(self, request: Request) -> Reply:
        """POST …/schedule_dream: taken, and done at once, since there is nothing to go over."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        body = await read_body(request, memory_wire.ScheduleDreamRequest)
        check_no_scope(body.observer, body.observed)
        if await self._reach.find_workspace(principal, request.params["workspace_id"]) is None:
            raise TenantNotFound
        return Reply(204)

    async def _workspace(self, request: Request) -> Workspace | None:
        principal = await self._reach.identify(request)
        check_own_peer(principal, request.params["peer_id"])
        return await self._reach.find_workspace(principal, request.params["workspace_id"])


def session_filter(filters: dict[str, Any] | None, session_id: str | None) -> list[str] | None:
    """The only sessions to go by; None for all.

    A filter names a session, a list of them, or `{"in": […]}`, without wildcards, and holds `session_id` when that is
    given too. Raises InvalidInput.
    """
    if not filters:
        return None if session_id is None else [session_id]
    rule = filters.get("session_id")
    if isinstance(rule, dict) and set(rule) == {"in"}:
        rule = rule["in"]
    ids = [rule] if isinstance(rule, str) else rule
    if set(filters) != {"session_id"} or not isinstance(ids, list) or len(ids) > limits.HONCHO_ALLOWED_SESSIONS:
        raise InvalidInput("filters take session_id alone: an id, a list of ids, or in with one", field="filters")
    if not all(isinstance(one, str) and one and one != "*" for one in ids):
        raise InvalidInput("a filter of sessions holds ids, and no wildcard", field="filters")
    if session_id is not None and session_id not in ids:
        raise InvalidInput("the filter must hold session_id", field="filters")
    return ids if session_id is None else [session_id]
