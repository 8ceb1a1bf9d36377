"""How much work there is: a unit for each message that something is to be derived from.

Nothing is derived yet, so each unit is complete as soon as it is there.
"""

from __future__ import annotations

from antiphon.api.honcho import memory_wire
from antiphon.api.honcho.errors import REFUSALS
from antiphon.api.honcho.pages import OPTIONAL_TEXT
from antiphon.api.honcho.reach import Reach, Workspace, check_whole_workspace
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Query, Route
from antiphon.core.instance import Instance
from antiphon.domain.ids import short_of
from antiphon.domain.texts import is_storable

_PATH = "/v3/workspaces/{workspace_id}/queue/status"


class Queue:
    """The route of the queue."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        query = (
            Query("observer_id", OPTIONAL_TEXT, "Only work for that peer."),
            Query("sender_id", OPTIONAL_TEXT, "Only work on what that peer wrote."),
            Query("session_id", OPTIONAL_TEXT, "Only work on that session."),
        )
        answers = {200: memory_wire.QueueStatus, **REFUSALS}
        return [Route("GET", _PATH, self.status, "How much work there is.", answers, query=query)]

    async def status(self, request: Request) -> Reply:
        """GET …/queue/status."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        asked = request.query
        session_id = asked.get("session_id")
        workspace = await self._reach.find_workspace(principal, request.params["workspace_id"])
        units: dict[str, tuple[str, int]] = {}
        if workspace is not None and "observer_id" not in asked and is_storable("".join(asked.values())):
            units = await self._units(workspace, session_id, asked.get("sender_id"))
        total = sum(count for _, count in units.values())
        sessions = None
        if units and session_id is None:
            sessions = {
                key: memory_wire.SessionQueueStatus(count, count, 0, 0, name) for key, (name, count) in units.items()
            }
        return json_reply(200, memory_wire.QueueStatus(total, total, 0, 0, sessions))

    async def _units(
        self, workspace: Workspace, session_id: str | None, author: str | None
    ) -> dict[str, tuple[str, int]]:
        """By a short form of each session's key its id and its units, where it has any."""
        tenant = await self._reach.find_tenant(workspace.name)
        of_all = tenant.configuration if tenant else "{}"
        found = await self._instance.store.conclusions.count_units(workspace.id, session_id, author)
        return {
            short_of(units.session_key): (units.session_id, count) for units in found if (count := units.count(of_all))
        }
