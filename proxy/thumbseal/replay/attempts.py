"""Attempts to log in, counted so that nobody guesses a code."""

import time
from typing import Final

from thumbseal.codes import WINDOW
from thumbseal.counts import Window, take

PER_ADDRESS: Final = 10
IN_ALL: Final = 1000
SECONDS: Final = 600


class Attempts:
    """How often somebody tried to log in, and which codes were used. They outlive a change of the
    settings, and no restart."""

    def __init__(self) -> None:
        self._from_all = Window(IN_ALL, SECONDS)
        self._from_each = Window(PER_ADDRESS, SECONDS)
        self._used: dict[str, float] = {}

    def wait(self, address: str | None) -> int:
        """Count an attempt; the seconds to wait before the next one, 0 if it may be made."""
        windows = [(self._from_all, "")]
        if address:
            windows.append((self._from_each, address))
        return take(windows, 1, time.monotonic())[1]

    def use(self, code: str, now: float) -> bool:
        """Whether a code is used for the first time."""
        self._used = {each: until for each, until in self._used.items() if until > now}
        if code in self._used:
            return False
        self._used[code] = now + 2 * WINDOW
        return True
