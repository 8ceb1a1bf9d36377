"""What a token may do: the one place that knows how far each scope reaches on this wire.

| | admin | tenant | participant | session |
|---|---|---|---|---|
| get or make a workspace | any | its own | its own | its own |
| list all workspaces | yes | – | – | – |
| a workspace and its lists | any | its own | – | – |
| get or make a peer | any | any | itself | any, and changes none that is there |
| get or make a session | any | any | a new one, or one it is a member of | its own |
| all else of a peer | any | any | itself | – |
| change a session, add messages | any | any | – | its own |
| read a session | any | any | while it is a member | its own |

Whatever is out of reach raises AuthenticationFailed or AccessDenied, which are both 401 here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from antiphon.api.auth import authenticate, bearer_of
from antiphon.api.honcho.errors import AdminOnly
from antiphon.api.honcho.tokens import Tokens, is_token
from antiphon.api.http import Request
from antiphon.core.instance import Instance
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AccessDenied, TenantNameTaken, TenantNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.keys import ADMIN, PARTICIPANT, SESSION, TENANT, Principal
from antiphon.domain.sessions import SINGLE, Session
from antiphon.domain.tenants import Tenant

T = TypeVar("T")


class Workspace(msgspec.Struct, frozen=True):
    """As much of a tenant as a request needs."""

    id: Uid
    name: str
    agent_name: str


class Reach:
    """Judges tokens, and finds the workspaces and sessions that they may use."""

    def __init__(self, instance: Instance, tokens: Tokens) -> None:
        self._instance = instance
        self._tokens = tokens

    async def identify(self, request: Request) -> Principal:
        """Who is calling, by the bearer token alone. Raises AuthenticationFailed.

        A token that speaks for another workspace than that of the path is out of reach whatever it asks.
        """
        text = bearer_of(request)
        if text is not None and self._instance.everybody is None and is_token(text):
            principal = request.principal = await self._tokens.principal(text)
        else:
            principal = await authenticate(self._instance, request, text)
        workspace = request.params.get("workspace_id")
        if workspace is not None:
            check_workspace(principal, workspace)
        return principal

    async def find_workspace(self, principal: Principal, name: str) -> Workspace | None:
        """The workspace of that name, which the caller may use; a name looked up is at most a second old."""
        if principal.scope != ADMIN:
            return Workspace(principal.tenant_id, principal.tenant_name, principal.agent_name)
        tenant = await self._instance.tenants.find_by_name(name)
        return Workspace(tenant.id, tenant.name, tenant.agent_name) if tenant else None

    async def find_tenant(self, name: str) -> Tenant | None:
        """The tenant of that name as it is now."""
        try:
            tenant = await self._instance.tenants.get(name)
        except TenantNotFound:
            return None
        return tenant if tenant.name == name else None  # it was found by its id, which is no name here

    async def put_tenant(
        self, principal: Principal, name: str, metadata: str = "{}", configuration: str = "{}"
    ) -> tuple[Tenant, bool]:
        """The tenant of that name, made by an administrator when missing, and whether it was made now.

        Raises AccessDenied for the name of another's, TenantNotFound when one's own is gone, and InvalidInput for a
        name that no workspace can have.
        """
        check_workspace(principal, name)
        if (tenant := await self.find_tenant(name)) is not None:
            return tenant, False
        if principal.scope != ADMIN:
            raise TenantNotFound
        try:
            return await self._instance.tenants.create(name, metadata, configuration), True
        except TenantNameTaken:
            return await self._instance.tenants.get(name), False

    async def in_workspace(self, principal: Principal, name: str, act: Callable[[Workspace], Awaitable[T]]) -> T:
        """Do something in a workspace that an administrator makes when it is missing.

        When it turns out to be deleted, which a remembered name may hide for a second, it is made and done once more.
        """
        workspace = await self.find_workspace(principal, name)
        if workspace is not None:
            try:
                return await act(workspace)
            except TenantNotFound:
                if principal.scope != ADMIN:
                    raise
                self._instance.tenants.forget(name)
        tenant, _ = await self.put_tenant(principal, name)
        return await act(Workspace(tenant.id, tenant.name, tenant.agent_name))

    async def readable_chat(self, principal: Principal, request: Request) -> tuple[Workspace, Chat] | None:
        """The thread of the session that the path names; None when there is none. Raises AccessDenied.

        A peer's token reads only where the peer is a member now; to it a missing session is one of others.
        """
        workspace = await self.readable_workspace(principal, request)
        if workspace is None:
            return None
        chat = await self._instance.chats.find_of_single(workspace.id, request.params["session_id"])
        return (workspace, chat) if chat else None

    async def readable_workspace(self, principal: Principal, request: Request) -> Workspace | None:
        """The workspace of a path whose session may be read, if it is there; None without one. Raises AccessDenied."""
        session_id = request.params["session_id"]
        check_session(principal, session_id)
        workspace = await self.find_workspace(principal, request.params["workspace_id"])
        if workspace is not None and principal.scope == PARTICIPANT:
            await self._readable_by_member(principal, session_id)
        return workspace

    async def readable_session(self, principal: Principal, request: Request) -> tuple[Workspace, Session] | None:
        """The session that the path names; None when there is none. Raises AccessDenied, as above."""
        session_id = request.params["session_id"]
        check_session(principal, session_id)
        workspace = await self.find_workspace(principal, request.params["workspace_id"])
        if workspace is None:
            return None
        if principal.scope == PARTICIPANT:
            return workspace, await self._readable_by_member(principal, session_id)
        session = await self._instance.sessions.find(workspace.id, session_id)
        return (workspace, session) if session and session.shape == SINGLE else None

    async def _readable_by_member(self, principal: Principal, session_id: str) -> Session:
        session = await self._instance.sessions.find(principal.tenant_id, session_id)
        if session is None or session.shape != SINGLE or principal.participant_id is None:
            raise AccessDenied
        if not await self._instance.sessions.is_member(principal.tenant_id, session, principal.participant_id):
            raise AccessDenied
        return session


def check_workspace(principal: Principal, name: str) -> None:
    """Raises AccessDenied when the token speaks for another workspace."""
    if principal.scope != ADMIN and principal.tenant_name != name:
        raise AccessDenied


def check_admin(principal: Principal) -> None:
    """Raises AdminOnly for everybody else."""
    if principal.scope != ADMIN:
        raise AdminOnly


def check_whole_workspace(principal: Principal) -> None:
    """Raises AccessDenied when the token reaches only a peer or a session."""
    if principal.scope not in {ADMIN, TENANT}:
        raise AccessDenied


def check_peer(principal: Principal, name: str) -> None:
    """Raises AccessDenied when a peer's token names another peer."""
    if principal.scope == PARTICIPANT and principal.participant_name != name:
        raise AccessDenied


def check_own_peer(principal: Principal, name: str) -> None:
    """Raises AccessDenied unless the token reaches all that is known of that peer."""
    if principal.scope == SESSION:
        raise AccessDenied
    check_peer(principal, name)


def check_session(principal: Principal, session_id: str) -> None:
    """Raises AccessDenied when a session's token names another session."""
    if principal.scope == SESSION and principal.session_id != session_id:
        raise AccessDenied


def check_session_write(principal: Principal, session_id: str) -> None:
    """Raises AccessDenied unless the token may change that session."""
    if principal.scope == PARTICIPANT:
        raise AccessDenied
    check_session(principal, session_id)


def owner_of(principal: Principal, workspace: Workspace, peers: list[str]) -> tuple[str, bool]:
    """Who will own a session: the participant of the key, else the first of the peers, else the workspace's agent.

    Also whether it is the last, which nobody has named.
    """
    if principal.participant_name is not None and principal.tenant_id == workspace.id:
        return principal.participant_name, False
    return (peers[0], False) if peers else (workspace.agent_name, True)
