"""The one writer of a SQLite log: a thread that groups whatever waits into one transaction.

When it is idle a job is committed at once; while a commit waits for the disk, jobs queue up and
share the next one. So the cost of a sync is paid once for many events, and nobody waits for a
timer. A caller's future resolves after the commit, never before.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from thumbseal.errors import LogDamaged, LogError, LogFull, LogOverloaded
from thumbseal.log.ballast import Ballast, is_full
from thumbseal.log.opening import FAILURES, is_damage

MARGIN: Final = 256  # pages past the limit, for what is no event
FULL: Final = LogFull(
    "There is no room for more events. Free some on the disk, or raise server.log_max_mib; "
    "the server goes on by itself then."
)
# Events that wait in memory, each up to 64 KiB: half a second of writing, mostly.
MAX_WAITING: Final = 8_192
MAX_GROUP: Final = 512  # events in a transaction: far past it a commit delays its first event

I = TypeVar("I")  # noqa: E741  an item
R = TypeVar("R")
Work = Callable[[sqlite3.Connection, Sequence[I]], Sequence[R]]


class Job(Struct, Generic[I, R], frozen=True):
    """One item of work; neighbours with the same ``work`` are done in one call."""

    work: Work[I, R]
    item: I
    weight: int
    grows: bool
    future: asyncio.Future[R]


class Writer:
    """Runs jobs on a connection that it owns, in the order they were handed in; calls
    ``rolled_back`` after a transaction that came to nothing, ``observe`` with the seconds that each
    commit took.

    While there is no room, jobs that grow the log are refused and the others go on: ``limit`` is
    the size in pages that growing stops at, and the ballast tells of the disk.
    """

    observe: Callable[[float], object] = staticmethod(lambda seconds: None)

    def __init__(
        self,
        connection: sqlite3.Connection,
        rolled_back: Callable[[], None],
        ballast: Ballast,
        limit: int | None,
    ) -> None:
        self._connection = connection
        self._rolled_back = rolled_back
        self._ballast = ballast
        self._limit = limit
        if limit is not None:
            connection.execute(f"PRAGMA max_page_count = {limit + MARGIN}")
        self._gathered: list[Job[Any, Any]] = []
        self._handed: queue.SimpleQueue[list[Job[Any, Any]] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._waiting = 0
        self._thread = threading.Thread(target=self._run, name="thumbseal-log", daemon=True)
        self._thread.start()

    async def do(self, work: Work[I, R], item: I, weight: int = 1, *, grows: bool = False) -> R:
        """The result of one item, once it is on disk; ``grows`` says that it adds events.

        Raises:
            LogFull: there is no room for what grows the log.
            LogOverloaded: too much of what grows it waits already.
            LogDamaged: the file is not what SQLite wrote.
            LogError: the disk refused, or the log is closed; nothing of the item was stored.
        """
        if self._closed:
            raise LogError("The log is closed; the server is about to stop.")
        if grows and self._waiting + weight > MAX_WAITING:
            raise LogOverloaded("More events arrive than the log can write.")
        future: asyncio.Future[R] = self._loop.create_future()
        self._waiting += weight
        # Handed over together: to wake the thread for each would cost more than what it is to do.
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(Job(work, item, weight, grows, future))
        try:
            return await future
        finally:
            self._waiting -= weight

    async def close(self) -> None:
        """Finish the jobs handed in so far."""
        self._closed = True
        self._hand_over()
        self._handed.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        jobs, self._gathered = self._gathered, []
        self._handed.put(jobs)

    def _run(self) -> None:
        for group in self._groups():
            try:
                answers = self._commit(group)
            except Exception as error:  # noqa: BLE001  a caller must not wait for a dead thread
                answers = [(job, error) for job in group]
            self._loop.call_soon_threadsafe(_resolve, answers)
        self._connection.close()

    def _groups(self) -> Iterator[list[Job[Any, Any]]]:
        """Whatever waits, again and again, until the log is closed."""
        waiting: deque[Job[Any, Any]] = deque()
        closing = False
        while waiting or not closing:
            while not closing and not (waiting and self._handed.empty()):
                jobs = self._handed.get()
                closing = jobs is None
                waiting.extend(jobs or ())
            group, weight = [], 0
            while waiting and weight < MAX_GROUP:
                group.append(job := waiting.popleft())
                weight += job.weight
            if group:
                yield group

    def _commit(self, group: list[Job[Any, Any]]) -> list[tuple[Job[Any, Any], Any]]:
        if any(job.grows for job in group) and self._is_full():
            refused: list[tuple[Job[Any, Any], Any]] = [(job, FULL) for job in group if job.grows]
            group = [job for job in group if not job.grows]
            return refused + (self._commit(group) if group else [])
        try:
            return _transact(self._connection, group, self.observe)
        except Exception as error:  # noqa: BLE001  every failure must reach its callers
            self._rolled_back()
            if is_full(error) and self._make_room():
                return self._commit(group)
            if len(group) == 1:
                return [(group[0], FULL if is_full(error) else error)]
        # One bad job must not fail its neighbours: each alone, in the same order.
        return [answer for job in group for answer in self._commit([job])]

    def _is_full(self) -> bool:
        return self._ballast.full or (
            self._limit is not None and _used(self._connection) >= self._limit
        )

    def _make_room(self) -> bool:
        """Whether it is worth another try: not if the log's own limit was reached."""
        if self._limit is not None and _used(self._connection) >= self._limit:
            return False
        return self._ballast.give_up()


def _used(connection: sqlite3.Connection) -> int:
    """The pages that hold something."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(pages) - int(free)


def _transact(
    connection: sqlite3.Connection, group: list[Job[Any, Any]], observe: Callable[[float], object]
) -> list[tuple[Job[Any, Any], Any]]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        answers = [answer for run in _runs(group) for answer in _do(connection, run)]
        began = time.perf_counter()
        connection.execute("COMMIT")
        observe(time.perf_counter() - began)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return answers


def _runs(group: list[Job[Any, Any]]) -> list[list[Job[Any, Any]]]:
    """The group cut where the kind of work changes; order is kept."""
    runs: list[list[Job[Any, Any]]] = []
    for job in group:
        if runs and runs[-1][0].work == job.work:
            runs[-1].append(job)
        else:
            runs.append([job])
    return runs


def _do(
    connection: sqlite3.Connection, run: list[Job[Any, Any]]
) -> list[tuple[Job[Any, Any], Any]]:
    results = run[0].work(connection, [job.item for job in run])
    return list(zip(run, results, strict=True))


def _resolve(answers: list[tuple[Job[Any, Any], Any]]) -> None:
    for job, answer in answers:
        if job.future.done():
            continue  # the caller went away
        if isinstance(answer, FAILURES):
            kind = LogDamaged if is_damage(answer) else LogError
            job.future.set_exception(kind(f"The log cannot be written: {answer}."))
        elif isinstance(answer, BaseException):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)
