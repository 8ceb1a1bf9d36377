"""The watch over all logs sees what it is there for."""

from __future__ import annotations

import logging

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.domain.errors import AntiphonError
from antiphon.domain.ids import new_uid7
from antiphon.domain.messages import USER, Draft
from tests.log_watch import WATCH


async def test_what_a_request_says_is_looked_for(http: httpx.AsyncClient) -> None:
    key = "k" * 40
    await http.post("/api/sessions", json={"title": "nobody may read this"}, headers={"x-api-key": key})
    assert WATCH.found_in('{"message":"x nobody may read this y"}') == ["nobody may read this"]
    assert WATCH.found_in(f"key={key}") == [key]
    assert WATCH.found_in("nobody may") == []


async def test_what_is_said_on_a_socket_is_looked_for(instance: Instance) -> None:
    with pytest.raises(AntiphonError):
        await instance.messages.append(new_uid7(), new_uid7(), [Draft("ann", USER, 'a "quoted" word or two')])
    assert WATCH.found_in(r'{"text":"a \"quoted\" word or two"}') == [r"a \"quoted\" word or two"]


@pytest.mark.parametrize("text", ["ant_" + "A" * 60, "eyJ" + "a" * 30 + "." + "b" * 30, "whsec_" + "c" * 32])
def test_secrets_are_known_by_their_form(text: str) -> None:
    assert WATCH.found_in(f'{{"error":"{text} is bad"}}') == [text]
    assert WATCH.found_in("Traceback (most recent call last):") == ["Traceback (most recent call last)"]


def test_lines_of_this_process_are_kept() -> None:
    logging.getLogger("antiphon.test").info("it was kept", extra={"count": 3})
    logging.getLogger("elsewhere").warning("this too, without %s", "its arguments")
    assert ['"it was kept"' in WATCH.lines[0], '"count":3' in WATCH.lines[0]] == [True, True]
    assert '"this too, without %s"' in WATCH.lines[1]
