"""Counts in memory, for limits."""

import time
from collections import defaultdict, deque

from limits.storage import MemoryStorage


class Counts(MemoryStorage):
    """The library's counts, forgotten as new ones come. The library itself starts a thread for
    that, up to a hundred times a second, which looks at all of them while the event loop waits."""

    def __init__(self) -> None:
        super().__init__()
        # By length of the window: in each the first that came is the first to end.
        self._ends: defaultdict[float, deque[tuple[float, str]]] = defaultdict(deque)

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Add to a count, which begins anew ``expiry`` seconds after its first addition."""
        if not self.get(key):
            now = time.time()
            self.expirations[key] = now + expiry
            ends = self._ends[expiry]
            ends.append((now + expiry, key))
            while ends[0][0] <= now:
                self.get(ends.popleft()[1])  # which drops it if it has ended
        self.storage[key] += amount
        return self.storage[key]
