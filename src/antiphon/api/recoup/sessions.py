"""`/api/sessions`."""

from __future__ import annotations

from typing import Any

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.recoup import wire
from antiphon.api.recoup.bodies import check_object, lenient_value, optional_string, optional_uuid
from antiphon.api.recoup.errors import FieldInvalid
from antiphon.api.recoup.reach import Account, account_of, check_organization, own_session
from antiphon.api.recoup.titles import free_title
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.domain.texts import check_text


class Sessions:
    """The handlers of sessions."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def routes(self) -> list[Route]:
        """What is served here."""
        return [
            Route(
                "POST",
                "/api/sessions",
                self.create,
                "Create session",
                {200: wire.CreateSessionResponse, **wire.COMMON_ERRORS, 400: wire.FieldError, 413: wire.Error},
                body=wire.CreateSessionRequest,
                is_body_optional=True,
            ),
            Route(
                "GET",
                "/api/sessions/{sessionId}",
                self.get,
                "Get session",
                {200: wire.GetSessionResponse, **wire.NAMED_ERRORS},
            ),
        ]

    async def create(self, request: Request) -> Reply:
        """POST /api/sessions: the body is judged before the credential."""
        body = check_object(await lenient_value(request))
        title = _title(body)
        organization = optional_uuid(body, "organizationId")
        artist = optional_uuid(body, "artistId")
        account = await account_of(self._instance, request)
        check_organization(account, organization)
        session, chat = await self._instance.sessions.create(
            account.tenant_id,
            account.id,
            title or await self._free_title(account),
            artist,
            metadata=wire.keep_organization(organization),
        )
        shown = wire.show_chat(chat, self._instance.default_model)
        return json_reply(200, wire.CreateSessionResponse(wire.show_session(session), shown))

    async def _free_title(self, account: Account) -> str:
        return free_title(await self._instance.sessions.titles(account.tenant_id, account.id))

    async def get(self, request: Request) -> Reply:
        """GET /api/sessions/{sessionId}."""
        account, session = await own_session(self._instance, request)
        sandbox = await self._instance.sandboxes.get(account.tenant_id, session)
        return json_reply(200, wire.GetSessionResponse(wire.show_session(session, sandbox)))


def _title(body: dict[str, Any]) -> str:
    """The trimmed title, empty when there is none. Raises FieldInvalid."""
    given = (optional_string(body, "title") or "").strip()
    try:
        return check_text(given, "title", limits.TITLE_CHARACTERS)
    except InvalidInput as error:
        raise FieldInvalid(error.message, ["title"]) from None
