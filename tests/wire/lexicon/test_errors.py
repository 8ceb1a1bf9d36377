"""The table of errors: it has every code that there is, and nothing that this wire does not know."""

from __future__ import annotations

import re

from antiphon.api.http import InternalFault
from antiphon.api.lexicon.errors import ANSWERS, UpgradeRequired, answer_of, details_of, refuse
from antiphon.api.routing import MethodNotAllowed, RouteNotFound
from antiphon.domain import errors, times
from antiphon.domain.errors import AntiphonError

OF_THE_API = {InternalFault.code, RouteNotFound.code, MethodNotAllowed.code, UpgradeRequired.code}
CLOSE_CODES = {1011, 4401, 4403, 4404, 4429}
EVENT_CODES = {
    "AUTH_ERROR",
    "CHAT_NOT_FOUND",
    "CONNECTION_LIMIT_EXCEEDED",
    "INVALID_MESSAGE",
    "RATE_LIMIT_EXCEEDED",
    "AI_ERROR",
    "INTERNAL_ERROR",
}


def kinds_of(kind: type[AntiphonError]) -> set[type[AntiphonError]]:
    """The kind and all below it that the domain knows."""
    found = {kind}.union(*(kinds_of(below) for below in kind.__subclasses__()))
    return {each for each in found if each.__module__ == errors.__name__}


def test_every_error_of_the_domain_has_a_row_and_every_row_an_error() -> None:
    codes = {kind.code for kind in kinds_of(AntiphonError)}
    assert len(codes) > 25
    assert set(ANSWERS) == codes | OF_THE_API


def test_every_row_is_in_the_words_of_this_wire() -> None:
    for code, row in ANSWERS.items():
        assert re.fullmatch(r"[A-Z_]+", row.error_code), code
        assert 400 <= row.status < 600, code
        assert row.fix, code
        assert row.event_code in EVENT_CODES, code
        assert row.close_code in CLOSE_CODES, code


def test_422_never_appears() -> None:
    assert 422 not in {row.status for row in ANSWERS.values()}


def test_an_error_that_nobody_thought_of_is_internal() -> None:
    class Unheard(AntiphonError):
        code = "unheard"

    assert answer_of(Unheard())[:2] == (500, "INTERNAL_ERROR")


def test_the_conflict_names_how_many_and_until_when() -> None:
    until = times.from_text("2025-03-04T09:12:07Z")
    details = details_of(errors.ChatHasActiveConnections(3, until))
    assert details["active_connections"] == 3
    assert details["until"] == "2025-03-04T09:12:07Z"
    assert details["fix"]


def test_what_passes_by_itself_says_when_to_try_again() -> None:
    assert (b"retry-after", b"1") in refuse(errors.StoreUnavailable()).headers
    assert (b"retry-after", b"17") in refuse(errors.RateLimitExceeded(17)).headers
    assert b"retry-after" not in dict(refuse(errors.StoreFailed()).headers)
