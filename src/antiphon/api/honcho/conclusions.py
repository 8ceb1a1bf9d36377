"""Conclusions that clients write down themselves."""

from __future__ import annotations

from antiphon.api.honcho import memory_wire, wire
from antiphon.api.honcho.bodies import read_body, read_optional_body
from antiphon.api.honcho.errors import BODY_REFUSALS, REFUSALS
from antiphon.api.honcho.filters import CONCLUSION, list_filter, read_filter
from antiphon.api.honcho.pages import LIST_QUERY, page_reply, read_part
from antiphon.api.honcho.reach import Reach, Workspace, check_whole_workspace
from antiphon.api.honcho.views import check_no_scope
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain.conclusions import ConclusionDraft
from antiphon.domain.errors import InvalidInput, NotFound, ParticipantNotFound, SessionNotFound
from antiphon.domain.filters import EQ, EVERYTHING, FieldTest
from antiphon.domain.texts import is_storable

_PATH = "/v3/workspaces/{workspace_id}/conclusions"


class Conclusions:
    """The routes of conclusions, which are for whole workspaces."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        gone, many = {404: wire.Refusal}, list[memory_wire.Conclusion]
        return [
            Route(
                "POST",
                _PATH,
                self.create,
                "Store conclusions, all or none.",
                {201: many, **gone, **BODY_REFUSALS},
                memory_wire.ConclusionBatchCreate,
            ),
            Route(
                "POST",
                f"{_PATH}/list",
                self.list,
                "The conclusions of a workspace, the newest first.",
                {200: wire.Page[memory_wire.Conclusion], **BODY_REFUSALS},
                wire.ConclusionGet | None,
                is_body_optional=True,
                query=LIST_QUERY,
            ),
            Route(
                "POST",
                f"{_PATH}/query",
                self.query,
                "The conclusions of a pair that fit best.",
                {200: many, **BODY_REFUSALS},
                memory_wire.ConclusionQuery,
            ),
            Route(
                "GET",
                f"{_PATH}/{{conclusion_id}}",
                self.get,
                "One conclusion.",
                {200: memory_wire.Conclusion, **gone, **REFUSALS},
            ),
            Route(
                "DELETE",
                f"{_PATH}/{{conclusion_id}}",
                self.delete,
                "Remove a conclusion for good.",
                {204: None, **gone, **REFUSALS},
            ),
        ]

    async def create(self, request: Request) -> Reply:
        """POST …/conclusions: the peers and the session must be there."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        body = await read_body(request, memory_wire.ConclusionBatchCreate)
        drafts = []
        for one in body.conclusions:
            check_no_scope(one.observer_id, one.observed_id)
            if not is_storable(one.observer_id + one.observed_id):
                raise ParticipantNotFound
            if one.session_id is not None and not is_storable(one.session_id):
                raise SessionNotFound
            drafts.append(ConclusionDraft(one.content, one.observer_id, one.observed_id, one.session_id))
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            raise ParticipantNotFound
        made = await self._instance.conclusions.create(workspace.id, drafts)
        return json_reply(201, memory_wire.show_conclusions(made))

    async def list(self, request: Request) -> Reply:
        """POST …/conclusions/list."""
        workspace = await self._workspace(request)
        asked = read_part(request)
        wanted = list_filter(await read_optional_body(request, wire.ConclusionGet), CONCLUSION)
        if workspace is None:
            return page_reply(asked, [], 0)
        part = Slice(asked.part.offset, asked.part.limit, is_reversed=not asked.is_reversed)
        found, total = await self._instance.conclusions.list(workspace.id, workspace.name, wanted or EVERYTHING, part)
        return page_reply(asked, memory_wire.show_conclusions(found), total)

    async def query(self, request: Request) -> Reply:
        """POST …/conclusions/query: the filters must name observer and observed."""
        workspace = await self._workspace(request)
        body = await read_body(request, memory_wire.ConclusionQuery)
        filters = body.filters or {}
        for name in ("observer", "observed"):
            if not isinstance(filters.get(f"{name}_id", filters.get(name)), str):
                raise InvalidInput(f"the filters must name {name}_id", field="filters")
        wanted = read_filter(filters, CONCLUSION)
        if workspace is None:
            return json_reply(200, [])
        found = await self._instance.conclusions.query(
            workspace.id, workspace.name, body.query, wanted, body.top_k, body.distance
        )
        return json_reply(200, memory_wire.show_conclusions(found))

    async def get(self, request: Request) -> Reply:
        """GET …/conclusions/{conclusion_id}."""
        workspace = await self._workspace(request)
        wanted = FieldTest("id", EQ, (request.params["conclusion_id"],))
        if workspace is not None and is_storable(request.params["conclusion_id"]):
            found, _ = await self._instance.conclusions.list(workspace.id, workspace.name, wanted, Slice(0, 1))
            if found:
                return json_reply(200, memory_wire.show_conclusions(found)[0])
        raise NotFound("Conclusion not found")

    async def delete(self, request: Request) -> Reply:
        """DELETE …/conclusions/{conclusion_id}."""
        workspace = await self._workspace(request)
        conclusion_id = request.params["conclusion_id"]
        if workspace is None or not await self._instance.conclusions.delete(workspace.id, conclusion_id):
            raise NotFound("Conclusion not found")
        return Reply(204)

    async def _workspace(self, request: Request) -> Workspace | None:
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        return await self._reach.find_workspace(principal, request.params["workspace_id"])
