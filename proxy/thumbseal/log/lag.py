"""How far an upstream is behind: the oldest event that it does not have yet."""

import sqlite3


def oldest_undelivered(connection: sqlite3.Connection, upstream: str, site: str) -> int | None:
    """When the oldest pending or held event of a site was received, in ms; None without one."""
    (pending,) = connection.execute(
        "SELECT (SELECT received_at FROM events JOIN threads USING (thread_no)"
        " WHERE site = :site AND seq >"
        " coalesce((SELECT seq FROM cursor WHERE upstream = :upstream), 0) ORDER BY seq LIMIT 1)",
        {"site": site, "upstream": upstream},
    ).fetchone()
    (held,) = connection.execute(
        "SELECT min(received_at) FROM hold JOIN events"
        " ON events.thread_no = hold.thread_no AND events.seq = hold.since_seq"
        " WHERE hold.upstream = ?",
        (upstream,),
    ).fetchone()
    return min((moment for moment in (pending, held) if moment is not None), default=None)
