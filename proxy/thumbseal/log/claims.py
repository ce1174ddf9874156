"""What an upstream has to do next, and what became of it: the cursor, the holds and the dead."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from thumbseal import events
from thumbseal.events import Event
from thumbseal.ids import ThreadId
from thumbseal.log import Claim, Counts, Due, Settled, StoredThread

MAX_DUE_HOLDS: Final = 100  # a claim stays small also after a long outage

_EVENT: Final = "seq, source, actor, at, received_at, body"


class Settlement(Struct, frozen=True):
    """A claim with its outcomes, on its way to the writer."""

    claim: Claim
    outcomes: Sequence[Settled]
    now: int


def read_thread(
    connection: sqlite3.Connection, thread_no: int, after: int = 0, upto: int | None = None
) -> StoredThread:
    """A thread's events with ``after`` < seq ≤ ``upto``."""
    thread, user, created_at = connection.execute(
        "SELECT thread, user, created_at FROM threads WHERE thread_no = ?", (thread_no,)
    ).fetchone()
    rows = connection.execute(
        f"SELECT {_EVENT} FROM events WHERE thread_no = ? AND seq > ? AND seq <= ? ORDER BY seq",  # noqa: S608
        (thread_no, after, upto or 2**62),
    )
    return StoredThread(
        thread_no, ThreadId(thread), user, created_at, [_event(row) for row in rows]
    )


def read_votes(connection: sqlite3.Connection, thread_no: int, actor: str) -> list[Event]:
    """An actor's feedback events in one thread."""
    rows = connection.execute(
        f"SELECT {_EVENT} FROM events"  # noqa: S608
        " WHERE thread_no = ? AND kind = 'feedback' AND actor = ? ORDER BY seq",
        (thread_no, actor),
    )
    return [_event(row) for row in rows]


def claim(
    connection: sqlite3.Connection,
    upstream: str,
    site: str,
    now: int,
    limit: int,
    known: Mapping[int, int],
) -> Claim:
    """See `thumbseal.log.Log.claim`. One snapshot: the caller has begun a transaction."""
    cursor = _cursor(connection, upstream)
    fresh, upto = _fresh(connection, site, cursor, limit)
    holds = {
        thread_no: (since, next_at, attempts)
        for thread_no, since, next_at, attempts in _holds(connection, upstream, now, fresh)
    }
    due = {no: (since, 0) for no, since in fresh.items() if no not in holds}
    due |= {no: (since, tries) for no, (since, at, tries) in holds.items() if at <= now}
    return Claim(
        upstream,
        cursor,
        upto,
        [
            Due(
                read_thread(connection, no, min(known.get(no, 0), since - 1), upto),
                since,
                attempts,
                _dead(connection, upstream, no),
            )
            for no, (since, attempts) in due.items()
        ],
    )


def settle(connection: sqlite3.Connection, settlements: Sequence[Settlement]) -> list[None]:
    """Record outcomes and cursors. Part of the writer's transaction."""
    for settlement in settlements:
        for outcome in settlement.outcomes:
            _settle_thread(connection, settlement.claim.upstream, outcome, settlement.now)
        connection.execute(
            "INSERT INTO cursor VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq",
            (settlement.claim.upstream, settlement.claim.upto),
        )
    return [None] * len(settlements)


def next_hold(connection: sqlite3.Connection, upstream: str) -> int | None:
    """When the next hold is due, in ms."""
    row = connection.execute(
        "SELECT min(next_at) FROM hold WHERE upstream = ?", (upstream,)
    ).fetchone()
    return None if row[0] is None else int(row[0])


def count(connection: sqlite3.Connection, upstream: str, site: str) -> Counts:
    """Where a site's events are. Each is found where it lies; only what is left is delivered."""
    cursor = _cursor(connection, upstream)
    accepted, pending = connection.execute(
        "SELECT count(*), coalesce(sum(seq > ?), 0) FROM events JOIN threads USING (thread_no)"
        " WHERE site = ?",
        (cursor, site),
    ).fetchone()
    (held,) = connection.execute(
        "SELECT count(*) FROM hold JOIN events USING (thread_no)"
        " WHERE upstream = ? AND seq BETWEEN since_seq AND ?",
        (upstream, cursor),
    ).fetchone()
    (dead,) = connection.execute(
        "SELECT count(*) FROM dead WHERE upstream = ?", (upstream,)
    ).fetchone()
    (waiting,) = connection.execute(
        "SELECT count(*) FROM waiting WHERE upstream = ?", (upstream,)
    ).fetchone()
    delivered = accepted - pending - held - dead - waiting
    return Counts(accepted, delivered, pending, held + waiting, dead)


def _event(row: tuple[int, events.Source, str, int, int, str]) -> Event:
    seq, source, actor, at, received_at, body = row
    return Event(seq, source, actor, at, received_at, events.load(body))


def _cursor(connection: sqlite3.Connection, upstream: str) -> int:
    row = connection.execute("SELECT seq FROM cursor WHERE upstream = ?", (upstream,)).fetchone()
    return int(row[0]) if row else 0


def _fresh(
    connection: sqlite3.Connection, site: str, cursor: int, limit: int
) -> tuple[dict[int, int], int]:
    """The threads with events past the cursor, each with its first one, and the new cursor."""
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
    rows = connection.execute(
        "SELECT seq, thread_no FROM events JOIN threads USING (thread_no)"
        " WHERE seq > ? AND site = ? ORDER BY seq LIMIT ?",
        (cursor, site, limit),
    ).fetchall()
    first: dict[int, int] = {}
    for seq, thread_no in rows:
        first.setdefault(thread_no, seq)
    # A short page means that all is read: the cursor may pass the other sites' events too.
    upto = rows[-1][0] if len(rows) == limit else max(last, cursor)
    return first, upto


def _holds(
    connection: sqlite3.Connection, upstream: str, now: int, fresh: Iterable[int]
) -> list[tuple[int, int, int, int]]:
    """The holds that are due, and those of threads that have new events."""
    columns = "SELECT thread_no, since_seq, next_at, attempts FROM hold WHERE upstream = ?"
    due = connection.execute(
        f"{columns} AND next_at <= ? ORDER BY next_at LIMIT ?", (upstream, now, MAX_DUE_HOLDS)
    ).fetchall()
    for thread_no in fresh:
        due += connection.execute(f"{columns} AND thread_no = ?", (upstream, thread_no)).fetchall()
    return due


def _dead(connection: sqlite3.Connection, upstream: str, thread_no: int) -> frozenset[int]:
    rows = connection.execute(
        "SELECT seq FROM dead JOIN events USING (seq) WHERE upstream = ? AND thread_no = ?",
        (upstream, thread_no),
    )
    return frozenset(seq for (seq,) in rows)


def _settle_thread(
    connection: sqlite3.Connection, upstream: str, outcome: Settled, now: int
) -> None:
    thread_no = outcome.thread_no
    if outcome.hold_from is None:
        connection.execute(
            "DELETE FROM hold WHERE upstream = ? AND thread_no = ?", (upstream, thread_no)
        )
    else:
        connection.execute(
            "INSERT OR REPLACE INTO hold VALUES (?, ?, ?, ?, ?, ?)",
            (
                upstream,
                thread_no,
                outcome.hold_from,
                outcome.next_at,
                outcome.attempts,
                outcome.reason,
            ),
        )
    for message in outcome.arrived:
        connection.execute(
            "DELETE FROM waiting WHERE upstream = ? AND thread_no = ? AND message = ?",
            (upstream, thread_no, message),
        )
    connection.executemany(
        "INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?)",
        [(upstream, seq, thread_no, message) for seq, message in outcome.waiting],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?)",
        [(upstream, seq, reason, now) for seq, reason in outcome.dead],
    )
