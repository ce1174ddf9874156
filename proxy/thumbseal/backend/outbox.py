"""What waits for the server: a bounded queue in memory. Pure, but for its lock."""

import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from msgspec import Struct

from thumbseal.ids import ActorId, ThreadId

BATCH_EVENTS: Final = 50  # as many as the server takes at once
BATCH_BYTES: Final = 60 * 1024  # its limit is 64 KiB, the envelope included
LOOKAHEAD: Final = 1_000  # how far a batch is searched for; the rest comes with the next one
OVERHEAD: Final = 512  # bytes that an event takes in memory beside its JSON


class Waiting(Struct, frozen=True):
    """One event on its way: its JSON, and in whose name of which thread it is said."""

    thread: ThreadId
    actor: ActorId
    user: str | None
    raw: bytes

    @property
    def size(self) -> int:
        return len(self.raw) + OVERHEAD

    @property
    def voice(self) -> tuple[ThreadId, ActorId, str | None]:
        """What must be the same for all events of one request."""
        return self.thread, self.actor, self.user


class Outbox:
    """Events in the order in which they were said, at most ``max_bytes`` of them: when more come
    the oldest are dropped, and ``dropped`` is told how many."""

    def __init__(self, max_bytes: int, dropped: Callable[[int], None]) -> None:
        self._max_bytes = max_bytes
        self._dropped = dropped
        self._queue: deque[Waiting] = deque()
        self._size = 0
        self._at_work: list[Waiting] = []
        self.changed = threading.Condition()

    def __len__(self) -> int:
        """How many wait, those of the request under way included."""
        return len(self._queue) + len(self._at_work)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self._size

    def put(self, event: Waiting) -> None:
        """Add an event; returns at once."""
        lost = 0
        with self.changed:
            self._queue.append(event)
            self._size += event.size
            while self._size > self._max_bytes and self._queue:
                self._size -= self._queue.popleft().size
                lost += 1
            self.changed.notify_all()
        if lost:
            self._dropped(lost)

    def take(self) -> list[Waiting]:
        """The oldest event and those of the same thread and voice after it, as one request."""
        with self.changed:
            batch = _batch(self._queue)
            taken = set(map(id, batch))
            head = [self._queue.popleft() for _ in range(min(LOOKAHEAD, len(self._queue)))]
            self._queue.extendleft(event for event in reversed(head) if id(event) not in taken)
            self._at_work = batch
            return batch

    def settle(self, again: list[Waiting]) -> None:
        """End the request under way; ``again`` are its events that go first the next time."""
        with self.changed:
            back = set(map(id, again))
            self._size -= sum(each.size for each in self._at_work if id(each) not in back)
            self._queue.extendleft(reversed(again))
            self._at_work = []
            self.changed.notify_all()


def _batch(queue: "deque[Waiting]") -> list[Waiting]:
    batch: list[Waiting] = []
    size = 0
    for event in islice(queue, LOOKAHEAD):
        if event.thread != queue[0].thread:
            continue
        size += len(event.raw) + 1
        full = size > BATCH_BYTES or len(batch) == BATCH_EVENTS
        if batch and (full or event.voice != queue[0].voice):
            break  # what follows in this thread must not overtake it
        batch.append(event)
    return batch
