"""What is written is read back: ids, times and keys, for values that nobody would think of."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain import ids, keys, times

uids = st.binary(min_size=16, max_size=16)
moments = st.integers(times.from_text("0001-01-01"), times.from_text("9999-12-31T23:59:59.999999"))
uid7s = st.integers(0, 2**48 * 1_000 - 1).map(ids.new_uid7)


@given(uids)
def test_the_text_of_a_uuid(uid: bytes) -> None:
    text = ids.text_of(uid)
    assert text == str(uuid.UUID(bytes=uid))
    assert ids.parse_uuid(text) == ids.parse_uuid(text.upper()) == uid
    assert ids.is_canonical_uuid(text)
    assert ids.is_canonical_uuid(text.upper()) == (text == text.upper())


@given(st.text(max_size=40) | st.from_regex(r"\s?[0-9a-f]{8}-([0-9A-F]{4}-){3}[0-9a-f]{12}.?\n?", fullmatch=True))
def test_what_is_no_uuid(text: str) -> None:
    uid = ids.parse_uuid(text)
    assert (uid is None) or ids.text_of(uid) == text.lower()


@pytest.mark.parametrize("change", ["{}\n", " {}", "{{{}}}", "urn:uuid:{}"])
def test_what_surrounds_a_uuid_makes_it_none(change: str) -> None:
    text = change.format(ids.new_public_id())
    assert ids.parse_uuid(text) is None
    assert not ids.is_canonical_uuid(text)


@given(uid7s)
def test_the_short_text_of_a_uuid7(uid: bytes) -> None:
    text = ids.short_of(uid)
    assert len(text) == 21
    assert ids.parse_short(text) == uid
    assert uuid.UUID(bytes=uid).version == 7
    assert uuid.UUID(bytes=uid).variant == uuid.RFC_4122


@given(st.from_regex(r"[A-Za-z0-9_-]{21}", fullmatch=True))
def test_each_id_has_one_short_text(text: str) -> None:
    uid = ids.parse_short(text)
    assert uid is None or ids.short_of(uid) == text


@given(st.text(max_size=30) | st.from_regex(r"\s?[A-Za-z0-9_-]{20}[AQgw].?\n?", fullmatch=True))
def test_what_is_no_short_text(text: str) -> None:
    uid = ids.parse_short(text)
    assert uid is None or ids.short_of(uid) == text


def test_ids_of_one_process_rise_also_on_many_threads_and_with_a_clock_that_steps_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun_at = times.now()
    monkeypatch.setattr(times, "now", lambda: begun_at - threading.get_ident() % 1_000)
    made: list[list[bytes]] = [[] for _ in range(4)]

    def make(into: list[bytes]) -> None:
        into.extend(ids.new_uid7() for _ in range(2_000))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(into == sorted(into) for into in made)
    assert len({uid for into in made for uid in into}) == 8_000


def test_an_id_says_when_it_was_made() -> None:
    moment = times.from_text("2030-01-02T03:04:05.678901")
    uid = ids.new_uid7(moment)
    assert int.from_bytes(uid[:6], "big") == moment // 1_000
    assert ids.new_uid7(moment + 1) > uid


def test_ids_of_our_choosing_have_the_form_of_their_wire() -> None:
    assert {uuid.UUID(ids.new_public_id()).version for _ in range(50)} == {4}
    assert all(ids.is_canonical_uuid(ids.new_public_id()) for _ in range(50))
    nanos = {ids.new_nano_id() for _ in range(50)}
    assert len(nanos) == 50
    assert all(len(nano) == 21 and set(nano) <= set("-_") | set(map(chr, range(48, 123))) for nano in nanos)


@given(moments)
def test_the_text_of_a_time(moment: int) -> None:
    text = times.text_of(moment)
    assert times.from_text(text) == moment
    assert datetime.fromisoformat(text).tzinfo is not None
    assert ("." in text) == (moment % times.SECOND != 0)
    assert text.endswith("Z")


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),  # noqa: DTZ001  the zone is drawn below
    st.integers(-23 * 60, 23 * 60),
)
def test_a_time_in_any_zone_is_the_same_moment(naive: datetime, offset: int) -> None:
    zoned = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))
    assert times.from_text(zoned.isoformat()) == times.from_datetime(zoned)
    assert times.from_datetime(zoned) == times.from_datetime(naive) - offset * 60 * times.SECOND
    assert times.from_datetime(naive) == times.from_datetime(naive.replace(tzinfo=UTC))


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "2026-02-30T00:00Z", "0000-01-01", "10000-01-01", "12:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        times.from_text(text)


@given(uids, uids, st.binary(min_size=32, max_size=32))
def test_the_text_of_a_key(tenant_id: bytes, key_id: bytes, secret: bytes) -> None:
    text = keys.write_text(tenant_id, key_id, secret)
    assert keys.read_text(text) == keys.KeyText(tenant_id, key_id, secret)
    assert text.startswith("ant_")
    assert len(text) == 90


@given(st.text(max_size=100) | st.from_regex(r"\s?ant_[A-Za-z0-9_-]{85,87}=?\n?", fullmatch=True))
def test_what_is_no_key(text: str) -> None:
    parts = keys.read_text(text)
    if parts is not None:
        assert len(text) == 90
        assert (len(parts.tenant_id), len(parts.key_id), len(parts.secret)) == (16, 16, 32)


def test_of_a_secret_only_its_hash_is_needed() -> None:
    secret = keys.new_secret()
    stored = keys.hash_of(secret)
    assert secret not in stored
    assert len(stored) == 32
    assert keys.matches(secret, stored)
    assert not keys.matches(secret[:-1] + bytes([secret[-1] ^ 1]), stored)
    assert not keys.matches(b"", stored)
    assert keys.new_secret() != secret


def test_a_key_s_id_is_shown_as_one() -> None:
    key_id = ids.new_uid7()
    assert ids.parse_uuid(keys.show_id(key_id).removeprefix("key_")) == key_id
