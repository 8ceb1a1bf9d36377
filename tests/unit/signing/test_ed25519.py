"""The keys in a data directory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from antiphon.domain.errors import StoreFailed, StoreUnavailable
from antiphon.signing.ed25519 import KEY_FILE, FileKeyring, read_public_keys, verify_signature


def test_the_private_half_is_for_its_owner_and_the_public_one_for_all(tmp_path: Path) -> None:
    before = os.umask(0o277)  # the modes are ours, whatever the process's mask is
    try:
        key = FileKeyring(tmp_path).signer().key
    finally:
        os.umask(before)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / f"receipts-{key.kid}.pub").stat().st_mode & 0o777 == 0o644
    assert {path.name for path in tmp_path.iterdir()} == {KEY_FILE, f"receipts-{key.kid}.pub"}


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    first, again = FileKeyring(tmp_path / "data").signer(), FileKeyring(tmp_path / "data").signer()
    assert (first.key.kid, first.key.public_key) == (again.key.kid, again.key.public_key)
    assert first.sign(b"words") == again.sign(b"words")
    assert first.key.kid == hashlib.sha256(urlsafe_b64decode(first.key.public_key + "=")).hexdigest()[:16]
    assert [key.kid for key in FileKeyring(tmp_path / "data").public_keys()] == [first.key.kid]


def test_processes_that_start_at_once_get_one_key(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from antiphon.signing.ed25519 import FileKeyring
print("imported", flush=True)
sys.stdin.readline()
print(FileKeyring(Path(sys.argv[1])).signer().key.kid)
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "imported\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    kids = {child.communicate(timeout=60)[0].strip() for child in children}
    assert kids == {FileKeyring(tmp_path / "data").signer().key.kid}
    assert len(list((tmp_path / "data").glob("*.pub"))) == 1


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666])
def test_a_key_that_is_open_to_others_is_closed(tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    key = FileKeyring(tmp_path).signer().key
    (tmp_path / KEY_FILE).chmod(mode)
    assert FileKeyring(tmp_path).signer().key.kid == key.kid
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert FileKeyring(tmp_path).signer().key.kid == key.kid
    assert [record.message for record in caplog.records] == ["key of receipts was open to others"]


def test_a_rotation_removes_the_private_half_and_keeps_the_public_one(tmp_path: Path) -> None:
    keyring = FileKeyring(tmp_path)
    old = keyring.signer()
    secret = (tmp_path / KEY_FILE).read_bytes()
    new = keyring.rotate()
    assert keyring.signer().key.kid == new.key.kid != old.key.kid
    assert {key.kid for key in keyring.public_keys()} == {old.key.kid, new.key.kid}
    assert [path.name for path in tmp_path.iterdir() if path.read_bytes() == secret] == []
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_what_a_crash_left_of_a_new_key_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / f"{KEY_FILE}.new").write_text("half a key")
    keyring = FileKeyring(tmp_path)
    keyring.signer()
    assert not (tmp_path / f"{KEY_FILE}.new").exists()


@pytest.mark.parametrize("content", [b"", b"\xff", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_never_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(StoreFailed, match="is no Ed25519 key"):
        FileKeyring(tmp_path).signer()
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StoreUnavailable, match="data"):
        FileKeyring(tmp_path / "data").signer()


def test_signatures_are_checked(tmp_path: Path) -> None:
    signer = FileKeyring(tmp_path / "one").signer()
    other = FileKeyring(tmp_path / "other").signer()
    signature = signer.sign(b"words")
    assert verify_signature(signer.key.public_key, signature, b"words")
    assert not verify_signature(signer.key.public_key, signature, b"Words")
    assert not verify_signature(other.key.public_key, signature, b"words")
    for bad in ("", "AAAA", "é" * 43, signer.key.public_key + "AAAA"):
        assert not verify_signature(bad, signature, b"words")
    assert not verify_signature(signer.key.public_key, b"", b"words")


# RFC 8032, section 7.1, tests 1 to 3.
@pytest.mark.parametrize(
    ("secret", "public", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            (
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595b"
                "be24655141438e7a100b"
            ),
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            (
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430"
                "2aeeb00d291612bb0c00"
            ),
        ),
    ],
)
def test_keys_are_those_of_rfc_8032(tmp_path: Path, secret: str, public: str, message: str, signature: str) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    (tmp_path / KEY_FILE).write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    signer = FileKeyring(tmp_path).signer()
    assert urlsafe_b64decode(signer.key.public_key + "=").hex() == public
    assert signer.sign(bytes.fromhex(message)).hex() == signature
    assert verify_signature(signer.key.public_key, bytes.fromhex(signature), bytes.fromhex(message))


def test_public_keys_are_read_from_every_form_in_which_we_show_them(tmp_path: Path) -> None:
    keyring = FileKeyring(tmp_path)
    keys = [keyring.signer().key, keyring.rotate().key]
    wanted = {(key.kid, key.public_key) for key in keys}
    files = [(tmp_path / f"receipts-{key.kid}.pub").read_bytes() for key in keys]
    listed = json.dumps({"items": [{"kid": key.kid, "public_key": key.public_key} for key in keys]}, indent=1)
    for content in (b"".join(files), listed.encode(), "\n".join(key.public_key for key in keys).encode()):
        assert {(key.kid, key.public_key) for key in read_public_keys(content)} == wanted
    private = (tmp_path / KEY_FILE).read_bytes()
    assert read_public_keys(private) == read_public_keys(private + files[0]) == []
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = elliptic.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for content in (pem, b"", b"\xff", files[0].replace(b"M", b"N", 1), b"a" * 42, b"a" * 44):
        assert read_public_keys(content) == []
