"""What both indexes of texts are made of: the runs of three characters of a text in lowercase."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from antiphon.domain import limits
from antiphon.domain.ids import Uid

_RUN = 3
_BYTES = 4  # a character in UTF-32
_HALF, _WHOLE = 1 << 31, 1 << 32


def runs_of(pieces: Sequence[str]) -> list[str]:
    """The runs of pieces in lowercase, in order, without repetition: at most SEARCH_RUNS of them, evenly chosen."""
    runs = list(dict.fromkeys(piece[i : i + _RUN] for piece in pieces for i in range(len(piece) - _RUN + 1)))
    count = min(len(runs), limits.SEARCH_RUNS)
    return [runs[i * len(runs) // count] for i in range(count)]


def hashes_of(tenant_id: Uid, text: str) -> list[int]:
    """A hash of 32 bits with a sign for each run of a text in lowercase, each once; other ones in each tenant."""
    salt = crc32(tenant_id)
    units = text.encode("utf-32-le", "surrogatepass")
    step = _RUN * _BYTES
    found = {crc32(units[at : at + step], salt) for at in range(0, len(units) - step + 1, _BYTES)}
    return [number - _WHOLE if number >= _HALF else number for number in found]
