"""The forms of an export: how sessions, chats and messages read in a file, for a program or for a person.

Whatever the form, the last line says how many messages there are and the SHA-256 of all bytes before that line: a file
without it was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from antiphon.domain import times
from antiphon.domain.chats import Chat
from antiphon.domain.ids import text_of
from antiphon.domain.imports import ImportedMember, ImportedRead
from antiphon.domain.messages import Message
from antiphon.domain.sessions import Session

VERSION = 1
"""The version of what an export holds, written into its head."""

_encode = msgspec.json.Encoder().encode


class Form(Protocol):
    """Writes one export, from its head to its last line; made anew for each.

    `media_type` is that of the whole; `is_complete` that it holds all that an import needs.
    """

    media_type: str
    is_complete: bool

    def head(self, kind: str, name: str, moment: int) -> bytes:
        """What is exported (`chat` or `session`, and its id), and when."""
        ...

    def session(self, session: Session, owner: str, *, is_owner_implied: bool) -> bytes:
        """The session whose chats follow."""
        ...

    def chat(self, chat: Chat, *, is_owner_implied: bool) -> bytes:
        """The chat whose messages follow."""
        ...

    def members(self, members: Sequence[ImportedMember]) -> bytes:
        """Some places of the session, before its chats."""
        ...

    def reads(self, reads: Sequence[ImportedRead]) -> bytes:
        """Some read marks of the chat, before its messages."""
        ...

    def message(self, message: Message, *, is_reasoned: bool | None) -> bytes:
        """The next message of the chat."""
        ...

    def close(self) -> bytes:
        """What stands between the last message and the last line."""
        ...

    def end(self, end: dict[str, Any]) -> bytes:
        """The last line."""
        ...


class JsonLines:
    """A JSON object a line, each with its `type`; the last one has `end`."""

    media_type = "application/x-ndjson"
    is_complete = True

    def head(self, kind: str, name: str, moment: int) -> bytes:
        """See the protocol."""
        return _line({"type": "export", **_head(kind, name)})

    def session(self, session: Session, owner: str, *, is_owner_implied: bool) -> bytes:
        """See the protocol."""
        return _line({"type": "session", **_session(session, owner), **_mark(is_owner_implied=is_owner_implied)})

    def chat(self, chat: Chat, *, is_owner_implied: bool) -> bytes:
        """See the protocol."""
        return _line({"type": "chat", **_chat(chat), **_mark(is_owner_implied=is_owner_implied)})

    def members(self, members: Sequence[ImportedMember]) -> bytes:
        """See the protocol."""
        return b"".join([_line({"type": "member", **_member(member)}) for member in members])

    def reads(self, reads: Sequence[ImportedRead]) -> bytes:
        """See the protocol."""
        lines = [{"type": "read", "participant": read.name, "read_at": times.text_of(read.read_at)} for read in reads]
        return b"".join(map(_line, lines))

    def message(self, message: Message, *, is_reasoned: bool | None) -> bytes:
        """See the protocol."""
        text = None if message.parts is None else message.text
        return _line({"type": "message", **_message(message), "text": text, "reasoning": is_reasoned})

    def close(self) -> bytes:
        """See the protocol."""
        return b""

    def end(self, end: dict[str, Any]) -> bytes:
        """See the protocol."""
        return _line(end)


class Json:
    """One JSON object; its last field, on a line of its own, is `end`."""

    media_type = "application/json"
    is_complete = False

    def __init__(self) -> None:
        self._before_chat, self._before_message = b"", b""

    def head(self, kind: str, name: str, moment: int) -> bytes:
        """See the protocol."""
        self._before_chat = b',\n"chats":['
        return b'{"export":%b' % _encode(_head(kind, name))

    def session(self, session: Session, owner: str, *, is_owner_implied: bool) -> bytes:
        """See the protocol."""
        return b',\n"session":%b' % _encode(_session(session, owner))

    def chat(self, chat: Chat, *, is_owner_implied: bool) -> bytes:
        """See the protocol."""
        before, self._before_chat, self._before_message = self._before_chat, b"]},", b"\n"
        return b'%b\n%b,"messages":[' % (before, _encode(_chat(chat))[:-1])

    def members(self, members: Sequence[ImportedMember]) -> bytes:
        """See the protocol."""
        return b""

    def reads(self, reads: Sequence[ImportedRead]) -> bytes:
        """See the protocol."""
        return b""

    def message(self, message: Message, *, is_reasoned: bool | None) -> bytes:
        """See the protocol."""
        before, self._before_message = self._before_message, b",\n"
        return before + _encode(_message(message))

    def close(self) -> bytes:
        """See the protocol."""
        return b"]}]\n" if self._before_message else b"%b]\n" % self._before_chat

    def end(self, end: dict[str, Any]) -> bytes:
        """See the protocol."""
        return b',"end":%b}\n' % _encode(end)


class Markdown:
    """For reading: what was said stands as quotations, so that nothing in it is taken for a heading or for the end."""

    media_type = "text/markdown; charset=utf-8"
    is_complete = False

    def head(self, kind: str, name: str, moment: int) -> bytes:
        """See the protocol."""
        return f"Export of the {kind} {_code(name)}, {times.text_of(moment)}\n\n".encode()

    def session(self, session: Session, owner: str, *, is_owner_implied: bool) -> bytes:
        """See the protocol."""
        return f"# {_one_line(session.title)}\n\nOf {_code(owner)}.\n\n".encode()

    def chat(self, chat: Chat, *, is_owner_implied: bool) -> bytes:
        """See the protocol."""
        of = f"Chat {_code(chat.id)} of {_code(chat.owner_name)}, since {times.text_of(chat.created_at)}."
        return f"## {_one_line(chat.title)}\n\n{of}\n\n".encode()

    def members(self, members: Sequence[ImportedMember]) -> bytes:
        """See the protocol."""
        return b""

    def reads(self, reads: Sequence[ImportedRead]) -> bytes:
        """See the protocol."""
        return b""

    def message(self, message: Message, *, is_reasoned: bool | None) -> bytes:
        """See the protocol."""
        said = "\n".join(f"> {line}" for line in [*message.text.splitlines(), *_other_parts(message)])
        when = times.text_of(message.created_at)
        return f"### {_code(message.author)}, {message.role}, {when}\n\n{said or '>'}\n\n".encode()

    def close(self) -> bytes:
        """See the protocol."""
        return b"---\n\n"

    def end(self, end: dict[str, Any]) -> bytes:
        """See the protocol."""
        return f"End of the export: {end['messages']} messages, SHA-256 {end['sha256']}\n".encode()


FORMS: dict[str, type[JsonLines | Json | Markdown]] = {"jsonl": JsonLines, "json": Json, "markdown": Markdown}
"""The forms by name."""


def _line(value: dict[str, Any]) -> bytes:
    return _encode(value) + b"\n"


def _head(kind: str, name: str) -> dict[str, Any]:
    """Not when: two exports of the same are the same bytes, and so is one of what was imported, but for our ids."""
    return {"version": VERSION, "kind": kind, "id": name}


def _session(session: Session, owner: str) -> dict[str, Any]:
    return {
        "id": session.id,
        "shape": session.shape,
        "participant": owner,
        "title": session.title,
        "status": session.status,
        "artist_id": session.artist_id,
        "metadata": msgspec.Raw(session.metadata.encode()),
        "configuration": msgspec.Raw(session.configuration.encode()),
        "lines_added": session.lines_added,
        "lines_removed": session.lines_removed,
        "created_at": times.text_of(session.created_at),
        "updated_at": times.text_of(session.updated_at),
    }


def _chat(chat: Chat) -> dict[str, Any]:
    return {
        "id": chat.id,
        "session": {"id": chat.session_id, "shape": chat.session_shape},
        "participant": chat.owner_name,
        "title": chat.title,
        "model": chat.model,
        "metadata": msgspec.Raw(chat.metadata.encode()),
        "created_at": times.text_of(chat.created_at),
        "updated_at": times.text_of(chat.updated_at),
    }


def _mark(*, is_owner_implied: bool) -> dict[str, bool]:
    """What an import needs to know of an owner whom nobody has named; nothing of any other."""
    return {"is_owner_implied": True} if is_owner_implied else {}


def _member(member: ImportedMember) -> dict[str, Any]:
    return {
        "kind": member.kind,
        "participant": member.name,
        "metadata": msgspec.Raw(member.metadata.encode()),
        "configuration": msgspec.Raw(member.configuration.encode()),
        "observe_me": member.observe_me,
        "observe_others": member.observe_others,
        "joined_at": times.text_of(member.joined_at),
        "left_at": None if member.left_at is None else times.text_of(member.left_at),
    }


def _message(message: Message) -> dict[str, Any]:
    parts = [{"type": "text", "text": message.text}] if message.parts is None else msgspec.Raw(message.parts.encode())
    return {
        "id": f"msg-{text_of(message.id)}",
        "client_id": message.client_id,
        "seq": message.seq,
        "role": message.role,
        "participant": message.author,
        "parts": parts,
        "metadata": msgspec.Raw(message.metadata.encode()),
        "token_count": message.token_count,
        "created_at": times.text_of(message.created_at),
    }


def _other_parts(message: Message) -> list[str]:
    """A line for each part that is not text, which the message's text does not hold."""
    parts = msgspec.json.decode(message.parts) if message.parts is not None else []
    kinds = [str(part.get("type")) for part in parts if isinstance(part, dict)]
    return [f"({_one_line(kind)})" for kind in kinds if kind not in {"text", "step-start"}]


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "(no title)"


def _code(name: str) -> str:
    """A name that stays what it is, whatever is in it."""
    return "`" + " ".join(name.split()).replace("`", "'") + "`"
