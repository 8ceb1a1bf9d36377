"""Who is calling on Recoup's wire: the credential, and the account it stands for."""

from __future__ import annotations

from antiphon.api.auth import authenticate, bearer_of
from antiphon.api.http import Request
from antiphon.api.recoup.errors import NO_CREDENTIAL, NOT_BEARER
from antiphon.core.instance import Instance
from antiphon.domain import sessions
from antiphon.domain.errors import AccessDenied, AuthenticationFailed, SessionNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.keys import SESSION, Principal
from antiphon.domain.sessions import Session


class NoCredential(AuthenticationFailed):
    """Neither or both of the two headers are there, or the one that is there is of another form."""


class Account(Principal, frozen=True):
    """A caller who acts as a participant."""

    account_id: Uid = b""


async def account_of(instance: Instance, request: Request) -> Account:
    """The caller. Raises NoCredential, AuthenticationFailed, and AccessDenied for a key that stands for nobody."""
    principal = await authenticate(instance, request, _credential(instance, request))
    if principal.scope == SESSION or principal.participant_id is None:
        raise AccessDenied
    return Account(
        principal.tenant_id,
        principal.tenant_name,
        principal.agent_name,
        principal.scope,
        principal.participant_id,
        principal.participant_name,
        principal.session_id,
        principal.key_id,
        account_id=principal.participant_id,
    )


def _credential(instance: Instance, request: Request) -> str | None:
    if instance.everybody is not None:
        return None
    key, authorization = request.header(b"x-api-key"), request.header(b"authorization")
    if bool(key) == bool(authorization):
        raise NoCredential(NO_CREDENTIAL)
    if key:
        return key
    token = bearer_of(request)
    if token is None:
        raise NoCredential(NOT_BEARER)
    return token


async def owned_session(instance: Instance, request: Request, account: Account) -> Session:
    """The caller's own session of the path. Raises SessionNotFound, and AccessDenied for another's of the tenant."""
    session = await instance.sessions.find(account.tenant_id, request.params["sessionId"])
    if session is None or session.shape != sessions.MULTI:
        raise SessionNotFound
    if session.owner_id != account.account_id:
        raise AccessDenied
    return session


