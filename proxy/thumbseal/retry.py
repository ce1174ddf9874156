"""When to try again, and how much at once: pure decisions, so that they can be tested without
waiting."""

from collections.abc import Sequence
from typing import Final, Self

from msgspec import Struct

FIRST: Final = 1.0  # seconds
LONGEST: Final = 300.0
LONGEST_ASKED: Final = 3600.0  # what an upstream may ask for; more is a mistake or an attack
REFUSED: Final = 300.0  # an upstream that does not want us waits for a person, not for us
GONE: Final = 10 * 365 * 86_400.0  # one that never wants us again: until somebody says otherwise
OPEN: Final = 30.0  # seconds between two probes while the breaker is open
WINDOW: Final = 60.0  # seconds that the breaker looks back
FEWEST: Final = 10  # outcomes; fewer say nothing
SHARE: Final = 0.7  # of failures, from which on the breaker opens
SPREAD: Final = 0.2
FAULTS: Final = 5  # tries before what our own code cannot send is given up


def delay(attempts: int, jitter: float, after: float | None = None) -> float:
    """The seconds to wait after the given number of failures (1 and up).

    Full jitter over a doubling bound, so that many waiters do not come back together; never
    earlier than what the upstream asked for. ``jitter`` is a random number in 0 … 1.
    """
    bound = min(FIRST * 2.0 ** min(attempts - 1, 30), LONGEST)
    return max(bound * jitter, after or 0.0)


def planned(plan: Sequence[float], attempts: int, jitter: float) -> float:
    """The seconds to wait by an upstream's own plan, which ends with its last wait for ever; a
    fifth shorter or longer, so that many waiters do not come back together."""
    return plan[min(attempts, len(plan)) - 1] * (1 + SPREAD * (2 * jitter - 1))


def asked(after: float) -> float:
    """The seconds to wait where the upstream said how long: that is no failure, so nothing
    doubles, and an upstream that says 0 gets a second."""
    return max(after, FIRST)


def share(limit: int, cuts: int) -> int:
    """How many events to claim: a quarter after each failure, four times as many after each
    success, so that what makes an upstream fail ends up alone and out of the others' way."""
    return max(1, limit >> 2 * cuts)


def most_cuts(limit: int) -> int:
    """After how many cuts a claim is one event."""
    return limit.bit_length() // 2


def width(now: int, most: int, failed: bool) -> int:
    """How many calls to make at once next: half of ``now`` after trouble, else twice."""
    return max(1, now // 2) if failed else min(now * 2, most)


class Tally(Struct, frozen=True):
    """What became of the threads sent in the last minute: (time in seconds, good, bad)."""

    entries: tuple[tuple[float, int, int], ...] = ()

    def add(self, now: float, good: int, bad: int) -> Self:
        kept = (entry for entry in self.entries if now - WINDOW < entry[0] <= now)
        return type(self)((*kept, (now, good, bad)))

    @property
    def trips(self) -> bool:
        """Whether so much failed that the upstream should be left alone for a while."""
        good = sum(entry[1] for entry in self.entries)
        bad = sum(entry[2] for entry in self.entries)
        return bool(self.entries[-1][2]) and good + bad >= FEWEST and bad >= SHARE * (good + bad)
