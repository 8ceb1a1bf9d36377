"""A sandbox on this machine, in each way that works here."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.core.ports.sandboxes import Command, CommandEnd
from antiphon.domain.errors import SandboxFailed
from antiphon.domain.ids import Uid, new_uid7
from antiphon.sandbox import bubblewrap
from antiphon.sandbox.bubblewrap import BubblewrapSandboxes
from antiphon.sandbox.confinement import Confinement, candidates
from antiphon.stores.contract.worlds import until

SECONDS = 20.0
REFUSAL = "commands cannot be confined on this machine, and nothing is run unconfined"


class Box:
    """One session's sandbox, and what is around it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.provider = BubblewrapSandboxes(data_dir)
        self.tenant_id: Uid = new_uid7()
        self.key: Uid = new_uid7()

    @property
    def work(self) -> Path:
        return self.data_dir / "sandboxes" / self.tenant_id.hex() / self.key.hex()

    async def run(self, script: str, seconds: float = SECONDS) -> CommandEnd:
        command = Command(("/bin/sh", "-c", script), seconds=seconds)
        return await self.provider.run(self.tenant_id, self.key, command)

    async def begun(self) -> None:
        """Wait until a command has made the file `begun`."""

        async def is_there() -> bool:
            return (self.work / "begun").exists()

        await until(is_there, "the command has begun")

    async def says(self, script: str) -> str:
        """What a script writes that ends well."""
        end = await self.run(script)
        assert (end.exit_code, end.stderr, end.reason) == (0, b"", None)
        return end.stdout.decode()


async def open_box(data_dir: Path) -> Box:
    """A box that works. Where none can, that is shown: the refusal, and a test that is expected to fail for it."""
    box = Box(data_dir)
    await box.provider.prepare(box.tenant_id, box.key)
    try:
        await box.run("true")
    except SandboxFailed as refusal:
        if not refusal.message.startswith(REFUSAL):
            raise
        pytest.xfail(refusal.message)  # the refusal was shown: nothing can be confined here
    return box


@pytest.fixture(params=["the first way", "an ordinary user's way"])
async def box(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Box]:
    """A sandbox, once as this process makes it and once, where that is another way, as an ordinary user would."""
    ways = candidates()
    if request.param != "the first way":
        if os.geteuid() != 0:
            pytest.skip("that is the first way here")  # and has been tested as such
        bwrap = ways[0].bwrap if ways else "bwrap"
        monkeypatch.setattr(bubblewrap, "candidates", lambda: [Confinement(bwrap)])
    made = await open_box(tmp_path / "data")
    yield made
    await made.provider.close()


@pytest.fixture
async def counted(tmp_path: Path) -> AsyncIterator[Box]:
    """A sandbox as this process makes it."""
    made = await open_box(tmp_path / "data")
    yield made
    await made.provider.close()
