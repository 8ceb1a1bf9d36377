"""Webhook: an address that is told of what happens, and its deliveries, one for each thing that it is told.

What is sent is signed as Standard Webhooks say (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body
with a secret of 24 to 64 bytes, written as `whsec_` and base64. A body names things by ids of ours and by digests: no
words of people, no titles, no ids that a client chose. What a webhook of Honcho's wire is to be told by such words gets
them when it is sent.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.domain import limits, times
from antiphon.domain.ids import Uid, is_canonical_uuid, text_of
from antiphon.domain.messages import Draft, Message

DELETION_DETACHED, DELETION_DONE = "deletion.detached", "deletion.done"
TURN_ENDED, MESSAGE_APPENDED = "turn.ended", "message.appended"
EVENTS = (DELETION_DETACHED, DELETION_DONE, TURN_ENDED, MESSAGE_APPENDED)
"""All that a webhook can be told of."""

QUEUE_EMPTY, TEST_EVENT = "queue.empty", "test.event"
HONCHO_EVENTS = (QUEUE_EMPTY, TEST_EVENT)
"""What webhooks made on Honcho's wire are told of; their deliveries are signed as there, too (`plain_signature_of`)."""

WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"
"""The states of a delivery. `failed`: given up, until somebody has it sent again."""

SECRET_PREFIX = "whsec_"  # noqa: S105  a prefix, not a secret
_MADE_FROM = "from:"
_SIGNATURE_VERSION = "v1"
_FINGERPRINT_CHARACTERS = 16


class Webhook(msgspec.Struct, frozen=True):
    """An address and what it wants to be told. With `disabled_at` it said that it is gone, and is told nothing.

    `secret` is its own (`whsec_…`), or says from which secret of the instance its own is made (see `secret_of`).
    """

    id: Uid
    tenant_id: Uid
    url: str
    events: tuple[str, ...]
    secret: str
    created_at: int
    disabled_at: int | None = None


class Delivery(msgspec.Struct, frozen=True):
    """One thing that a webhook is told. `id` is that of the event; `body` is what is sent, to the byte.

    A webhook of Honcho's wire gets it in that wire's form, and `queue.empty` in its words.
    `last_error` is a code of ours, `last_status` the status that the receiver answered last.
    """

    id: Uid
    webhook_id: Uid
    event: str
    body: str
    state: str
    attempts: int
    run_after: int
    last_error: str | None
    last_status: int | None
    created_at: int
    settled_at: int | None


class Said(msgspec.Struct, frozen=True):
    """One append, for those who want to be told. `marks`: what the messages, in order, say of being derived from."""

    chat_key: Uid
    chat_id: str
    messages: Sequence[Message]
    marks: Sequence[bool | None]


class Outcome(msgspec.Struct, frozen=True):
    """What came of sending: `error` None is success; `is_gone` says that the receiver wants nothing any more."""

    error: str | None = None
    status: int | None = None
    is_gone: bool = False


def event_id(uid: Uid) -> str:
    """How an event is named to receivers: the same at every attempt, so that they can tell what they know already."""
    return f"evt_{text_of(uid)}"


def event_body(event: str, moment: int, data: str) -> str:
    """The body of an event of that moment; `data` is a JSON object."""
    value = {"type": event, "timestamp": times.text_of(moment), "data": msgspec.Raw(data.encode())}
    return _json(value)


def plain_id(public_id: str | None) -> str | None:
    """A public id that may be told: a UUID. Any other was chosen by a client, and may be somebody's name."""
    return public_id if public_id is not None and is_canonical_uuid(public_id) else None


def said_of(chat_key: Uid, chat_id: str, drafts: Sequence[Draft], messages: Sequence[Message]) -> Said:
    """What can be told of drafts that became these messages."""
    return Said(chat_key, chat_id, messages, [draft.is_reasoned for draft in drafts])


def message_data(said: Said) -> str:
    """What `message.appended` tells of one append: the chat, and of each message id, sequence and role."""
    told = [{"id": text_of(message.id), "seq": message.seq, "role": message.role} for message in said.messages]
    return _json({"chat": {"id": plain_id(said.chat_id), "key": text_of(said.chat_key)}, "messages": told})


def queue_data(said: Said, *, is_on: bool) -> list[str]:
    """What is kept of `queue.empty`, one for each author of units of work: the chat's key, and that author's last.

    `is_on` says whether something is to be derived from messages that leave it to session and tenant.
    """
    marked = zip(said.messages, said.marks, strict=True)
    last = {message.author: message for message, mark in marked if (is_on if mark is None else mark)}
    chat = {"key": text_of(said.chat_key)}
    return [_json({"chat": chat, "message": text_of(message.id)}) for message in last.values()]


def turn_data(turn_id: Uid, chat_id: str, chat_key: Uid, state: str) -> str:
    """What `turn.ended` tells."""
    chat = {"id": plain_id(chat_id), "key": text_of(chat_key)}
    return _json({"turn": f"trn_{text_of(turn_id)}", "chat": chat, "state": state})


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


def parse_secret(text: str) -> bytes | None:
    """The bytes of a secret `whsec_…`; None when it has another form, or is too short or too long."""
    if not text.startswith(SECRET_PREFIX):
        return None
    try:
        secret = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return secret if limits.WEBHOOK_SECRET_BYTES_MIN <= len(secret) <= limits.WEBHOOK_SECRET_BYTES else None


def made_from(instance_secret: str) -> str:
    """What a webhook without a secret of its own keeps instead: which secret of the instance its own is made from."""
    digest = hashlib.sha256(b"webhooks\0" + instance_secret.encode()).hexdigest()
    return _MADE_FROM + digest[:_FINGERPRINT_CHARACTERS]


def secret_of(webhook: Webhook, instance_secret: str) -> str | None:
    """The secret with which a webhook's deliveries are signed; None when it was made from another instance's secret."""
    if not webhook.secret.startswith(_MADE_FROM):
        return webhook.secret
    if webhook.secret != made_from(instance_secret):
        return None
    made = hmac.new(instance_secret.encode(), b"webhook\0" + webhook.tenant_id + webhook.id, hashlib.sha256).digest()
    return SECRET_PREFIX + b64encode(made).decode()


def plain_signature_of(instance_secret: str, body: bytes) -> str:
    """The header `x-honcho-signature`: HMAC-SHA256 of the body under the instance's secret, in hexadecimal digits."""
    return hmac.new(instance_secret.encode(), body, hashlib.sha256).hexdigest()


def signature_of(secret: str, message_id: str, seconds: int, body: bytes) -> str:
    """The header `webhook-signature` of a message sent at that second. The secret must be of the form `whsec_…`."""
    key = b64decode(secret.removeprefix(SECRET_PREFIX))
    mac = hmac.new(key, f"{message_id}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return f"{_SIGNATURE_VERSION},{b64encode(mac).decode()}"
