"""Who is calling on Recoup's wire: the credential, and the account it stands for."""

from __future__ import annotations

import msgspec

from antiphon.api.auth import api_key_of, authenticate
from antiphon.api.http import Request
from antiphon.api.recoup.errors import NoCredential, NotBearer
from antiphon.core.instance import Instance
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AccessDenied
from antiphon.domain.ids import Uid
from antiphon.domain.keys import SESSION
from antiphon.domain.sessions import MULTI, Session

_SCHEMES = ("Bearer ", "bearer ")


class Account(msgspec.Struct, frozen=True):
    """A caller: the participant `id` of a tenant."""

    tenant_id: Uid
    id: Uid


async def account_of(instance: Instance, request: Request) -> Account:
    """The caller, who is the participant of the key.

    Raises NoCredential, NotBearer and AuthenticationFailed; AccessDenied for a key that stands for nobody, or for one
    session only.
    """
    principal = await authenticate(instance, request, _credential(instance, request))
    if principal.scope == SESSION or principal.participant_id is None:
        raise AccessDenied
    return Account(principal.tenant_id, principal.participant_id)


def _credential(instance: Instance, request: Request) -> str | None:
    """The key's text, which stands in exactly one of two headers; none is looked for while authentication is off."""
    if instance.everybody is not None:
        return None
    key, authorization = api_key_of(request), request.header(b"authorization")
    if bool(key) == bool(authorization):
        raise NoCredential
    if not authorization:
        return key
    if not authorization.startswith(_SCHEMES):
        raise NotBearer
    return authorization[len("Bearer ") :].strip()


async def own_session(instance: Instance, request: Request) -> tuple[Account, Session]:
    """The caller, and the caller's own session of the path.

    Raises what `account_of` raises; SessionNotFound; and AccessDenied for a session of somebody else in the tenant.
    """
    account = await account_of(instance, request)
    session = await instance.sessions.get_of_shape(account.tenant_id, request.params["sessionId"], MULTI)
    if session.owner_id != account.id:
        raise AccessDenied
    return account, session


async def own_chat(instance: Instance, request: Request) -> tuple[Account, Chat]:
    """The caller, and the chat of the path in the caller's own session. Raises ChatNotFound, and as `own_session`."""
    account, session = await own_session(instance, request)
    return account, await instance.chats.get_in_session(account.tenant_id, session, request.params["chatId"])
