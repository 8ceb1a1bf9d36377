"""Files as messages: their text, cut into messages that are not too long."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator

import msgspec
import pydantic
from pypdf import PdfReader
from pypdf.errors import PyPdfError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from antiphon.api.honcho.errors import InvalidRequest, TooLarge, UnsupportedType
from antiphon.api.http import Request, decode_json
from antiphon.domain import limits
from antiphon.domain.errors import AntiphonError, BodyTooLarge, InvalidInput
from antiphon.domain.texts import storable

PDF, JSON = "application/pdf", "application/json"
_BREAKS = ("\n\n", "\n", ". ", " ")
_FIELDS_MAX = 8
_FRAME_BYTES = 64 * 1024


class _Parser(MultiPartParser):
    """Keeps the file in memory: on a disk it would outlast every deletion."""

    spool_max_size = limits.HONCHO_UPLOAD_BYTES + _FRAME_BYTES


class UploadForm(pydantic.BaseModel):
    """The form of an upload; `metadata` and `configuration` are JSON as text."""

    file: bytes
    peer_id: str
    metadata: str | None = None
    configuration: str | None = None
    created_at: str | None = None


class Upload(msgspec.Struct, frozen=True):
    """What came: the text of the file, and the other fields as they were given."""

    pieces: list[str]
    peer_id: str
    metadata: str | None
    configuration: str | None
    created_at: str | None


async def read_upload(request: Request) -> Upload:
    """The form of a request. Raises InvalidRequest, InvalidInput, TooLarge, UnsupportedType."""
    fields, file = await _read_form(request)
    faults = [
        {"type": "missing", "loc": ["body", name], "msg": "Field required", "input": None}
        for name, value in (("file", file), ("peer_id", fields.get("peer_id")))
        if value is None
    ]
    if faults or file is None:
        raise InvalidRequest(faults)
    content, media_type = file
    if len(content) > limits.HONCHO_UPLOAD_BYTES:
        raise TooLarge(f"a file has at most {limits.HONCHO_UPLOAD_BYTES} bytes")
    kind = media_type.partition(";")[0].strip().lower()
    text = await asyncio.to_thread(text_of, content, kind)
    if len(text) > limits.HONCHO_UPLOAD_CHARACTERS:
        raise TooLarge(f"the text of a file has at most {limits.HONCHO_UPLOAD_CHARACTERS} characters")
    pieces = cut(storable(text), limits.HONCHO_CONTENT_CHARACTERS)
    if len(pieces) > limits.HONCHO_UPLOAD_MESSAGES:
        raise TooLarge(f"a file makes at most {limits.HONCHO_UPLOAD_MESSAGES} messages")
    more = (fields.get("metadata"), fields.get("configuration"), fields.get("created_at"))
    return Upload(pieces, fields["peer_id"], *more)


async def _read_form(request: Request) -> tuple[dict[str, str], tuple[bytes, str] | None]:
    """The fields of a form, and its file with the media type."""
    given = request.header(b"content-type") or ""
    if not given.lower().startswith("multipart/form-data"):
        return {}, None
    try:
        body = await request.body(limits.HONCHO_UPLOAD_BYTES + _FRAME_BYTES)
    except BodyTooLarge:
        raise TooLarge(f"a file has at most {limits.HONCHO_UPLOAD_BYTES} bytes") from None

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _Parser(
        Headers({"content-type": given}),
        stream(),
        max_files=1,
        max_fields=_FIELDS_MAX,
        max_part_size=len(body),
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, LookupError):
        raise InvalidInput("the form cannot be read", field="body") from None
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    file = form.get("file")
    found = (await file.read(), file.content_type or "") if isinstance(file, UploadFile) else None
    await form.close()
    return fields, found


def text_of(content: bytes, kind: str) -> str:
    """The text of a file of that media type; none in an empty one.

    Raises UnsupportedType, and InvalidInput for a broken file.
    """
    if kind not in {PDF, JSON} and not kind.startswith("text/"):
        raise UnsupportedType(f"files of the type {kind[:64]!r} are not read")
    if not content:
        return ""
    if kind == PDF:
        return _text_of_pdf(content)
    if kind == JSON:
        try:
            return json.dumps(decode_json(content), ensure_ascii=False)
        except AntiphonError:
            raise InvalidInput("the file is no JSON", field="file") from None
    return _decoded(content)


def _decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 where its mark says so, else Latin-1, which everything is."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _text_of_pdf(content: bytes) -> str:
    try:
        reader = PdfReader(io.BytesIO(content))
        if len(reader.pages) > limits.HONCHO_UPLOAD_PAGES:
            raise TooLarge(f"a PDF has at most {limits.HONCHO_UPLOAD_PAGES} pages")
        pages, size = [], 0
        for number, page in enumerate(reader.pages, 1):
            pages.append(f"[Page {number}]\n{page.extract_text()}")
            size += len(pages[-1])
            if size > limits.HONCHO_UPLOAD_CHARACTERS:
                break
    except AntiphonError:
        raise
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, IndexError, OSError, RecursionError):
        raise InvalidInput("the file is no PDF that can be read", field="file") from None
    return "\n\n".join(pages)


def cut(text: str, characters_max: int) -> list[str]:
    """The text in pieces: cut behind a blank line, else a line, a sentence, a word, else anywhere; one when empty."""
    pieces = []
    while len(text) > characters_max:
        head = text[:characters_max]
        end = next((at + len(mark) for mark in _BREAKS if (at := head.rfind(mark)) > 0), characters_max)
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text] if text or not pieces else pieces
