"""How configurations are merged, the same in every store."""

from __future__ import annotations

import msgspec

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def merge(old: str, new: str | None) -> str:
    """A JSON object with the top-level keys of another put over it; both as text, their values untouched."""
    if new is None or new == "{}":
        return old
    return msgspec.json.encode(_OBJECT.decode(old) | _OBJECT.decode(new)).decode()
