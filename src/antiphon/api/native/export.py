"""Exports on our own wire; and the deletion of a chat that takes only what its client has been sent."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from antiphon.api.http import ClientGone, Request, StreamReply
from antiphon.api.native.errors import refusals, row_of
from antiphon.api.native.examples import EXPORTED, EXPORTED_LINES, EXPORTED_MARKDOWN
from antiphon.api.native.reach import Reach
from antiphon.api.routing import Content, Query, Route
from antiphon.core.deletion.engine import Target
from antiphon.core.export import make_form
from antiphon.core.export_forms import FORMS, Json, JsonLines, Markdown
from antiphon.core.instance import Instance
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import CHAT, Order
from antiphon.domain.errors import AntiphonError, ChatNotFound
from antiphon.domain.ids import Uid, text_of
from antiphon.domain.receipts import DELETION_PREFIX

DELETING_FORMS = ("jsonl", "json")
"""The forms that can say in their last line what became of a deletion."""

_LINES = Content(str, JsonLines.media_type, EXPORTED_LINES)
_JSON = Content(dict[str, Any], Json.media_type, EXPORTED)
DELETING_ANSWER = (_LINES, _JSON)
"""The answers to a deletion with export, for the document."""

_ANSWER = (_LINES, _JSON, Content(str, Markdown.media_type, EXPORTED_MARKDOWN))
_FORMAT = Query("format", {"enum": [*FORMS], "default": "jsonl"}, "How it is written.")


class Exports:
    """The routes of exports."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        answers = {200: _ANSWER, **refusals()}
        chat, session = f"{prefix}/chats/{{chat_id}}/export", f"{prefix}/sessions/{{session_id}}/export"
        return [
            Route("GET", chat, self.chat, "All of a chat as a file.", answers, query=(_FORMAT,)),
            Route("GET", session, self.session, "All of a session as a file.", answers, query=(_FORMAT,)),
        ]

    async def chat(self, request: Request) -> StreamReply:
        """GET /chats/{chat_id}/export."""
        principal = await self._reach.caller(request)
        form = _form_of(request)
        chat = await self._reach.chat(principal, request.params["chat_id"])
        pieces = self._instance.exports.chat(principal.tenant_id, chat, form)
        return StreamReply(200, pieces, _headers(form.media_type))

    async def session(self, request: Request) -> StreamReply:
        """GET /sessions/{session_id}/export."""
        principal = await self._reach.caller(request)
        form = _form_of(request)
        session = await self._reach.session(principal, request.params["session_id"])
        pieces = await self._instance.exports.session(principal.tenant_id, session, form)
        return StreamReply(200, pieces, _headers(form.media_type))

    async def delete_chat(self, request: Request, tenant_id: Uid, chat: Chat, order: Order) -> StreamReply:
        """Send a chat, then delete it if it is still what was sent; `order.if_digest` is that of its survey.

        A client that has left by then deletes nothing. Raises ChatNotFound when nothing of it was sent yet.
        """
        form = make_form(request.query["export"])

        async def finish() -> dict[str, Any]:
            if not await request.emptied():
                raise ClientGone
            # Whoever leaves from here on does not stop it half-way: sockets would stay open on a chat that is gone.
            return await asyncio.shield(self._delete(tenant_id, chat, order))

        pieces = self._instance.exports.chat(tenant_id, chat, form, finish)
        return StreamReply(200, pieces, _headers(form.media_type))

    async def _delete(self, tenant_id: Uid, chat: Chat, order: Order) -> dict[str, Any]:
        """What the last line says of a deletion: its id, or why nothing was deleted."""
        try:
            deletion = await self._instance.deletions.delete(tenant_id, Target(CHAT, chat.id, chat.key), order)
        except AntiphonError as error:
            return {"deletion": None, "code": row_of(error).code}
        return {"deletion": DELETION_PREFIX + text_of(deletion.id)}


def as_surveyed(chat: Chat, last_seqs: dict[str, int]) -> Chat:
    """The chat as a survey found it, for an export that is to be of just that. Raises ChatNotFound."""
    if chat.id not in last_seqs:
        raise ChatNotFound
    return msgspec.structs.replace(chat, last_seq=last_seqs[chat.id])


def _form_of(request: Request) -> Any:
    return make_form(request.query.get("format", "jsonl"))


def _headers(media_type: str) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
