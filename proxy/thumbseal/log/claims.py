"""What an upstream has to do next, and what became of it: the cursor, the holds and the dead."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, structs

from thumbseal.log import Claim, Due, Settled
from thumbseal.log.threads import read_thread

FARTHEST: Final = 2 * 3600 * 1000  # ms; nobody is put off for longer than an hour


class Settlement(Struct, frozen=True):
    """A claim with its outcomes, on its way to the writer."""

    claim: Claim
    outcomes: Sequence[Settled]
    now: int


def claim(
    connection: sqlite3.Connection,
    upstream: str,
    site: str,
    now: int,
    limit: int,
    known: Mapping[int, int],
    holds: int,
) -> Claim:
    """See `thumbseal.log.Log.claim`. One snapshot: the caller has begun a transaction."""
    cursor = read_cursor(connection, upstream)
    due = _due_holds(connection, upstream, now, min(limit, holds))
    held = set(due)
    fresh, upto = _fresh(connection, upstream, site, cursor, limit - len(due))
    for thread_no, since in fresh.items():
        if thread_no not in held:
            due[thread_no] = (since, 0)
    return Claim(
        upstream,
        cursor,
        upto,
        [
            _due(connection, upstream, no, since, attempts, upto, known.get(no, 0), no in held)
            for no, (since, attempts) in due.items()
        ],
        read_start(connection, upstream),
        _has_deletions(connection, upstream, now),
        _next_hold(connection, upstream),
    )


def settle(connection: sqlite3.Connection, settlements: Sequence[Settlement]) -> list[None]:
    """Record outcomes and cursors. Part of the writer's transaction."""
    for settlement in settlements:
        for outcome in settlement.outcomes:
            _settle_thread(
                connection,
                settlement.claim.upstream,
                outcome,
                settlement.claim.upto,
                settlement.now,
            )
        connection.execute(
            "INSERT INTO cursor VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq",
            (settlement.claim.upstream, settlement.claim.upto),
        )
    return [None] * len(settlements)


def read_cursor(connection: sqlite3.Connection, upstream: str) -> int:
    """How far an upstream has got."""
    row = connection.execute("SELECT seq FROM cursor WHERE upstream = ?", (upstream,)).fetchone()
    return int(row[0]) if row else 0


def read_start(connection: sqlite3.Connection, upstream: str) -> int:
    """The last event before an upstream began; 0 for one that got all."""
    row = connection.execute(
        "SELECT start_seq FROM roster WHERE upstream = ?", (upstream,)
    ).fetchone()
    return int(row[0]) if row else 0


def _has_deletions(connection: sqlite3.Connection, upstream: str, now: int) -> bool:
    row = connection.execute(
        "SELECT 1 FROM deletion WHERE upstream = ? AND next_at <= ? LIMIT 1", (upstream, now)
    ).fetchone()
    return row is not None


def _next_hold(connection: sqlite3.Connection, upstream: str) -> int | None:
    row = connection.execute(
        "SELECT min(next_at) FROM hold WHERE upstream = ?", (upstream,)
    ).fetchone()
    return None if row[0] is None else int(row[0])


def _fresh(
    connection: sqlite3.Connection, upstream: str, site: str, cursor: int, limit: int
) -> tuple[dict[int, int], int]:
    """The threads without a hold that have events past the cursor, each with its first one, and
    the new cursor. What comes for a held thread the cursor passes by: the hold covers it."""
    if limit <= 0:
        return {}, cursor
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
    # CROSS keeps SQLite from starting at the site's threads, which is all there is to read.
    rows = connection.execute(
        "SELECT seq, thread_no FROM events CROSS JOIN threads USING (thread_no)"
        " WHERE seq > ? AND site = ? AND thread_no NOT IN"
        " (SELECT thread_no FROM hold WHERE upstream = ?) ORDER BY seq LIMIT ?",
        (cursor, site, upstream, limit),
    ).fetchall()
    first: dict[int, int] = {}
    for seq, thread_no in rows:
        first.setdefault(thread_no, seq)
    # A short page means that all is read: the cursor may pass the other sites' events too.
    upto = rows[-1][0] if len(rows) == limit else max(last, cursor)
    return first, upto


def _due_holds(
    connection: sqlite3.Connection, upstream: str, now: int, limit: int
) -> dict[int, tuple[int, int]]:
    """The holds that are due, longest due first: thread → (since, attempts). One that is due
    later than anything is ever put off was written before the clock jumped."""
    rows = connection.execute(
        "SELECT thread_no, since_seq, attempts FROM hold"
        " WHERE upstream = ? AND (next_at <= ? OR next_at > ?) ORDER BY next_at LIMIT ?",
        (upstream, now, now + FARTHEST, limit),
    )
    return {thread_no: (since, attempts) for thread_no, since, attempts in rows}


def _due(
    connection: sqlite3.Connection,
    upstream: str,
    thread_no: int,
    since: int,
    attempts: int,
    upto: int,
    known: int,
    held: bool,
) -> Due:
    rows = connection.execute(
        "SELECT seq, again FROM dead JOIN events USING (seq) WHERE upstream = ? AND thread_no = ?",
        (upstream, thread_no),
    ).fetchall()
    again = frozenset(seq for seq, wanted in rows if wanted)
    dead = frozenset(seq for seq, wanted in rows if not wanted)
    after = min(known, since - 1, *(seq - 1 for seq in again))
    stored = read_thread(connection, thread_no, after, upto)
    return Due(stored, since, attempts, dead, again, held)


def _settle_thread(
    connection: sqlite3.Connection, upstream: str, outcome: Settled, upto: int, now: int
) -> None:
    thread_no = outcome.thread_no
    connection.executemany(
        "DELETE FROM dead WHERE upstream = ? AND seq = ? AND again",
        [(upstream, seq) for seq in outcome.again],
    )
    if outcome.hold_from is not None:
        _hold(connection, upstream, outcome)
    elif _wanted_again(connection, upstream, thread_no):  # somebody asked in the meantime
        later = structs.replace(outcome, hold_from=upto + 1, next_at=now)
        _hold(connection, upstream, later)
    else:
        connection.execute(
            "DELETE FROM hold WHERE upstream = ? AND thread_no = ?", (upstream, thread_no)
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
        "INSERT OR REPLACE INTO dead (upstream, seq, reason, at) VALUES (?, ?, ?, ?)",
        [(upstream, seq, reason, now) for seq, reason in outcome.dead],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO remark VALUES (?, ?, ?)",
        [(upstream, seq, remark) for seq, remark in outcome.remarks],
    )


def _hold(connection: sqlite3.Connection, upstream: str, outcome: Settled) -> None:
    held = outcome.hold_from, outcome.next_at, outcome.attempts, outcome.reason
    connection.execute(
        "INSERT OR REPLACE INTO hold VALUES (?, ?, ?, ?, ?, ?)",
        (upstream, outcome.thread_no, *held),
    )


def _wanted_again(connection: sqlite3.Connection, upstream: str, thread_no: int) -> bool:
    row = connection.execute(
        "SELECT 1 FROM dead JOIN events USING (seq)"
        " WHERE upstream = ? AND thread_no = ? AND again LIMIT 1",
        (upstream, thread_no),
    ).fetchone()
    return row is not None
