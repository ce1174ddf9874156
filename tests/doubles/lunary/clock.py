"""The time that the double lives in: the machine's, or one that a test moves by hand."""

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

NEW_YEAR_2026 = 1_767_225_600.0


class Clock(Protocol):
    """Time in seconds since 1970."""

    def now(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's time."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class _Sleeper:
    until: float
    alarm: Future[None]


class VirtualClock:
    """Time that stands still until a test advances it, from any thread."""

    def __init__(self, start: float = NEW_YEAR_2026) -> None:
        self._now = start
        self._lock = threading.Lock()
        self._asleep: list[_Sleeper] = []
        self._watchers: list[tuple[int, Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        sleeper = _Sleeper(self._now + seconds, Future())
        with self._lock:
            self._asleep.append(sleeper)
            self._tell_watchers()
        await asyncio.wrap_future(sleeper.alarm)

    def advance(self, seconds: float) -> None:
        """Move the time and wake, in order, whoever slept until then."""
        with self._lock:
            self._now += seconds
            due = sorted((s for s in self._asleep if s.until <= self._now), key=lambda s: s.until)
            self._asleep = [s for s in self._asleep if s.until > self._now]
        for sleeper in due:
            # A sleeper whose request was cancelled has no ear for its alarm.
            if sleeper.alarm.set_running_or_notify_cancel():
                sleeper.alarm.set_result(None)

    def sleepers(self, count: int = 1) -> Future[None]:
        """A future that is done once `count` sleepers wait at the same time."""
        seen: Future[None] = Future()
        with self._lock:
            self._watchers.append((count, seen))
            self._tell_watchers()
        return seen

    def _tell_watchers(self) -> None:
        for count, seen in self._watchers:
            if count <= len(self._asleep):
                seen.set_result(None)
        self._watchers = [(count, seen) for count, seen in self._watchers if not seen.done()]
