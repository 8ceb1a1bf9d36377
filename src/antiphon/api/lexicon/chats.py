"""`/api/v1/chats`."""

from __future__ import annotations

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.lexicon import wire
from antiphon.api.lexicon.bodies import read_new_chat, read_part
from antiphon.api.lexicon.reach import caller_of, may_speak_for, visible_chat
from antiphon.core.instance import Instance
from antiphon.domain import deletions, times
from antiphon.domain.errors import AccessDenied, ParticipantNotFound

_NO_SUCH_USER = "There is no such user in this tenant, or none with chats"


class Chats:
    """The handlers of chats; the caller is known and counted before they are asked."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def create(self, request: Request) -> Reply:
        """POST /api/v1/chats/."""
        principal = caller_of(request)
        new = await read_new_chat(request)
        if not may_speak_for(principal, new.user_id):
            raise AccessDenied("this key makes chats for its own user only")
        chat, _ = await self._instance.chats.create_single(principal.tenant_id, new.user_id, new.title, new.metadata)
        return json_reply(201, wire.show_created(chat, principal.tenant_id))

    async def list(self, request: Request) -> Reply:
        """GET /api/v1/chats/user/{user_id}: newest first unless asked otherwise."""
        principal = caller_of(request)
        part = read_part(request.query, default_order="desc")
        user_id = request.params["user_id"]
        if not may_speak_for(principal, user_id):
            raise ParticipantNotFound(_NO_SUCH_USER)
        chats, total = await self._instance.chats.list_of_owner(principal.tenant_id, user_id, part)
        if not total:
            raise ParticipantNotFound(_NO_SUCH_USER)
        shown = [wire.show_listed(chat, principal.tenant_id) for chat in chats]
        has_more = part.offset + len(shown) < total
        return json_reply(200, wire.ChatPage(shown, total, part.offset, part.limit, has_more))

    async def get(self, request: Request) -> Reply:
        """GET /api/v1/chats/{chat_id}."""
        principal = caller_of(request)
        chat = await visible_chat(self._instance, principal, request.params["chat_id"])
        return json_reply(200, wire.show_chat(chat, principal.tenant_id))

    async def messages(self, request: Request) -> Reply:
        """GET /api/v1/chats/{chat_id}/messages: oldest first unless asked otherwise."""
        principal = caller_of(request)
        part = read_part(request.query, default_order="asc")
        chat = await visible_chat(self._instance, principal, request.params["chat_id"])
        page = await self._instance.messages.page(principal.tenant_id, chat.key, part)
        shown = [wire.show_message(message) for message in page.items]
        has_more = part.offset + len(shown) < page.total
        return json_reply(200, wire.MessagePage(shown, page.total, part.offset, part.limit, has_more))

    async def delete(self, request: Request) -> Reply:
        """DELETE /api/v1/chats/{chat_id}: refused while a socket is open on it; a body is not looked at."""
        principal = caller_of(request)
        chat = await visible_chat(self._instance, principal, request.params["chat_id"])
        deletion = await self._instance.deletions.delete_chat(principal.tenant_id, chat, deletions.REFUSE)
        return json_reply(200, wire.ChatDeleted(times.text_of(deletion.detached_at or deletion.requested_at)))
