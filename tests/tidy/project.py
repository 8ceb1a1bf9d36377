"""What the rules are applied to: the files of this checkout, as paths relative to its root and their texts."""

from __future__ import annotations

import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@cache
def project_files() -> dict[str, str]:
    """Every text file that git has, or would take with the next `git add`, by its path.

    Without git, or outside a repository (an unpacked archive), every file that is not in a hidden folder.
    """
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, check=False)
    if listing.returncode == 0:
        paths = [path for path in listing.stdout.decode().split("\0") if path]
    else:
        files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        paths = [str(path) for path in files if not any(part.startswith(".") for part in path.parts[:-1])]
    found = {}
    for path in sorted(set(paths)):
        try:
            found[path] = (ROOT / path).read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            continue  # deleted and not yet committed, or no text
    return found


def files_under(folder: str, suffix: str) -> dict[str, str]:
    """The files in a folder whose names end so; AssertionError when there is none, for nothing proves nothing."""
    found = {p: t for p, t in project_files().items() if p.startswith(f"{folder}/") and p.endswith(suffix)}
    assert found, f"no {suffix} file under {folder}"
    return found


def text_of(path: str) -> str:
    """The text of one file, which must be there."""
    assert path in project_files(), f"{path} is missing"
    return project_files()[path]


def metadata() -> dict[str, Any]:
    """pyproject.toml, parsed."""
    return tomllib.loads(text_of("pyproject.toml"))
