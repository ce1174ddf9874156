"""The census of a log, for an operator: what is in its file, and whether the file is sound."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from thumbseal.log import Counts, Erasure, Removed, opening, receipts, removal, roster, salvage

STEPS: Final = 1_000_000  # of SQLite's machine between two words of progress
FAULTS: Final = 20  # at most so many are told


class Census(Struct, frozen=True):
    """What `thumbseal check --log` tells. Sizes in bytes; ``faults`` is empty for a sound log;
    ``quarantined`` are damaged logs that were put aside, ``counts`` those of upstreams that have
    begun."""

    version: int
    size: int
    journal: int
    threads: int
    events: int
    deletions: int
    counts: Mapping[str, Counts]
    faults: tuple[str, ...]
    quarantined: tuple[str, ...]


def take(path: Path, upstreams: Sequence[str], tick: Callable[[], None]) -> Census:
    """Look through a log, also one that a server has open; ``tick`` is called now and then.

    Raises:
        LogError: there is no log, it is not one, of another version, or cannot be read at all.
    """
    with opening.beside(path) as connection, _ticking(connection, tick):
        faults = connection.execute(f"PRAGMA integrity_check({FAULTS})").fetchall()
        journal = path.with_name(f"{path.name}-wal")
        connection.execute("BEGIN")  # one moment for all the figures
        return Census(
            version=connection.execute("PRAGMA user_version").fetchone()[0],
            size=path.stat().st_size,
            journal=journal.stat().st_size if journal.exists() else 0,
            threads=_count(connection, "threads"),
            events=_count(connection, "events"),
            deletions=_count(connection, "deletion"),
            counts={
                each: _counts(connection, each)
                for each in upstreams
                if roster.has_met(connection, each)
            },
            faults=tuple(text for (text,) in faults if text != "ok"),
            quarantined=tuple(each.name for each in salvage.quarantined(path)),
        )


def erase(path: Path, erasure: Erasure) -> Removed:
    """Erase in a log that a server may have open.

    Raises:
        LogError: see `opening.beside`; nothing was erased.
    """
    with opening.beside(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            (removed,) = removal.erase(connection, [erasure])
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        # What was erased must not stay in the journal. If the server reads from it just now, it
        # does this itself within the second.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return removed


@contextmanager
def _ticking(connection: sqlite3.Connection, tick: Callable[[], None]) -> Iterator[None]:
    connection.set_progress_handler(tick, STEPS)
    yield


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def _counts(connection: sqlite3.Connection, upstream: str) -> Counts:
    site = upstream.partition("/")[0]
    return receipts.count(connection, upstream, site)
