"""Messages of a session: appended in batches, read in pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
import pydantic

from antiphon.api.honcho import wire
from antiphon.api.honcho.bodies import is_json, model_of, read_body, read_optional_body
from antiphon.api.honcho.errors import BODY_REFUSALS, REFUSALS
from antiphon.api.honcho.filters import MESSAGE, list_filter
from antiphon.api.honcho.memory_wire import MessageUpdate
from antiphon.api.honcho.pages import LIST_QUERY, page_reply, read_part
from antiphon.api.honcho.reach import Reach, Workspace, check_session_write, owner_of
from antiphon.api.honcho.speakers import check_speakers, is_name
from antiphon.api.honcho.uploads import UploadForm, read_upload
from antiphon.api.honcho.workspaces import check_reasoning
from antiphon.api.http import Reply, Request, check_containers, json_reply
from antiphon.api.routing import Content, Route
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.errors import ChatNotFound, MessageNotFound, SessionIdTaken, SessionNotFound
from antiphon.domain.filters import Filter
from antiphon.domain.ids import parse_short
from antiphon.domain.keys import Principal
from antiphon.domain.messages import ASSISTANT, USER, Draft, Message, Page
from antiphon.domain.slices import Slice

T = TypeVar("T")

PATH = "/v3/workspaces/{workspace_id}/sessions/{session_id}/messages"


class _Said(msgspec.Struct):
    """A message of a batch as the fast reading takes it; what it does not take is read again by pydantic."""

    content: str
    peer_id: str
    metadata: dict[str, Any] | None = None
    configuration: None = None
    created_at: str | float | None = None


class _Batch(msgspec.Struct):
    messages: list[_Said]


_decode = msgspec.json.Decoder(_Batch).decode
_read_time = pydantic.TypeAdapter(datetime).validate_python
_TIME = pydantic.TypeAdapter(Annotated[datetime, pydantic.AfterValidator(wire.check_moment)]).validate_python
_METADATA = pydantic.TypeAdapter(wire.Metadata).validate_json
_CONFIGURATION = pydantic.TypeAdapter(wire.MessageConfiguration).validate_json


class Messages:
    """The routes of messages."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        stored = {201: list[wire.Message], 404: wire.Refusal, 409: wire.Refusal, **BODY_REFUSALS}
        return [
            Route("POST", PATH, self.append, "Store messages, all or none.", stored, wire.MessageBatchCreate),
            Route(
                "POST",
                f"{PATH}/list",
                self.list,
                "The messages of a session in the order of storing.",
                {200: wire.Page[wire.Message], **BODY_REFUSALS},
                wire.MessageGet | None,
                is_body_optional=True,
                query=LIST_QUERY,
            ),
            Route(
                "GET",
                f"{PATH}/{{message_id}}",
                self.get,
                "One message.",
                {200: wire.Message, 404: wire.Refusal, **REFUSALS},
            ),
            Route(
                "POST",
                f"{PATH}/upload",
                self.upload,
                "Store the text of a file as messages.",
                {**stored, 415: wire.Refusal},
                Content(UploadForm, "multipart/form-data"),
            ),
            Route(
                "PUT",
                f"{PATH}/{{message_id}}",
                self.update,
                "Replace the metadata of a message.",
                {200: wire.Message, 404: wire.Refusal, **BODY_REFUSALS},
                MessageUpdate,
            ),
        ]

    async def append(self, request: Request) -> Reply:
        """POST …/messages: makes a missing session; when a deletion comes in between, 404 and nothing stored."""
        principal = await self._reach.identify(request)
        session_id, name = request.params["session_id"], request.params["workspace_id"]
        check_session_write(principal, session_id)
        drafts = await self._read_batch(request)

        async def store(workspace: Workspace) -> list[Message]:
            return await self._store(principal, workspace, session_id, drafts)

        stored = await self._reach.in_workspace(principal, name, store)
        return json_reply(201, wire.show_messages(stored, session_id, name))

    async def _store(
        self, principal: Principal, workspace: Workspace, session_id: str, drafts: list[Draft]
    ) -> list[Message]:
        await check_speakers(self._instance.participants, workspace.id, {draft.author for draft in drafts})
        agent = workspace.agent_name
        said = [msgspec.structs.replace(draft, role=ASSISTANT) if draft.author == agent else draft for draft in drafts]
        chat = await self._instance.chats.find_of_single(workspace.id, session_id)
        if chat is not None:
            return await self._append(workspace, chat, said)
        try:
            return await self._store_in_new(principal, workspace, session_id, said)
        except ChatNotFound:  # deleted as soon as it was made: there is nothing of the client's to protect yet
            return await self._store_in_new(principal, workspace, session_id, said)

    async def _store_in_new(
        self, principal: Principal, workspace: Workspace, session_id: str, drafts: Sequence[Draft]
    ) -> list[Message]:
        if not is_name(session_id):
            raise SessionNotFound
        owner, _ = owner_of(principal, workspace, [draft.author for draft in drafts])
        try:
            await self._instance.sessions.put_single(workspace.id, session_id, owner)
        except SessionIdTaken:
            raise SessionNotFound from None
        chat = await self._instance.chats.find_of_single(workspace.id, session_id)
        if chat is None:
            raise ChatNotFound
        return await self._append(workspace, chat, drafts)

    async def _append(self, workspace: Workspace, chat: Chat, drafts: Sequence[Draft]) -> list[Message]:
        """Whole batches and whole files; how long each may be was looked at where it was read."""
        return await self._instance.messages.append(
            workspace.id, chat.key, drafts, messages_max=limits.HONCHO_UPLOAD_MESSAGES
        )

    async def upload(self, request: Request) -> Reply:
        """POST …/messages/upload: all of the file or nothing; metadata and time that cannot be read are left out."""
        principal = await self._reach.identify(request)
        session_id, name = request.params["session_id"], request.params["workspace_id"]
        check_session_write(principal, session_id)
        sent = await read_upload(request)
        metadata, moment = _lenient(_METADATA, sent.metadata), _lenient(_TIME, sent.created_at)
        configuration = _lenient(_CONFIGURATION, sent.configuration)
        text = (wire.object_text(metadata) if metadata else None) or "{}"
        at = None if moment is None else wire.moment_of(moment)
        drafts = [
            Draft(sent.peer_id, USER, piece, metadata=text, created_at=at, is_reasoned=mark_of(configuration))
            for piece in sent.pieces
        ]

        async def store(workspace: Workspace) -> list[Message]:
            return await self._store(principal, workspace, session_id, drafts)

        stored = await self._reach.in_workspace(principal, name, store)
        return json_reply(201, wire.show_messages(stored, session_id, name))

    async def _read_batch(self, request: Request) -> list[Draft]:
        """The batch as drafts of users. Raises InvalidRequest, with the entries that pydantic finds."""
        raw = await request.body(limits.HONCHO_BATCH_BYTES)
        if is_json(request) and (drafts := read_fast(raw)) is not None:
            return drafts
        batch = model_of(request, wire.MessageBatchCreate, raw)
        for place, message in enumerate(batch.messages):
            if message.configuration is not None:
                where: list[str | int] = ["body", "messages", place, "configuration"]
                await check_reasoning(self._instance.messages, message.configuration.reasoning, where)
        return [_draft_of(message) for message in batch.messages]

    async def list(self, request: Request) -> Reply:
        """POST …/messages/list."""
        principal = await self._reach.identify(request)
        workspace = await self._reach.readable_workspace(principal, request)
        asked = read_part(request)
        wanted = list_filter(await read_optional_body(request, wire.MessageGet), MESSAGE)
        if workspace is None:
            return page_reply(asked, [], 0)
        session_id = request.params["session_id"]
        try:
            page = await self._page(workspace, session_id, wanted, asked.part)
        except ChatNotFound:
            return page_reply(asked, [], 0)
        return page_reply(asked, wire.show_messages(page.items, session_id, workspace.name), page.total)

    async def _page(self, workspace: Workspace, session_id: str, wanted: Filter | None, part: Slice) -> Page:
        """A part of a session's messages. Raises ChatNotFound."""
        if wanted is None:
            return await self._instance.messages.page_of_single(workspace.id, session_id, part)
        chat = await self._instance.chats.find_of_single(workspace.id, session_id)
        if chat is None:
            raise ChatNotFound
        return await self._instance.lists.messages(workspace.id, workspace.name, chat.key, wanted, part)

    async def get(self, request: Request) -> Reply:
        """GET …/messages/{message_id}."""
        principal = await self._reach.identify(request)
        found = await self._reach.readable_chat(principal, request)
        if found is None:
            raise SessionNotFound
        workspace, chat = found
        message = await self._message(workspace, chat, request.params["message_id"])
        return json_reply(200, wire.show_message(message, chat.session_id, workspace.name))

    async def update(self, request: Request) -> Reply:
        """PUT …/messages/{message_id}: replaces the metadata where they are given."""
        principal = await self._reach.identify(request)
        check_session_write(principal, request.params["session_id"])
        body = await read_body(request, MessageUpdate)
        found = await self._reach.readable_chat(principal, request)
        if found is None:
            raise SessionNotFound
        workspace, chat = found
        message = await self._message(workspace, chat, request.params["message_id"])
        if (metadata := wire.object_text(body.metadata)) is not None:
            await self._instance.members.set_metadata(workspace.id, chat.key, message.id, metadata)
            message = msgspec.structs.replace(message, metadata=metadata)
        return json_reply(200, wire.show_message(message, chat.session_id, workspace.name))

    async def _message(self, workspace: Workspace, chat: Chat, message_id: str) -> Message:
        uid = parse_short(message_id)
        if uid is None:
            raise MessageNotFound
        return await self._instance.messages.get(workspace.id, chat.key, uid)


def _lenient(read: Callable[[str], T], text: str | None) -> T | None:
    """What a field of a form says; None when that cannot be read."""
    try:
        return None if text is None else read(text)
    except (pydantic.ValidationError, ValueError, OverflowError):
        return None


def mark_of(configuration: wire.MessageConfiguration | None) -> bool | None:
    """What a message says of whether something is to be derived from it."""
    reasoning = configuration.reasoning if configuration is not None else None
    return None if reasoning is None else reasoning.enabled


def read_fast(raw: bytes) -> list[Draft] | None:
    """The drafts of a batch with nothing wrong or unusual in it; None for any other, which is to be read in full."""
    check_containers(raw)
    try:
        messages = _decode(raw).messages
        if not 0 < len(messages) <= limits.MESSAGES_PER_APPEND:
            return None
        return [_fast_draft(message) for message in messages]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _fast_draft(message: _Said) -> Draft:
    """The draft of one message. Raises ValueError for anything that is not allowed."""
    content, metadata, created_at = message.content, "{}", message.created_at
    if len(content) > limits.HONCHO_CONTENT_CHARACTERS:
        raise ValueError
    if message.metadata:
        metadata = wire.object_text(wire.check_metadata(message.metadata)) or "{}"
    moment = None if created_at is None else wire.moment_of(_read_time(created_at))
    return Draft(message.peer_id, USER, _without_nuls(content), metadata=metadata, created_at=moment)


def _draft_of(message: wire.MessageCreate) -> Draft:
    metadata = wire.object_text(message.metadata) or "{}"
    moment = None if message.created_at is None else wire.moment_of(message.created_at)
    return Draft(
        message.peer_id,
        USER,
        _without_nuls(message.content),
        metadata=metadata,
        created_at=moment,
        is_reasoned=mark_of(message.configuration),
    )


def _without_nuls(text: str) -> str:
    return text.replace("\x00", "") if "\x00" in text else text
