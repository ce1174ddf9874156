"""Delivery in the background: one thread of the application brings its events to the server.

Whoever adds an event never waits for the network. What a process holds when it is killed is lost;
when it ends as usual, what waits is sent for a few seconds more.
"""

import atexit
import contextlib
import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

import msgspec
from msgspec import Struct

from thumbseal.backend.outbox import Outbox, Waiting
from thumbseal.errors import Unreachable

if TYPE_CHECKING:  # what it loads is for those who record
    from thumbseal.backend.wire import Reply, Wire

FIRST_PAUSE: Final = 0.5  # seconds, doubled with each failure
LONGEST_PAUSE: Final = 30.0
LONGEST_ORDER: Final = 300.0  # seconds that a server's Retry-After is obeyed
#: The server has understood these and never takes them; all other failures may end.
FOR_GOOD: Final = frozenset({400, 401, 413, 415, 422})
_logger: Final = logging.getLogger("thumbseal")


class Counts(Struct, frozen=True):
    """What became of all events: their sum is how many there were. ``dropped`` went for want of
    memory, ``refused`` the server did not take."""

    delivered: int
    waiting: int
    dropped: int
    refused: int


class Result(Struct, frozen=True):
    """What the server says of one event."""

    status: str
    code: str = ""
    retry: bool = False


class _Answer(Struct, frozen=True):
    results: list[Result]


class Ruling(Struct, frozen=True):
    """What follows from an answer: which events go again and which were refused, by code;
    ``trouble`` says what is wrong where none of them was judged."""

    again: list[Waiting]
    refused: dict[str, int] = {}
    trouble: str = ""


def rule(batch: list[Waiting], reply: "Reply") -> Ruling:
    """What an answer to these events means."""
    if reply.status in FOR_GOOD:
        return Ruling([], {f"status {reply.status}": len(batch)})
    try:
        results = msgspec.json.decode(reply.body, type=_Answer).results
    except msgspec.MsgspecError:
        results = []
    if reply.status != 202 or len(results) != len(batch):
        return Ruling(batch, trouble=f"it answers with status {reply.status}")
    pairs = list(zip(batch, results, strict=True))
    bad = [each.code for each in results if each.status == "rejected" and not each.retry]
    return Ruling([event for event, each in pairs if each.retry], dict(Counter(bad)))


def pause_of(failures: int, ordered: float | None, chance: float) -> float:
    """Seconds until the next try: what the server ordered, else twice as long with each failure,
    by ``chance`` (0 to 1) half of it or all."""
    if ordered is not None:
        return min(ordered, LONGEST_ORDER)
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
    return longest * (1 + chance) / 2


class Delivery:
    """The events of one client on their way. ``envelope`` makes the body of a request of them."""

    def __init__(
        self, wire: "Wire", max_bytes: int, envelope: Callable[[list[Waiting]], object]
    ) -> None:
        self._wire = wire
        self._max_bytes = max_bytes
        self._envelope = envelope
        self._begin()
        _alive.add(self)

    @property
    def counts(self) -> Counts:
        with self._outbox.changed:
            return Counts(self._delivered, len(self._outbox), self._dropped, self._refused)

    def put(self, event: Waiting) -> None:
        """Add an event; never waits for the network, and never raises."""
        self._outbox.put(event)
        if self._thread is None:
            self._start()

    def flush(self, seconds: float) -> bool:
        """Wait until nothing waits any more, and say whether that came about in time. A pause
        after a failure ends at once, but for one that the server has ordered."""
        self._hurry.set()
        with self._outbox.changed:
            return self._outbox.changed.wait_for(lambda: not len(self._outbox), seconds)

    def _begin(self) -> None:
        """As at the start, with nothing on its way."""
        self._outbox = Outbox(self._max_bytes, self._drop)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._delivered = self._dropped = self._refused = self._failures = 0
        self._hurry = threading.Event()
        self._told_of_drops = False

    def begin_again(self) -> None:
        """In a forked child: what waits is its parent's to send, over the parent's connection."""
        self._wire.close()
        self._begin()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="thumbseal", daemon=True)
            # An interpreter that is about to end starts no thread: what is said then is not sent.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while True:
            with self._outbox.changed:
                if not len(self._outbox):
                    self._wire.close()  # before the server does: none is ever found dead
                    self._outbox.changed.wait_for(lambda: len(self._outbox))
            self._send()

    def _send(self) -> None:
        batch = self._outbox.take()
        ordered: float | None = None
        try:
            reply = self._wire.post("/v1/events", self._envelope(batch))
            ruling, ordered = rule(batch, reply), reply.retry_after
        except Unreachable as error:
            ruling = Ruling(batch, trouble=str(error))
        except Exception:
            _logger.exception("A fault of Thumbseal: please report it. Its events are kept.")
            ruling = Ruling(batch, trouble="an error of its own")
        self._settle(batch, ruling)
        if ruling.again:
            self._failures += 1
            self._rest(pause_of(self._failures, ordered, random.random()), ordered)  # noqa: S311
        else:
            self._failures = 0

    def _settle(self, batch: list[Waiting], ruling: Ruling) -> None:
        refused = sum(ruling.refused.values())
        if refused:
            _logger.error("Thumbseal refused %d events: %s", refused, ruling.refused)
        if ruling.trouble and not self._failures:
            _logger.warning("Thumbseal takes no events: %s They wait.", ruling.trouble)
        elif self._failures and not ruling.trouble:
            self._told_of_drops = False
            _logger.warning("Thumbseal takes events again.")
        with self._outbox.changed:
            self._refused += refused
            self._delivered += len(batch) - len(ruling.again) - refused
            self._outbox.settle(ruling.again)

    def _rest(self, seconds: float, ordered: float | None) -> None:
        if ordered is not None:
            time.sleep(seconds)
        elif self._hurry.wait(seconds):
            self._hurry.clear()

    def _drop(self, count: int) -> None:
        with self._outbox.changed:
            self._dropped += count
            told, self._told_of_drops = self._told_of_drops, True
        if not told:
            _logger.error(
                "Thumbseal's memory of %d bytes is full: the oldest events are dropped from now "
                "on, until the server takes them again.",
                self._max_bytes,
            )


_alive: Final[WeakSet[Delivery]] = WeakSet()
EXIT: Final = 5.0  # seconds for all clients of a process that ends


def _begin_all_again() -> None:
    for each in list(_alive):
        each.begin_again()


def _flush_all() -> None:
    end = time.monotonic() + EXIT
    for each in list(_alive):
        each.flush(max(0.0, end - time.monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_again)
atexit.register(_flush_all)
