"""What became of events at an upstream: one by one, in figures, and of the upstream itself."""

import sqlite3
from collections.abc import Sequence

from thumbseal.log import Counts, Receipt, Standing
from thumbseal.log.claims import read_cursor, read_start
from thumbseal.log.removal import with_removed


def count(connection: sqlite3.Connection, upstream: str, site: str) -> Counts:
    """Where a site's events are. Each is found where it lies; only what is left is delivered."""
    cursor, start = read_cursor(connection, upstream), read_start(connection, upstream)

    def one(query: str, *values: object) -> int:
        return int(connection.execute(query, values).fetchone()[0])

    accepted, fresh = connection.execute(
        "SELECT count(*), coalesce(sum(seq > ?), 0) FROM events JOIN threads USING (thread_no)"
        " WHERE site = ? AND seq > ?",
        (cursor, site, start),
    ).fetchone()
    held, postponed = connection.execute(
        "SELECT coalesce(sum(reason <> ''), 0), coalesce(sum(reason = ''), 0)"
        " FROM hold JOIN events USING (thread_no)"
        " WHERE hold.upstream = :upstream AND seq BETWEEN since_seq AND :cursor"
        " AND seq NOT IN (SELECT seq FROM dead WHERE upstream = :upstream)"
        " AND seq NOT IN (SELECT seq FROM waiting WHERE upstream = :upstream)",
        {"upstream": upstream, "cursor": cursor},
    ).fetchone()
    # What came before the start goes along with what came after, and may be refused, too.
    own = (upstream, start)
    dead = one("SELECT count(*) FROM dead WHERE upstream = ? AND seq > ? AND NOT again", *own)
    again = one("SELECT count(*) FROM dead WHERE upstream = ? AND seq > ? AND again", *own)
    waiting = one("SELECT count(*) FROM waiting WHERE upstream = ? AND seq > ?", *own)
    pending = fresh + postponed + again
    held += waiting
    here = Counts(accepted, accepted - pending - held - dead, pending, held, dead)
    return with_removed(connection, upstream, here)


def receipts(connection: sqlite3.Connection, upstream: str, thread_no: int) -> dict[int, Receipt]:
    """What became of each event of a thread, by seq."""
    cursor = read_cursor(connection, upstream)
    hold = connection.execute(
        "SELECT since_seq, next_at, reason FROM hold WHERE upstream = ? AND thread_no = ?",
        (upstream, thread_no),
    ).fetchone()
    rows = connection.execute(
        "SELECT events.seq, dead.reason, again, waiting.message, remark FROM events"
        " LEFT JOIN dead ON dead.upstream = :upstream AND dead.seq = events.seq"
        " LEFT JOIN waiting ON waiting.upstream = :upstream AND waiting.seq = events.seq"
        " LEFT JOIN remark ON remark.upstream = :upstream AND remark.seq = events.seq"
        " WHERE events.thread_no = :thread_no AND events.seq > :start ORDER BY events.seq",
        {
            "upstream": upstream,
            "thread_no": thread_no,
            "start": read_start(connection, upstream),
        },
    )
    return {row[0]: _receipt(*row, cursor=cursor, hold=hold) for row in rows}


def _receipt(
    seq: int,
    dead: str | None,
    again: int | None,
    waiting: str | None,
    remark: str | None,
    *,
    cursor: int,
    hold: tuple[int, int, str] | None,
) -> Receipt:
    if dead is not None:
        return Receipt("pending") if again else Receipt("dead", dead)
    if waiting is not None:
        return Receipt("held", "message_unknown")
    if seq > cursor:
        return Receipt("pending")
    if hold is not None and seq >= hold[0]:
        return Receipt("held", hold[2], hold[1]) if hold[2] else Receipt("pending")
    return Receipt("delivered", remark=remark)  # type: ignore[arg-type]


def read_standing(connection: sqlite3.Connection, upstream: str) -> Standing | None:
    """What is the matter with an upstream; None if nothing is."""
    row = connection.execute(
        "SELECT state, reason, since, next_at FROM standing WHERE upstream = ?", (upstream,)
    ).fetchone()
    return None if row is None else Standing(*row)


def stand(
    connection: sqlite3.Connection, notes: Sequence[tuple[str, Standing | None]]
) -> list[None]:
    """Note what is the matter with upstreams. Part of the writer's transaction."""
    for upstream, standing in notes:
        if standing is None:
            connection.execute("DELETE FROM standing WHERE upstream = ?", (upstream,))
        else:
            values = standing.state, standing.reason, standing.since, standing.next_at
            connection.execute(
                "INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?, ?)", (upstream, *values)
            )
    return [None] * len(notes)
