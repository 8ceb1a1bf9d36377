"""What may be stored, and what may name a thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain import limits, texts
from antiphon.domain.errors import InvalidInput
from antiphon.domain.tenants import check_name

any_text = st.text(st.characters() | st.sampled_from("\x00\ud800\udfff"), max_size=20)


@given(any_text)
def test_what_is_storable_comes_through_utf_8(text: str) -> None:
    is_whole = text.encode(errors="ignore").decode() == text and "\x00" not in text
    assert texts.is_storable(text) == is_whole


@pytest.mark.parametrize("text", ["", "a", "🦜" * 10, "\x01\x7f\n\t", "\ufeff\u202e", "\ufffe"])
def test_odd_texts_are_storable(text: str) -> None:
    assert texts.is_storable(text)
    assert texts.check_text(text, "title", 10) is text


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "a\udfff", "\ud83e\udd9c", "x" * 11])
def test_what_is_not_storable_or_too_long_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        texts.check_text(text, "title", 10)
    assert refusal.value.field == "title"
    assert "title" in refusal.value.message
    assert text not in refusal.value.message


@pytest.mark.parametrize("text", ["a", " ", "a/b", "%00", "🦜" * 512, "x" * 512, "ä" * 512])
def test_what_may_be_a_client_s_id(text: str) -> None:
    assert texts.is_client_id(text)


@pytest.mark.parametrize("text", ["", "x" * 513, "🦜" * 513, "a\x00", "\ud800"])
def test_what_may_not_be_a_client_s_id(text: str) -> None:
    assert not texts.is_client_id(text)


def test_an_id_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_ID_BYTES", 10)
    assert texts.is_client_id("ä" * 5)
    assert not texts.is_client_id("ä" * 5 + "a")


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 512, "-", "_"])
def test_what_may_name_a_tenant(name: str) -> None:
    assert check_name(name) is name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a.b", "ä", "a\n", "x" * 513, "٣"])
def test_what_may_not_name_a_tenant(name: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_name(name)
    assert refusal.value.field == "name"
