"""Counts in memory, for limits: fixed windows, which begin with the first that they count.

The library's own counts take thirty calls for what is two look-ups in a dictionary, and a thread
that goes through all of them up to a hundred times a second while the event loop waits.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct


class Count(Struct):
    """How many came in a window that ends then."""

    number: int
    ends: float


class Window:
    """At most ``amount`` of each in ``seconds``; who is over is forgotten as others come. ``now``
    is in seconds, of a clock that never jumps."""

    def __init__(self, amount: int, seconds: int) -> None:
        self.amount = amount
        self.seconds = seconds
        self._counts: OrderedDict[str, Count] = OrderedDict()  # the first to end first

    def __len__(self) -> int:
        return len(self._counts)

    def find(self, who: str, now: float) -> Count:
        """How many came; a new count, which is not kept yet, if none did."""
        count = self._counts.get(who)
        return Count(0, now + self.seconds) if count is None or count.ends <= now else count

    def keep(self, who: str, count: Count, now: float) -> None:
        """Begin a window with this count, and drop those that are over."""
        while self._counts and next(iter(self._counts.values())).ends <= now:
            self._counts.popitem(last=False)
        self._counts[who] = count


def take(windows: Sequence[tuple[Window, str]], wanted: int, now: float) -> tuple[int, int]:
    """Count as many of those wanted as have room in every window: how many they are, and the
    seconds until there is room for more, 0 if it was enough."""
    counts = [(window, who, window.find(who, now)) for window, who in windows]
    room = wanted
    for window, _, count in counts:
        if window.amount - count.number < room:
            room = max(0, window.amount - count.number)
    for window, who, count in counts if room else ():
        if not count.number:
            window.keep(who, count, now)
        count.number += room
    if room == wanted:
        return room, 0
    full = [c.ends - now for window, _, c in counts if window.amount - c.number < wanted - room]
    return room, max(1, math.ceil(max(full)))
