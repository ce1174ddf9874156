"""Keeping below a vendor's limit of requests a minute."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

WINDOW: Final = 60.0  # seconds


class Pace:
    """At most ``limit`` turns in any minute, however the vendor's own window lies."""

    def __init__(
        self,
        limit: int,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._turns: deque[float] = deque(maxlen=limit)
        self._limit = limit
        self._now = now
        self._sleep = sleep

    @property
    def spacing(self) -> float:
        """The seconds between two turns that never have to wait."""
        return WINDOW / self._limit

    async def take_turn(self) -> None:
        """Return when one more request keeps to the limit."""
        while len(self._turns) == self._limit:
            wait = self._turns[0] + WINDOW - self._now()
            if wait <= 0:
                break
            await self._sleep(wait)
        self._turns.append(self._now())
