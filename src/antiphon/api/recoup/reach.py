"""Who is calling on Recoup's wire: the credential, and the account it stands for."""

from __future__ import annotations

import msgspec

from antiphon.api.auth import api_key_of, authenticate
from antiphon.api.http import Request
from antiphon.api.recoup.errors import ForeignAccount, ForeignOrganization, NoCredential, NotBearer
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.errors import AccessDenied, AntiphonError, AuthenticationFailed
from antiphon.domain.ids import Uid, parse_uuid
from antiphon.domain.keys import ADMIN, SESSION, TENANT, Principal
from antiphon.domain.sessions import MULTI, Session

_SCHEMES = ("Bearer ", "bearer ")


class Account(msgspec.Struct, frozen=True):
    """A caller: the participant `id` of a tenant, whose agent is called `agent_name`."""

    tenant_id: Uid
    id: Uid
    agent_name: str


async def account_of(instance: Instance, request: Request) -> Account:
    """The caller, who is the participant of the key.

    Raises NoCredential, NotBearer and AuthenticationFailed; AccessDenied for a key that stands for nobody, or for one
    session only.
    """
    return _own_account(await principal_of(instance, request))


async def principal_of(instance: Instance, request: Request) -> Principal:
    """Whoever is calling. Raises as `account_of`, but not for a key that stands for nobody."""
    principal = await authenticate(instance, request, _credential(instance, request))
    if principal.scope == SESSION:
        raise AccessDenied
    return principal


async def body_before_credential(instance: Instance, request: Request) -> tuple[bytes, AntiphonError | None]:
    """The body, where this wire judges it first, and what is wrong with the credential.

    A body over UNREAD_BODY_BYTES is taken from those only whose credential is good. Raises BodyTooLarge.
    """
    try:
        await principal_of(instance, request)
    except (AuthenticationFailed, AccessDenied) as refusal:
        return await request.body(limits.UNREAD_BODY_BYTES), refusal
    return await request.body(limits.BODY_BYTES), None


def _own_account(principal: Principal) -> Account:
    if principal.participant_id is None:
        raise AccessDenied
    return Account(principal.tenant_id, principal.participant_id, principal.agent_name)


async def named_account(instance: Instance, request: Request, account_id: str | None) -> Account:
    """The account that the caller acts for: the one that is named, else the caller's own.

    A key of the scope `tenant` or `admin` may name any account of its tenant, any other only its own. Raises as
    `account_of`, and ForeignAccount.
    """
    principal = await principal_of(instance, request)
    if not account_id:
        return _own_account(principal)
    named = parse_uuid(account_id)
    if named is None:
        raise ForeignAccount
    if named != principal.participant_id:
        may_name = principal.scope in {TENANT, ADMIN}
        if not may_name or await instance.participants.find_by_id(principal.tenant_id, named) is None:
            raise ForeignAccount
    return Account(principal.tenant_id, named, principal.agent_name)


def check_organization(account: Account, organization_id: str | None) -> None:
    """An account belongs to its tenant alone. Raises ForeignOrganization."""
    if organization_id is not None and parse_uuid(organization_id) not in {account.tenant_id, account.id}:
        raise ForeignOrganization


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
