"""`/api/sessions`."""

from __future__ import annotations

import re
from typing import Any

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.recoup import session_wire, wire
from antiphon.api.recoup.bodies import check_object, lenient_value, optional_string, optional_uuid
from antiphon.api.recoup.errors import FieldInvalid
from antiphon.api.recoup.reach import Account, account_of, check_organization, own_session
from antiphon.api.recoup.titles import free_title
from antiphon.api.recoup.update_bodies import read_session_change
from antiphon.api.routing import Query, Route
from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain import limits
from antiphon.domain.deletions import CANCEL
from antiphon.domain.errors import InvalidInput
from antiphon.domain.sessions import ARCHIVED, SessionChange
from antiphon.domain.texts import check_text

_ALL = "all"
_STATUSES = {_ALL: None, "active": False, ARCHIVED: True}
_PAGE_SESSIONS = 50
_OFFSET_MAX = 10**limits.QUERY_NUMBER_DIGITS - 1
_DIGITS = re.compile(rf"[0-9]{{1,{limits.QUERY_NUMBER_DIGITS}}}")
_STATUS = Query("status", {"type": "string", "enum": [*_STATUSES]}, "Which sessions; all when left out.")
_LIMIT = Query(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": limits.RECOUP_PAGE_SESSIONS},
    "How many of the archived ones at most, 50 when left out.",
)
_OFFSET = Query("offset", {"type": "integer", "minimum": 0}, "How many of the archived ones to pass over.")


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
            Route(
                "PATCH",
                "/api/sessions/{sessionId}",
                self.update,
                "Update session",
                {
                    200: wire.GetSessionResponse,
                    **wire.NAMED_ERRORS,
                    400: session_wire.InvalidUpdateError,
                    409: wire.Error,
                    413: wire.Error,
                },
                body=session_wire.UpdateSessionRequest,
                is_body_optional=True,
            ),
            Route(
                "DELETE",
                "/api/sessions/{sessionId}",
                self.delete,
                "Delete session",
                {200: session_wire.DeleteSessionResponse, **wire.NAMED_ERRORS},
            ),
            Route(
                "GET",
                "/api/sessions",
                self.list,
                "List sessions",
                {200: session_wire.ListSessionsResponse, **wire.COMMON_ERRORS, 400: wire.Error},
                query=(_STATUS, _LIMIT, _OFFSET),
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
        shown = wire.show_chat(chat, await self._instance.model_of(account.tenant_id))
        return json_reply(200, wire.CreateSessionResponse(wire.show_session(session), shown))

    async def _free_title(self, account: Account) -> str:
        return free_title(await self._instance.sessions.titles(account.tenant_id, account.id))

    async def get(self, request: Request) -> Reply:
        """GET /api/sessions/{sessionId}."""
        account, session = await own_session(self._instance, request)
        sandbox = await self._instance.sandboxes.get(account.tenant_id, session)
        return json_reply(200, wire.GetSessionResponse(wire.show_session(session, sandbox)))

    async def update(self, request: Request) -> Reply:
        """PATCH /api/sessions/{sessionId}: the body is judged after the credential and before the session.

        One that says nothing changes nothing. Archiving stops the sandbox, after the answer.
        """
        await account_of(self._instance, request)
        try:
            change = read_session_change(await request.body())
        except FieldInvalid as fault:
            return json_reply(400, session_wire.PathError("error", fault.path, fault.message))
        account, session = await own_session(self._instance, request)
        if change == SessionChange():
            sandbox = await self._instance.sandboxes.get(account.tenant_id, session)
        else:
            changed = await self._instance.sessions.change(account.tenant_id, session, change)
            session, sandbox, is_put_away = changed
            if is_put_away:
                await self._instance.sandboxes.archive(account.tenant_id, session)
        return json_reply(200, wire.GetSessionResponse(wire.show_session(session, sandbox)))

    async def delete(self, request: Request) -> Reply:
        """DELETE /api/sessions/{sessionId}, with all its chats; what is live in them is ended."""
        account, session = await own_session(self._instance, request)
        await self._instance.deletions.delete_session(account.tenant_id, session, CANCEL)
        return json_reply(200, session_wire.DeleteSessionResponse(success=True))

    async def list(self, request: Request) -> Reply:
        """GET /api/sessions: the newest SESSIONS_LISTED of the caller's; the archived ones in pages."""
        account = await account_of(self._instance, request)
        status = request.query.get("status", _ALL)
        if status not in _STATUSES:
            raise InvalidInput("status must be one of all, active, archived", field="status")
        limit, offset = limits.SESSIONS_LISTED, 0
        if status == ARCHIVED:
            limit = _number(request, "limit", _PAGE_SESSIONS, 1, limits.RECOUP_PAGE_SESSIONS)
            offset = _number(request, "offset", 0, 0, _OFFSET_MAX)
        found, archived = await self._instance.sessions.overviews(
            account.tenant_id, account.id, Slice(offset, limit), is_archived=_STATUSES[status]
        )
        shown = session_wire.ListSessionsResponse([session_wire.show_overview(one) for one in found])
        if status != _ALL:
            shown.archived_count = archived
        if status == ARCHIVED:
            end = offset + len(found)
            shown.pagination = session_wire.Pagination(limit, offset, end < archived, end)
        return json_reply(200, shown)


def _number(request: Request, name: str, default: int, lowest: int, highest: int) -> int:
    """A whole number of the query. Raises InvalidInput."""
    given = request.query.get(name)
    if given is None:
        return default
    number = int(given) if _DIGITS.fullmatch(given) else -1
    if not lowest <= number <= highest:
        raise InvalidInput(f"{name} must be an integer from {lowest} to {highest}", field=name)
    return number


def _title(body: dict[str, Any]) -> str:
    """The trimmed title, empty when there is none. Raises FieldInvalid."""
    given = (optional_string(body, "title") or "").strip()
    try:
        return check_text(given, "title", limits.TITLE_CHARACTERS)
    except InvalidInput as error:
        raise FieldInvalid(error.message, ["title"]) from None
