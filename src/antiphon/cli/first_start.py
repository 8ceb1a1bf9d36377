"""The first start: a tenant with two people and three keys, and the lines that show how to use them."""

from __future__ import annotations

import msgspec

from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain.errors import TenantNameTaken
from antiphon.domain.keys import ADMIN, PARTICIPANT, TENANT

TENANT_NAME = "default"
USER, GUEST = "user", "guest"


class FirstKeys(msgspec.Struct, frozen=True):
    """The texts of the keys made at the first start; nobody can read them again."""

    admin: str
    user: str
    guest: str


async def make_first_tenant(instance: Instance) -> FirstKeys | None:
    """Make the tenant `default` when there is no tenant at all; None when there is one, or another process made it."""
    tenants, _ = await instance.tenants.list(Slice(0, 1))
    if tenants:
        return None
    try:
        tenant = await instance.tenants.create(TENANT_NAME)
    except TenantNameTaken:
        return None
    _, admin = await instance.keys.create(tenant.id, scope=ADMIN, label="first start")
    _, user = await instance.keys.create(tenant.id, USER, TENANT, label="first start")
    _, guest = await instance.keys.create(tenant.id, GUEST, PARTICIPANT, label="first start")
    return FirstKeys(admin, user, guest)


def welcome(url: str, keys: FirstKeys) -> str:
    """What the first start prints, once; the lines work as they are pasted into a shell."""
    socket_url = url.replace("http", "ws", 1)
    return f"""\
First start. These keys are shown once; they belong to the tenant {TENANT_NAME}.

  admin  {keys.admin}
  {USER:5}  {keys.user}
  {GUEST:5}  {keys.guest}

Recoup: a session with its first chat
curl -sS {url}/api/sessions -H 'x-api-key: {keys.user}' -H 'content-type: application/json' -d '{{"title":"Hello"}}'

Lexicon: a chat
curl -sS {url}/api/v1/chats/ -H 'X-API-Key: {keys.user}' -H 'content-type: application/json' -d '{{"user_id":"{USER}"}}'

Honcho: a session
curl -sS {url}/v3/workspaces/{TENANT_NAME}/sessions -H 'Authorization: Bearer {keys.user}' \
-H 'content-type: application/json' -d '{{"id":"hello"}}'

Live, with the id of the Lexicon chat at the end:
{socket_url}/ws/chat?api_key={keys.user}&user_id={USER}&chat_id=

"""
