"""Examples of the bodies of this wire, for its document; a test holds each against its schema."""

from __future__ import annotations

from typing import Any

_TENANT_ID, _ANN_ID = "0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a01", "0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a02"
_KEY_ID, _TURN_ID = "key_0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a03", "trn_0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a04"
_DELETION_ID, _RECEIPT_ID = "del_0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a05", "rcp_0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a06"
_MESSAGE_ID, _REPLY_ID = "msg-0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a07", "msg-0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a08"
_SESSION_ID, _CHAT_ID = "trip-2026", "24830c6c-76d8-43be-ae22-1dfd545421ab"
_MOMENT, _LATER = "2026-11-21T14:54:54.557329Z", "2026-11-21T14:55:24.557329Z"
_CURSOR = "AZnBqjxefRCLby8fbwyaAWQ3mZ8Yt0kR"

_WHOAMI = {
    "tenant": {"id": _TENANT_ID, "name": "acme"},
    "participant": {"id": _ANN_ID, "name": "ann"},
    "scopes": ["participant"],
    "key": _KEY_ID,
}
_SETTINGS: dict[str, Any] = {
    "undo_window": 3600,
    "system_prompt": "Answer in one sentence.",
    "model": None,
    "rate_limit": 600,
    "agent_name": "assistant",
}
_TENANT = {"id": _TENANT_ID, "name": "acme", "created_at": _MOMENT, "settings": _SETTINGS}
_KEY = {
    "id": _KEY_ID,
    "tenant": _TENANT_ID,
    "participant": "ann",
    "session": None,
    "scopes": ["participant"],
    "label": "Ann's telephone",
    "created_at": _MOMENT,
    "expires_at": None,
}
_PARTICIPANT = {"id": _ANN_ID, "kind": "peer", "name": "ann", "metadata": {"team": "north"}, "created_at": _MOMENT}
_SESSION = {
    "id": _SESSION_ID,
    "shape": "multi",
    "participant": "ann",
    "title": "The trip",
    "chats": 1,
    "created_at": _MOMENT,
    "updated_at": _MOMENT,
}
_CHAT = {
    "id": _CHAT_ID,
    "session": {"id": _SESSION_ID, "shape": "multi"},
    "participant": "ann",
    "title": "Where to stay",
    "message_count": 2,
    "last_message_at": _MOMENT,
    "created_at": _MOMENT,
    "updated_at": _MOMENT,
    "active_turn": None,
    "connections": 0,
}
_MESSAGE = {
    "id": _MESSAGE_ID,
    "client_id": "m-17",
    "seq": 1,
    "role": "user",
    "participant": "ann",
    "parts": [{"type": "text", "text": "Where shall we stay?"}],
    "metadata": {},
    "created_at": _MOMENT,
}
_TURN = {
    "id": _TURN_ID,
    "chat": _CHAT_ID,
    "state": "running",
    "model": None,
    "message_id": _REPLY_ID,
    "error": None,
    "started_at": _MOMENT,
    "ended_at": None,
}
_CONNECTION = {
    "id": "con_0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a09",
    "participant": "ann",
    "since": _MOMENT,
    "until": _LATER,
    "node": "0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a10",
}
_TARGET = {"kind": "session", "id": _SESSION_ID}
_DELETION = {
    "id": _DELETION_ID,
    "target": _TARGET,
    "mode": "cancel",
    "reason": None,
    "state": "purging",
    "requested_at": _MOMENT,
    "detached_at": _MOMENT,
    "undo_until": None,
    "purged_at": None,
    "scrubbed_at": None,
    "counts": {"messages": 20500},
    "progress": {"done": 20500, "total": 48212},
    "attempts": 0,
    "run_after": None,
    "last_error": None,
    "overdue": False,
    "receipt": None,
}
_STATEMENT = {
    "version": 1,
    "id": _RECEIPT_ID,
    "tenant": "hmac:9f2c",
    "sequence": 41,
    "previous": "sha256:71b0",
    "kid": "k1",
    "deletion": _DELETION_ID,
    "target": {"kind": "session", "digest": "hmac:04de"},
    "mode": "cancel",
    "reason": None,
    "counts": {"messages": 48211, "turns": 12},
    "requested_at": _MOMENT,
    "detached_at": _MOMENT,
    "purged_at": _LATER,
    "scrubbed_at": _LATER,
    "bytes": "erased",
    "signature": "bm90IGEgc2lnbmF0dXJl",
}
_PUBLIC_KEY = {
    "kid": "k1",
    "algorithm": "Ed25519",
    "public_key": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "created_at": _MOMENT,
    "retired_at": None,
}
_WEBHOOK = {
    "id": "whk_0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a11",
    "url": "https://example.org/hooks",
    "events": ["deletion.done", "turn.ended"],
    "created_at": _MOMENT,
    "disabled_at": None,
}
_DELIVERY = {
    "id": "evt_0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a12",
    "event": "turn.ended",
    "state": "delivered",
    "attempts": 1,
    "run_after": None,
    "last_status": 204,
    "last_error": None,
    "created_at": _MOMENT,
    "settled_at": _LATER,
    "body": {"type": "turn.ended", "timestamp": _MOMENT, "data": {"turn": _TURN_ID, "chat": _CHAT_ID}},
}
_IMPORT = {
    "id": "imp_0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a13",
    "target": {"kind": "chat", "id": _CHAT_ID},
    "state": "writing",
    "done": 500,
    "total": 48211,
    "last_error": None,
}


def _page(item: dict[str, Any], following: str | None = None) -> dict[str, Any]:
    return {"items": [item], "next": following}


EXAMPLES: dict[str, Any] = {
    "Problem": {
        "type": "about:blank",
        "title": "The request has a field that is not known",
        "status": 400,
        "detail": "message.txt is not known",
        "code": "unknown_field",
        "request_id": "19871ca760e72584",
        "errors": [{"field": "message.txt", "message": "message.txt is not known"}],
    },
    "Whoami": _WHOAMI,
    "NewTenant": {"name": "acme", "settings": {"undo_window": 3600}},
    "TenantChange": {"settings": {"system_prompt": "Answer in one sentence.", "model": None}},
    "Tenant": _TENANT,
    "TenantList": _page(_TENANT, _CURSOR),
    "NewKey": {"participant": "ann", "label": "Ann's telephone"},
    "MadeKey": {**_KEY, "key": "ant_..."},
    "Key": _KEY,
    "KeyList": _page(_KEY),
    "Participant": _PARTICIPANT,
    "ParticipantList": _page(_PARTICIPANT, _CURSOR),
    "NewSession": {"id": _SESSION_ID, "participant": "ann", "title": "The trip"},
    "SessionChange": {"title": "The long trip"},
    "Session": _SESSION,
    "SessionList": _page(_SESSION),
    "NewChat": {"session": _SESSION_ID, "title": "Where to stay"},
    "ChatChange": {"title": "Where to stay, and when"},
    "Chat": _CHAT,
    "ChatList": _page(_CHAT, _CURSOR),
    "NewMessages": {
        "messages": [
            {"role": "user", "participant": "ann", "client_id": "m-17", "text": "Where shall we stay?"},
            {"role": "assistant", "parts": [{"type": "text", "text": "By the sea."}]},
        ]
    },
    "StoredMessages": {"messages": [{**_MESSAGE, "created": True}]},
    "MessageList": _page(_MESSAGE, _CURSOR),
    "ConnectionList": _page(_CONNECTION),
    "NewTurn": {"message": {"text": "Where shall we stay?", "client_id": "m-17"}, "model": "small"},
    "Turn": _TURN,
    "Stopped": {"state": "stopped", "stopped": True},
    "NewTicket": {"chat": _CHAT_ID},
    "Ticket": {"ticket": "ant_ticket_...", "expires_at": _LATER},
    "NewPlan": {"target": _TARGET},
    "Plan": {
        "digest": "71b04de9",
        "targets": [
            {
                "target": _TARGET,
                "counts": {"messages": 48211, "turns": 12},
                "blocked_by": [{"kind": "turn", "id": _TURN_ID, "until": _LATER}],
            }
        ],
    },
    "NewDeletion": {"target": _TARGET, "mode": "cancel", "reason": "asked for by ann"},
    "Deletion": _DELETION,
    "DeletionList": _page(_DELETION, _CURSOR),
    "Results": {"results": [{"target": _TARGET, "status": 202, "deletion": _DELETION}]},
    "Statement": _STATEMENT,
    "ReceiptList": _page(_STATEMENT),
    "Verdict": {"ok": True, "receipts": 41, "first_error": None},
    "PublicKeyList": _page(_PUBLIC_KEY),
    "Import": _IMPORT,
    "NewWebhook": {"url": "https://example.org/hooks", "events": ["deletion.done", "turn.ended"]},
    "MadeWebhook": {**_WEBHOOK, "secret": "whsec_..."},
    "Webhook": _WEBHOOK,
    "WebhookList": _page(_WEBHOOK),
    "Delivery": _DELIVERY,
    "DeliveryList": _page(_DELIVERY, _CURSOR),
}
"""By the name of the schema."""

EXPORTED_LINES = (
    '{"type":"export","version":1,"kind":"chat","id":"c-1"}\n'
    '{"type":"chat","id":"c-1","title":"Where to stay"}\n'
    '{"type":"message","seq":1,"role":"user","participant":"ann","parts":[{"type":"text","text":"Hi"}]}\n'
    '{"end":true,"messages":1,"sha256":"9f2c"}\n'
)
EXPORTED: dict[str, Any] = {
    "export": {"version": 1, "kind": "chat", "id": "c-1"},
    "chats": [{"id": "c-1", "title": "Where to stay", "messages": [_MESSAGE]}],
    "end": {"end": True, "messages": 1, "sha256": "9f2c"},
}
EXPORTED_MARKDOWN = (
    "Export of the chat `c-1`, 2026-11-21T14:54:54.557329Z\n\n## Where to stay\n\n"
    "### `ann`, user, 2026-11-21T14:54:54.557329Z\n\n> Where shall we stay?\n\n---\n\n"
    "End of the export: 1 messages, SHA-256 9f2c\n"
)
EVENTS = 'id: 0\nevent: turn-started\ndata: {"type":"turn-started","message_id":"msg-0199c1aa"}\n\n'
"""Of the bodies that are no JSON of ours: shortened, to show the form."""
