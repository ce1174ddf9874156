"""Removing whole threads from a SQLite log: erased on somebody's wish, or expired.

What goes leaves a name: how many of its events each upstream had got, and how many it never will.
So an upstream's accounts stay exact. An erased thread leaves its barrier, too, and a deletion for
each upstream that can delete.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct, structs

from thumbseal.ids import ThreadId, actor_of
from thumbseal.log import Counts, Deletion, Erasure, Removed, Retention, aliases, claims
from thumbseal.log.barriers import Barrier, Scope
from thumbseal.log.barring import bar
from thumbseal.log.claims import Settlement

PAGE: Final = 100  # threads looked at in one transaction of a sweep
ENOUGH: Final = 2_000  # events removed in one: the next append must not wait for more
# An upstream may still be at work on what it was sent before: its deletion comes after that.
GRACE_MS: Final = 60_000
CLOCKS_MS: Final = 24 * 3600 * 1000  # how far a machine's clock may have been put back

# Beside `events`, what else knows a thread or an event.
_BY_SEQ: Final = ("dead", "remark", "waiting")
_BY_THREAD: Final = ("hold",)


class Sweep(Struct, frozen=True):
    """Look at the threads after this number, by each site's rule. ``now`` in ms."""

    after: int
    rules: Mapping[str, Retention]
    now: int


class Swept(Struct, frozen=True):
    """How far a sweep came, None when it is through, and what it removed."""

    after: int | None
    removed: Removed


def find_threads(connection: sqlite3.Connection, erasure: Erasure) -> list[tuple[int, ThreadId]]:
    """The threads that an erasure is about: the one named, or each that the user took part in."""
    if erasure.user is None:
        query = "SELECT thread_no, thread FROM threads WHERE site = ? AND thread = ?"
        return connection.execute(query, (erasure.site, erasure.thread)).fetchall()
    return connection.execute(
        "SELECT thread_no, thread FROM threads WHERE site = ? AND (user = ? OR thread_no IN"
        " (SELECT thread_no FROM events WHERE actor = ?)) ORDER BY thread_no",
        (erasure.site, erasure.user, actor_of(erasure.site, erasure.user)),
    ).fetchall()


def erase(connection: sqlite3.Connection, erasures: Sequence[Erasure]) -> list[Removed]:
    """Remove what each is about, bar it, and order its deletions. Part of one transaction."""
    return [_erase(connection, erasure) for erasure in erasures]


def sweep(connection: sqlite3.Connection, sweeps: Sequence[Sweep]) -> list[Swept]:
    """Remove one page's threads that have had their time. Part of the writer's transaction."""
    return [_sweep(connection, each) for each in sweeps]


def settle(connection: sqlite3.Connection, settlements: Sequence[Settlement]) -> list[None]:
    """Record what became of claims; of a thread that was removed since, there is nothing to."""
    here = [
        structs.replace(
            each,
            outcomes=[one for one in each.outcomes if _is_here(connection, one.thread_no)],
        )
        for each in settlements
    ]
    return claims.settle(connection, here)


def with_removed(connection: sqlite3.Connection, upstream: str, counts: Counts) -> Counts:
    """The counts of the events that are here, and those of the ones that are not."""
    row = connection.execute(
        "SELECT delivered, erased, expired FROM removed WHERE upstream = ?", (upstream,)
    ).fetchone()
    if row is None:
        return counts
    delivered, erased, expired = row
    return structs.replace(
        counts,
        accepted=counts.accepted + delivered + erased + expired,
        delivered=counts.delivered + delivered,
        erased=erased,
        expired=expired,
    )


def due_deletions(
    connection: sqlite3.Connection, upstream: str, now: int, limit: int
) -> list[Deletion]:
    """The deletions that an upstream has to carry out by now."""
    rows = connection.execute(
        "SELECT upstream, thread, next_at, attempts, reason FROM deletion"
        " WHERE upstream = ? AND next_at <= ? ORDER BY next_at LIMIT ?",
        (upstream, now, limit),
    )
    return [Deletion(*row) for row in rows]


def settle_deletions(
    connection: sqlite3.Connection, deletions: Sequence[tuple[Deletion, bool]]
) -> list[None]:
    """Drop what is done, keep the rest with its next try. Part of the writer's transaction."""
    for deletion, done in deletions:
        key = (deletion.upstream, deletion.thread)
        connection.execute("DELETE FROM deletion WHERE upstream = ? AND thread = ?", key)
        if not done:
            _order(connection, deletion)
    return [None] * len(deletions)


def _erase(connection: sqlite3.Connection, erasure: Erasure) -> Removed:
    found = find_threads(connection, erasure)
    threads = [thread for _, thread in found]
    if erasure.thread is not None and not found:  # what comes later must not begin it anew
        threads.append(erasure.thread)
    _bar(connection, erasure, threads)
    for upstream in erasure.deletions:
        for thread in threads:
            _order(connection, Deletion(upstream, thread, erasure.at + GRACE_MS))
    gone = [thread_no for thread_no, _ in found]
    return _remove(connection, erasure.site, gone, erasure.upstreams, "erased")


def _bar(connection: sqlite3.Connection, erasure: Erasure, threads: Iterable[ThreadId]) -> None:
    barred: list[tuple[Scope, str]] = [("thread", thread) for thread in threads]
    if erasure.user is not None:
        barred.append(("user", erasure.user))
    at = erasure.at // 1000
    bar(connection, [Barrier(erasure.site, scope, id_, at) for scope, id_ in barred])


def _order(connection: sqlite3.Connection, deletion: Deletion) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO deletion VALUES (?, ?, ?, ?, ?)", structs.astuple(deletion)
    )


def _sweep(connection: sqlite3.Connection, sweep: Sweep) -> Swept:
    page = connection.execute(
        "SELECT thread_no, site, created_at FROM threads WHERE thread_no > ?"
        " ORDER BY thread_no LIMIT ?",
        (sweep.after, PAGE),
    ).fetchall()
    removed, after = Removed(0, 0), None
    for thread_no, site, created_at in page:
        after = thread_no
        rule = sweep.rules.get(site)
        if rule is not None and created_at < sweep.now - rule.idle:
            removed += _expire(connection, site, thread_no, rule, sweep.now)
        if removed.events >= ENOUGH:
            break
    return Swept(None if _is_through(sweep, page, after) else after, removed)


def _is_through(sweep: Sweep, page: Sequence[tuple[int, str, int]], after: int | None) -> bool:
    """Whether nothing is left to look at: numbers are given in the order of time, so after a
    thread that is too young all are."""
    if page and after != page[-1][0]:
        return False
    youngest = min((rule.idle for rule in sweep.rules.values()), default=0)
    return len(page) < PAGE or page[-1][2] > sweep.now - youngest + CLOCKS_MS


def _expire(
    connection: sqlite3.Connection, site: str, thread_no: int, rule: Retention, now: int
) -> Removed:
    last, seq = connection.execute(
        "SELECT max(received_at), max(seq) FROM events WHERE thread_no = ?", (thread_no,)
    ).fetchone()
    if last is not None and last >= now - rule.idle:
        return Removed(0, 0)
    overdue = rule.longest is not None and (last or 0) < now - rule.longest
    if not overdue and any(
        _is_wanted(connection, upstream, thread_no, seq or 0)
        for upstream in _upstreams(connection, site, rule.upstreams)
    ):
        return Removed(0, 0)
    return _remove(connection, site, [thread_no], rule.upstreams, "expired")


def _is_wanted(connection: sqlite3.Connection, upstream: str, thread_no: int, last: int) -> bool:
    """Whether something of a thread is pending or held at an upstream."""
    key = (upstream, thread_no)
    waits = connection.execute(
        "SELECT 1 FROM hold WHERE upstream = ? AND thread_no = ? UNION ALL"
        " SELECT 1 FROM waiting WHERE upstream = ? AND thread_no = ?",
        (*key, *key),
    ).fetchone()
    return waits is not None or last > claims.read_cursor(connection, upstream)


def _upstreams(connection: sqlite3.Connection, site: str, configured: Iterable[str]) -> list[str]:
    """The upstreams that a site's events count for: the configured, and all that got any."""
    rows = connection.execute(
        "SELECT upstream FROM cursor WHERE substr(upstream, 1, ?) = ?",
        (len(site) + 1, f"{site}/"),
    )
    return sorted({*configured, *(name for (name,) in rows)})


def _remove(
    connection: sqlite3.Connection,
    site: str,
    thread_nos: Sequence[int],
    configured: Iterable[str],
    why: Literal["erased", "expired"],
) -> Removed:
    upstreams = _upstreams(connection, site, configured)
    events = 0
    for thread_no in thread_nos:
        (count,) = connection.execute(
            "SELECT count(*) FROM events WHERE thread_no = ?", (thread_no,)
        ).fetchone()
        for upstream in upstreams:
            own, left = _own(connection, upstream, thread_no)
            _book(connection, upstream, own - left, left, why)
        _forget(connection, site, thread_no, why)
        _delete(connection, thread_no, upstreams)
        events += count
    return Removed(len(thread_nos), events)


def _own(connection: sqlite3.Connection, upstream: str, thread_no: int) -> tuple[int, int]:
    """How many of a thread's events are an upstream's, since it began; and how many of these it
    does not have: pending, held, waiting or dead."""
    own, left = connection.execute(
        "SELECT count(*), coalesce(sum(seq > :cursor"
        " OR seq >= (SELECT since_seq FROM hold"
        "  WHERE upstream = :upstream AND thread_no = :thread_no)"
        " OR EXISTS (SELECT 1 FROM dead"
        "  WHERE upstream = :upstream AND dead.seq = events.seq)"
        " OR EXISTS (SELECT 1 FROM waiting"
        "  WHERE upstream = :upstream AND waiting.seq = events.seq)), 0)"
        " FROM events WHERE thread_no = :thread_no AND seq > :start",
        {
            "thread_no": thread_no,
            "upstream": upstream,
            "cursor": claims.read_cursor(connection, upstream),
            "start": claims.read_start(connection, upstream),
        },
    ).fetchone()
    return int(own), int(left)


def _book(
    connection: sqlite3.Connection,
    upstream: str,
    delivered: int,
    left: int,
    why: Literal["erased", "expired"],
) -> None:
    erased, expired = (left, 0) if why == "erased" else (0, left)
    connection.execute(
        "INSERT INTO removed VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " delivered = delivered + excluded.delivered, erased = erased + excluded.erased,"
        " expired = expired + excluded.expired",
        (upstream, delivered, erased, expired),
    )


def _forget(
    connection: sqlite3.Connection, site: str, thread_no: int, why: Literal["erased", "expired"]
) -> None:
    for (thread,) in connection.execute(
        "SELECT thread FROM threads WHERE thread_no = ?", (thread_no,)
    ).fetchall():
        aliases.forget(connection, site, thread, barred=why == "erased")


def _delete(connection: sqlite3.Connection, thread_no: int, upstreams: Iterable[str]) -> None:
    for table in _BY_SEQ:
        connection.executemany(
            f"DELETE FROM {table} WHERE upstream = ? AND seq IN"  # noqa: S608
            " (SELECT seq FROM events WHERE thread_no = ?)",
            [(upstream, thread_no) for upstream in upstreams],
        )
    for table in (*_BY_THREAD, "events", "threads"):
        connection.execute(f"DELETE FROM {table} WHERE thread_no = ?", (thread_no,))  # noqa: S608


def _is_here(connection: sqlite3.Connection, thread_no: int) -> bool:
    row = connection.execute("SELECT 1 FROM threads WHERE thread_no = ?", (thread_no,)).fetchone()
    return row is not None
