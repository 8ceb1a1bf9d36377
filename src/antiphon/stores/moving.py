"""Moving a whole instance from SQLite to PostgreSQL: which tables are copied, in which order, and how each reads there.

The list comes from the deletion graph, so that no table is forgotten: one that is not copied stands in `LEFT` with the
reason. A column is copied under its name; what has another form there stands in `FORMS`, as an expression over the
source's row. `digest_of_rows` does not depend on an order, since the two databases have different ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from antiphon.domain.errors import StoreFailed
from antiphon.stores.graph import GRAPH

LEFT = {
    "schema_migrations": "each database has its own",
    "moves": "how far the move itself has come",
    "texts": "made anew from the messages",
    "message_vectors": "likewise",
}
"""Tables of which nothing is copied, and why."""

_ORDER_KEY = "order_key(num)"
FORMS: Mapping[str, Mapping[str, str]] = {
    "messages": {"chat_key": "(SELECT key FROM chats WHERE num = place >> 23)", "seq": "place & 8388607"},
    "members": {"join_key": _ORDER_KEY},
    "conclusions": {"key": _ORDER_KEY, "model": "NULL", "vector": "NULL"},
    "deletions": {"cursor": "NULL"},
    "chats": {
        "text_seq": "0",
        "vectors_seq": "0",
        "text_due": "CASE WHEN last_seq > 0 THEN updated_at END",
        "vectors_due": "CASE WHEN last_seq > 0 THEN updated_at END",
    },
}
"""Columns that read otherwise there. A place in an order is a key; what is made from messages is due to be made; a
purge that was under way begins anew, which does no harm."""

_CODES: Mapping[str, Callable[[Any], Any]] = {
    "boolean": bool,
    "interval": lambda micros: timedelta(microseconds=micros),
}
_MODULUS = 2**256

Row = Sequence[Any]


class Table(msgspec.Struct, frozen=True):
    """A table of the target: its columns, in order, with their types there."""

    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [name for name, _ in self.columns]

    def query(self, has: frozenset[str], order: str) -> str:
        """The statement that reads the source's rows in the target's form, but for `coded`, from an offset on.

        `has` are the source's columns. Raises StoreFailed for a column that is not there and has no form.
        """
        forms = FORMS.get(self.name, {})
        if missing := [name for name in self.names if name not in forms and name not in has]:
            raise StoreFailed(f"nothing says how {self.name}.{missing[0]} is copied")
        texts = ", ".join(forms.get(name, name) for name in self.names)
        return f"SELECT {texts} FROM {self.name} ORDER BY {order} LIMIT -1 OFFSET ?"  # noqa: S608  names of ours

    def coded(self, row: Row) -> tuple[Any, ...]:
        """A row of the source with the values that the target's driver takes."""
        return tuple(
            value if value is None or kind not in _CODES else _CODES[kind](value)
            for value, (_, kind) in zip(row, self.columns, strict=True)
        )


def copied_tables() -> list[str]:
    """The tables to be copied, parents before children."""
    order: list[str] = []
    waiting = [limb for limb in GRAPH if limb.table not in LEFT]
    while waiting:
        ready = [limb for limb in waiting if all(edge.parent in {*order, limb.table} for edge in limb.edges)]
        order += [limb.table for limb in ready]
        waiting = [limb for limb in waiting if limb not in ready]
    return order


def order_key(num: int) -> bytes:
    """A UUIDv7 of the year 1970: such keys stand in the order of the numbers, before every one that is made later."""
    return ((7 << 76) | (2 << 62) | (num & ((1 << 62) - 1))).to_bytes(16, "big")


def digest_of_rows(rows: Iterable[Row], digest: int = 0) -> int:
    """A sum over all rows: the same in whichever order they come. Begins with what earlier rows have come to."""
    for row in rows:
        content = msgspec.msgpack.encode([value if type(value) is not timedelta else str(value) for value in row])
        digest += int.from_bytes(hashlib.sha256(content).digest(), "big")
    return digest % _MODULUS
