"""`/api/sessions`."""

from __future__ import annotations

import random
import re
from importlib.resources import files

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.recoup import wire
from antiphon.api.recoup.bodies import kind_of, lenient_object, optional_string
from antiphon.api.recoup.errors import FOREIGN_ORGANIZATION, FieldInvalid
from antiphon.api.recoup.reach import Account, account_of, owned_session
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.errors import AccessDenied, InvalidInput
from antiphon.domain.ids import parse_uuid, text_of
from antiphon.domain.texts import check_text

_CITIES = tuple((files("antiphon.api.recoup") / "city_names.txt").read_text(encoding="utf-8").split("\n")[:-1])
_UUID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
    r"|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff"
)


class Sessions:
    """The handlers of sessions."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def create(self, request: Request) -> Reply:
        """POST /api/sessions: the body is judged before the credential."""
        body = await lenient_object(request)
        if not isinstance(body, dict):
            raise FieldInvalid(f"Invalid input: expected object, received {kind_of(body)}", [])
        title = _title(optional_string(body, "title"))
        organization = _uuid(body, "organizationId")
        artist = _uuid(body, "artistId")
        account = await account_of(self._instance, request)
        if organization is not None and parse_uuid(organization) != account.tenant_id:
            raise AccessDenied(FOREIGN_ORGANIZATION)
        if title is None:
            title = await self._free_title(account)
        session, chat = await self._instance.sessions.create(account.tenant_id, account.account_id, title, artist)
        shown = wire.show_session(session, organization or text_of(session.owner_id))
        return json_reply(200, wire.SessionCreated(shown, wire.show_chat(chat, self._instance.default_model)))

    async def get(self, request: Request) -> Reply:
        """GET /api/sessions/{sessionId}."""
        account = await account_of(self._instance, request)
        session = await owned_session(self._instance, request, account)
        return json_reply(200, wire.SessionAnswer(wire.show_session(session, text_of(session.owner_id))))

    async def _free_title(self, account: Account) -> str:
        """A city that none of the account's sessions is called after, or one with the smallest free number."""
        taken = await self._instance.sessions.titles(account.tenant_id, account.account_id)
        free = [city for city in _CITIES if city not in taken]
        if free:
            return random.choice(free)  # noqa: S311  a name, not a secret
        city = random.choice(_CITIES)  # noqa: S311  likewise
        number = 2
        while f"{city} {number}" in taken:
            number += 1
        return f"{city} {number}"


def _title(given: str | None) -> str | None:
    if given is None or not given.strip():
        return None
    try:
        return check_text(given.strip(), "title", limits.TITLE_CHARACTERS)
    except InvalidInput as error:
        raise FieldInvalid(error.message, ["title"]) from None


def _uuid(body: dict[str, object], field: str) -> str | None:
    value = optional_string(body, field)
    if value is not None and not _UUID.fullmatch(value):
        raise FieldInvalid(f"{field} must be a valid UUID", [field])
    return value
