"""The desk that asks a server elsewhere, through its API."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from antiphon.cli import answers
from antiphon.cli.client import Client, Query, Refused, Unreachable, decoded, path_of
from antiphon.cli.desk import (
    ALREADY_THERE,
    LOOK_SECONDS,
    ChatRow,
    DeletionRow,
    ImportFailed,
    ImportRow,
    KeyOrder,
    KeyRow,
    PlanRow,
    PublicKeyRow,
    Tell,
    TenantRow,
    with_way_out,
)
from antiphon.core.deletion.receipts import DATABASE
from antiphon.core.deletion.verify import Fault, Verdict, Verification
from antiphon.core.export import make_form
from antiphon.core.ports.signing import Verifier
from antiphon.domain import limits, times
from antiphon.domain.deletions import CHAT, PARTICIPANT, SESSION, TENANT, Order
from antiphon.domain.errors import (
    AntiphonError,
    ChatNotFound,
    DeletionNotFound,
    ImportAltered,
    ImportCut,
    ImportForeign,
    ImportNotFound,
    ImportRefused,
    ImportVersion,
    KeyNotFound,
    NotFound,
    ParticipantNotFound,
    SessionNotFound,
    TenantNotFound,
)
from antiphon.domain.ids import parse_uuid, text_of
from antiphon.domain.imports import FAILED, WRITING
from antiphon.domain.keys import PARTICIPANT as PARTICIPANT_SCOPE
from antiphon.domain.keys import TENANT as TENANT_SCOPE

ABSENT: dict[str, type[AntiphonError]] = {
    CHAT: ChatNotFound,
    SESSION: SessionNotFound,
    PARTICIPANT: ParticipantNotFound,
    TENANT: TenantNotFound,
}
"""What is said for each kind of thing that is not there."""

_END = re.compile(rb'(?:(?:,"end":)?\{"end":true,.*"sha256":"|End of the export: .* SHA-256 )([0-9a-f]{64})')
_no_deletion = partial(DeletionNotFound, "There is no such deletion.")
_no_receipt = partial(NotFound, "There is no such receipt.")

_LINES = "application/x-ndjson"
_PIECE_BYTES = 64 * 1024
_LIVE = frozenset({"connection", "turn"})
_REFUSED_FILES: dict[str, type[ImportRefused]] = {
    kind.code: kind for kind in (ImportRefused, ImportForeign, ImportVersion, ImportCut, ImportAltered)
}


class ExportCut(AntiphonError):
    """The export is not whole: its last line is missing."""

    code = "export_cut"


class RemoteDesk:
    """See the protocol. `verify` checks the signatures of receipts here, whatever the server says of them."""

    poll_seconds: float = limits.REMOTE_POLL_SECONDS

    def __init__(self, client: Client, tenant: str | None, verify: Verifier) -> None:
        self._client = client
        self._tenant = tenant
        self._verify = verify
        self._known: answers.Named | None = None

    async def tenant_name(self) -> str:
        """See the protocol."""
        return (await self._own()).name

    async def create_tenant(self, name: str) -> TenantRow:
        """See the protocol."""
        return answers.tenant_row(await self._client.post("/tenants", answers.Tenant, {"name": name}))

    async def change_tenant(self, name: str, settings: Mapping[str, str | int | None]) -> TenantRow:
        """See the protocol."""
        path = path_of("tenants", name, absent=TenantNotFound)
        return answers.tenant_row(
            await self._client.patch(path, answers.Tenant, {"settings": settings}, TenantNotFound)
        )

    async def tenants(self) -> list[TenantRow]:
        """See the protocol."""
        return [answers.tenant_row(decoded(raw, answers.Tenant)) async for raw in self._client.items("/tenants")]

    async def create_key(self, order: KeyOrder) -> tuple[KeyRow, str]:
        """See the protocol. The scope is always said: without one the wire would choose by other rules."""
        owner = await self._own()
        scope = order.scope or (PARTICIPANT_SCOPE if order.participant is not None else TENANT_SCOPE)
        expires_at = None if order.expires_at is None else times.text_of(order.expires_at)
        body = {"participant": order.participant, "session": order.session, "scopes": [scope], "label": order.label}
        made = await self._client.post("/keys", answers.MadeKey, {**body, "expires_at": expires_at})
        return answers.key_row(made, owner.name), made.key

    async def keys(self) -> list[KeyRow]:
        """See the protocol."""
        owner = await self._own()
        return [answers.key_row(decoded(raw, answers.Key), owner.name) async for raw in self._client.items("/keys")]

    async def revoke_key(self, key_id: str) -> None:
        """See the protocol."""
        await self._client.delete(path_of("keys", key_id, absent=KeyNotFound), KeyNotFound)

    async def plan(self, kind: str, target_id: str) -> PlanRow:
        """See the protocol."""
        body = {"target": await self._target(kind, target_id)}
        return answers.plan_row(await self._client.post("/deletions/plan", answers.Plan, body, ABSENT[kind]))

    async def delete(self, kind: str, target_id: str, order: Order) -> DeletionRow:
        """See the protocol."""
        owner = await self._own()
        body = {"target": await self._target(kind, target_id), "mode": order.mode, "reason": order.reason}
        try:
            made = await self._client.post("/deletions", answers.Deletion, body, ABSENT[kind], order.if_digest)
        except Refused as error:
            if any(blocker.kind in _LIVE for blocker in error.problem.blocked_by):
                raise with_way_out(error.message) from None
            raise
        return answers.deletion_row(made, owner.id)

    async def deletions(self, states: Sequence[str], *, is_overdue: bool) -> list[DeletionRow]:
        """See the protocol."""
        owner = await self._own()
        query = [*(("state", state) for state in states), *([("overdue", "true")] if is_overdue else [])]
        found = self._client.items("/deletions", query)
        return [answers.deletion_row(decoded(raw, answers.Deletion), owner.id) async for raw in found]

    async def deletion(self, deletion_id: str) -> DeletionRow:
        """See the protocol."""
        owner, path = await self._own(), path_of("deletions", deletion_id, absent=_no_deletion)
        found = await self._client.get(path, answers.Deletion, absent=_no_deletion)
        return answers.deletion_row(found, owner.id)

    async def retry_deletion(self, deletion_id: str) -> DeletionRow:
        """See the protocol."""
        return await self._change(deletion_id, "/retry")

    async def undo_deletion(self, deletion_id: str) -> DeletionRow:
        """See the protocol."""
        return await self._change(deletion_id, "/undo")

    async def is_neglected(self, deletion_id: str) -> bool:
        """See the protocol. A server that answers works on what waits, by itself."""
        return False

    async def receipts(self) -> list[str]:
        """See the protocol."""
        return [bytes(raw).decode() async for raw in self._client.items("/receipts")]

    async def receipt(self, receipt_id: str) -> str:
        """See the protocol."""
        return (await self._client.raw(path_of("receipts", receipt_id, absent=_no_receipt), _no_receipt)).decode()

    async def verify_receipts(self) -> Verdict:
        """See the protocol. What the server finds in its rows counts; so does what is found here in what it shows."""
        theirs = await self._client.get("/receipts/verify", answers.Verdict)
        if theirs.first_error is not None:
            fault = Fault(DATABASE, theirs.first_error.sequence or 0, theirs.first_error.message)
            return Verdict(theirs.receipts, (), fault)
        trusted = {key.kid: key.public_key for key in await self.public_keys()}
        verification = Verification(trusted, self._verify)
        for number, body in enumerate(await self.receipts(), start=1):
            verification.read(DATABASE, number, f"{body}\n".encode())
        return verification.verdict()

    async def public_keys(self) -> list[PublicKeyRow]:
        """See the protocol."""
        found = await self._client.get("/receipt-keys", answers.PublicKeys)
        return [answers.public_key_row(key) for key in found.items]

    async def chats(self, session: str | None, participant: str | None, limit: int | None) -> list[ChatRow]:
        """See the protocol."""
        given = {"session": session, "participant": participant}
        query = [(name, value) for name, value in given.items() if value is not None]
        found: list[ChatRow] = []
        if limit is not None and limit <= 0:
            return found
        async for raw in self._client.items(
            "/chats", query, SessionNotFound if session is not None else TenantNotFound
        ):
            found.append(answers.chat_row(decoded(raw, answers.Chat)))
            if len(found) == limit:
                break
        return found

    async def chat(self, chat_id: str) -> ChatRow:
        """See the protocol."""
        path = path_of("chats", chat_id, absent=ChatNotFound)
        return answers.chat_row(await self._client.get(path, answers.Chat, absent=ChatNotFound))

    async def export(self, kind: str, name: str, form_name: str) -> AsyncIterator[bytes]:
        """See the protocol. Whether it is whole shows at its end, when all has been given out."""
        make_form(form_name)  # a wrong name is told in the same words as on the machine
        query: Query = [("format", form_name)]
        check = _Check()
        try:
            path = path_of(f"{kind}s", name, "/export", absent=ABSENT[kind])
            async for piece in self._client.stream(path, query, ABSENT[kind]):
                check.read(piece)
                yield piece
        except Unreachable as error:
            if check.is_begun:
                raise ExportCut(f"the export was cut: {error.message}") from None
            raise
        check.finish()

    async def bring(self, file: Path, size: int, tell: Tell) -> ImportRow:
        """See the protocol. The file goes to the server, which checks and writes it."""
        try:
            state = await self._client.send("/imports", answers.Import, lambda: _pieces(file, size, tell), _LINES)
        except Refused as error:
            if (kind := _REFUSED_FILES.get(error.problem.code)) is None:
                raise
            raise kind(error.problem.detail) from None
        is_new, pause = state.state == WRITING, LOOK_SECONDS
        while state.state == WRITING:
            tell("writing", state.done, state.total)
            await asyncio.sleep(pause)
            pause = min(2 * pause, self.poll_seconds)
            path = path_of("imports", state.id, absent=ImportNotFound)
            state = await self._client.get(path, answers.Import, absent=ImportNotFound)
        if state.state == FAILED:
            raise ImportFailed(f"the import was given up ({state.last_error}), and nothing of it is there")
        target, shown = state.target, state.state if is_new else ALREADY_THERE
        return ImportRow(state.id, target.kind, target.id or "", state.total, shown)

    async def _own(self) -> answers.Named:
        """Its tenant: the one that is named, else that of the key. One that is deleted has its id as its name."""
        if self._known is None:
            try:
                self._known = (await self._client.get("/whoami", answers.Whoami)).tenant
            except Refused as error:
                gone = parse_uuid(self._tenant or "")
                if gone is None or error.problem.code != "not_found":
                    raise
                self._known = answers.Named(text_of(gone), text_of(gone))
            self._client.name_by_id(self._known.id)
        return self._known

    async def _target(self, kind: str, target_id: str) -> dict[str, str]:
        return {"kind": kind, "id": (await self._own()).id if kind == TENANT else target_id}

    async def _change(self, deletion_id: str, verb: str) -> DeletionRow:
        owner, path = await self._own(), path_of("deletions", deletion_id, verb, absent=_no_deletion)
        return answers.deletion_row(await self._client.post(path, answers.Deletion, {}, _no_deletion), owner.id)


class _Check:
    """Whether an export is whole, seen as it passes: its last line has the checksum of all bytes before it."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._held = b""  # long enough for the last line, which may come in pieces
        self.is_begun = False

    def read(self, piece: bytes) -> None:
        """Look at the next piece."""
        self.is_begun = True
        held = self._held + piece
        cut = max(0, len(held) - limits.EXPORT_END_BYTES)
        self._digest.update(held[:cut])
        self._held = held[cut:]

    def finish(self) -> None:
        """There are no more. Raises ExportCut."""
        start = self._held.rfind(b"\n", 0, -1) + 1
        found = _END.match(self._held, start) if self._held.endswith(b"\n") else None
        if found is None:
            raise ExportCut("the export was cut: its last line is missing")
        self._digest.update(self._held[:start])
        if self._digest.hexdigest().encode() != found[1]:
            raise ExportCut("the export is not what was sent: its checksum does not fit")


async def _pieces(file: Path, size: int, tell: Tell) -> AsyncIterator[bytes]:
    """The bytes of a file, as fast as they are taken."""
    sent = 0
    with file.open("rb") as opened:
        while piece := await asyncio.to_thread(opened.read, _PIECE_BYTES):
            yield piece
            sent += len(piece)
            tell("sending", sent, size)
