"""`/api/v1/chats`."""

from __future__ import annotations

from typing import Any

from antiphon.api.http import Reply, Request, decode_json, json_reply, json_text
from antiphon.api.lexicon import wire
from antiphon.api.lexicon.reach import caller_of, may_speak_for, visible_chat
from antiphon.core.instance import Instance
from antiphon.core.ports import Slice
from antiphon.domain import deletions, limits, times
from antiphon.domain.errors import AccessDenied, InvalidInput, MalformedBody, ParticipantNotFound
from antiphon.domain.texts import check_text, is_storable

_PAGE_ITEMS = 50


class Chats:
    """The handlers of chats; the caller is known and counted before they are asked."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def create(self, request: Request) -> Reply:
        """POST /api/v1/chats/."""
        principal = caller_of(request)
        body = decode_json(await request.body())
        if not isinstance(body, dict):
            raise MalformedBody("the body is not a JSON object")
        user_id = _user_id(body)
        title = _title(body)
        metadata = metadata_of(body)
        if not may_speak_for(principal, user_id):
            raise AccessDenied("this key makes chats for its own user only")
        chat, _ = await self._instance.chats.create_single(principal.tenant_id, user_id, title, metadata)
        return json_reply(201, wire.show_created(chat, principal.tenant_id))

    async def list(self, request: Request) -> Reply:
        """GET /api/v1/chats/user/{user_id}: newest first unless asked otherwise."""
        principal = caller_of(request)
        part = _part(request, default_order="desc")
        user_id = request.params["user_id"]
        if not may_speak_for(principal, user_id):
            raise ParticipantNotFound("No such user, or no chats")
        chats, total = await self._instance.chats.list_of_owner(principal.tenant_id, user_id, part)
        if not total:
            raise ParticipantNotFound("No such user, or no chats")
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
        part = _part(request, default_order="asc")
        chat = await visible_chat(self._instance, principal, request.params["chat_id"])
        page = await self._instance.messages.page(principal.tenant_id, chat.key, part)
        shown = [wire.show_message(message) for message in page.items]
        has_more = part.offset + len(shown) < page.total
        return json_reply(200, wire.MessagePage(shown, page.total, part.offset, part.limit, has_more))

    async def delete(self, request: Request) -> Reply:
        """DELETE /api/v1/chats/{chat_id}: refused while a socket is open on it."""
        principal = caller_of(request)
        chat = await visible_chat(self._instance, principal, request.params["chat_id"])
        deletion = await self._instance.deletions.delete_chat(principal.tenant_id, chat, deletions.REFUSE)
        return json_reply(200, wire.ChatDeleted(times.text_of(deletion.detached_at)))


def _user_id(body: dict[str, Any]) -> str:
    user_id = body.get("user_id")
    if not isinstance(user_id, str) or not user_id.strip():
        raise InvalidInput("user_id must be a string that is not blank", field="user_id")
    return check_text(user_id, "user_id", limits.LEXICON_USER_ID_CHARACTERS)


def _title(body: dict[str, Any]) -> str | None:
    title = body.get("title")
    if title is None:
        return None
    if not isinstance(title, str):
        raise InvalidInput("title must be a string", field="title")
    return check_text(title, "title", limits.LEXICON_TITLE_CHARACTERS) if title.strip() else None


def metadata_of(body: dict[str, Any]) -> str:
    """The metadata of a body or a frame as JSON text. Raises InvalidInput."""
    metadata = body.get("metadata")
    if metadata is None:
        return "{}"
    if not isinstance(metadata, dict):
        raise InvalidInput("metadata must be an object", field="metadata")
    text = json_text(metadata)
    if len(text.encode()) > limits.METADATA_BYTES:
        raise InvalidInput(f"metadata is larger than {limits.METADATA_BYTES} bytes", field="metadata")
    if "\\u0000" in text or not is_storable(text):
        raise InvalidInput("metadata holds a NUL character", field="metadata")
    return text


def _part(request: Request, default_order: str) -> Slice:
    query = request.query
    offset = _whole_number(query, "offset", 0, 0, None)
    limit = _whole_number(query, "limit", _PAGE_ITEMS, 1, limits.PAGE_ITEMS)
    order = query.get("order", default_order)
    if order not in ("asc", "desc"):
        raise InvalidInput("order must be asc or desc", field="order")
    return Slice(offset, limit, order == "desc")


def _whole_number(query: dict[str, str], name: str, default: int, low: int, high: int | None) -> int:
    text = query.get(name)
    if text is None:
        return default
    good = text.isascii() and text.isdigit() and len(text) <= limits.QUERY_NUMBER_DIGITS
    if not good or int(text) < low or (high is not None and int(text) > high):
        allowed = f"{low} to {high}" if high is not None else f"{low} or more"
        raise InvalidInput(f"{name} must be a whole number, {allowed}", field=name)
    return int(text)
