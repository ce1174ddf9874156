"""Attempts to log in, counted so that nobody guesses a code."""

from typing import Final

from thumbseal.codes import WINDOW
from thumbseal.counts import Counts, Window

_IN_ALL: Final = Window("all", 1000, 600)
_PER_ADDRESS: Final = Window("from ", 10, 600)


class Attempts:
    """How often somebody tried to log in, and which codes were used. They outlive a change of the
    settings, and no restart."""

    def __init__(self) -> None:
        self._counts = Counts()
        self._used: dict[str, float] = {}

    def wait(self, address: str | None) -> int:
        """Count an attempt; the seconds to wait before the next one, 0 if it may be made."""
        windows = [_IN_ALL]
        if address:
            windows.append(_PER_ADDRESS._replace(key=_PER_ADDRESS.key + address))
        return self._counts.take(windows, 1)[1]

    def use(self, code: str, now: float) -> bool:
        """Whether a code is used for the first time."""
        self._used = {each: until for each, until in self._used.items() if until > now}
        if code in self._used:
            return False
        self._used[code] = now + 2 * WINDOW
        return True
