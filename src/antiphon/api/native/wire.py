"""What our own wire takes and shows: snake_case, ids with a prefix where they are ours, times in UTC with `Z`."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

import msgspec

from antiphon.api.ws import text_frame
from antiphon.core.ports.streams import Record
from antiphon.domain import keys, times, turns
from antiphon.domain.errors import NotFound
from antiphon.domain.ids import Uid, is_canonical_uuid, parse_uuid, text_of
from antiphon.domain.keys import Principal

TURN, CONNECTION = "trn_", "con_"

_SSE, _SSE_LIVE = "native sse", "native sse live"
_SOCKET, _SOCKET_BYTES = "native socket", "native socket bytes"

_encode = msgspec.json.Encoder().encode


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field, dotted when it is nested."""

    field: str
    message: str


class Blocker(msgspec.Struct, frozen=True):
    """What stands in the way of a deletion: a connection, a turn, or that a chat is its session's last.

    `until` is when a connection or a turn stops counting if its process is dead.
    """

    kind: str
    id: str
    until: str | None


class Problem(msgspec.Struct, omit_defaults=True):
    """Problem details (RFC 9457); `turn` names the turn that is in the way, `blocked_by` all that is."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] | None = None
    turn: str | None = None
    blocked_by: list[Blocker] | None = None


class Named(msgspec.Struct, frozen=True):
    """A tenant or a participant."""

    id: str
    name: str


class Whoami(msgspec.Struct, frozen=True):
    """Whom the key stands for, and how far it reaches; `key` is null while authentication is off."""

    tenant: Named
    participant: Named | None
    scopes: list[str]
    key: str | None


class NewMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said: a `text`, or `parts` in the form of the AI SDK. `participant` is who says it."""

    text: str | None = None
    parts: list[dict[str, Any]] | None = None
    client_id: str | None = None
    participant: str | None = None
    metadata: dict[str, Any] | None = None


class AskedMessage(NewMessage, frozen=True, forbid_unknown_fields=True):
    """What the agent is to answer. It need not say its `role`, which follows from who speaks."""

    role: Literal["user", "assistant"] | None = None


class NewTurn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A turn that is to begin; without a message the agent answers what stands in the chat."""

    message: AskedMessage | None = None
    model: str | None = None


class Turn(msgspec.Struct, frozen=True):
    """A turn. `message_id` is the message that it makes; `error` says why it failed, in words fit for a reader."""

    id: str
    chat: str
    state: str
    model: str | None
    message_id: str
    error: str | None
    started_at: str
    ended_at: str | None


class Stopped(msgspec.Struct, frozen=True):
    """How a turn stands after a stop; `stopped` says whether that is what ended it."""

    state: str
    stopped: bool


class AuthFrame(msgspec.Struct, frozen=True, tag="auth", tag_field="type", forbid_unknown_fields=True):
    """The first frame of a socket whose upgrade carried no key; `tenant` is what `X-Tenant` is elsewhere."""

    key: str
    tenant: str | None = None


def show_time(moment: int) -> str:
    """RFC 3339 in UTC with `Z` and always six digits of fraction."""
    text = times.text_of(moment)
    return text if moment % times.SECOND else f"{text[:-1]}.000000Z"


def parse_id(text: str, prefix: str) -> Uid:
    """The id behind a prefix. Raises NotFound for what is not exactly of that form: it names nothing."""
    uuid = text.removeprefix(prefix)
    uid = parse_uuid(uuid) if text.startswith(prefix) and is_canonical_uuid(uuid) else None
    if uid is None:
        raise NotFound
    return uid


def location_of(kind: str, thing_id: str) -> tuple[bytes, bytes]:
    """The header that says where a new thing is."""
    return b"location", f"/antiphon/v1/{kind}/{quote(thing_id, safe='')}".encode()


def show_turn_id(turn_id: Uid) -> str:
    """`trn_` and the UUID."""
    return TURN + text_of(turn_id)


def parse_turn_id(text: str) -> Uid | None:
    """The way back; None for anything that is not exactly of that form."""
    uuid = text.removeprefix(TURN)
    return parse_uuid(uuid) if text.startswith(TURN) and is_canonical_uuid(uuid) else None


def show_caller(principal: Principal) -> Whoami:
    """The answer to who one is."""
    participant = None
    if principal.participant_id is not None:
        participant = Named(text_of(principal.participant_id), principal.participant_name or "")
    return Whoami(
        Named(text_of(principal.tenant_id), principal.tenant_name),
        participant,
        [principal.scope],
        keys.show_id(principal.key_id) if principal.key_id is not None else None,
    )


def show_turn(turn: turns.Turn, chat_id: str) -> Turn:
    """A turn of that chat."""
    return Turn(
        show_turn_id(turn.id),
        chat_id,
        turn.state,
        turn.model,
        f"msg-{text_of(turn.reply_id)}",
        turn.error,
        show_time(turn.started_at),
        None if turn.ended_at is None else show_time(turn.ended_at),
    )


def _kind_of(record: Record) -> str:
    return str(type(record.event).__struct_config__.tag)


def sse_frame(record: Record) -> bytes:
    """An event of a stream that can be continued: its id is its sequence."""
    frame = record.frames.get(_SSE)
    if frame is None:
        frame = record.frames[_SSE] = b"id: %d\n%b" % (record.sequence, sse_live_frame(record))
    return frame


def sse_live_frame(record: Record) -> bytes:
    """The same without an id, for a stream that shows what is perhaps not stored yet."""
    frame = record.frames.get(_SSE_LIVE)
    if frame is None:
        event = record.event
        frame = b"event: %b\ndata: %b\n\n" % (_kind_of(record).encode(), _encode(event))
        record.frames[_SSE_LIVE] = frame
    return frame


def socket_bytes(record: Record, turn_id: Uid) -> bytes:
    """The same as it stands on the wire."""
    frame = record.frames.get(_SOCKET_BYTES)
    if frame is None:
        frame = record.frames[_SOCKET_BYTES] = text_frame(socket_frame(record, turn_id).encode())
    return frame


def socket_frame(record: Record, turn_id: Uid) -> str:
    """An event as a frame of a socket, with the turn that it belongs to."""
    frame = record.frames.get(_SOCKET)
    if frame is None:
        told = {"turn": show_turn_id(turn_id), "sequence": record.sequence, "event": _kind_of(record)}
        frame = record.frames[_SOCKET] = _encode({**told, "data": record.event})
    return frame.decode()
