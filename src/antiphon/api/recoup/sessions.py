"""`/api/sessions`."""

from __future__ import annotations

import re
from typing import Any

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.recoup import wire
from antiphon.api.recoup.bodies import check_object, lenient_value, optional_string
from antiphon.api.recoup.errors import FieldInvalid, ForeignOrganization
from antiphon.api.recoup.reach import Account, account_of, own_session
from antiphon.api.recoup.titles import free_title
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import parse_uuid
from antiphon.domain.texts import check_text

_UUID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
    r"|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff"
)


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
        organization = _uuid(body, "organizationId")
        artist = _uuid(body, "artistId")
        account = await account_of(self._instance, request)
        if organization is not None and parse_uuid(organization) not in {account.tenant_id, account.id}:
            raise ForeignOrganization
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
        _, session = await own_session(self._instance, request)
        return json_reply(200, wire.GetSessionResponse(wire.show_session(session)))


def _title(body: dict[str, Any]) -> str:
    """The trimmed title, empty when there is none. Raises FieldInvalid."""
    given = (optional_string(body, "title") or "").strip()
    try:
        return check_text(given, "title", limits.TITLE_CHARACTERS)
    except InvalidInput as error:
        raise FieldInvalid(error.message, ["title"]) from None


def _uuid(body: dict[str, Any], field: str) -> str | None:
    """A UUID as it was written, by this wire's idea of one. Raises FieldInvalid."""
    value = optional_string(body, field)
    if value is not None and not _UUID.fullmatch(value):
        raise FieldInvalid(f"{field} must be a valid UUID", [field])
    return value
