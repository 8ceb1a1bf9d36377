"""The wheel holds the whole package: also the files that are not Python."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.tidy.project import ROOT, metadata, project_files


def missing_in(names: list[str], paths: list[str]) -> list[str]:
    """Files of the package that an archive does not hold."""
    return [path for path in paths if path.removeprefix("src/") not in names]


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    package = [path for path in project_files() if path.startswith("src/antiphon/")]
    assert {Path(path).suffix for path in package} >= {".py", ".sql", ".typed"}
    assert missing_in(names, package) == []


def test_missing_files_are_found() -> None:
    paths = ["src/antiphon/app.py", "src/antiphon/stores/a.sql"]
    assert missing_in(["antiphon/app.py"], paths) == ["src/antiphon/stores/a.sql"]


def test_the_command_is_antiphon() -> None:
    assert metadata()["project"]["scripts"] == {"antiphon": "antiphon.app:main"}
