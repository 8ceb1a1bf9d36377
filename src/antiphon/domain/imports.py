"""Import: what an export wrote, on its way back into a tenant; and the lines that such a file holds."""

from __future__ import annotations

import msgspec

from antiphon.domain.ids import Uid
from antiphon.domain.messages import Draft

WRITING, DONE, FAILED = "writing", "done", "failed"
"""The states. Nothing of an import shows before it is `done`, and all of it from then on."""

IMPORT_MODE = "import"
"""The mode of the deletion that removes what an import has written, should the import not come to its end."""

NOBODY = f'{{"":"{"0" * 32}"}}'
"""In place of those whom an import names, once one of them is deleted: somebody who is never there."""

ABANDONED = "import_abandoned"
"""The error of an import with which nobody went on."""


class Import(msgspec.Struct, frozen=True):
    """An import. `kind` and `target_id` say what the file holds, a chat or a session.

    `done` of `total` messages are written; `cursor` is the byte of the file at which the next step goes on. `digest` is
    the checksum of the file's last line. `last_error` is the code of what ended it.
    """

    id: Uid
    digest: str
    kind: str
    target_id: str
    target_key: Uid
    state: str
    cursor: int
    done: int
    total: int
    last_error: str | None
    created_at: int
    settled_at: int | None


class ImportedSession(msgspec.Struct, frozen=True):
    """A session as a file tells of it; the owner by name."""

    id: str
    shape: str
    owner: str
    title: str
    status: str
    artist_id: str | None
    metadata: str
    configuration: str
    lines_added: int
    lines_removed: int
    created_at: int
    updated_at: int


class ImportedMember(msgspec.Struct, frozen=True):
    """A place in the session; what is said of the participant counts only where it is not there yet.

    `is_implied`: it has no place and nothing to say, it owns what nobody was named for.
    """

    kind: str
    name: str
    metadata: str
    configuration: str
    observe_me: bool | None
    observe_others: bool | None
    joined_at: int
    left_at: int | None
    is_implied: bool = False


class ImportedChat(msgspec.Struct, frozen=True):
    """A chat as a file tells of it, without its messages; the owner by name."""

    id: str
    owner: str
    title: str
    model: str | None
    metadata: str
    created_at: int
    updated_at: int


class ImportedRead(msgspec.Struct, frozen=True):
    """When somebody last read the chat."""

    name: str
    read_at: int


class ImportedMessage(msgspec.Struct, frozen=True):
    """A message and its place in the chat; its draft has a time."""

    seq: int
    draft: Draft


class Opening(msgspec.Struct, frozen=True):
    """What a new import begins with, its file being whole.

    The session is made, unless the file holds a chat of a `multi` one that is there. `participants` are all whom the
    file names: they are made where they are missing.
    """

    id: Uid
    digest: str
    kind: str
    session: ImportedSession
    chat_ids: tuple[str, ...]
    messages: int
    cursor: int
    participants: tuple[ImportedMember, ...]


class Batch(msgspec.Struct, frozen=True):
    """A step of an import: the lines up to `cursor`, of one chat at most; with `chat` it begins there."""

    cursor: int
    members: tuple[ImportedMember, ...] = ()
    chat: ImportedChat | None = None
    reads: tuple[ImportedRead, ...] = ()
    messages: tuple[ImportedMessage, ...] = ()
