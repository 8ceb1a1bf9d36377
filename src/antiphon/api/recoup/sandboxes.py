"""`/api/sandbox`: a session's sandbox is made, looked at and asked. `/api/sandboxes`: the account has none here."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.recoup import sandbox_wire, wire
from antiphon.api.recoup.bodies import check_object, lenient_value, optional_string
from antiphon.api.recoup.errors import FieldInvalid, failed
from antiphon.api.recoup.reach import Account, account_of, named_account
from antiphon.api.routing import Query, Route
from antiphon.core.instance import Instance
from antiphon.domain import times
from antiphon.domain.errors import AccessDenied, InvalidInput
from antiphon.domain.sessions import MULTI, Session

PREFLIGHT_204 = frozenset({("api", "sandbox"), ("api", "sandbox", "status"), ("api", "sandbox", "reconnect")})
"""The paths, by their segments, whose preflight has another status than everywhere else."""

_HOST = "github.com"
_NONE_HERE = "Sandboxes of accounts are not available here"
_SESSION = Query("sessionId", {"type": "string", "minLength": 1}, "The session whose sandbox it is.", is_required=True)
_ACCOUNT = Query("account_id", {"type": "string", "format": "uuid"}, "Act for this account of the same tenant.")


class Sandboxes:
    """The handlers of sandboxes."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def routes(self) -> list[Route]:
        """What is served here."""
        named = {**wire.NAMED_ERRORS, 400: wire.Error}
        return [
            Route(
                "POST",
                "/api/sandbox",
                self.create,
                "Create or resume a session's sandbox",
                {
                    200: sandbox_wire.CreateSandboxResponse,
                    **named,
                    400: wire.FieldError,
                    413: wire.Error,
                    502: wire.Error,
                },
                body=sandbox_wire.CreateSandboxRequest,
            ),
            Route(
                "GET",
                "/api/sandbox/status",
                self.status,
                "Get the status of a session's sandbox",
                {200: sandbox_wire.SandboxStatusResponse, **named},
                query=(_SESSION,),
            ),
            Route(
                "GET",
                "/api/sandbox/reconnect",
                self.reconnect,
                "Reconnect to a session's sandbox",
                {200: sandbox_wire.ReconnectSandboxResponse, **named},
                query=(_SESSION,),
            ),
            Route(
                "GET",
                "/api/sandboxes",
                self.list,
                "List the account's sandboxes",
                {200: sandbox_wire.ListSandboxesResponse, **wire.COMMON_ERRORS},
                query=(_ACCOUNT,),
            ),
            Route(
                "POST",
                "/api/sandboxes",
                self.create_of_account,
                "Refused: the account has no sandboxes of its own",
                {400: wire.Error, **wire.COMMON_ERRORS},
            ),
            Route(
                "DELETE",
                "/api/sandboxes",
                self.delete_of_account,
                "Delete the account's sandboxes",
                {200: sandbox_wire.DeleteSandboxesResponse, **wire.COMMON_ERRORS},
            ),
        ]

    async def create(self, request: Request) -> Reply:
        """POST /api/sandbox: the credential is judged before the body."""
        began = times.now()
        account = await account_of(self._instance, request)
        body = check_object(await lenient_value(request))
        repository = read_repository(body)
        session_id = optional_string(body, "sessionId")
        if not session_id:
            self._instance.sandboxes.provider()
            return json_reply(200, sandbox_wire.show_created(None, began, times.now()))
        session = await self._own(account, session_id)
        sandbox = await self._instance.sandboxes.create(account.tenant_id, session, repository)
        return json_reply(200, sandbox_wire.show_created(sandbox, began, times.now()))

    async def status(self, request: Request) -> Reply:
        """GET /api/sandbox/status: what is known, without asking the sandbox."""
        account, session = await self._named(request)
        sandbox, now = await self._instance.sandboxes.status(account.tenant_id, session)
        return json_reply(200, sandbox_wire.show_status(sandbox, now))

    async def reconnect(self, request: Request) -> Reply:
        """GET /api/sandbox/reconnect: the sandbox is asked."""
        account, session = await self._named(request)
        sandbox, is_lost = await self._instance.sandboxes.reconnect(account.tenant_id, session)
        return json_reply(200, sandbox_wire.show_reconnection(sandbox, times.now(), is_lost=is_lost))

    async def _named(self, request: Request) -> tuple[Account, Session]:
        account = await account_of(self._instance, request)
        session_id = request.query.get("sessionId")
        if not session_id:
            raise InvalidInput("Missing sessionId", field="sessionId")
        return account, await self._own(account, session_id)

    async def _own(self, account: Account, session_id: str) -> Session:
        """The caller's own session of that id. Raises SessionNotFound and AccessDenied."""
        session = await self._instance.sessions.get_of_shape(account.tenant_id, session_id, MULTI)
        if session.owner_id != account.id:
            raise AccessDenied
        return session

    async def list(self, request: Request) -> Reply:
        """GET /api/sandboxes."""
        await named_account(self._instance, request, request.query.get("account_id"))
        return json_reply(200, sandbox_wire.ListSandboxesResponse("success", [], None, None, None))

    async def create_of_account(self, request: Request) -> Reply:
        """POST /api/sandboxes."""
        await account_of(self._instance, request)
        return failed(_NONE_HERE, 400)

    async def delete_of_account(self, request: Request) -> Reply:
        """DELETE /api/sandboxes."""
        await account_of(self._instance, request)
        return json_reply(200, sandbox_wire.DeleteSandboxesResponse("success", None))


def read_repository(body: dict[str, Any]) -> str:
    """The repository of a body, as the address it is cloned from. Raises FieldInvalid."""
    given = body.get("repoUrl")
    if not isinstance(given, str):
        raise FieldInvalid("repoUrl is required", ["repoUrl"])
    if not given:
        raise FieldInvalid("repoUrl cannot be empty", ["repoUrl"])
    try:
        parts = urlsplit(given)
        host = parts.hostname or ""
        _ = parts.port  # one that is none raises
    except ValueError:
        host = ""
    names = [name for name in parts.path.split("/") if name not in {"", ".", ".."}] if host.lower() == _HOST else []
    if len(names) < 2 or not parts.scheme:
        raise FieldInvalid("repoUrl must be a valid GitHub repository URL", ["repoUrl"])
    owner, name = (quote(part.encode(errors="replace"), safe="%") for part in names[:2])
    return f"https://{_HOST}/{owner}/{name.removesuffix('.git')}.git"
