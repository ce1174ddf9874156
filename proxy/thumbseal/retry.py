"""When to try again: a pure decision, so that it can be tested without waiting."""

from typing import Final

FIRST: Final = 1.0  # seconds
LONGEST: Final = 300.0
REFUSED: Final = 300.0  # an upstream that does not want us waits for a person, not for us


def delay(attempts: int, jitter: float, after: float | None = None) -> float:
    """The seconds to wait after the given number of failures (1 and up).

    Full jitter over a doubling bound, so that many waiters do not come back together; never
    earlier than what the upstream asked for. ``jitter`` is a random number in 0 … 1.
    """
    bound = min(FIRST * 2.0 ** min(attempts - 1, 30), LONGEST)
    return max(bound * jitter, after or 0.0)
