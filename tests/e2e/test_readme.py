"""The README's tour, run as a newcomer pastes it: against a server that was just started, in one shell."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.curl import stand_in_for_curl
from tests.scripted_model import ScriptedModel
from tests.server_process import ServerProcess, environment
from tests.tidy.project import text_of

CUT = "--- cut here ---"


def tour() -> list[str]:
    """The blocks that are to be pasted into a shell."""
    return re.findall(r"^```sh\n(.*?)^```", text_of("README.md"), re.MULTILINE | re.DOTALL)


def command_folder(tmp_path: Path) -> Path:
    """A folder with what the tour calls: `antiphon`, and `curl` where there is none."""
    folder = tmp_path / "bin"
    folder.mkdir()
    programs = {"antiphon": f'#!/bin/sh\nexec {sys.executable} -m antiphon "$@"\n'}
    programs |= stand_in_for_curl()
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def run_tour(server: ServerProcess, tmp_path: Path) -> list[str]:
    """What each block prints, run one after the other in one shell that stops at the first failure."""
    folder = command_folder(tmp_path)
    script = f"\necho '{CUT}'\n".join(tour())
    places = {"python": sys.executable, "antiphon": f"{folder}/antiphon"}
    script = re.sub(r"\.venv/bin/(\w+)", lambda found: places[found[1]], script)
    script = script.replace("127.0.0.1:8000", server.url.removeprefix("http://"))
    env = environment(server.data_dir, KEY=server.key("user"))
    env["PATH"] = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout.split(f"{CUT}\n")


@pytest.mark.parametrize("words", ["make serve", "make test", "export KEY=ant_…"])
def test_the_tour_is_told_from_the_start(words: str) -> None:
    assert words in text_of("README.md")


async def test_the_tour_works_as_pasted(tmp_path: Path) -> None:
    async with ScriptedModel().serving() as model:
        with ServerProcess(tmp_path / "data", ANTIPHON_MODEL_URL=model.url) as server:
            outputs = await asyncio.to_thread(run_tour, server, tmp_path)
    _, recoup, lexicon, honcho, forget, keys = outputs
    assert recoup.count('"id":"notes"') == 2
    assert "You said: Name a harbour town." in lexicon
    assert "message_stream_ended" in lexicon
    assert lexicon.count("Name a harbour town.") >= 3  # streamed, and stored from both sides
    assert "Is the ferry in?" in honcho
    assert "Not yet." in honcho
    assert '"CHAT_NOT_FOUND"' in forget
    assert "ferry" not in forget
    assert forget.count("del_") == 2
    assert "key_" in keys
    assert '"title":"Harbour"' in recoup
