"""Times as text: the same as what `datetime` writes, for every part that can be wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from antiphon.domain import times


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00Z",
        "0999-12-31T23:59:59.999999Z",
        "1969-12-31T23:59:59.000001Z",
        "1970-01-01T00:00:00Z",
        "2024-02-29T12:30:05.000100Z",
        "2026-11-21T09:05:59Z",
        "9999-12-31T23:59:59.999999Z",
    ],
)
def test_a_time_is_written_as_it_was_read(text: str) -> None:
    assert times.text_of(times.from_text(text)) == text


def test_every_minute_of_a_day_is_written() -> None:
    first = times.from_datetime(datetime(2026, 11, 21, tzinfo=UTC))
    for minute in range(24 * 60):
        moment = first + minute * 60 * times.SECOND + minute
        written = datetime.fromisoformat(times.text_of(moment))
        assert times.from_datetime(written) == moment


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_what_lies_outside_the_years_1_to_9999_is_refused(text: str) -> None:
    step = -1 if text.startswith("0001") else 1
    with pytest.raises(OverflowError):
        times.text_of(times.from_text(text) + step)
