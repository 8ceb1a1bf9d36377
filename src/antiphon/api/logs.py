"""The log: one line an event on standard error, JSON when a program reads it, readable when a person does.

A line has time, level, logger, message and what the event adds; of an exception its type and place, never its text,
which may hold what people wrote. Loggers of other packages give their message without its arguments, for the same
reason.

Writing is done by a thread, so that a reader who does not read never holds up the server: it writes what has gathered
every LOG_FLUSH_SECONDS, and at once what is a warning or worse. With LOG_LINES_WAITING lines unread, newer ones are
counted instead of kept, and the count is logged when there is room again.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from typing import Any, TextIO

import msgspec

from antiphon.core.faults import describe
from antiphon.domain import limits, times

_SAID = "_said"  # what an access record adds, at hand once more so that it need not be sorted out
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _SAID}
_OURS = "antiphon"
_LEVELS = {"DEBUG": "debug", "INFO": "info", "WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}
_COLOURS = {"debug": "2", "info": "36", "warning": "33", "error": "31"}

_encode = msgspec.json.Encoder(enc_hook=str).encode


class AccessLogger(logging.Logger):
    """Makes a record in a third of the time: without looking for the caller, the thread and the process."""

    def _log(self, level: int, msg: object, args: Any, *_: Any, extra: Any = None, **__: Any) -> None:
        record = logging.LogRecord.__new__(logging.LogRecord)
        said = extra or {}
        record.__dict__ = {**_ACCESS_TEMPLATE, **said, _SAID: said, "msg": msg, "args": args, "created": time.time()}
        if level != logging.INFO:
            record.levelno, record.levelname = level, logging.getLevelName(level)
        self.handle(record)


_ACCESS = f"{_OURS}.access"
_ACCESS_TEMPLATE = {**vars(logging.makeLogRecord({"levelno": logging.INFO, "levelname": "INFO"})), "name": _ACCESS}


def _make_access_logger() -> logging.Logger:
    usual = logging.getLoggerClass()
    logging.setLoggerClass(AccessLogger)
    try:
        return logging.getLogger(_ACCESS)
    finally:
        logging.setLoggerClass(usual)


access = _make_access_logger()
"""The log of requests; a line each, so its cost counts."""


def start_logs(stream: TextIO, level: str) -> LogWriter:
    """Send all logs to the stream from now on: ours from that level up, those of other packages from WARNING up."""
    writer = LogWriter(stream)
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(level.upper())
    logging.captureWarnings(capture=True)
    return writer


class LogWriter(logging.Handler):
    """Takes records in a microsecond, writes them later; `flush` and the end of the process write what is left."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._format = _readable_line if stream.isatty() else _json_line
        self._waiting: deque[logging.LogRecord] = deque()
        self._lost = 0
        self._writing = threading.Lock()
        self._bell = threading.Event()
        self._at_once = threading.Event()
        self._thread = threading.Thread(target=self._work, name="antiphon-log", daemon=True)
        self._thread.start()
        atexit.register(self.flush)

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep the record for the writing thread (no lock: appending to a deque is atomic)."""
        if len(self._waiting) >= limits.LOG_LINES_WAITING:
            self._lost += 1
            return False
        self._waiting.append(record)
        if record.levelno >= logging.WARNING:
            self._at_once.set()
            self._bell.set()
        elif not self._bell.is_set():
            self._bell.set()
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, as `handle` does."""
        self.handle(record)

    def flush(self) -> None:
        """Write what has gathered, now and in this thread."""
        with self._writing:
            records = [self._waiting.popleft() for _ in range(len(self._waiting))]
            lost, self._lost = self._lost, 0
            if lost:
                records.append(_record_of_loss(lost))
            if not records:
                return
            try:
                self._stream.write("".join([self._line(record) for record in records]))
                self._stream.flush()
            except (OSError, ValueError):
                return  # whoever read the log is gone: that is no reason to stop serving

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self._format(record)
        except Exception as fault:  # noqa: BLE001  a record that cannot be written must not end the writing
            odd = {"name": __name__, "levelname": "ERROR", "levelno": logging.ERROR, "msg": "log record not readable"}
            return self._format(logging.makeLogRecord({**odd, **describe(fault)}))

    def _work(self) -> None:
        while True:
            self._bell.wait()
            self._at_once.wait(limits.LOG_FLUSH_SECONDS)
            self._at_once.clear()
            self._bell.clear()
            self.flush()


def _record_of_loss(count: int) -> logging.LogRecord:
    record = {"name": __name__, "levelname": "WARNING", "levelno": logging.WARNING, "msg": "log lines lost"}
    return logging.makeLogRecord({**record, "count": count})


def _json_line(record: logging.LogRecord) -> str:
    line = {
        "time": times.text_of(int(record.created * times.SECOND)),
        "level": _LEVELS.get(record.levelname, record.levelname.lower()),
        "logger": record.name,
        "message": _message_of(record),
    }
    line.update(_extras_of(record))
    return _encode(line).decode() + "\n"


def _readable_line(record: logging.LogRecord) -> str:
    level = _LEVELS.get(record.levelname, record.levelname.lower())
    clock = times.text_of(int(record.created * times.SECOND))[11:23].rstrip("Z")
    extras = " ".join(f"{name}={value}" for name, value in _extras_of(record).items() if value is not None)
    return f"{clock} \x1b[{_COLOURS.get(level, '0')}m{level:7}\x1b[0m {_message_of(record)} \x1b[2m{extras}\x1b[0m\n"


def _message_of(record: logging.LogRecord) -> str:
    if not isinstance(record.msg, str):
        return type(record.msg).__name__
    if record.name.partition(".")[0] == _OURS:
        return record.getMessage()
    return record.msg.strip().partition("\n")[0]


def _extras_of(record: logging.LogRecord) -> dict[str, Any]:
    said: dict[str, Any] | None = getattr(record, _SAID, None)
    if said is not None:
        return said
    extras = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_info and record.exc_info[1] is not None:
        extras |= describe(record.exc_info[1])
    return extras
