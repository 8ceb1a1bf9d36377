"""`/api/chat`: an answer is asked for, followed, and stopped."""

from __future__ import annotations

import re
from contextlib import ExitStack

import msgspec

from antiphon.api import sse
from antiphon.api.http import Reply, Request, StreamReply, json_reply
from antiphon.api.recoup import wire
from antiphon.api.recoup.bodies import is_uuid
from antiphon.api.recoup.errors import FieldInvalid, failed
from antiphon.api.recoup.reach import Account, account_of, body_before_credential, named_account
from antiphon.api.recoup.turn_bodies import (
    Posted,
    draft_of,
    history_of,
    read_posted,
    reply_parts_of,
    title_of,
)
from antiphon.api.recoup.ui_stream import DONE, frame_of
from antiphon.api.routing import Query, Route
from antiphon.api.ws import Places
from antiphon.core.history import utterances_of_messages
from antiphon.core.instance import Instance
from antiphon.core.ports import Utterance
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.errors import (
    AccessDenied,
    ChatNotFound,
    StoreFailed,
    TurnNotFound,
    TurnStillRunning,
)
from antiphon.domain.ids import new_uid7
from antiphon.domain.messages import ASSISTANT, USER, Message
from antiphon.domain.sessions import MULTI
from antiphon.domain.turns import Turn, TurnStart

_STREAM_HEADERS = [*sse.HEADERS, (b"x-vercel-ai-ui-message-stream", b"v1")]
_INDEX = re.compile(rf"[0-9]{{1,{limits.QUERY_NUMBER_DIGITS}}}")
_ACCOUNT = Query("account_id", {"type": "string", "format": "uuid"}, "Act for this account of the same tenant.")
_START = Query(
    "startIndex", {"type": "integer", "minimum": 0}, "The index of the first chunk to send, 0 when left out."
)


class Turns:
    """The handlers of answers, and how many follow them."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._places = Places()

    def routes(self) -> list[Route]:
        """What is served here."""
        errors = wire.NAMED_ERRORS
        return [
            Route(
                "POST",
                "/api/chat",
                self.start,
                "Send a message and stream the answer",
                {
                    200: wire.UIMessageStream,
                    **errors,
                    400: wire.InvalidBodyError,
                    409: wire.Error,
                    413: wire.Error,
                    422: wire.Error,
                    429: wire.Error,
                },
                body=wire.StartTurnRequest,
                media_type="text/event-stream",
            ),
            Route(
                "GET",
                "/api/chat/{chatId}/stream",
                self.resume,
                "Resume the stream of a running answer",
                {
                    200: wire.UIMessageStream,
                    204: None,
                    **errors,
                    400: wire.FieldError,
                    429: wire.Error,
                    502: wire.Error,
                },
                query=(_START, _ACCOUNT),
                media_type="text/event-stream",
            ),
            Route(
                "POST",
                "/api/chat/{chatId}/stop",
                self.stop,
                "Stop a running answer",
                {200: wire.StopTurnResponse, **errors, 400: wire.FieldError, 502: wire.Error, 504: wire.Error},
                query=(_ACCOUNT,),
            ),
        ]

    async def start(self, request: Request) -> StreamReply:
        """POST /api/chat: the body is judged before the credential, and a long one only if the credential is good."""
        body, refusal = await body_before_credential(self._instance, request)
        posted = read_posted(body)
        if refusal is not None:
            raise refusal
        account = await account_of(self._instance, request)
        chat = await self._addressed_chat(account, posted)
        start, history = await self._plan(account, chat, posted)
        with self._places.take(account.tenant_id) as place:
            claimed = await self._instance.turns.start(account.tenant_id, start, history)
            return await self._stream(request, place, claimed.turn)

    async def _addressed_chat(self, account: Account, posted: Posted) -> Chat:
        """The chat that was posted to. Raises SessionNotFound, ChatNotFound, and AccessDenied for somebody else's."""
        if posted.session_id is None:
            return await self._own_chat(account, posted.chat_id)
        session = await self._instance.sessions.get_of_shape(account.tenant_id, posted.session_id, MULTI)
        if session.owner_id != account.id:
            raise AccessDenied
        await self._instance.sandboxes.check_active(account.tenant_id, session)
        return await self._instance.chats.get_in_session(account.tenant_id, session, posted.chat_id)

    async def _own_chat(self, account: Account, chat_id: str) -> Chat:
        chat = await self._instance.chats.get(account.tenant_id, chat_id)
        if chat.owner_id != account.id:
            raise AccessDenied
        return chat

    async def _plan(self, account: Account, chat: Chat, posted: Posted) -> tuple[TurnStart, list[Utterance] | None]:
        """What is to be claimed, and what the model sees: None for the chat as it then stands."""
        rewound = await self._rewound(account, chat, posted)
        question = posted.last_of_user if rewound or posted.last.get("role") == USER else None
        continued = None
        if rewound is None and posted.last.get("role") == ASSISTANT:
            continued = await self._stored(account, chat, posted.last.get("id"), ASSISTANT)
        start = TurnStart(
            chat_key=chat.key,
            reply_id=continued.id if continued else new_uid7(),
            agent_name=account.agent_name,
            message=draft_of(question, chat.owner_name) if question else None,
            rewind_to=rewound.id if rewound else None,
            title=title_of(question) if question else None,
            model=chat.model,
            reply_parts=reply_parts_of(posted.last) if continued else None,
        )
        if posted.is_whole:
            return start, history_of(posted.messages) or None
        return start, await self._answered_history(account, chat, start) if continued else None

    async def _rewound(self, account: Account, chat: Chat, posted: Posted) -> Message | None:
        """The stored message that is answered anew or was edited: what stands after it goes."""
        if posted.is_regeneration or await self._stored(account, chat, posted.edited_id, USER):
            asked = posted.last_of_user or {}
            return await self._stored(account, chat, asked.get("id"), USER)
        return None

    async def _stored(self, account: Account, chat: Chat, shown_id: object, role: str) -> Message | None:
        """The message of the chat that clients know by that id, if it is of that role."""
        if not isinstance(shown_id, str):
            return None
        message = await self._instance.messages.find_shown(account.tenant_id, chat.key, shown_id)
        return message if message is not None and message.role == role else None

    async def _answered_history(self, account: Account, chat: Chat, start: TurnStart) -> list[Utterance]:
        """The chat as it stands, its unfinished answer as it was posted: with what the client's tools have answered."""
        newest = await self._instance.messages.history(account.tenant_id, chat.key)
        return utterances_of_messages(
            [
                msgspec.structs.replace(message, parts=start.reply_parts) if message.id == start.reply_id else message
                for message in newest
            ]
        )

    async def _stream(
        self, request: Request, place: ExitStack, turn: Turn, first: int = 0, *, shows_tail: bool = False
    ) -> StreamReply:
        """The events of a turn from one on, as a body that ends with it and holds the place. Raises ChatNotFound."""
        try:
            follower = await self._instance.turns.follow(turn.tenant_id, turn.id, first, request.abort)
        except TurnNotFound:
            raise ChatNotFound from None
        headers = [*_STREAM_HEADERS, (b"x-workflow-run-id", wire.run_id_of(turn.id).encode())]
        if shows_tail:
            tail = max(follower.tail, turn.event_count - 1)  # another process's events may not have come here yet
            headers.append((b"x-workflow-stream-tail-index", b"%d" % tail))
        return StreamReply(200, sse.EventStream(follower, frame_of, DONE, place.pop_all().close), headers)

    async def resume(self, request: Request) -> Reply | StreamReply:
        """GET /api/chat/{chatId}/stream: 204 when nothing runs."""
        account, chat = await self._named_chat(request)
        first = _start_index(request)
        try:
            turn = await self._instance.turns.find_running(account.tenant_id, chat)
            if turn is None:
                return Reply(204)
            with self._places.take(account.tenant_id) as place:
                return await self._stream(request, place, turn, first, shows_tail=True)
        except StoreFailed:
            return failed("Failed to read the workflow run", 502)

    async def stop(self, request: Request) -> Reply:
        """POST /api/chat/{chatId}/stop: answers when the turn is over."""
        account, chat = await self._named_chat(request)
        if chat.active_turn is None:
            return json_reply(200, wire.StopTurnResponse(success=True, stopped=False))
        try:
            await self._instance.turns.stop(account.tenant_id, chat.active_turn)
        except TurnNotFound:
            raise ChatNotFound from None
        except TurnStillRunning:
            return failed("Workflow did not terminate in time", 504)
        except StoreFailed:
            return failed("Failed to stop the workflow", 502)
        return json_reply(200, wire.StopTurnResponse(success=True, stopped=True))

    async def _named_chat(self, request: Request) -> tuple[Account, Chat]:
        """The account that is acted for, and its chat of the path, whose id must be a UUID here."""
        account = await named_account(self._instance, request, request.query.get("account_id"))
        chat_id = request.params["chatId"]
        if not is_uuid(chat_id):
            raise FieldInvalid("chatId must be a valid UUID", [])
        return account, await self._own_chat(account, chat_id)


def _start_index(request: Request) -> int:
    """The sequence of the first event to send. Raises FieldInvalid."""
    given = request.query.get("startIndex")
    if given is None:
        return 0
    if not _INDEX.fullmatch(given):
        raise FieldInvalid("startIndex must be a non-negative integer", ["startIndex"])
    return int(given)
