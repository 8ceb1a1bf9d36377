"""`/api/chats`: the chats of all sessions in one list, and rooms, which are chats with a session of their own."""

from __future__ import annotations

from typing import Final

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.recoup import room_wire, wire
from antiphon.api.recoup.bodies import is_uuid
from antiphon.api.recoup.errors import FieldInvalid, RoomDenied, RoomNotFound, failed
from antiphon.api.recoup.reach import named_account, principal_of
from antiphon.api.recoup.room_bodies import read_compaction, read_copy, read_room, read_room_id, read_topic
from antiphon.api.routing import Query, Route
from antiphon.core.instance import Instance
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import CANCEL
from antiphon.domain.errors import AccessDenied, AgentFailed, ChatNotFound, InvalidInput, StoreFailed
from antiphon.domain.ids import Uid, new_public_id, parse_uuid
from antiphon.domain.keys import ADMIN, Principal
from antiphon.domain.sessions import SINGLE

_ALL = "/api/chats"
_MESSAGES = "/api/chats/{id}/messages"
_UUID = {"type": "string", "format": "uuid"}
_ACCOUNT = Query("account_id", _UUID, "Act for this account of the same tenant.")
_ARTIST = Query("artist_account_id", _UUID, "Only chats of this artist.")
_FROM = Query("from_message_id", _UUID, "The first message to remove.", is_required=True)
_SUCCESS: Final = "success"


class Rooms:
    """The handlers of rooms, and of the list of all chats."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def routes(self) -> list[Route]:
        """What is served here."""
        return [*self._family(), *self._of_one()]

    def _family(self) -> list[Route]:
        fields = {**wire.NAMED_ERRORS, 400: wire.FieldError, 413: wire.Error}
        return [
            Route(
                "GET",
                _ALL,
                self.list,
                "List chats of all sessions",
                {200: room_wire.ListChatsResponse, **wire.COMMON_ERRORS, 400: wire.Error},
                query=(_ACCOUNT, _ARTIST),
            ),
            Route(
                "POST",
                _ALL,
                self.put,
                "Create or update a room",
                {200: room_wire.RoomResponse, **fields, 409: wire.Error, 500: room_wire.MessageError},
                body=room_wire.PutRoomRequest,
                is_body_optional=True,
            ),
            Route(
                "PATCH",
                _ALL,
                self.update,
                "Update a room's topic",
                {200: room_wire.RoomResponse, **fields},
                body=room_wire.UpdateRoomRequest,
            ),
            Route(
                "DELETE",
                _ALL,
                self.delete,
                "Delete a room",
                {200: room_wire.DeleteRoomResponse, **fields},
                body=room_wire.DeleteRoomRequest,
            ),
            Route(
                "POST",
                f"{_ALL}/compact",
                self.compact,
                "Put rooms in short",
                {
                    200: room_wire.CompactResponse,
                    **fields,
                    404: room_wire.NumberedError,
                    500: room_wire.NumberedError,
                },
                body=room_wire.CompactRequest,
            ),
        ]

    def _of_one(self) -> list[Route]:
        named = {**wire.NAMED_ERRORS, 400: wire.InvalidBodyError}
        changes = {**named, 409: wire.Error, 422: wire.Error}
        return [
            Route(
                "GET",
                _MESSAGES,
                self.messages,
                "List a room's messages",
                {200: room_wire.ListMemoriesResponse, **named},
            ),
            Route(
                "DELETE",
                f"{_MESSAGES}/trailing",
                self.delete_trailing,
                "Delete a message of a room and all after it",
                {200: room_wire.DeleteTrailingResponse, **changes},
                query=(_FROM,),
            ),
            Route(
                "POST",
                f"{_MESSAGES}/copy",
                self.copy,
                "Copy a room's messages into another",
                {200: room_wire.CopyMessagesResponse, **changes, 413: wire.Error},
                body=room_wire.CopyMessagesRequest,
            ),
            Route(
                "GET",
                "/api/chats/{id}/artist",
                self.artist,
                "Get a room's artist",
                {200: room_wire.RoomArtistResponse, **named},
            ),
        ]

    async def list(self, request: Request) -> Reply:
        """GET /api/chats: an administrator who names no account sees everybody's of the tenant."""
        named, artist = (_uuid_query(request, query.name) for query in (_ACCOUNT, _ARTIST))
        principal = await principal_of(self._instance, request)
        owner: Uid | None = None
        if named is not None or principal.scope != ADMIN:
            owner = (await named_account(self._instance, request, named)).id
        try:
            found = await self._instance.chats.list_said(principal.tenant_id, owner, artist)
        except StoreFailed:
            return failed("Failed to retrieve chats")
        shown = [room_wire.show_listed(chat, of) for chat, of in found]
        return json_reply(200, room_wire.ListChatsResponse(_SUCCESS, shown))

    async def put(self, request: Request) -> Reply:
        """POST /api/chats: the body is judged before the credential. One that is there is the account's own."""
        posted = await read_room(request)
        account = await named_account(self._instance, request, posted.account_id)
        chat_id = posted.chat_id or new_public_id()
        try:
            chat = await self._instance.chats.put_single(
                account.tenant_id, account.id, chat_id, posted.topic, posted.artist_id
            )
            artist = await self._artist(account.tenant_id, chat)
        except AccessDenied:
            raise RoomDenied from None
        except ChatNotFound:
            raise RoomNotFound from None
        except StoreFailed:
            return json_reply(500, room_wire.MessageError("error", "Failed to create chat"))
        return json_reply(200, room_wire.RoomResponse(_SUCCESS, room_wire.show_room(chat, artist)))

    async def update(self, request: Request) -> Reply:
        """PATCH /api/chats."""
        chat_id, topic = await read_topic(request)
        principal, chat = await self._room(request, chat_id)
        try:
            chat = await self._instance.chats.change(principal.tenant_id, chat, title=topic)
            artist = await self._artist(principal.tenant_id, chat)
        except ChatNotFound:
            raise RoomNotFound from None
        except StoreFailed:
            return failed("Failed to update chat")
        return json_reply(200, room_wire.RoomResponse(_SUCCESS, room_wire.show_room(chat, artist)))

    async def delete(self, request: Request) -> Reply:
        """DELETE /api/chats: what is live in the room is ended."""
        principal, chat = await self._room(request, await read_room_id(request))
        try:
            await self._instance.deletions.delete_chat(principal.tenant_id, chat, CANCEL)
        except ChatNotFound:
            raise RoomNotFound from None
        except StoreFailed:
            return failed("Failed to delete chat")
        return json_reply(200, room_wire.DeleteRoomResponse(_SUCCESS, chat.id, "Chat deleted successfully"))

    async def messages(self, request: Request) -> Reply:
        """GET /api/chats/{id}/messages: all of them."""
        principal, chat = await self._room_of_path(request)
        try:
            history = await self._instance.messages.all(principal.tenant_id, chat.key)
        except ChatNotFound:
            raise RoomNotFound from None
        except StoreFailed:
            return failed("Failed to retrieve memories")
        return json_reply(200, room_wire.show_memories(chat, history))

    async def delete_trailing(self, request: Request) -> Reply:
        """DELETE /api/chats/{id}/messages/trailing: refused while the room is being answered."""
        principal, chat = await self._room_of_path(request)
        given = request.query.get(_FROM.name, "")
        message_id = parse_uuid(given)
        if message_id is None or not is_uuid(given):
            raise FieldInvalid(f"{_FROM.name} must be a valid UUID", [_FROM.name])
        try:
            await self._settle(principal, chat)
            await self._instance.chats.cut(principal.tenant_id, chat, message_id)
        except ChatNotFound:
            raise RoomNotFound from None
        except StoreFailed:
            return failed("Failed to delete trailing messages")
        return json_reply(200, room_wire.DeleteTrailingResponse(_SUCCESS, chat.id, given))

    async def copy(self, request: Request) -> Reply:
        """POST /api/chats/{id}/messages/copy: the body is judged before the credential."""
        posted, source_id = await read_copy(request), request.params["id"].lower()
        if posted.target_id == source_id:
            raise InvalidInput("source and target chats must be different")
        principal, source = await self._room_of_path(request)
        _, target = await self._room(request, posted.target_id)
        try:
            if posted.is_clearing:
                await self._settle(principal, target)
            count = await self._instance.chats.copy(principal.tenant_id, source, target, is_clearing=posted.is_clearing)
        except ChatNotFound:
            raise RoomNotFound from None
        except StoreFailed:
            return failed("Failed to copy chat messages")
        return json_reply(
            200, room_wire.CopyMessagesResponse(_SUCCESS, source.id, target.id, count, posted.is_clearing)
        )

    async def compact(self, request: Request) -> Reply:
        """POST /api/chats/compact: the body is judged before the credential; all rooms or none."""
        posted = await read_compaction(request)
        principal = await principal_of(self._instance, request)
        found = [await self._instance.chats.find(principal.tenant_id, chat_id) for chat_id in posted.chat_ids]
        rooms = [chat for chat in found if chat is not None and _is_reached(principal, chat)]
        if len(rooms) < len(found):
            reached = {chat.id for chat in rooms}
            missing = ", ".join(dict.fromkeys(chat_id for chat_id in posted.chat_ids if chat_id not in reached))
            return json_reply(404, room_wire.NumberedError(404, f"Chat(s) not found or not accessible: {missing}"))
        compact = self._instance.compactions.compact
        try:
            shown = [
                room_wire.Compacted(chat.id, await compact(principal.tenant_id, chat, posted.prompt)) for chat in rooms
            ]
        except ChatNotFound:
            return json_reply(404, room_wire.NumberedError(404, "Chat(s) not found or not accessible"))
        except (AgentFailed, StoreFailed):
            return json_reply(500, room_wire.NumberedError(500, "Failed to compact chats"))
        return json_reply(200, room_wire.CompactResponse(shown))

    async def artist(self, request: Request) -> Reply:
        """GET /api/chats/{id}/artist."""
        principal, chat = await self._room_of_path(request)
        artist = await self._artist(principal.tenant_id, chat)
        uid = parse_uuid(artist) if artist else None
        exists = uid is not None and await self._instance.participants.find_by_id(principal.tenant_id, uid) is not None
        return json_reply(200, room_wire.RoomArtistResponse(_SUCCESS, chat.id, artist, exists))

    async def _room_of_path(self, request: Request) -> tuple[Principal, Chat]:
        chat_id = request.params["id"]
        if not is_uuid(chat_id):
            raise InvalidInput("id must be a valid UUID")
        return await self._room(request, chat_id.lower())

    async def _room(self, request: Request, chat_id: str) -> tuple[Principal, Chat]:
        """The caller, and the room, if it is the caller's or the caller an administrator.

        Raises as `principal_of`, RoomNotFound, and RoomDenied.
        """
        principal = await principal_of(self._instance, request)
        chat = await self._instance.chats.find(principal.tenant_id, chat_id)
        if chat is None or chat.session_shape != SINGLE:
            raise RoomNotFound
        if not _is_reached(principal, chat):
            raise RoomDenied
        return principal, chat

    async def _artist(self, tenant_id: Uid, chat: Chat) -> str | None:
        session = await self._instance.sessions.find(tenant_id, chat.session_id)
        return session.artist_id if session else None

    async def _settle(self, principal: Principal, chat: Chat) -> None:
        """See that a turn whose process is dead does not hold the room."""
        await self._instance.turns.find_running(principal.tenant_id, chat)


def _is_reached(principal: Principal, chat: Chat) -> bool:
    """Whether it is a room that the caller may use."""
    return chat.session_shape == SINGLE and (principal.scope == ADMIN or chat.owner_id == principal.participant_id)


def _uuid_query(request: Request, name: str) -> str | None:
    """A UUID of the query, in lowercase. Raises InvalidInput."""
    given = request.query.get(name)
    if given is None:
        return None
    if not is_uuid(given):
        raise InvalidInput(f"{name} must be a valid UUID", field=name)
    return given.lower()
