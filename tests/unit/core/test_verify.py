"""What the verification of receipts finds in files that somebody has been at."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.deletion.verify import Fault, Verdict, Verification, text_of_signature
from antiphon.core.ports.signing import Signer
from antiphon.domain.ids import new_uid7
from antiphon.domain.receipts import canonical, hash_of
from antiphon.signing.ed25519 import FileKeyring, verify_signature
from tests.memory_receipts import MemoryStore, digest_of_tenant, issue_some, verbs

TENANT, OTHER = new_uid7(), new_uid7()
Keys = Mapping[str, str]


def keys_of(*keyrings: FileKeyring) -> Keys:
    return {key.kid: key.public_key for keyring in keyrings for key in keyring.public_keys()}


def verdict_of(keys: Keys, *files: bytes, heads: tuple[str, ...] = ()) -> Verdict:
    """The outcome for files that are called a, b, c."""
    verification = Verification(keys, verify_signature)
    for name, content in zip("abc", files, strict=False):
        for number, line in enumerate(io.BytesIO(content), start=1):
            verification.read(name, number, line)
    return verification.verdict(heads)


def fault_of(keys: Keys, *files: bytes, heads: tuple[str, ...] = ()) -> Fault:
    fault = verdict_of(keys, *files, heads=heads).first_error
    assert fault is not None
    return fault


async def lines_of(folder: Path, count: int = 3, store: MemoryStore | None = None) -> tuple[FileKeyring, list[bytes]]:
    """A keyring, and receipts of one tenant that it signed."""
    keyring = FileKeyring(folder)
    held = store or MemoryStore()
    issued = await issue_some(held, verbs(held, keyring), TENANT, count)
    return keyring, [receipt.body.encode() + b"\n" for receipt in issued]


def signed(signer: Signer, line: bytes, **changes: Any) -> bytes:
    """A receipt with other members, signed anew by somebody."""
    plain = {**json.loads(line), **changes}
    del plain["signature"]
    plain["signature"] = text_of_signature(signer.sign(canonical(plain)))
    return canonical(plain) + b"\n"


async def test_what_was_signed_is_ok(tmp_path: Path) -> None:
    keyring, lines = await lines_of(tmp_path)
    verdict = verdict_of(keys_of(keyring), b"".join(lines))
    assert (verdict.ok, verdict.receipts, verdict.first_error) == (True, 3, None)
    (chain,) = verdict.chains
    assert (chain.tenant, chain.receipts, chain.head) == (digest_of_tenant(TENANT), 3, hash_of(lines[2][:-1]))


@pytest.mark.parametrize("mask", [0x01, 0x04, 0x20, 0x80, 0xFF])
async def test_no_byte_can_be_flipped(tmp_path: Path, mask: int) -> None:
    keyring, lines = await lines_of(tmp_path, 2)
    keys, content = keys_of(keyring), b"".join(lines)
    assert verdict_of(keys, content).ok
    survivors = []
    for place in range(len(content)):
        flipped = content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :]
        if verdict_of(keys, flipped).ok:
            survivors.append(place)
    assert survivors == []


async def test_no_line_can_be_cut_short(tmp_path: Path) -> None:
    keyring, lines = await lines_of(tmp_path, 2)
    keys, content = keys_of(keyring), b"".join(lines)
    whole = {0, len(lines[0]), len(content)}
    found = {length for length in range(len(content) + 1) if verdict_of(keys, content[:length]).ok}
    assert found == whole  # that whole lines are missing at the end is for `heads`
    assert fault_of(keys, content[:-1]) == Fault("a", 2, "the line has no end: the file was cut off here")


async def test_a_missing_end_is_found_by_the_hash_that_must_be_there(tmp_path: Path) -> None:
    keyring, lines = await lines_of(tmp_path)
    head = hash_of(lines[2][:-1])
    assert verdict_of(keys_of(keyring), b"".join(lines), heads=(head,)).ok
    fault = fault_of(keys_of(keyring), b"".join(lines[:2]), heads=(head,))
    assert fault.text == f"no receipt has the hash {head}: a chain ends before it"


@pytest.mark.parametrize(
    ("kept", "line", "text"),
    [
        ([0, 2, 3, 4], 2, "receipt 2 is missing in the chain before this one"),
        ([0, 4], 2, "receipts 2 to 4 are missing in the chain before this one"),
        ([1, 2, 3, 4], 1, "receipt 1 is missing in the chain before this one"),
        ([0, 2, 1, 3, 4], 3, "receipt 2 of the chain stands after receipt 3: lines were swapped"),
        ([0, 1, 1, 2, 3, 4], 3, "receipt 2 of the chain stands twice in this file"),
        ([0, 1, 2, 3, 4, 0], 6, "receipt 1 of the chain stands after receipt 5: lines were swapped"),
    ],
)
async def test_a_gap_a_swap_and_a_repetition_are_found(tmp_path: Path, kept: list[int], line: int, text: str) -> None:
    keyring, lines = await lines_of(tmp_path, 5)
    assert fault_of(keys_of(keyring), b"".join(lines[number] for number in kept)) == Fault("a", line, text)


async def test_places_that_were_exchanged_are_found(tmp_path: Path) -> None:
    keyring, lines = await lines_of(tmp_path)
    second, third = (
        line.replace(b'"sequence":%d' % old, b'"sequence":%d' % new)
        for line, old, new in ((lines[1], 2, 3), (lines[2], 3, 2))
    )
    fault = fault_of(keys_of(keyring), lines[0] + third + second)
    assert fault == Fault("a", 2, "the signature does not fit: something was changed, or another key signed")


async def test_the_files_of_two_processes_make_one_chain(tmp_path: Path) -> None:
    store = MemoryStore()
    one, other = FileKeyring(tmp_path / "one"), FileKeyring(tmp_path / "other")
    for _ in range(3):
        for keyring in (one, other):
            await issue_some(store, verbs(store, keyring), TENANT, 1)
            await issue_some(store, verbs(store, keyring), OTHER, 1)
    files = [
        (tmp_path / name / f"receipts-{keyring.signer().key.kid}.jsonl").read_bytes()
        for name, keyring in (("one", one), ("other", other))
    ]
    for order in (files, files[::-1], [files[0], files[1], files[0]]):
        verdict = verdict_of(keys_of(one, other), *order)
        assert (verdict.ok, verdict.receipts, len(verdict.chains)) == (True, 12, 2)
    assert fault_of(keys_of(one, other), files[1]).text == "receipt 1 is missing in the chain before this one"
    kid = other.signer().key.kid
    fault = fault_of(keys_of(one), *files)
    assert fault == Fault("b", 1, f"the receipt names the key {kid}, which is not among those given")


async def test_a_foreign_chain_that_is_appended_is_found(tmp_path: Path) -> None:
    keyring, lines = await lines_of(tmp_path / "ours")
    stranger, theirs = await lines_of(tmp_path / "theirs")
    fault = fault_of(keys_of(keyring), b"".join(lines + theirs))
    assert (fault.line, fault.text.startswith("the receipt names the key")) == (4, True)
    # The same tenant's chain told twice, by a key that is trusted too:
    fault = fault_of(keys_of(keyring, stranger), b"".join(lines), b"".join(theirs))
    assert fault == Fault("b", 1, "another receipt has the place 1 of the chain: line 1 of a")


async def test_a_chain_that_another_key_signed_is_found(tmp_path: Path) -> None:
    keyring, lines = await lines_of(tmp_path / "ours")
    thief = FileKeyring(tmp_path / "thief").signer()
    previous, forged = json.loads(lines[0])["previous"], []
    for line in lines:
        forged.append(signed(thief, line, previous=previous, counts={"messages": 0}))
        previous = hash_of(forged[-1][:-1])
    kid = json.loads(lines[0])["kid"]
    assert kid == keyring.signer().key.kid
    assert verdict_of({kid: thief.key.public_key}, b"".join(forged)).ok  # only the key is not the one it says
    fault = fault_of(keys_of(keyring), b"".join(forged))
    assert fault == Fault("a", 1, "the signature does not fit: something was changed, or another key signed")


async def test_links_that_do_not_fit_are_found_even_when_they_are_signed(tmp_path: Path) -> None:
    keyring, lines = await lines_of(tmp_path)
    signer, keys = keyring.signer(), keys_of(keyring)
    zeros = json.loads(lines[0])["previous"]
    for place in (0, 1, 2):
        changed = [*lines]
        changed[place] = signed(signer, lines[place], previous=zeros[:-1] + "1")
        fault = fault_of(keys, b"".join(changed))
        assert fault == Fault("a", place + 1, "the receipt does not follow from the one before it in its chain")
    deletion = json.loads(lines[0])["deletion"]
    second = signed(signer, lines[1], deletion=deletion)
    assert fault_of(keys, lines[0] + second) == Fault("a", 2, f"{deletion} has a receipt already")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"sequence":1,', b'"sequence": 1,'),
        (b'"sequence":1,', b'"sequence":1.0,'),
        (b'"sequence":1,', b'"sequence":1,"sequence":1,'),
        (b'"kind":"session"', b'"kind":"s\\u0065ssion"'),
        (b'{"chats":1,"messages":3}', b'{"messages":3,"chats":1}'),
        (b'"bytes":"erased",', b'"bytes":"erased","more":1,'),
        (b'"version":1', b'"version":2'),
        (b'"reason":null,', b""),
        (b'"sequence":1,', b'"sequence":9007199254740993,'),
        (b'"mode":"cancel"', b'"mode":"\xff"'),
        (b'"mode":"cancel"', b'"mode":"\\ud800"'),
    ],
)
async def test_what_is_not_written_as_it_was_signed_is_found(tmp_path: Path, old: bytes, new: bytes) -> None:
    keyring, lines = await lines_of(tmp_path, 1)
    assert lines[0].count(old) == 1
    fault = fault_of(keys_of(keyring), lines[0].replace(old, new))
    assert (fault.file, fault.line) == ("a", 1)
    assert fault.text.startswith(("this is no receipt:", "the receipt is not in canonical form"))


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\n", b"[" * 100_000 + b"\n", b"1e999\n"])
async def test_lines_that_are_no_receipts_are_found(tmp_path: Path, line: bytes) -> None:
    keyring, lines = await lines_of(tmp_path, 1)
    assert fault_of(keys_of(keyring), lines[0] + line).text.startswith("this is no receipt:")


async def test_a_signature_has_one_text_only(tmp_path: Path) -> None:
    keyring, lines = await lines_of(tmp_path, 1)
    signature = json.loads(lines[0])["signature"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]  # the same 64 bytes to a careless reader
    for other in (twin, signature + "==", signature[:-1], ""):
        assert not verdict_of(keys_of(keyring), lines[0].replace(signature.encode(), other.encode())).ok


def test_nothing_is_nothing() -> None:
    assert verdict_of({}) == Verdict(0, (), None)
