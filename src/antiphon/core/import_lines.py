"""The lines of an export on their way back: checked as a whole before anything is written, then read step by step.

What is wrong with the whole file is told before what is wrong with a line: it was cut, or it was altered, or a line of
it breaks a rule that holds for everybody who writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from antiphon.core.export_forms import VERSION
from antiphon.domain import limits, texts, times
from antiphon.domain.deletions import CHAT, SESSION
from antiphon.domain.errors import (
    ImportAltered,
    ImportCut,
    ImportForeign,
    ImportRefused,
    ImportVersion,
    InvalidInput,
)
from antiphon.domain.ids import Uid
from antiphon.domain.imports import (
    Batch,
    ImportedChat,
    ImportedMember,
    ImportedMessage,
    ImportedRead,
    ImportedSession,
    Opening,
)
from antiphon.domain.messages import ASSISTANT, USER, Draft
from antiphon.domain.participants import PEER, SCOPE
from antiphon.domain.sessions import DEFAULT_STATUS, MULTI, SINGLE, STATUSES

Tell = Callable[[int], None]
"""Told how many bytes have been read."""

_END, _SESSION = b'{"end":true', b'{"type":"session",'
_SMALL_INTEGER = 2**31 - 1
_LARGE_INTEGER = 2**53
_TELL_LINES = 1_000
_DIGEST_BYTES = 16


class _Line(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    """A line of an export."""


class _Head(_Line, tag="export"):
    version: int
    kind: str
    id: str
    exported_at: str | None = None  # in files of older versions


class _Session(_Line, tag="session"):
    id: str
    shape: str
    participant: str
    title: str
    status: str
    artist_id: str | None
    metadata: msgspec.Raw
    configuration: msgspec.Raw
    lines_added: int
    lines_removed: int
    created_at: str
    updated_at: str
    is_owner_implied: bool = False


class _Member(_Line, tag="member"):
    kind: str
    participant: str
    metadata: msgspec.Raw
    configuration: msgspec.Raw
    observe_me: bool | None
    observe_others: bool | None
    joined_at: str
    left_at: str | None


class _SessionRef(msgspec.Struct):
    id: str
    shape: str


class _Chat(_Line, tag="chat"):
    id: str
    session: _SessionRef
    participant: str
    title: str
    model: str | None
    metadata: msgspec.Raw
    created_at: str
    updated_at: str
    is_owner_implied: bool = False


class _Read(_Line, tag="read"):
    participant: str
    read_at: str


class _Message(_Line, tag="message"):
    id: str
    client_id: str | None
    seq: int
    role: str
    participant: str
    parts: msgspec.Raw
    metadata: msgspec.Raw
    token_count: int | None
    created_at: str
    text: str | None = None
    reasoning: bool | None = None


class _TextPart(msgspec.Struct, forbid_unknown_fields=True, tag="text", tag_field="type"):
    text: str


class _End(msgspec.Struct):
    end: bool
    messages: int
    sha256: str


_line_of = msgspec.json.Decoder(_Head | _Session | _Member | _Chat | _Read | _Message).decode
_end_of = msgspec.json.Decoder(_End).decode
_any_of = msgspec.json.Decoder().decode
_text_parts = msgspec.json.Decoder(tuple[_TextPart]).decode


def check_file(path: Path, import_id: Uid, tell: Tell = lambda _: None) -> Opening:
    """What an import of the file begins with; it takes about a second for 100 000 lines.

    Raises ImportForeign, ImportVersion, ImportCut, ImportAltered, ImportRefused, and OSError.
    """
    with path.open("rb") as file:
        return _Check(file, import_id, tell).run()


def read_batch(path: Path, cursor: int) -> Batch | None:
    """The next step of a file that was checked: lines of one chat at most, to a bound. None at the end."""
    members: list[ImportedMember] = []
    reads: list[ImportedRead] = []
    messages: list[ImportedMessage] = []
    chat: ImportedChat | None = None
    begin = cursor
    with path.open("rb") as file:
        file.seek(cursor)
        for count, raw in enumerate(iter(file.readline, b"")):
            is_full = count >= limits.IMPORT_STEP_LINES or cursor - begin >= limits.IMPORT_STEP_BYTES
            if raw.startswith(_END) or is_full:
                break
            line = _line_of(raw)
            if isinstance(line, _Chat):
                if chat is not None or messages or reads:
                    break
                chat = _chat_of(line)
            elif isinstance(line, _Message):
                messages.append(_message_of(line))
            elif isinstance(line, _Read):
                reads.append(ImportedRead(line.participant, times.from_text(line.read_at)))
            elif isinstance(line, _Member):
                members.append(_member_of(line))
            cursor += len(raw)
    if cursor == begin:
        return None
    return Batch(cursor, tuple(members), chat, tuple(reads), tuple(messages))


class _Check:
    """One walk over a whole file."""

    def __init__(self, file: BinaryIO, import_id: Uid, tell: Tell) -> None:
        self._file = file
        self._id = import_id
        self._tell = tell
        self._participants: dict[tuple[str, str], ImportedMember] = {}
        self._chat_ids: dict[str, None] = {}
        self._client_ids = _Digests()
        self._session: ImportedSession | None = None
        self._kind = ""
        self._name = ""
        self._last_seq = 0
        self._messages = 0
        self._cursor = 0

    def run(self) -> Opening:
        """Walk, and tell what is wrong with the whole before what is wrong with a line."""
        digest = hashlib.sha256()
        head = self._file.readline(limits.IMPORT_LINE_BYTES)
        self._take_head(head)
        digest.update(head)
        place, number, fault = len(head), 1, None
        self._cursor = place
        end: bytes | None = None
        while raw := self._file.readline(limits.IMPORT_LINE_BYTES):
            if end is not None:
                raise ImportAltered
            if raw.startswith(_END):
                end = raw
                continue
            digest.update(raw)
            place, number = place + len(raw), number + 1
            if number % _TELL_LINES == 0:
                self._tell(place)
            fault = fault or self._take(raw, number)
            if raw.startswith(_SESSION):  # the beginning of the import makes it: the steps go on after it
                self._cursor = place
        return self._conclude(end, digest.hexdigest(), fault)

    def _conclude(self, end: bytes | None, digest: str, fault: ImportRefused | None) -> Opening:
        if end is None:
            raise ImportCut
        try:
            told = _end_of(end)
        except msgspec.MsgspecError:
            raise ImportCut from None
        if told.sha256 != digest:
            raise ImportAltered
        if fault is not None:
            raise fault
        if told.messages != self._messages:
            raise ImportAltered
        self._end_chat()
        if self._session is None or not self._chat_ids:
            raise ImportRefused("the file holds no chat")
        if self._session.shape == SINGLE and len(self._chat_ids) > 1:
            raise ImportRefused("a session of the shape single has one chat")
        participants = tuple(self._participants.values())
        chat_ids = tuple(self._chat_ids)
        return Opening(
            self._id, digest, self._kind, self._session, chat_ids, self._messages, self._cursor, participants
        )

    def _take_head(self, raw: bytes) -> None:
        try:
            head = _any_of(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise ImportForeign from None
        if not isinstance(head, dict) or head.get("type") != "export":
            raise ImportForeign
        if head.get("version") != VERSION:
            raise ImportVersion
        try:
            line = _line_of(raw)
        except msgspec.MsgspecError:
            raise ImportForeign from None
        if not isinstance(line, _Head) or line.kind not in (CHAT, SESSION):
            raise ImportForeign
        self._kind, self._name = line.kind, line.id

    def _take(self, raw: bytes, number: int) -> ImportRefused | None:
        """Check a line, and remember what the beginning of the import needs; what is wrong with it."""
        try:
            _check(len(raw) < limits.IMPORT_LINE_BYTES, "it is too long")
            _check_depth(raw)
            self._take_line(_line_of(raw))
        except ImportRefused as fault:
            return ImportRefused(f"line {number}: {fault.message}", field=f"line {number}")
        except (msgspec.MsgspecError, InvalidInput, ValueError, OverflowError, RecursionError):
            return ImportRefused(f"line {number} is not as an export writes it", field=f"line {number}")
        return None

    def _take_line(self, line: _Line) -> None:
        if isinstance(line, _Message):
            self._take_message(line)
        elif isinstance(line, _Chat):
            self._take_chat(line)
        elif isinstance(line, _Member):
            _check(self._session is not None and not self._chat_ids, "a member stands before the chats")
            self._know(_member_of(line))
        elif isinstance(line, _Read):
            _check(bool(self._chat_ids), "a read mark stands after its chat")
            times.from_text(line.read_at)
            self._know_speaker(line.participant)
        elif isinstance(line, _Session):
            _check(self._session is None and self._kind == SESSION, "a session stands at the beginning of its export")
            _check(line.id == self._name, "it is not the session that the first line names")
            self._session = _session_of(line)
            self._know_speaker(line.participant, is_implied=line.is_owner_implied)
        else:
            raise ImportRefused("it is out of place")

    def _take_chat(self, line: _Chat) -> None:
        chat = _chat_of(line)
        _check(line.id not in self._chat_ids, "two chats have one id")
        _check(len(self._chat_ids) < limits.CHATS_PER_SESSION, "it is one chat too many")
        if self._kind == CHAT:
            _check(line.id == self._name, "it is not the chat that the first line names")
            self._session = _session_of_chat(line, chat)
        session = self._session
        _check(session is not None, "a chat stands after its session")
        if session is not None:
            _check((line.session.id, line.session.shape) == (session.id, session.shape), "it is of another session")
        self._end_chat()
        self._chat_ids[line.id] = None
        self._last_seq = 0
        self._know_speaker(line.participant, is_implied=line.is_owner_implied)

    def _end_chat(self) -> None:
        are_unique, self._client_ids = self._client_ids.are_unique(), _Digests()
        _check(are_unique, "two messages of the chat that ends here have one client_id")

    def _take_message(self, line: _Message) -> None:
        _check(bool(self._chat_ids), "a message stands after its chat")
        _check(self._last_seq < line.seq <= limits.MESSAGES_PER_CHAT, "its sequence is out of order")
        draft = _message_of(line).draft
        _check(line.role in (USER, ASSISTANT), "its role is not known")
        _check(line.client_id is None or texts.is_client_id(line.client_id), "its client_id cannot be stored")
        _check(line.token_count is None or 0 <= line.token_count <= _SMALL_INTEGER, "its token_count is no number")
        size = len(draft.text) + len(draft.parts or "") + len(draft.metadata)
        _check(size <= limits.IMPORT_CHARACTERS, "it is too long")
        texts.check_text(draft.text, "text", limits.IMPORT_CHARACTERS)
        if line.client_id is not None:
            self._client_ids.add(line.client_id)
        self._last_seq = line.seq
        self._messages += 1
        self._know_speaker(line.participant)

    def _know_speaker(self, name: str, *, is_implied: bool = False) -> None:
        known = self._participants.get((PEER, name))
        if known is None or (known.is_implied and not is_implied):
            self._know(ImportedMember(PEER, name, "{}", "{}", None, None, 0, None, is_implied))

    def _know(self, one: ImportedMember) -> None:
        _check(one.kind in (PEER, SCOPE), "the kind of participant is not known")
        _check(bool(one.name), "a participant has a name")
        texts.check_text(one.name, "participant", limits.NAME_CHARACTERS)
        known = self._participants.get((one.kind, one.name))
        if one.joined_at or known is None or known.is_implied:
            self._participants[one.kind, one.name] = one
        _check(len(self._participants) <= limits.IMPORT_PARTICIPANTS, "it names one participant too many")


def _check(is_so: bool, words: str) -> None:
    if not is_so:
        raise ImportRefused(words)


class _Digests:
    """Texts of which only the digests are kept, sixteen bytes each: a chat may have millions."""

    def __init__(self) -> None:
        self._sorted = [bytearray() for _ in range(256)]

    def add(self, text: str) -> None:
        """Take one more."""
        digest = hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
        self._sorted[digest[0]] += digest

    def are_unique(self) -> bool:
        """Whether no text was added twice."""
        return all(_are_unique(digests) for digests in self._sorted)


def _are_unique(digests: bytearray) -> bool:
    places = range(0, len(digests), _DIGEST_BYTES)
    return len({bytes(digests[place : place + _DIGEST_BYTES]) for place in places}) == len(places)


def _check_depth(raw: bytes) -> None:
    """Lines that nest deeper than a request may are refused; only those with many brackets are looked at."""
    if raw.count(b"[") + raw.count(b"{") <= limits.JSON_DEPTH:
        return
    depth, level = 0, [_any_of(raw)]
    while level:
        depth += 1
        _check(depth <= limits.JSON_DEPTH, "it is nested too deep")
        inner = [value.values() if isinstance(value, dict) else value for value in level]
        level = [each for values in inner for each in values if isinstance(each, dict | list)]


def _object(raw: msgspec.Raw) -> str:
    text = bytes(raw).decode()
    _check(text.startswith("{"), "metadata and configuration are objects")
    return text


def _session_of(line: _Session) -> ImportedSession:
    _check(texts.is_client_id(line.id), "the session's id cannot be stored")
    _check(line.shape in (SINGLE, MULTI) and line.status in STATUSES, "the session's shape or status is not known")
    texts.check_text(line.title, "title", limits.TITLE_CHARACTERS)
    texts.check_text(line.artist_id or "", "artist_id", limits.NAME_CHARACTERS)
    _check(max(abs(line.lines_added), abs(line.lines_removed)) <= _LARGE_INTEGER, "its lines are no number")
    return ImportedSession(
        line.id,
        line.shape,
        line.participant,
        line.title,
        line.status,
        line.artist_id,
        _object(line.metadata),
        _object(line.configuration),
        line.lines_added,
        line.lines_removed,
        times.from_text(line.created_at),
        times.from_text(line.updated_at),
    )


def _session_of_chat(line: _Chat, chat: ImportedChat) -> ImportedSession:
    """The session that a chat gets whose own is not there."""
    _check(texts.is_client_id(line.session.id), "the session's id cannot be stored")
    _check(line.session.shape in (SINGLE, MULTI), "the session's shape is not known")
    return ImportedSession(
        line.session.id,
        line.session.shape,
        chat.owner,
        chat.title,
        DEFAULT_STATUS,
        None,
        chat.metadata if line.session.shape == SINGLE else "{}",
        "{}",
        0,
        0,
        chat.created_at,
        chat.updated_at,
    )


def _chat_of(line: _Chat) -> ImportedChat:
    _check(texts.is_client_id(line.id), "the chat's id cannot be stored")
    texts.check_text(line.title, "title", limits.TITLE_CHARACTERS)
    texts.check_text(line.model or "", "model", limits.NAME_CHARACTERS)
    created_at, updated_at = times.from_text(line.created_at), times.from_text(line.updated_at)
    metadata = _object(line.metadata)
    return ImportedChat(line.id, line.participant, line.title, line.model, metadata, created_at, updated_at)


def _member_of(line: _Member) -> ImportedMember:
    return ImportedMember(
        line.kind,
        line.participant,
        _object(line.metadata),
        _object(line.configuration),
        line.observe_me,
        line.observe_others,
        times.from_text(line.joined_at),
        None if line.left_at is None else times.from_text(line.left_at),
    )


def _message_of(line: _Message) -> ImportedMessage:
    """A message; one without a `text` of its own is its one part alone."""
    raw = bytes(line.parts).decode()
    _check(raw.startswith("["), "parts are a list")
    text, parts = (_text_parts(line.parts)[0].text, None) if line.text is None else (line.text, raw)
    draft = Draft(
        line.participant,
        line.role,
        text,
        parts,
        _object(line.metadata),
        line.client_id,
        times.from_text(line.created_at),
        line.token_count,
        is_reasoned=line.reasoning,
    )
    return ImportedMessage(line.seq, draft)
