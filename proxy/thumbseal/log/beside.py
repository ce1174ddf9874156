"""A log as the command line sees it, beside the server that owns it: figures, and another try.

SQLite's own locks keep the two apart. A server looks once a second for what was written here.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from thumbseal.errors import LogError
from thumbseal.log import Counts, Standing, Start, opening, roster
from thumbseal.log.barriers import Barrier
from thumbseal.log.barring import bar
from thumbseal.log.claims import read_cursor, read_start
from thumbseal.log.receipts import count, read_standing

CHUNK: Final = 500  # rows in a transaction: the server's own writes wait no longer than that
MOST_REASONS: Final = 5


class Reason(Struct, frozen=True):
    """Why something is held (``count`` threads, the first tried again at ``next_at`` ms) or dead
    (``count`` events)."""

    reason: str
    count: int
    next_at: int | None = None


class Report(Struct, frozen=True):
    """Where a site's events are at one upstream. Times in ms, None where there is nothing.

    ``superseded`` and ``lossy`` are parts of the delivered, ``unknown`` of the held: votes on
    messages that nobody has recorded. The reasons are the most frequent ones. ``earlier`` are
    events from before the upstream began, not counted elsewhere, ``deletions`` threads that it
    still has to erase; ``met`` says whether it has begun.
    """

    upstream: str
    counts: Counts
    superseded: int
    lossy: int
    unknown: int
    oldest_pending: int | None
    oldest_held: int | None
    standing: Standing | None
    held: list[Reason]
    dead: list[Reason]
    earlier: int = 0
    deletions: int = 0
    met: bool = True


class Stored(Struct, frozen=True):
    """How much of a site is in the log."""

    site: str
    events: int
    threads: int


class Work(Struct, frozen=True):
    """What is to be tried again at one upstream: threads, and (event, thread) that are dead."""

    upstream: str
    threads: list[int]
    dead: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.threads) + len(self.dead)


class Undelivered(Struct, frozen=True):
    """One that is held (a thread, tried again at ``at`` ms) or dead (an event, since ``at``)."""

    thread: str
    at: int
    reason: str
    event: str | None = None
    kind: str | None = None


class Beside:
    """A connection to the log at ``path``; made by `open_beside`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def upstreams(self) -> list[str]:
        """Every upstream that the log knows."""
        return roster.names(self._connection)

    def forget(self, upstream: str) -> bool:
        """Remove all that is known of an upstream; False, and nothing removed, if the server goes
        by settings that have it."""
        with self._writing():
            return roster.forget(self._connection, upstream)

    def stored(self, site: str) -> Stored:
        """What there is of a site, whoever has it."""
        events = self._one(_STORED, site)
        threads = self._one("SELECT count(*) FROM threads WHERE site = ?", site)
        return Stored(site, events or 0, threads or 0)

    def report(self, upstream: str, site: str, start: Start = "all") -> Report:
        """Where the events of a site are, in one snapshot; ``start`` is where the upstream will
        begin if no server has met it."""
        connection = self._connection
        connection.execute("BEGIN")
        try:
            met = roster.has_met(connection, upstream)
            if start == "now" and not met:
                return _unmet(upstream)
            remarks = dict(
                connection.execute(
                    "SELECT remark, count(*) FROM remark WHERE upstream = ? GROUP BY 1", (upstream,)
                ).fetchall()
            )
            return Report(
                upstream,
                count(connection, upstream, site),
                remarks.get("superseded", 0),
                remarks.get("lossy", 0),
                self._one("SELECT count(*) FROM waiting WHERE upstream = ?", upstream) or 0,
                self._oldest_pending(upstream, site),
                self._one(_OLDEST_HELD, upstream),
                read_standing(connection, upstream),
                self._reasons(_HELD, upstream),
                self._reasons(_DEAD, upstream),
                self._earlier(upstream, site),
                self._one("SELECT count(*) FROM deletion WHERE upstream = ?", upstream) or 0,
                met,
            )
        finally:
            connection.execute("ROLLBACK")

    def find(self, upstream: str, thread: str | None = None, reason: str | None = None) -> Work:
        """What is held or dead there, of one thread and with a text in its reason if given."""
        site = upstream.partition("/")[0]
        asked = {"upstream": upstream, "site": site, "thread": thread, "reason": reason}
        threads = [number for (number,) in self._connection.execute(_FIND_HELD, asked)]
        return Work(upstream, threads, self._connection.execute(_FIND_DEAD, asked).fetchall())

    def undelivered(
        self, upstream: str, thread: str | None = None, reason: str | None = None
    ) -> Iterator[Undelivered]:
        """What `find` finds, by name, oldest first; read as it is taken."""
        site = upstream.partition("/")[0]
        asked = {"upstream": upstream, "site": site, "thread": thread, "reason": reason}
        for query in (_LIST_HELD, _LIST_DEAD):
            for row in self._connection.execute(query, asked):
                yield Undelivered(*row)

    def retry(self, work: Work) -> Iterator[int]:
        """Have it tried at once; gives how much of it is done, as it goes."""
        for start in range(0, len(work.threads), CHUNK):
            chunk = work.threads[start : start + CHUNK]
            with self._writing():
                self._connection.executemany(
                    "UPDATE hold SET next_at = 0, attempts = 0"
                    " WHERE upstream = ? AND thread_no = ?",
                    [(work.upstream, number) for number in chunk],
                )
            yield len(chunk)
        for start in range(0, len(work.dead), CHUNK):
            part = work.dead[start : start + CHUNK]
            with self._writing():
                self._revive(work.upstream, part)
            yield len(part)
        with self._writing():
            self._connection.execute(
                "UPDATE standing SET next_at = 0 WHERE upstream = ?", (work.upstream,)
            )

    def bar(self, barrier: Barrier) -> None:
        """Have the server refuse what it names, within a second."""
        with self._writing():
            bar(self._connection, [barrier])

    def _revive(self, upstream: str, dead: list[tuple[int, int]]) -> None:
        """Dead events wait again: the hold makes a forwarder look at their threads."""
        self._connection.executemany(
            "UPDATE dead SET again = 1 WHERE upstream = ? AND seq = ?",
            [(upstream, seq) for seq, _ in dead],
        )
        since = read_cursor(self._connection, upstream) + 1
        self._connection.executemany(
            "INSERT INTO hold VALUES (?, ?, ?, 0, 0, '') ON CONFLICT DO UPDATE SET next_at = 0",
            [(upstream, thread_no, since) for _, thread_no in dead],
        )

    def _earlier(self, upstream: str, site: str) -> int:
        start = read_start(self._connection, upstream)
        return (self._one(_EARLIER, site, start) or 0) if start else 0

    def _oldest_pending(self, upstream: str, site: str) -> int | None:
        cursor = read_cursor(self._connection, upstream)
        return self._one(
            "SELECT received_at FROM events CROSS JOIN threads USING (thread_no)"
            " WHERE seq > ? AND site = ? ORDER BY seq LIMIT 1",
            cursor,
            site,
        )

    def _one(self, query: str, *values: object) -> int | None:
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    def _reasons(self, query: str, upstream: str) -> list[Reason]:
        rows = self._connection.execute(query, (upstream, MOST_REASONS))
        return [Reason(*row) for row in rows]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise LogError(f"The log cannot be written: {error}. Try again.") from error


@contextmanager
def open_beside(path: Path) -> Iterator[Beside]:
    """The log at ``path``, whether or not a server has it.

    Raises:
        LogError: there is none, it is another version's, or it cannot be read.
    """
    with opening.beside(path) as connection:
        yield Beside(connection)


def _unmet(upstream: str) -> Report:
    """Of an upstream that begins with the next event: nothing is its own yet."""
    nothing = Counts(0, 0, 0, 0, 0)
    return Report(upstream, nothing, 0, 0, 0, None, None, None, [], [], met=False)


_STORED: Final = "SELECT count(*) FROM events JOIN threads USING (thread_no) WHERE site = ?"
_EARLIER: Final = f"{_STORED} AND seq <= ?"
_OLDEST_HELD: Final = (
    "SELECT min(received_at) FROM hold JOIN events ON events.seq = since_seq"
    " WHERE upstream = ? AND reason <> ''"
)
_HELD: Final = (
    "SELECT reason, count(*), min(next_at) FROM hold WHERE upstream = ? AND reason <> ''"
    " GROUP BY 1 ORDER BY 2 DESC LIMIT ?"
)
_DEAD: Final = (
    "SELECT reason, count(*) FROM dead WHERE upstream = ? AND NOT again"
    " GROUP BY 1 ORDER BY 2 DESC LIMIT ?"
)
_HELD_OF: Final = (
    " FROM hold JOIN threads USING (thread_no)"
    " WHERE upstream = :upstream AND reason <> ''"
    " AND (:thread IS NULL OR site = :site AND thread = :thread)"
    " AND (:reason IS NULL OR instr(reason, :reason) > 0)"
)
_DEAD_OF: Final = (
    " FROM dead JOIN events USING (seq) JOIN threads USING (thread_no)"
    " WHERE upstream = :upstream AND NOT again"
    " AND (:thread IS NULL OR site = :site AND thread = :thread)"
    " AND (:reason IS NULL OR instr(reason, :reason) > 0)"
)
_FIND_HELD: Final = f"SELECT thread_no{_HELD_OF}"
_FIND_DEAD: Final = f"SELECT seq, thread_no{_DEAD_OF}"
_LIST_HELD: Final = f"SELECT thread, next_at, reason{_HELD_OF} ORDER BY since_seq"
_LIST_DEAD: Final = f"SELECT thread, dead.at, reason, event_id, kind{_DEAD_OF} ORDER BY seq"
