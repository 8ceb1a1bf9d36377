"""The unit for systemd, carried out as it says: its command in its environment, and its signal at the end."""

from __future__ import annotations

import shlex
from configparser import ConfigParser
from pathlib import Path

from tests.server_process import ServerProcess
from tests.tidy.project import text_of


def unit() -> ConfigParser:
    """The unit; of a repeated name the last."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text_of("examples/systemd/antiphon.service"))
    return parser


def test_the_unit_starts_a_server_that_ends_at_its_signal(tmp_path: Path) -> None:
    service = unit()["Service"]
    program, *words = shlex.split(service["ExecStart"])
    name, _, place = service["Environment"].partition("=")
    assert (Path(program).name, words) == ("antiphon", ["serve"])
    assert (name, place) == ("ANTIPHON_DATA_DIR", f"/var/lib/{service['StateDirectory']}")
    with ServerProcess(tmp_path / "data") as server:
        server.ask_to_stop()
        assert server.child.wait(int(service["TimeoutStopSec"])) == 0
