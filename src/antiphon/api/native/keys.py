"""Keys on our own wire: made, shown once, listed, ended."""

from __future__ import annotations

import re

import msgspec

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.native.bodies import check_name, read_body
from antiphon.api.native.errors import refusals
from antiphon.api.native.queries import PAGE, cut_page, list_name, read_cursor, read_limit
from antiphon.api.native.reach import Reach
from antiphon.api.native.versions import IF_MATCH, check_version, versioned
from antiphon.api.native.wire import location_of, parse_id, show_time
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain import keys, times
from antiphon.domain.errors import AccessDenied, InvalidInput
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import text_of
from antiphon.domain.keys import ADMIN, SCOPES, SESSION, Principal

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that is to be made: as whom it speaks, and how far it reaches.

    `scopes` has one scope. Without it the key is for the session that is named, else for the participant that is named,
    else for the whole tenant.
    """

    participant: str | None = None
    session: str | None = None
    scopes: list[str] | None = None
    expires_at: str | None = None
    label: str | None = None


class Key(msgspec.Struct, frozen=True):
    """A key, without its text."""

    id: str
    tenant: str
    participant: str | None
    session: str | None
    scopes: list[str]
    label: str | None
    created_at: str
    expires_at: str | None


class MadeKey(Key, frozen=True):
    """A key with its text, which is shown this once."""

    key: str


class KeyList(msgspec.Struct, frozen=True):
    """Some keys in order of making, and where the next are."""

    items: list[Key]
    next: str | None


class Keys:
    """The routes of keys, for keys that reach a whole tenant."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        path, one = f"{prefix}/keys", f"{prefix}/keys/{{key_id}}"
        made = {201: MadeKey, **refusals(413)}
        return [
            Route("POST", path, self.create, "Make a key.", made, body=NewKey, is_body_optional=True),
            Route("GET", path, self.list, "List keys.", {200: KeyList, **refusals()}, query=PAGE),
            Route("GET", one, self.get, "Get a key, without its text.", {200: Key, **refusals()}),
            Route("DELETE", one, self.revoke, "End a key.", {204: None, **refusals(412)}, query=(IF_MATCH,)),
        ]

    async def create(self, request: Request) -> Reply:
        """POST /keys: 201, with the text of the key."""
        principal = await self._reach.steward(request)
        body = await read_body(request, NewKey)
        check_name(body.participant, "participant")
        scope = _scope_of(body)
        if scope == ADMIN != principal.scope:
            raise AccessDenied("only an administrator's key makes another")
        key, text = await self._instance.keys.create(
            principal.tenant_id, body.participant, scope, body.session, _moment_of(body.expires_at), body.label
        )
        request.subject = Subject(participant_id=key.participant_id)
        shown = show_key(key, principal)
        return json_reply(201, MadeKey(**msgspec.structs.asdict(shown), key=text), [location_of("keys", shown.id)])

    async def get(self, request: Request) -> Reply:
        """GET /keys/{key_id}."""
        principal = await self._reach.steward(request)
        key_id = parse_id(request.params["key_id"], keys.ID_PREFIX)
        return versioned(200, show_key(await self._instance.keys.get(principal.tenant_id, key_id), principal))

    async def revoke(self, request: Request) -> Reply:
        """DELETE /keys/{key_id}: 204; it ends at once here, and within a second in every process."""
        principal = await self._reach.steward(request)
        key_id = parse_id(request.params["key_id"], keys.ID_PREFIX)
        key = await self._instance.keys.get(principal.tenant_id, key_id)
        if key.scope == ADMIN != principal.scope:
            raise AccessDenied("only an administrator ends an administrator's key")
        check_version(request, show_key(key, principal))
        await self._instance.keys.revoke(principal.tenant_id, key_id)
        return Reply(204)

    async def list(self, request: Request) -> Reply:
        """GET /keys: those that are not ended, in order of making."""
        principal = await self._reach.steward(request)
        limit, of_list = read_limit(request), list_name("keys", principal.tenant_id)
        found = await self._instance.keys.page(principal.tenant_id, read_cursor(of_list, request), limit + 1)
        page, following = cut_page(found, limit, of_list, lambda key: key.id)
        return json_reply(200, KeyList([show_key(key, principal) for key in page], following))


def _scope_of(body: NewKey) -> str | None:
    """How far the key is to reach; None leaves it to the verb. Raises InvalidInput."""
    if body.scopes is None:
        return None if body.session is None else SESSION
    if len(body.scopes) != 1 or body.scopes[0] not in SCOPES:
        raise InvalidInput(f"scopes has one of {', '.join(SCOPES)}", field="scopes")
    return body.scopes[0]


def _moment_of(text: str | None) -> int | None:
    """When a key ends. Raises InvalidInput for what is no moment to come."""
    if text is None:
        return None
    found = _RFC_3339.fullmatch(text)  # dates alone, and moments without a zone, are others' notations
    try:
        moment = times.from_text(found[0] if found else "")
        show_time(moment)  # an offset may lead past the year 9999
    except (ValueError, OverflowError):
        raise InvalidInput("expires_at is no time in RFC 3339", field="expires_at") from None
    if moment <= times.now():
        raise InvalidInput("expires_at is over", field="expires_at")
    return moment


def show_key(key: keys.Key, principal: Principal) -> Key:
    """A key of the caller's tenant, without its text."""
    return Key(
        keys.show_id(key.id),
        text_of(principal.tenant_id),
        key.participant_name,
        key.session_id,
        [key.scope],
        key.label,
        show_time(key.created_at),
        None if key.expires_at is None else show_time(key.expires_at),
    )
