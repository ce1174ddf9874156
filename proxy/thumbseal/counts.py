"""Counts in memory, for limits: fixed windows, each of which begins with the first that it counts.

The library's own counts take thirty calls for what is two look-ups in a dictionary, and a thread
that goes through all of them up to a hundred times a second while the event loop waits.
"""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct


class Window(NamedTuple):
    """At most ``amount`` in ``seconds``, counted under ``key``."""

    key: str
    amount: int
    seconds: int


class _Count(Struct):
    """How many came in the window that ends then."""

    number: int
    ends: float


_NONE: Final = _Count(0, 0.0)


class Counts:
    """How many came, by key; forgotten as others come. ``clock`` gives seconds and never jumps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[str, _Count] = {}
        # By length of the window: in each the first that came is the first to end.
        self._ends: defaultdict[float, deque[tuple[float, str]]] = defaultdict(deque)

    def __len__(self) -> int:
        return len(self._counts)

    def take(self, windows: Sequence[Window], wanted: int) -> tuple[int, int]:
        """Count as many of those wanted as have room in every window: how many they are, and the
        seconds until there is room for more, 0 if it was enough."""
        now = self._clock()
        counts = [self._count(key, now) for key, _, _ in windows]
        room = wanted
        for (_, amount, _), count in zip(windows, counts, strict=True):
            room = max(0, min(room, amount - count.number))
        if room:
            for (key, _, seconds), count in zip(windows, counts, strict=True):
                if count is _NONE:
                    self._begin(key, room, seconds, now)
                else:
                    count.number += room
        return room, self._wait(windows, wanted - room, now) if room < wanted else 0

    def _wait(self, windows: Sequence[Window], more: int, now: float) -> int:
        """The seconds until so many more have room, or some of them where no window is as wide."""
        counts = [(self._count(key, now), amount) for key, amount, _ in windows]
        full = (count.ends - now for count, amount in counts if amount - count.number < more)
        return max(1, math.ceil(max(full)))

    def _count(self, key: str, now: float) -> _Count:
        count = self._counts.get(key, _NONE)
        return count if count.ends > now else _NONE

    def _begin(self, key: str, number: int, seconds: int, now: float) -> None:
        """Begin a window, and drop those of its length that are over."""
        ends = self._ends[seconds]
        while ends and ends[0][0] <= now:
            _, over = ends.popleft()
            if self._count(over, now) is _NONE:
                self._counts.pop(over, None)
        self._counts[key] = _Count(number, now + seconds)
        ends.append((now + seconds, key))
