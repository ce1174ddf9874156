"""Log lines as an operator's collector reads them."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from thumbseal import journal

PATIENCE: Final = 10  # seconds until a line counts as missing


class Lines(io.StringIO):
    """Everything that was logged. A request's line comes when its answer is already under way."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def write(self, text: str) -> int:
        with self._changed:
            self._changed.notify_all()
            return super().write(text)

    @property
    def text(self) -> str:
        return self.getvalue()

    def named(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The lines about this, as JSON, once there are so many."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._about(event)) >= count, PATIENCE)
            return self._about(event)

    def _about(self, event: str) -> list[dict[str, Any]]:
        told = [json.loads(line) for line in self.text.splitlines(keepends=True) if "\n" in line]
        return [line for line in told if line["event"] == event]


@contextmanager
def captured(form: journal.Format = "json") -> Iterator[Lines]:
    """Log into memory while this lasts."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    lines = Lines()
    root.handlers.clear()
    journal.configure(form, lines)
    try:
        yield lines
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
