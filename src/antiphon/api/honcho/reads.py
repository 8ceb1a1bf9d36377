"""What a session has to say: its context, its summaries, and what is found in it, in a workspace and of a peer."""

from __future__ import annotations

from typing import Any

from antiphon.api.honcho import memory_wire, wire
from antiphon.api.honcho.bodies import read_body, validate
from antiphon.api.honcho.errors import BODY_REFUSALS, REFUSALS
from antiphon.api.honcho.filters import SEARCH, read_filter
from antiphon.api.honcho.pages import OPTIONAL_TEXT
from antiphon.api.honcho.reach import Reach, Workspace, check_own_peer, check_whole_workspace
from antiphon.api.honcho.scopes import sessions_of_scopes
from antiphon.api.honcho.views import View, view_of
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Query, Route
from antiphon.core.instance import Instance
from antiphon.core.search import search_messages
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AccessDenied, ChatNotFound, InvalidInput
from antiphon.domain.filters import EQ, IN, All, FieldTest, Filter
from antiphon.domain.keys import ADMIN, PARTICIPANT, TENANT, Principal
from antiphon.domain.messages import Message
from antiphon.domain.texts import storable

_WORKSPACE = "/v3/workspaces/{workspace_id}"
_SESSION = f"{_WORKSPACE}/sessions/{{session_id}}"

_TOP_K = {"anyOf": [{"type": "integer", "maximum": limits.HONCHO_SEARCH_RESULTS, "minimum": 1}, {"type": "null"}]}
VIEW_QUERY = (
    Query("search_query", OPTIONAL_TEXT, "What the conclusions are to be about."),
    Query("search_top_k", _TOP_K, "How many conclusions to look for."),
    Query(
        "search_max_distance",
        {"anyOf": [{"type": "number", "maximum": 1.0, "minimum": 0.0}, {"type": "null"}]},
        "How far from the query a conclusion may be.",
    ),
    Query("max_conclusions", _TOP_K, "How many conclusions there may be."),
)
_CONTEXT_QUERY = (
    Query(
        "tokens",
        {"anyOf": [{"type": "integer", "maximum": limits.HONCHO_CONTEXT_TOKENS}, {"type": "null"}]},
        "How many tokens it may have.",
    ),
    Query("summary", {"type": "boolean", "default": True}, "Whether a summary may stand for older messages."),
    Query("peer_target", OPTIONAL_TEXT, "Of whom to tell what is known."),
    Query("peer_perspective", OPTIONAL_TEXT, "By whom it is known; the target itself when absent."),
    Query("scope", OPTIONAL_TEXT, "By which scope it is known."),
    Query("sessions", {"type": "array", "items": {"type": "string"}}, "From which sessions it is known."),
    Query("limit_to_session", {"type": "boolean", "default": False}, "Whether only from this session."),
    Query("include_most_frequent", {"type": "boolean", "default": False}, "Whether what was found often goes first."),
    *VIEW_QUERY,
)


class Reads:
    """The routes that read sessions as a whole."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        found = {200: list[wire.Message], 404: wire.Refusal, **BODY_REFUSALS}
        context = {200: memory_wire.SessionContext, 404: wire.Refusal, **REFUSALS}
        summaries = {200: memory_wire.SessionSummaries, **REFUSALS}
        options = memory_wire.MessageSearchOptions
        return [
            Route("GET", f"{_SESSION}/context", self.context, "What to go on with.", context, query=_CONTEXT_QUERY),
            Route("GET", f"{_SESSION}/summaries", self.summaries, "Its newest summaries.", summaries),
            Route("POST", f"{_SESSION}/search", self.search_session, "Find messages of a session.", found, options),
            Route("POST", f"{_WORKSPACE}/search", self.search_workspace, "Find messages.", found, options),
            Route(
                "POST",
                f"{_WORKSPACE}/peers/{{peer_id}}/search",
                self.search_peer,
                "Find messages that a peer wrote.",
                found,
                options,
            ),
        ]

    async def search_workspace(self, request: Request) -> Reply:
        """POST …/search: in all sessions, or in those of a scope."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        body = await read_body(request, memory_wire.MessageSearchOptions)
        wanted = read_filter(body.filters or {}, SEARCH)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if body.scope is not None:
            if "session_id" in (body.filters or {}):
                raise InvalidInput("scope and a filter of sessions exclude each other", field="scope")
            ids = await sessions_of_scopes(self._instance, workspace, body.scope)
            wanted = All((wanted, FieldTest("session", IN, tuple(ids))))
        return await self._found(workspace, body, wanted)

    async def search_session(self, request: Request) -> Reply:
        """POST …/sessions/{session_id}/search."""
        principal = await self._reach.identify(request)
        found = await self._reach.readable_session(principal, request)
        body = await read_body(request, memory_wire.MessageSearchOptions)
        wanted = read_filter(body.filters or {}, SEARCH)
        if found is None:
            return json_reply(200, [])
        workspace, session = found
        return await self._found(workspace, body, All((wanted, FieldTest("session", EQ, (session.id,)))))

    async def search_peer(self, request: Request) -> Reply:
        """POST …/peers/{peer_id}/search: what the peer wrote."""
        principal = await self._reach.identify(request)
        name = request.params["peer_id"]
        check_own_peer(principal, name)
        body = await read_body(request, memory_wire.MessageSearchOptions)
        wanted = read_filter({"AND": [body.filters or {}]}, SEARCH)
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None or await self._instance.participants.find(workspace.id, name) is None:
            return json_reply(200, [])
        return await self._found(workspace, body, All((wanted, FieldTest("author", EQ, (name,)))))

    async def _found(
        self, workspace: Workspace | None, body: memory_wire.MessageSearchOptions, wanted: Filter
    ) -> Reply:
        if workspace is None:
            return json_reply(200, [])
        hits = await search_messages(
            self._instance.store,
            self._instance.embeddings,
            workspace.id,
            workspace.name,
            body.query,
            wanted,
            body.limit,
        )
        return json_reply(200, [wire.show_message(message, at, workspace.name) for at, message in hits])

    async def summaries(self, request: Request) -> Reply:
        """GET …/sessions/{session_id}/summaries: none, as long as nothing makes any."""
        principal = await self._reach.identify(request)
        await self._reach.readable_session(principal, request)
        return json_reply(200, memory_wire.SessionSummaries(storable(request.params["session_id"])))

    async def context(self, request: Request) -> Reply:
        """GET …/sessions/{session_id}/context: the newest messages that fit, and what is known of a target."""
        principal = await self._reach.identify(request)
        found = await self._reach.readable_chat(principal, request)
        asked = _read_context(request)
        _check_perspective(principal, asked)
        budget = limits.HONCHO_CONTEXT_TOKENS if asked.tokens is None else asked.tokens
        context = memory_wire.SessionContext(storable(request.params["session_id"]), [])
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if asked.peer_target is not None and workspace is not None:
            view = await self._view(workspace, request.params["session_id"], asked)
            context.peer_representation, context.peer_card = view.representation, view.card
            told = "\n".join([view.representation, *(view.card or [])])
            budget -= await self._instance.messages.count_tokens(told)
        elif asked.peer_target is not None:
            context.peer_representation = ""
        if found is not None:
            chat = found[1]
            messages = await self._newest(found[0], chat, budget)
            context.messages = wire.show_messages(messages, chat.session_id, found[0].name)
        return json_reply(200, context)

    async def _view(self, workspace: Workspace, session_id: str, asked: memory_wire.SessionContextQuery) -> View:
        sessions = [session_id] if asked.limit_to_session else asked.sessions
        target = asked.peer_target or ""
        return await view_of(
            self._instance,
            workspace,
            observer=asked.peer_perspective or target,
            target=target,
            scope=asked.scope,
            sessions=sessions,
            query=asked.search_query,
            limit=asked.max_conclusions,
            distance=asked.search_max_distance,
        )

    async def _newest(self, workspace: Workspace, chat: Chat, budget: int) -> list[Message]:
        """The newest messages whose tokens fit in the budget, oldest first; each once, whatever is added meanwhile."""
        kept: list[Message] = []
        verbs = self._instance.messages
        try:
            part = (await verbs.latest(workspace.id, chat.key, limits.PAGE_ITEMS))[::-1] if budget > 0 else []
            while part:
                for message in part:
                    budget -= message.token_count or 0
                    if budget < 0 or len(kept) >= limits.HONCHO_CONTEXT_MESSAGES:
                        return kept[::-1]
                    kept.append(message)
                before = part[-1].seq - 1
                part = await verbs.span(workspace.id, chat.key, 1, before, limits.PAGE_ITEMS, is_reversed=True)
        except ChatNotFound:
            return []
        return kept[::-1]


def _read_context(request: Request) -> memory_wire.SessionContextQuery:
    """The query. Raises InvalidRequest, and InvalidInput for what excludes each other."""
    given: dict[str, Any] = request.query
    if sessions := [value for name, value in request.query_items if name == "sessions"]:
        given["sessions"] = sessions
    asked = validate(memory_wire.SessionContextQuery, given, ("query",))
    if asked.peer_target is None and (asked.peer_perspective or asked.scope or asked.sessions):
        raise InvalidInput("peer_perspective, scope and sessions need a peer_target", field="peer_target")
    if asked.scope is not None and (asked.peer_perspective or asked.sessions or asked.limit_to_session):
        raise InvalidInput("scope excludes peer_perspective, sessions and limit_to_session", field="scope")
    if asked.sessions is not None:
        if asked.limit_to_session:
            raise InvalidInput("sessions and limit_to_session exclude each other", field="sessions")
        if request.params["session_id"] not in asked.sessions:
            raise InvalidInput("sessions must hold this session", field="sessions")
        if len(asked.sessions) > limits.HONCHO_ALLOWED_SESSIONS:
            raise InvalidInput(f"at most {limits.HONCHO_ALLOWED_SESSIONS} sessions", field="sessions")
    return asked


def _check_perspective(principal: Principal, asked: memory_wire.SessionContextQuery) -> None:
    """A peer's token sees only as that peer does, and scopes are for whole workspaces."""
    if asked.scope is not None and principal.scope not in {ADMIN, TENANT}:
        raise AccessDenied
    observer = asked.peer_perspective or asked.peer_target
    if principal.scope == PARTICIPANT and observer is not None and observer != principal.participant_name:
        raise AccessDenied
