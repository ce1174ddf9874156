"""Attempts to log in, counted so that nobody guesses a code."""

import time
from math import ceil
from typing import Final

from limits import parse
from limits.strategies import FixedWindowRateLimiter

from thumbseal.codes import WINDOW
from thumbseal.counts import Counts

_PER_ADDRESS: Final = parse("10 per 10 minute")
_IN_ALL: Final = parse("1000 per 10 minute")


class Attempts:
    """How often somebody tried to log in, and which codes were used. They outlive a change of the
    settings, and no restart."""

    def __init__(self) -> None:
        self._windows = FixedWindowRateLimiter(Counts())
        self._used: dict[str, float] = {}

    def wait(self, address: str | None) -> int:
        """Count an attempt; the seconds to wait before the next one, 0 if it may be made."""
        windows = [(_IN_ALL, "all"), (_PER_ADDRESS, f"from {address}")][: 2 if address else 1]
        stats = [
            self._windows.get_window_stats(rate, name)
            for rate, name in windows
            if not self._windows.hit(rate, name)
        ]
        return max((ceil(max(each.reset_time - time.time(), 1)) for each in stats), default=0)

    def use(self, code: str, now: float) -> bool:
        """Whether a code is used for the first time."""
        self._used = {each: until for each, until in self._used.items() if until > now}
        if code in self._used:
            return False
        self._used[code] = now + 2 * WINDOW
        return True
