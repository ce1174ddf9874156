"""What an operator reads: one line for each thing worth knowing, structured, without content.

A line never holds a token, a key or what people wrote. So an error that nobody foresaw is told by
its kind and the places it came through, not by its text: that may quote what it stumbled over.
"""

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal, TextIO

import msgspec
import structlog

from thumbseal.errors import ThumbsealError

Format = Literal["auto", "json", "console"]
Line = MutableMapping[str, Any]
DEEPEST: Final = 20  # frames told of an error
FATHERS: Final = 5  # errors told that led to it
REQUEST: Final[ContextVar[str]] = ContextVar("thumbseal_request")  # the id of what is answered
_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


def configure(form: Format, stream: TextIO = sys.stderr) -> None:
    """Write lines to ``stream``: JSON, or for a person where ``form`` or a terminal asks for it.
    Python's own loggers, those of libraries, write the same lines from warnings on."""
    lines = Lines(stream)
    person = form == "console" or (form == "auto" and stream.isatty())
    shared: list[Callable[[Any, str, Line], Line]] = [_stamp, tell_error]
    render = structlog.dev.ConsoleRenderer() if person else _to_json
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=Voice,
        logger_factory=lambda *_: lines,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            foreign_pre_chain=[_without_arguments, *shared],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class Lines:
    """A stream. What one turn of an event loop says is written at its end, all at once: a write
    lets go of the interpreter, and may wait long to have it back."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said: deque[str] = deque()  # other threads take from it, too

    def msg(self, line: str) -> None:
        self._said.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # another thread, or no server
            self._write()
        else:
            if len(self._said) == 1:
                loop.call_soon(self._write)

    def _write(self) -> None:
        said: list[str] = []
        with suppress(IndexError):
            while True:
                said.append(self._said.popleft())
        if said:
            self._stream.write("\n".join([*said, ""]))
            self._stream.flush()


class Voice(structlog.BoundLoggerBase):
    """A logger without what nobody here asks for: values bound to it, levels switched off. There is
    a line for each request, and those took more time than all of its processors."""

    def info(self, event: str, **line: Any) -> None:
        self._say("info", event, line)

    def warning(self, event: str, **line: Any) -> None:
        self._say("warning", event, line)

    def error(self, event: str, **line: Any) -> None:
        self._say("error", event, line)

    def _say(self, level: str, event: str, line: Line) -> None:
        said: Any = line
        said["event"] = event
        with suppress(structlog.DropEvent):
            for process in self._processors:
                said = process(self._logger, level, said)
            self._logger.msg(said)


def _stamp(logger: object, level: str, line: Line) -> Line:
    """When, how grave, and in which request."""
    line["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    line["level"] = level
    name = REQUEST.get(None)
    if name is not None:
        line["request_id"] = name
    return line


def tell_error(logger: object, method: str, line: Line) -> Line:
    """The error of ``exc_info`` as its kind, its places and what led to it; its text only where it
    is one of ours, which are written for people."""
    found = line.pop("exc_info", None)
    if found is None or found is False:
        return line
    error = found[1] if isinstance(found, tuple) else found
    error = sys.exc_info()[1] if not isinstance(error, BaseException) else error
    if error is not None:
        line["error"] = " < ".join(_kinds(error))
        line["places"] = _places(error.__traceback__)
    return line


def _kinds(error: BaseException) -> list[str]:
    told: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(told) < FATHERS:
        kind = type(cause)
        ours = isinstance(cause, ThumbsealError)
        told.append(f"{kind.__name__}: {cause}" if ours else f"{kind.__module__}.{kind.__name__}")
        cause = cause.__cause__ or cause.__context__
    return told


def _places(traceback: TracebackType | None) -> list[str]:
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places[-DEEPEST:]


def _without_arguments(logger: object, method: str, line: Line) -> Line:
    """A library's line is its fixed text: what was filled in may be anything."""
    record = line.get("_record")
    if isinstance(record, logging.LogRecord):
        line["event"] = str(record.msg).splitlines()[0][:200] if record.msg else ""
        line["logger"] = record.name
        line["exc_info"] = record.exc_info
    return line


def _to_json(logger: object, method: str, line: Mapping[str, Any]) -> str:
    return _ENCODER.encode(line).decode()
