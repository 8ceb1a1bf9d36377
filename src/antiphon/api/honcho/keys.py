"""Keys: tokens of a narrower reach, minted by an administrator."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from antiphon.api.honcho import memory_wire, wire
from antiphon.api.honcho.bodies import validate
from antiphon.api.honcho.errors import REFUSALS
from antiphon.api.honcho.pages import OPTIONAL_TEXT
from antiphon.api.honcho.reach import Reach, check_admin
from antiphon.api.honcho.tokens import Claims, Tokens
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import MethodNotAllowed, Query, Route
from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import Uid
from antiphon.domain.keys import TENANT

_PATH = "/v3/keys"
_TIME = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}


class KeyQuery(BaseModel):
    """What a key is to reach, and until when."""

    workspace_id: str | None = None
    peer_id: str | None = None
    session_id: str | None = None
    expires_at: datetime | None = None


class Keys:
    """The route of keys."""

    def __init__(self, instance: Instance, reach: Reach, tokens: Tokens) -> None:
        self._instance = instance
        self._reach = reach
        self._tokens = tokens

    def routes(self) -> list[Route]:
        """What is served."""
        query = (
            Query("workspace_id", OPTIONAL_TEXT, "The workspace that it reaches."),
            Query("peer_id", OPTIONAL_TEXT, "The only peer of it."),
            Query("session_id", OPTIONAL_TEXT, "The only session of it."),
            Query("expires_at", _TIME, "When it ends."),
        )
        answers = {200: memory_wire.Key, 405: wire.Refusal, **REFUSALS}
        return [Route("POST", _PATH, self.create, "Make a key.", answers, query=query)]

    async def create(self, request: Request) -> Reply:
        """POST /v3/keys: what it names need not be there yet. 405 while authentication is off."""
        if self._instance.everybody is not None:
            raise MethodNotAllowed(())
        principal = await self._reach.identify(request)
        check_admin(principal)
        asked = validate(KeyQuery, request.query, ("query",))
        workspace, peer, session = asked.workspace_id or None, asked.peer_id or None, asked.session_id or None
        if workspace is None:
            raise InvalidInput("a key needs a workspace_id, besides a peer_id or a session_id", field="workspace_id")
        expires_at = None if asked.expires_at is None else wire.moment_of(asked.expires_at)
        key = await self._listed(principal.tenant_id, workspace, session or peer, expires_at)
        text = self._tokens.write(Claims(False, workspace, peer, session, expires_at, key))
        return json_reply(200, memory_wire.Key(text))

    async def _listed(
        self, home: Uid, workspace: str, narrower: str | None, expires_at: int | None
    ) -> tuple[Uid, Uid] | None:
        """A key in the list of the workspace, or of its maker's while there is none of that name: the token ends by it.

        Its own text is given to nobody.
        """
        tenant = await self._instance.tenants.find_by_name(workspace)
        if tenant is None:
            tenants, _ = await self._instance.tenants.list(Slice(0, 1))
            tenant = await self._instance.store.tenants.find(home) or (tenants[0] if tenants else None)
        if tenant is None:
            return None
        words = f"token of {narrower} of {workspace}" if narrower else f"token of {workspace}"
        label = "".join(c for c in words if c.isprintable())[: limits.KEY_LABEL_CHARACTERS]
        key, _ = await self._instance.keys.create(tenant.id, scope=TENANT, expires_at=expires_at, label=label)
        return tenant.id, key.id
