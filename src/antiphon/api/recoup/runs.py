"""`/api/chat/runs`: answers that nobody waits for."""

from __future__ import annotations

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.recoup import wire
from antiphon.api.recoup.reach import body_before_credential, check_organization, named_account, principal_of
from antiphon.api.recoup.turn_bodies import history_of, read_run
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain.errors import TurnNotFound
from antiphon.domain.ids import new_uid7
from antiphon.domain.turns import TurnStart

_TITLE = "Scheduled generation"


class Runs:
    """The handlers of runs: turns in a session of their own."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def routes(self) -> list[Route]:
        """What is served here."""
        return [
            Route(
                "POST",
                "/api/chat/runs",
                self.start,
                "Start a run",
                {
                    202: wire.StartRunResponse,
                    **wire.COMMON_ERRORS,
                    400: wire.InvalidBodyError,
                    413: wire.Error,
                    422: wire.Error,
                },
                body=wire.StartRunRequest,
            ),
            Route(
                "GET",
                "/api/chat/runs/{runId}",
                self.get,
                "Get the status of a run",
                {200: wire.GetRunResponse, **wire.NAMED_ERRORS},
            ),
        ]

    async def start(self, request: Request) -> Reply:
        """POST /api/chat/runs: what is asked is not stored, the answer is."""
        body, refusal = await body_before_credential(self._instance, request)
        posted = read_run(body)
        if refusal is not None:
            raise refusal
        account = await named_account(self._instance, request, posted.account_id)
        check_organization(account, posted.organization_id)
        session, chat = await self._instance.sessions.create(
            account.tenant_id, account.id, _TITLE, posted.artist_id, model=posted.model, chat_title=_TITLE
        )
        if self._instance.sandboxes.is_on:
            await self._instance.sandboxes.create(account.tenant_id, session)
        start = TurnStart(chat.key, new_uid7(), account.agent_name, model=posted.model)
        claimed = await self._instance.turns.start(account.tenant_id, start, history_of(posted.messages))
        run_id = wire.run_id_of(claimed.turn.id)
        location = (b"location", f"/api/chat/runs/{run_id}".encode())
        return json_reply(202, wire.StartRunResponse(run_id, chat.id, session.id), [location])

    async def get(self, request: Request) -> Reply:
        """GET /api/chat/runs/{runId}: for everybody of the tenant, while the chat is there."""
        principal = await principal_of(self._instance, request)
        turn_id = wire.parse_run_id(request.params["runId"])
        if turn_id is None:
            raise TurnNotFound
        return json_reply(200, wire.show_run(await self._instance.turns.get(principal.tenant_id, turn_id)))
