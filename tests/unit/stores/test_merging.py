"""Configurations merge by top-level key, and what is not touched keeps its every digit."""

from __future__ import annotations

import pytest

from antiphon.stores.merging import merge


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        ('{"a":1}', None, '{"a":1}'),
        ('{"a": 1}', "{}", '{"a": 1}'),
        ("{}", '{"a":1}', '{"a":1}'),
        ('{"b":1,"a":{"x":1}}', '{"a":{"y":2},"c":null}', '{"b":1,"a":{"y":2},"c":null}'),
        ('{"n":1.10,"big":123456789012345678901234567890,"huge":1e400}', '{"é":"\\u00e9"}', None),
    ],
)
def test_the_new_is_put_over_the_old(old: str, new: str | None, merged: str | None) -> None:
    expected = old[:-1] + "," + (new or "")[1:] if merged is None else merged
    assert merge(old, new) == expected
