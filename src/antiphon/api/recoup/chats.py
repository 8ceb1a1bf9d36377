"""`/api/sessions/{sessionId}/chats`."""

from __future__ import annotations

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.recoup import wire
from antiphon.api.recoup.bodies import lenient_object
from antiphon.api.recoup.errors import INVALID_CHAT_ID
from antiphon.api.recoup.reach import account_of, owned_session
from antiphon.core.instance import Instance
from antiphon.domain import deletions
from antiphon.domain.errors import StoreFailed
from antiphon.domain.texts import is_client_id


class Chats:
    """The handlers of a session's chats. Each looks for caller, session, ownership and chat, in this order."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def list(self, request: Request) -> Reply:
        """GET /api/sessions/{sessionId}/chats."""
        account = await account_of(self._instance, request)
        session = await owned_session(self._instance, request, account)
        model = self._instance.default_model
        chats = await self._instance.chats.list_of_session(account.tenant_id, session)
        marks = await self._instance.chats.read_marks(account.tenant_id, session, account.account_id)
        shown = [wire.show_summary(chat, model, marks.get(chat.key)) for chat in chats]
        return json_reply(200, wire.ChatListAnswer(shown, model))

    async def create(self, request: Request) -> Reply:
        """POST /api/sessions/{sessionId}/chats: safe to repeat with an id of the client's."""
        account = await account_of(self._instance, request)
        session = await owned_session(self._instance, request, account)
        body = await lenient_object(request)
        chat_id = None
        if isinstance(body, dict) and "id" in body:
            chat_id = body["id"]
            if not isinstance(chat_id, str) or not is_client_id(chat_id):
                return json_reply(400, wire.BareError(INVALID_CHAT_ID))
        try:
            chat, _ = await self._instance.chats.create(account.tenant_id, session, chat_id)
        except StoreFailed:
            return json_reply(500, wire.Error("Failed to create chat"))
        return json_reply(200, wire.ChatAnswer(wire.show_chat(chat, self._instance.default_model)))

    async def get(self, request: Request) -> Reply:
        """GET /api/sessions/{sessionId}/chats/{chatId}, with every message."""
        account = await account_of(self._instance, request)
        session = await owned_session(self._instance, request, account)
        chat = await self._instance.chats.get_in_session(account.tenant_id, session, request.params["chatId"])
        messages = await self._instance.messages.all(account.tenant_id, chat.key)
        shown = wire.show_chat(chat, self._instance.default_model)
        answer = wire.ChatDetailAnswer(shown, chat.active_turn is not None, [wire.show_message(m) for m in messages])
        return json_reply(200, answer)

    async def delete(self, request: Request) -> Reply:
        """DELETE /api/sessions/{sessionId}/chats/{chatId}."""
        account = await account_of(self._instance, request)
        session = await owned_session(self._instance, request, account)
        chat = await self._instance.chats.get_in_session(account.tenant_id, session, request.params["chatId"])
        try:
            await self._instance.deletions.delete_chat(account.tenant_id, chat, deletions.CANCEL)
        except StoreFailed:
            return json_reply(500, wire.Error("Failed to delete chat"))
        return json_reply(200, wire.Success())

    async def mark_read(self, request: Request) -> Reply:
        """POST /api/sessions/{sessionId}/chats/{chatId}/read."""
        account = await account_of(self._instance, request)
        session = await owned_session(self._instance, request, account)
        chat = await self._instance.chats.get_in_session(account.tenant_id, session, request.params["chatId"])
        try:
            await self._instance.chats.mark_read(account.tenant_id, chat, account.account_id)
        except StoreFailed:
            return json_reply(500, wire.Error("Failed to mark chat as read"))
        return json_reply(200, wire.Success())
