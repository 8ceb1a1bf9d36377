"""Imports on our own wire: a file that an export wrote, taken as it comes and written in the background."""

from __future__ import annotations

import msgspec

from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.native.errors import refusals
from antiphon.api.native.examples import EXPORTED_LINES
from antiphon.api.native.reach import Reach
from antiphon.api.native.versions import versioned
from antiphon.api.routing import Content, Route
from antiphon.core.export_forms import JsonLines
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.errors import ImportNotFound
from antiphon.domain.ids import Uid, is_canonical_uuid, parse_uuid, text_of
from antiphon.domain.imports import Import as Imported

PREFIX = "imp_"


class ImportTarget(msgspec.Struct, frozen=True):
    """What the file holds: a chat or a session, and its id."""

    kind: str
    id: str


class Import(msgspec.Struct, frozen=True):
    """An import: `writing`, `done` or `failed`; `done` of `total` messages are written, and `last_error` is a code."""

    id: str
    target: ImportTarget
    state: str
    done: int
    total: int
    last_error: str | None


class Imports:
    """The routes of imports."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self, prefix: str) -> list[Route]:
        """The routes under that prefix."""
        taken = "Take a file that an export wrote in JSON lines; a file that was taken before is told how it stands."
        return [
            Route(
                "POST",
                f"{prefix}/imports",
                self.create,
                taken,
                {202: Import, **refusals(409, 413, 429)},
                body=Content(str, JsonLines.media_type, EXPORTED_LINES),
            ),
            Route(
                "GET",
                f"{prefix}/imports/{{import_id}}",
                self.get,
                "How an import stands.",
                {200: Import, **refusals()},
            ),
        ]

    async def create(self, request: Request) -> Reply:
        """POST /imports."""
        principal = await self._reach.overseer(request)
        pieces = request.pieces(limits.IMPORT_BYTES)
        known, _ = await self._instance.imports.receive(principal.tenant_id, pieces)
        return json_reply(202, show_import(known))

    async def get(self, request: Request) -> Reply:
        """GET /imports/{import_id}."""
        principal = await self._reach.overseer(request)
        import_id = parse_import_id(request.params["import_id"])
        if import_id is None:
            raise ImportNotFound
        return versioned(200, show_import(await self._instance.imports.get(principal.tenant_id, import_id)))


def show_import(known: Imported) -> Import:
    """An import."""
    target = ImportTarget(known.kind, known.target_id)
    return Import(PREFIX + text_of(known.id), target, known.state, known.done, known.total, known.last_error)


def parse_import_id(text: str) -> Uid | None:
    """The way back of an id; None for anything that is not exactly of that form."""
    uuid = text.removeprefix(PREFIX)
    return parse_uuid(uuid) if text.startswith(PREFIX) and is_canonical_uuid(uuid) else None
