"""The short form of a UUIDv7, by itself and many at once."""

from __future__ import annotations

import pytest

from antiphon.domain import ids

SMALLEST = bytes.fromhex("00000000000070008000000000000000")
LARGEST = bytes.fromhex("ffffffffffff7fffbfffffffffffffff")


@pytest.mark.parametrize(
    ("uid", "short"),
    [
        (SMALLEST, "A" * 21),
        (LARGEST, "_" * 20 + "w"),  # 122 bits are 20 characters of six and one of two
        (bytes.fromhex("0190f5e1a2b37c4d9e5f60718293a4b5"), None),
    ],
)
def test_the_short_form_has_a_way_back(uid: bytes, short: str | None) -> None:
    assert short is None or ids.short_of(uid) == short
    assert ids.parse_short(ids.short_of(uid)) == uid


def test_many_are_written_as_each_by_itself() -> None:
    uids = [ids.new_uid7(moment * 1_000_003) for moment in range(100)]
    assert ids.shorts_of(uids) == [ids.short_of(uid) for uid in uids]
    assert len(set(ids.shorts_of(uids))) == 100
    assert ids.shorts_of([]) == []


def test_no_short_form_borrows_bits_of_its_neighbours() -> None:
    assert ids.shorts_of([LARGEST, SMALLEST, LARGEST]) == ["_" * 20 + "w", "A" * 21, "_" * 20 + "w"]
