"""What a body costs to read is bounded before it is read."""

from __future__ import annotations

import pytest

from antiphon.api.http import decode_json
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput


def test_as_many_containers_as_allowed_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JSON_CONTAINERS", 3)
    assert decode_json(b'{"a":[{}]}') == {"a": [{}]}


def test_one_container_more_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JSON_CONTAINERS", 3)
    with pytest.raises(InvalidInput, match="more than 3"):
        decode_json(b'{"a":[{},[]]')
