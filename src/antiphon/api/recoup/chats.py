"""`/api/sessions/{sessionId}/chats`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.recoup import wire
from antiphon.api.recoup.bodies import lenient_value
from antiphon.api.recoup.errors import ChatIdInvalid, failed
from antiphon.api.recoup.reach import Account, own_chat, own_session
from antiphon.api.recoup.session_wire import UpdateSessionChatRequest
from antiphon.api.recoup.update_bodies import read_chat_change
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.domain import deletions
from antiphon.domain.chats import Chat
from antiphon.domain.errors import ChatNotFound, StoreFailed
from antiphon.domain.messages import Message
from antiphon.domain.texts import is_client_id

_ALL = "/api/sessions/{sessionId}/chats"
_ONE = "/api/sessions/{sessionId}/chats/{chatId}"

_log = logging.getLogger(__name__)


class Chats:
    """The handlers of a session's chats. Each looks for caller, session, ownership and chat, in this order."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def routes(self) -> list[Route]:
        """What is served here."""
        errors = wire.NAMED_ERRORS
        return [
            Route("GET", _ALL, self.list, "List session chats", {200: wire.ListSessionChatsResponse, **errors}),
            Route(
                "POST",
                _ALL,
                self.create,
                "Create session chat",
                {
                    200: wire.CreateSessionChatResponse,
                    **errors,
                    400: wire.InvalidChatIdError,
                    409: wire.ChatIdConflictError,
                    413: wire.Error,
                    422: wire.Error,
                },
                body=wire.CreateSessionChatRequest,
                is_body_optional=True,
            ),
            Route("GET", _ONE, self.get, "Get session chat", {200: wire.GetSessionChatResponse, **errors}),
            Route(
                "PATCH",
                _ONE,
                self.update,
                "Update session chat",
                {200: wire.CreateSessionChatResponse, **errors, 400: wire.Error, 413: wire.Error},
                body=UpdateSessionChatRequest,
            ),
            Route(
                "DELETE",
                _ONE,
                self.delete,
                "Delete session chat",
                {200: wire.DeleteSessionChatResponse, **errors, 400: wire.Error},
            ),
            Route(
                "POST",
                f"{_ONE}/read",
                self.mark_read,
                "Mark session chat as read",
                {200: wire.MarkSessionChatReadResponse, **errors},
            ),
        ]

    async def list(self, request: Request) -> Reply:
        """GET /api/sessions/{sessionId}/chats: all of them, oldest first."""
        account, session = await own_session(self._instance, request)
        model = await self._instance.model_of(account.tenant_id)
        chats = await self._instance.chats.list_of_session(account.tenant_id, session)
        marks = await self._instance.chats.read_marks(account.tenant_id, session, account.id)
        shown = [wire.show_summary(chat, model, marks.get(chat.key)) for chat in chats]
        return json_reply(200, wire.ListSessionChatsResponse(shown, model))

    async def create(self, request: Request) -> Reply:
        """POST /api/sessions/{sessionId}/chats: safe to repeat with an id of the client's."""
        account, session = await own_session(self._instance, request)
        chat_id = _chat_id(await lenient_value(request))
        try:
            chat, _ = await self._instance.chats.create(account.tenant_id, session, chat_id)
        except StoreFailed:
            return failed("Failed to create chat")
        return await self._shown(account, chat)

    async def _shown(self, account: Account, chat: Chat) -> Reply:
        model = await self._instance.model_of(account.tenant_id)
        return json_reply(200, wire.CreateSessionChatResponse(wire.show_chat(chat, model)))

    async def get(self, request: Request) -> Reply:
        """GET /api/sessions/{sessionId}/chats/{chatId}, with every message."""
        account, chat = await own_chat(self._instance, request)
        messages = await self._messages(account, chat)
        model = await self._instance.model_of(account.tenant_id)
        return json_reply(200, wire.show_detail(chat, model, messages))

    async def _messages(self, account: Account, chat: Chat) -> Sequence[Message]:
        """The chat's messages; none when they cannot be read, for this wire shows the chat all the same."""
        try:
            return await self._instance.messages.all(account.tenant_id, chat.key)
        except StoreFailed as error:
            _log.warning("messages not read", extra={"code": error.code})
            return []

    async def update(self, request: Request) -> Reply:
        """PATCH /api/sessions/{sessionId}/chats/{chatId}: the chat is looked for before the body is read."""
        account, chat = await own_chat(self._instance, request)
        change = read_chat_change(await request.body())
        try:
            chat = await self._instance.chats.change(account.tenant_id, chat, change.title, change.model)
        except (StoreFailed, ChatNotFound):
            return failed("Failed to update chat")
        return await self._shown(account, chat)

    async def delete(self, request: Request) -> Reply:
        """DELETE /api/sessions/{sessionId}/chats/{chatId}: what is live in the chat is ended."""
        account, chat = await own_chat(self._instance, request)
        try:
            await self._instance.deletions.delete_chat(account.tenant_id, chat, deletions.CANCEL)
        except StoreFailed:
            return failed("Failed to delete chat")
        return json_reply(200, wire.DeleteSessionChatResponse(success=True))

    async def mark_read(self, request: Request) -> Reply:
        """POST /api/sessions/{sessionId}/chats/{chatId}/read: by the caller, until now."""
        account, chat = await own_chat(self._instance, request)
        try:
            await self._instance.chats.mark_read(account.tenant_id, chat, account.id)
        except StoreFailed:
            return failed("Failed to mark chat as read")
        return json_reply(200, wire.MarkSessionChatReadResponse(success=True))


def _chat_id(body: object) -> str | None:
    """The id that the client chose, None when it did not. Raises ChatIdInvalid."""
    if not isinstance(body, dict) or "id" not in body:
        return None
    chat_id = body["id"]
    if not isinstance(chat_id, str) or not is_client_id(chat_id):
        raise ChatIdInvalid
    return chat_id
