"""Counts in memory, for limits: fixed windows, which begin with the first that they count.

The library's own counts take thirty calls for what is two look-ups in a dictionary, and a thread
that goes through all of them up to a hundred times a second while the event loop waits.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from msgspec import Struct


class _Count(Struct):
    """How many came in what ends then."""

    number: int
    ends: float


_NONE: Final = _Count(0, -math.inf)


class Window:
    """At most ``amount`` of each in ``seconds``; who is over is forgotten as others come. ``now``
    is in seconds, of a clock that never jumps."""

    def __init__(self, amount: int, seconds: int) -> None:
        self.amount = amount
        self.seconds = seconds
        self._counts: OrderedDict[str, _Count] = OrderedDict()  # the first to end first

    def __len__(self) -> int:
        return len(self._counts)

    def room(self, who: str, now: float) -> int:
        """How many more may come."""
        return self.amount - self._count(who, now).number

    def ends(self, who: str, now: float) -> float:
        """When all that came is forgotten; now, if nothing did."""
        return max(now, self._count(who, now).ends)

    def add(self, who: str, number: int, now: float) -> None:
        """Count them."""
        count = self._count(who, now)
        if count is not _NONE:
            count.number += number
            return
        while self._counts and next(iter(self._counts.values())).ends <= now:
            self._counts.popitem(last=False)
        self._counts[who] = _Count(number, now + self.seconds)

    def _count(self, who: str, now: float) -> _Count:
        count = self._counts.get(who, _NONE)
        return count if count.ends > now else _NONE


def take(windows: Sequence[tuple[Window, str]], wanted: int, now: float) -> tuple[int, int]:
    """Count as many of those wanted as have room in every window: how many they are, and the
    seconds until there is room for more, 0 if it was enough."""
    room = wanted
    for window, who in windows:
        room = min(room, window.room(who, now))
    room = max(room, 0)
    for window, who in windows if room else ():
        window.add(who, room, now)
    return room, _wait(windows, wanted - room, now) if room < wanted else 0


def _wait(windows: Sequence[tuple[Window, str]], more: int, now: float) -> int:
    """The seconds until so many more have room, or some of them where no window is as wide."""
    full = (window.ends(who, now) for window, who in windows if window.room(who, now) < more)
    return max(1, math.ceil(max(full) - now))
