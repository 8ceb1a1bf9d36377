"""Issuing receipts, keeping them beside the database, and verifying those in it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from antiphon.core.deletion.receipts import Receipts, show_id
from antiphon.core.ports.signing import Ledger
from antiphon.domain import limits
from antiphon.domain.errors import NotFound, StoreUnavailable
from antiphon.domain.ids import new_uid7, text_of
from antiphon.domain.receipts import NO_PREVIOUS, Receipt, canonical, hash_of
from antiphon.signing.ed25519 import FileKeyring, verify_signature
from tests.memory_receipts import NODE, MemoryStore, digest_of_tenant, issue_some, verbs

TENANT, OTHER = new_uid7(), new_uid7()
MEMBERS = """version id tenant sequence previous kid deletion target mode reason counts requested_at detached_at
purged_at scrubbed_at bytes signature"""


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def keyring(tmp_path: Path) -> FileKeyring:
    return FileKeyring(tmp_path)


@pytest.fixture
def receipts(memory: MemoryStore, keyring: FileKeyring) -> Receipts:
    return verbs(memory, keyring)


def plain_json(value: Any) -> bytes:
    """Canonical JSON by another hand, for members and texts as ours are."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def file_of(folder: Path, kid: str) -> Path:
    return folder / f"receipts-{kid}.jsonl"


# What a receipt says


async def test_a_receipt_says_what_the_contract_lists_and_is_signed(receipts: Receipts, memory: MemoryStore) -> None:
    lease = memory.scrubbed(TENANT, reason="asked for by the account's owner, \u20ac 0\n")
    deletion = memory.waiting[lease.deletion_id]
    receipt = await receipts.complete(lease, NODE, "erased")
    said = json.loads(receipt.body)
    assert list(said) == sorted(MEMBERS.split())
    assert said["id"] == f"rcp_{text_of(receipt.id)}" == show_id(receipt)
    assert said["deletion"] == f"del_{text_of(deletion.id)}"
    assert (said["tenant"], said["sequence"], said["previous"]) == (digest_of_tenant(TENANT), 1, NO_PREVIOUS)
    assert said["target"] == {"kind": "session", "digest": deletion.target_digest}
    assert (said["mode"], said["reason"], said["bytes"]) == ("cancel", deletion.reason, "erased")
    assert said["counts"] == {"messages": 3, "chats": 1}
    assert said["requested_at"].endswith("Z")
    assert "ferries" not in receipt.body  # an id of the target stands there as a digest only
    signature = urlsafe_b64decode(said.pop("signature") + "==")
    (key,) = await receipts.keys()
    assert key.kid == said["kid"] == receipt.kid
    assert verify_signature(key.public_key, signature, plain_json(said))
    assert receipt.body.encode() == plain_json(json.loads(receipt.body))


async def test_each_tenant_has_a_chain_of_its_own(receipts: Receipts, memory: MemoryStore) -> None:
    ours = await issue_some(memory, receipts, TENANT, 2)
    theirs = await issue_some(memory, receipts, OTHER, 1)
    ours += await issue_some(memory, receipts, TENANT, 1)
    assert [receipt.sequence for receipt in ours + theirs] == [1, 2, 3, 1]
    previous = [json.loads(receipt.body)["previous"] for receipt in ours]
    assert previous == [NO_PREVIOUS, hash_of(ours[0].body.encode()), hash_of(ours[1].body.encode())]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # The example of RFC 8785, 3.2.2, without its fractions, which no receipt has.
        (
            {"string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/", "literals": [None, True, False]},
            '{"literals":[null,true,false],"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
        ),
        # 3.2.3: members in order of their names, those inside too.
        ({"1": "One", "</script>": "Browser", "\r": "CR"}, '{"\\r":"CR","1":"One","</script>":"Browser"}'),
        ({"b": {"d": 1, "c": 2}, "a": []}, '{"a":[],"b":{"c":2,"d":1}}'),
        ({"n": [0, -1, 2**53 - 1]}, '{"n":[0,-1,9007199254740991]}'),
        # 3.2.2.2: what is escaped, and how; all else stands as it is.
        ({"t": "".join(map(chr, range(8)))}, '{"t":"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007"}'),
        ({"t": "\b\t\n\x0b\f\r\x1f"}, '{"t":"\\b\\t\\n\\u000b\\f\\r\\u001f"}'),
        ({"t": "\x7f\x80\u2028\u2029\ufeff\U0001f600"}, '{"t":"\x7f\x80\u2028\u2029\ufeff\U0001f600"}'),
        ({"t": "e\u0301 \u00e9"}, '{"t":"e\u0301 \u00e9"}'),  # nothing is normalised
    ],
)
def test_the_canonical_form_is_that_of_rfc_8785(value: dict[str, Any], text: str) -> None:
    assert canonical(value) == text.encode()


# Reading


async def test_a_receipt_is_found_by_its_id_in_its_tenant_only(receipts: Receipts, memory: MemoryStore) -> None:
    (receipt,) = await issue_some(memory, receipts, TENANT, 1)
    assert await receipts.get(TENANT, show_id(receipt)) == receipt
    for tenant, name in (
        (OTHER, show_id(receipt)),
        (TENANT, text_of(receipt.id)),
        (TENANT, "rcp_"),
        (TENANT, f"rcp_{text_of(new_uid7())}"),
    ):
        with pytest.raises(NotFound):
            await receipts.get(tenant, name)


async def test_a_chain_is_read_in_parts(
    receipts: Receipts, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RECEIPTS_READ", 2)
    issued = await issue_some(memory, receipts, TENANT, 5)
    parts = [part async for part in receipts.all_of(TENANT)]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert [receipt for part in parts for receipt in part] == issued
    assert await receipts.list(TENANT, 3, 1) == issued[3:4]
    assert (await receipts.verify(TENANT)).ok


# Verifying what is in the store


def change(memory: MemoryStore, place: int, **changes: Any) -> None:
    chain = memory.receipts.chains[TENANT]
    chain[place] = msgspec.structs.replace(chain[place], **changes)


async def test_the_store_is_verified(receipts: Receipts, memory: MemoryStore) -> None:
    assert (await receipts.verify(TENANT)).receipts == 0
    issued = await issue_some(memory, receipts, TENANT, 3)
    verdict = await receipts.verify(TENANT)
    assert (verdict.ok, verdict.receipts) == (True, 3)
    forged = issued[1].body.replace('"messages":3', '"messages":2')
    for changes, text in (
        ({"body": forged}, "the signature does not fit"),
        ({"body": forged, "hash": hash_of(forged.encode())}, "the signature does not fit"),
        ({"hash": NO_PREVIOUS}, "the row's hash is not that of the receipt"),
    ):
        change(memory, 1, **changes)
        fault = (await receipts.verify(TENANT)).first_error
        assert fault is not None
        assert (fault.file, fault.line) == ("database", 2)
        assert fault.text.startswith(text)
        memory.receipts.chains[TENANT] = [*issued]
    del memory.receipts.chains[TENANT][1]
    fault = (await receipts.verify(TENANT)).first_error
    assert fault is not None
    assert fault.text == "receipt 2 is missing in the chain before this one"


@pytest.mark.parametrize("kept", [0, 2])
async def test_a_chain_without_its_end_is_found(receipts: Receipts, memory: MemoryStore, kept: int) -> None:
    issued = await issue_some(memory, receipts, TENANT, 3)
    del memory.receipts.chains[TENANT][kept:]
    fault = (await receipts.verify(TENANT)).first_error
    assert fault is not None
    assert fault.text == f"no receipt has the hash {issued[-1].hash}: a chain ends before it"


async def test_rows_of_another_tenant_are_found(receipts: Receipts, memory: MemoryStore) -> None:
    issued = await issue_some(memory, receipts, TENANT, 1)
    issued += await issue_some(memory, receipts, OTHER, 2)
    memory.receipts.chains[TENANT] = [issued[0], *issued[1:]]
    fault = (await receipts.verify(TENANT)).first_error
    assert fault is not None
    assert fault.text == "there are receipts of another tenant"


# The file beside the database


def bodies(chain: Iterable[Receipt]) -> str:
    return "".join(f"{receipt.body}\n" for receipt in chain)


async def test_every_receipt_stands_in_the_file(receipts: Receipts, memory: MemoryStore, tmp_path: Path) -> None:
    issued = await issue_some(memory, receipts, TENANT, 2) + await issue_some(memory, receipts, OTHER, 2)
    assert file_of(tmp_path, issued[0].kid).read_text() == bodies(issued)


@pytest.mark.parametrize("lost", [0, 1, 7, 700, 1_500, 10_000])
async def test_what_a_crash_left_out_of_the_file_is_added_at_the_start(
    receipts: Receipts, memory: MemoryStore, keyring: FileKeyring, tmp_path: Path, lost: int
) -> None:
    issued = await issue_some(memory, receipts, TENANT, 4)
    file = file_of(tmp_path, issued[0].kid)
    whole = file.read_bytes()
    file.write_bytes(whole[: max(0, len(whole) - lost)])
    await verbs(memory, keyring).start()
    assert file.read_bytes() == whole


async def test_a_file_that_is_gone_is_written_anew_in_parts(
    receipts: Receipts, memory: MemoryStore, keyring: FileKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RECEIPTS_READ", 2)
    issued = []
    for _ in range(3):
        issued += await issue_some(memory, receipts, TENANT, 1) + await issue_some(memory, receipts, OTHER, 2)
    memory.receipts.chains[OTHER] = [
        msgspec.structs.replace(receipt, issued_at=issued[1].issued_at) for receipt in memory.receipts.chains[OTHER]
    ]  # many of one moment
    file = file_of(tmp_path, issued[0].kid)
    file.unlink()
    await verbs(memory, keyring).start()
    assert sorted(file.read_text().splitlines()) == sorted(receipt.body for receipt in issued)


async def test_receipts_of_one_moment_are_found_across_parts(
    receipts: Receipts, memory: MemoryStore, keyring: FileKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RECEIPTS_READ", 2)
    tenants = [TENANT, OTHER, new_uid7()]
    first, second, third = [(await issue_some(memory, receipts, tenant, 1))[0] for tenant in tenants]
    memory.receipts.chains[tenants[2]] = [msgspec.structs.replace(third, issued_at=second.issued_at)]
    file = file_of(tmp_path, first.kid)
    file.unlink()
    await verbs(memory, keyring).start()
    assert sorted(file.read_text().splitlines()) == sorted([first.body, second.body, third.body])


async def test_a_torn_line_is_cut_at_the_start_also_when_nothing_is_missing(
    receipts: Receipts, memory: MemoryStore, keyring: FileKeyring, tmp_path: Path
) -> None:
    (receipt,) = await issue_some(memory, receipts, TENANT, 1)
    file = file_of(tmp_path, receipt.kid)
    file.write_text(bodies([receipt]) + '{"bytes":"era')
    await verbs(memory, keyring).start()
    assert file.read_text() == bodies([receipt])


async def test_a_start_looks_only_for_what_may_be_missing(
    receipts: Receipts, memory: MemoryStore, keyring: FileKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await issue_some(memory, receipts, TENANT, 6)
    file = file_of(tmp_path, issued[0].kid)
    lines = file.read_bytes().splitlines(keepends=True)
    monkeypatch.setattr(limits, "LEDGER_TAIL_BYTES", len(lines[-1]) * 2)
    file.write_bytes(b"".join(lines[:-1]))
    asked: list[int] = []
    issued_by = memory.receipts.issued_by

    async def watched(kid: str, after: int, limit: int) -> Any:
        asked.append(after)
        return await issued_by(kid, after, limit)

    monkeypatch.setattr(memory.receipts, "issued_by", watched)
    await verbs(memory, keyring).start()
    assert file.read_bytes() == b"".join(lines)
    assert 0 < asked[0] <= issued[3].issued_at


class FullLedger:
    """A file on a disk that is full until somebody makes room."""

    def __init__(self, inner: Ledger) -> None:
        self.inner = inner
        self.is_full = True

    def append(self, lines: Iterable[str]) -> None:
        if self.is_full:
            raise StoreUnavailable
        self.inner.append(lines)

    def last(self, tenant: str) -> int:
        return self.inner.last(tenant)

    def sure_until(self) -> int:
        return self.inner.sure_until()


async def test_a_file_that_cannot_be_written_stops_no_deletion_and_is_filled_later(
    memory: MemoryStore, keyring: FileKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = FullLedger(keyring.ledger(keyring.signer().key.kid))
    monkeypatch.setattr(keyring, "ledger", lambda _kid: ledger)
    receipts = verbs(memory, keyring)
    issued = await issue_some(memory, receipts, TENANT, 2)
    assert not file_of(tmp_path, issued[0].kid).exists()
    ledger.is_full = False
    issued += await issue_some(memory, receipts, TENANT, 1)
    assert file_of(tmp_path, issued[0].kid).read_text() == bodies(issued)


async def test_processes_that_share_a_directory_share_its_file(
    memory: MemoryStore, keyring: FileKeyring, tmp_path: Path
) -> None:
    one, other = verbs(memory, keyring), verbs(memory, FileKeyring(tmp_path))
    first = await issue_some(memory, one, TENANT, 2)
    lost = await memory.complete(memory.scrubbed(TENANT), NODE, "erased", one.issue)  # and here its process died
    await issue_some(memory, other, TENANT, 2)
    await issue_some(memory, one, TENANT, 1)
    await one.start()
    assert lost in memory.receipts.chains[TENANT]
    assert file_of(tmp_path, first[0].kid).read_text() == bodies(memory.receipts.chains[TENANT])


# Keys


async def test_a_key_that_is_rotated_under_a_process_is_used_at_once(
    receipts: Receipts, memory: MemoryStore, tmp_path: Path
) -> None:
    (before,) = await issue_some(memory, receipts, TENANT, 1)
    made = await verbs(memory, FileKeyring(tmp_path)).rotate_key()
    (after,) = await issue_some(memory, receipts, TENANT, 1)
    assert (before.kid != made.kid, after.kid) == (True, made.kid)
    old, new = await receipts.keys()
    assert (old.kid, new.kid, new.retired_at) == (before.kid, made.kid, None)
    assert old.retired_at is not None
    assert (await receipts.verify(TENANT)).ok
    assert file_of(tmp_path, before.kid).read_text() == bodies([before])
    assert file_of(tmp_path, after.kid).read_text() == bodies([after])


async def test_a_key_is_known_to_the_store_before_it_signs(
    memory: MemoryStore, keyring: FileKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts = verbs(memory, keyring)
    await receipts.start()
    assert list(memory.receipts.known) == [keyring.signer().key.kid]
    memory.receipts.known.clear()

    async def refuse(_key: Any) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(memory.receipts, "add_key", refuse)
    keyring.rotate()
    with pytest.raises(StoreUnavailable):
        await receipts.complete(memory.scrubbed(TENANT), NODE, "erased")
    assert memory.receipts.chains == {}
