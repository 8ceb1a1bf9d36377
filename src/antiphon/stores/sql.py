"""SQL lives in files: each statement under a line `-- name: …` and a sentence that says what it is for."""

from __future__ import annotations

import re
from importlib.resources.abc import Traversable

_HEAD = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load_statements(folder: Traversable) -> dict[str, str]:
    """All statements of a folder's `.sql` files, by name; comments are left out.

    Raises ValueError for a name that is used twice.
    """
    found: dict[str, str] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        _, *pieces = _HEAD.split(file.read_text(encoding="utf-8"))
        for name, text in zip(pieces[::2], pieces[1::2], strict=True):
            if name in found:
                raise ValueError(f"two statements are named {name}")
            lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
            found[name] = "\n".join(lines).strip().removesuffix(";")
    return found
