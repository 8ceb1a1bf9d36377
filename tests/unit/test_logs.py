"""The log: one line an event, no words of exceptions, cheap to write and never in the way."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from antiphon.api.logs import LogWriter, access, start_logs
from antiphon.domain import limits


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def usual_logs() -> Iterator[None]:
    """What `start_logs` changes, put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("antiphon")
    before = (root.handlers[:], root.level, ours.level)
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(out: io.StringIO) -> None:
    writer = start_logs(out, "info")
    logging.getLogger("antiphon.core.x").info("it happened", extra={"deletion": "d1", "count": 3})
    writer.flush()
    (line,) = lines(out)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "antiphon.core.x",
        "message": "it happened",
        "deletion": "d1",
        "count": 3,
    }


def test_a_request_is_one_line_of_json(out: io.StringIO) -> None:
    writer = start_logs(out, "info")
    access.info("request", extra={"route": "/healthz", "status": 200, "ms": 0.1})
    writer.flush()
    (line,) = lines(out)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "antiphon.access",
        "message": "request",
        "route": "/healthz",
        "status": 200,
        "ms": 0.1,
    }


def test_other_handlers_see_requests_like_any_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "antiphon.access"):
        access.info("request %s", "x", extra={"status": 200})
    (record,) = caplog.records
    assert (record.getMessage(), record.levelname, vars(record)["status"]) == ("request x", "INFO", 200)


def test_a_person_at_a_terminal_reads_a_line() -> None:
    out = Terminal()
    writer = start_logs(out, "info")
    access.info("request", extra={"status": 200, "tenant": None})
    writer.flush()
    (line,) = out.getvalue().splitlines()
    assert "request" in line
    assert "status=200" in line
    assert "tenant" not in line
    assert "{" not in line


def test_of_an_exception_only_its_type_and_place_are_told(out: io.StringIO) -> None:
    writer = start_logs(out, "info")
    try:
        {"a": 1}["what somebody wrote"]
    except KeyError:
        logging.getLogger("antiphon.x").exception("it broke")
        logging.getLogger("other").exception("theirs broke")
    writer.flush()
    assert "what somebody wrote" not in out.getvalue()
    assert "Traceback" not in out.getvalue()
    for line in lines(out):
        assert line["fault"] == "KeyError"
        assert line["place"].startswith("test_logs.py:")


def test_messages_of_other_packages_come_without_their_arguments(out: io.StringIO) -> None:
    writer = start_logs(out, "debug")
    other = logging.getLogger("uvicorn.error")
    other.warning("bad path %s\nand more", "/ws/chat?api_key=secret")
    other.info('%s - "WebSocket %s" [accepted]', "x", "/ws/chat?api_key=secret")
    other.error(OSError("secret"))
    writer.flush()
    assert [line["message"] for line in lines(out)] == ["bad path %s", "OSError"]


def test_levels_are_kept(out: io.StringIO) -> None:
    writer = start_logs(out, "warning")
    access.info("request")
    logging.getLogger("antiphon.x").warning("careful")
    writer.flush()
    assert [line["message"] for line in lines(out)] == ["careful"]


class Noticed(io.StringIO):
    """A stream that tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def flush(self) -> None:
        self.written.set()


def test_lines_are_written_soon_without_anybody_asking() -> None:
    out = Noticed()
    start_logs(out, "info")
    access.info("request")
    assert out.written.wait(5)
    assert [line["message"] for line in lines(out)] == ["request"]


class Stuck(io.StringIO):
    """A stream whose reader does not read until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.free = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.free.wait(10)
        return super().write(text)


def test_a_reader_that_does_not_read_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOG_LINES_WAITING", 3)
    out = Stuck()
    writer = start_logs(out, "info")
    logging.getLogger("antiphon.x").warning("first")
    assert out.entered.wait(5)
    for number in range(5):
        access.info("request", extra={"number": number})
    out.free.set()
    writer.flush()
    told = lines(out)
    assert [line.get("number") for line in told if line["message"] == "request"] == [0, 1, 2]
    assert [line["count"] for line in told if line["message"] == "log lines lost"] == [2]


def test_a_reader_that_is_gone_is_no_error() -> None:
    out = io.StringIO()
    writer = LogWriter(out)
    out.close()
    assert writer.handle(logging.makeLogRecord({"msg": "x", "levelno": logging.INFO, "levelname": "INFO"}))
    writer.flush()


def test_a_record_that_cannot_be_written_is_told_and_ends_nothing(out: io.StringIO) -> None:
    writer = start_logs(out, "info")
    logging.getLogger("antiphon.x").warning("%d", "no number")
    logging.getLogger("antiphon.x").warning("next")
    writer.flush()
    assert [line["message"] for line in lines(out)] == ["log record not readable", "next"]
    assert "no number" not in out.getvalue()
