"""The AsyncAPI 3.0 document of the socket, made from the types and the table that the socket itself uses."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon import __version__
from antiphon.api.lexicon.errors import ANSWERS
from antiphon.api.lexicon.events import EVENTS, Failed, Frame

_REF = "#/components/schemas/{name}"
_CLOSES = {
    1000: "the client's own close, answered",
    1001: "the server goes down",
    1009: "a frame was too large",
}
_TEXT = {"type": "string"}


def socket_document() -> dict[str, Any]:
    """The document. An event that is not in EVENTS, or an error that is not in ANSWERS, cannot be sent."""
    kinds: tuple[type[msgspec.Struct], ...] = (Frame, *EVENTS)
    described, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    codes = sorted({row.event_code for row in ANSWERS.values()})
    schemas[Failed.__name__]["properties"] |= {
        "error_code": {"type": "string", "enum": codes},
        "details": {"type": "object", "properties": {"fix": _TEXT}, "required": ["fix"]},
    }
    for event in EVENTS:  # one that has a default is left out by nobody here
        schemas[event.__name__]["required"] = list(schemas[event.__name__]["properties"])
    messages = {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in kinds}
    channel = {"$ref": "#/channels/chat"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Antiphon: the socket of the Lexicon dialect",
            "version": __version__,
            "description": "A person says something in a chat, and the agent's answer streams back. A socket that is "
            "refused is accepted first, told why in an error event, and closed.",
        },
        "defaultContentType": "application/json",
        "channels": {"chat": {"address": "/ws/chat", "messages": messages, "bindings": {"ws": _binding()}}},
        "operations": {
            "listen": {
                "action": "receive",
                "channel": channel,
                "summary": "Frames are answered one after the other.",
                "messages": [{"$ref": f"#/channels/chat/messages/{Frame.__name__}"}],
            },
            "tell": {
                "action": "send",
                "channel": channel,
                "summary": "Events go to the socket whose frame they answer.",
                "messages": [{"$ref": f"#/channels/chat/messages/{event.__name__}"} for event in EVENTS],
            },
        },
        "components": {
            "messages": {
                kind.__name__: {"name": _name_of(kind), "summary": kind.__doc__, "payload": schema}
                for kind, schema in zip(kinds, described, strict=True)
            },
            "schemas": schemas,
        },
        "x-close-codes": {str(code): reason for code, reason in sorted(_close_codes().items())},
    }


def _name_of(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    return str(tag) if tag else "message"


def _close_codes() -> dict[int, str]:
    """What a close means; where it is an error's, its reason is the code of that."""
    return {**{row.close_code: row.event_code for row in ANSWERS.values()}, **_CLOSES}


def _binding() -> dict[str, Any]:
    """Each value is taken from the query or else from its header; a ticket stands for a key, and has no header."""
    return {
        "method": "GET",
        "query": {
            "type": "object",
            "properties": dict.fromkeys(("api_key", "user_id", "chat_id", "ticket"), _TEXT),
        },
        "headers": {
            "type": "object",
            "properties": dict.fromkeys(("X-API-Key", "X-User-ID", "X-Chat-ID"), _TEXT),
        },
        "bindingVersion": "0.1.0",
    }
