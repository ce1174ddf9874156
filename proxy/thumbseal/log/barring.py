"""Barriers in the log's file: written by whoever revokes, closes or erases, seen by the server."""

import sqlite3
from collections.abc import Iterable

from msgspec import structs

from thumbseal.log.barriers import Barrier, Barriers

Seen = tuple[int, int]  # how many there are, and the sum of their times


def bar(connection: sqlite3.Connection, barriers: Iterable[Barrier]) -> None:
    """Write barriers; one only ever moves up."""
    connection.executemany(
        "INSERT INTO barrier VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
        [structs.astuple(barrier) for barrier in barriers],
    )


def read(connection: sqlite3.Connection, seen: Seen) -> tuple[Seen, Barriers | None]:
    """The barriers, unless they are those that were seen."""
    now = connection.execute("SELECT count(*), coalesce(sum(at), 0) FROM barrier").fetchone()
    if now == seen:
        return seen, None
    rows = connection.execute("SELECT site, scope, id, at FROM barrier")
    return now, Barriers([Barrier(*row) for row in rows])
