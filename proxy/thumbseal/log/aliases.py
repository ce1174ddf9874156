"""Aliases in a SQLite log: the names that SDKs give to threads, messages and runs.

Python's SDK hashes every id with its key, so a hash can be recognised only once the id it was made
of is known. The log's own ids are noted, and hashed with a key, by readers with a cursor: when
somebody asks for a name that is not known, and never before.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from thumbseal.claims import PassClaims
from thumbseal.ids import ThreadId, python_id
from thumbseal.log import Alias

STEP: Final = 2_000  # events in one transaction: the next append must not wait for more
REACH: Final = 100_000  # a key that is new looks back over so many events
ASKED: Final = 500  # names in one statement
OWN: Final = PassClaims("", 0, 0)  # the reader of the log's own ids


class Spelling(Struct, frozen=True):
    """Have a site's ids known as they are, and hashed with a key. ``key`` is the token itself,
    which is used and forgotten; ``claims`` name it."""

    site: str
    claims: PassClaims
    key: str


def find(connection: sqlite3.Connection, site: str, names: Iterable[str]) -> dict[str, Alias]:
    """What is known of these names."""
    wanted, found = sorted(set(names)), {}
    for start in range(0, len(wanted), ASKED):
        some = wanted[start : start + ASKED]
        marks = ",".join("?" * len(some))
        rows = connection.execute(
            f"SELECT name, thread, item, page, run FROM alias WHERE site = ? AND name IN ({marks})",  # noqa: S608
            (site, *some),
        )
        for name, thread, item, page, run in rows:
            found[name] = Alias(name, ThreadId(thread), item, bool(page), bool(run))
    return found


def keys(connection: sqlite3.Connection, site: str) -> list[PassClaims]:
    """The keys that SDKs have used."""
    rows = connection.execute(
        "SELECT id, issued, expires FROM alias_key WHERE site = ? AND id != ''", (site,)
    )
    return [PassClaims(*row) for row in rows]


def add(connection: sqlite3.Connection, site: str, aliases: Sequence[Alias], seq: int) -> None:
    """Note names. The first meaning of a name stays, but for one that only a page gave it."""
    connection.executemany(
        "INSERT INTO alias VALUES (?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT DO UPDATE SET"
        " thread = excluded.thread, item = excluded.item, run = excluded.run, page = 0, hashed = 0,"
        " seq = excluded.seq"
        " WHERE page AND NOT excluded.page",
        [(site, each.name, each.thread, each.item, each.run, each.page, seq) for each in aliases],
    )


def spell(connection: sqlite3.Connection, spellings: Sequence[Spelling]) -> list[bool]:
    """Read on with each, and say whether it is through. Part of the writer's transaction."""
    return [_spell(connection, each) for each in spellings]


def forget(connection: sqlite3.Connection, site: str, thread: str, *, barred: bool) -> None:
    """Drop the names of a thread that is removed. One that is barred keeps its own, as its barrier
    does: what comes later under a hash of it must not begin it anew."""
    connection.execute(
        "DELETE FROM alias WHERE site = ? AND thread = ? AND NOT (item IS NULL AND ?)",
        (site, thread, barred),
    )
    if barred:
        add(connection, site, [Alias(thread, ThreadId(thread))], _last_seq(connection))


def _spell(connection: sqlite3.Connection, spelling: Spelling) -> bool:
    last = _last_seq(connection)
    noted = _step(connection, spelling.site, OWN, last)
    _note(connection, spelling.site, noted)
    hashed = _step(connection, spelling.site, spelling.claims, noted[1])
    _hash(connection, spelling, hashed)
    return bool(noted[1] == hashed[1] == last)


def _last_seq(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


def _step(
    connection: sqlite3.Connection, site: str, claims: PassClaims, last: int
) -> tuple[int, int]:
    """Move a reader on, and say from where to where."""
    row = connection.execute(
        "SELECT seq FROM alias_key WHERE site = ? AND id = ?", (site, claims.id)
    ).fetchone()
    since = int(row[0]) if row else max(last - REACH, 0)
    upto = min(last, since + STEP)
    connection.execute(
        "INSERT INTO alias_key VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq",
        (site, claims.id, claims.issued, claims.expires, upto),
    )
    return since, upto


def _note(connection: sqlite3.Connection, site: str, span: tuple[int, int]) -> None:
    """The ids of the log itself, threads' and messages'."""
    rows = connection.execute(
        "SELECT seq, thread, message FROM events CROSS JOIN threads USING (thread_no)"
        " WHERE seq > ? AND seq <= ? AND site = ? AND kind != 'feedback'",
        (*span, site),
    ).fetchall()
    noted: dict[tuple[str, str | None], int] = {(thread, None): seq for seq, thread, _ in rows}
    noted |= {(thread, message): seq for seq, thread, message in rows if message}
    connection.executemany(
        "INSERT OR IGNORE INTO alias VALUES (?, ?, ?, ?, 0, 0, 0, ?)",
        [(site, item or thread, thread, item, seq) for (thread, item), seq in noted.items()],
    )


def _hash(connection: sqlite3.Connection, spelling: Spelling, span: tuple[int, int]) -> None:
    """From the first to the last, both included: a name may be noted without a new event."""
    rows = connection.execute(
        "SELECT name, thread, item, run, page, seq FROM alias"
        " WHERE site = ? AND seq >= ? AND seq <= ? AND NOT hashed",
        (spelling.site, *span),
    ).fetchall()
    connection.executemany(
        "INSERT OR IGNORE INTO alias VALUES (?, ?, ?, ?, ?, ?, 1, ?)",
        [(spelling.site, python_id(name, spelling.key), *rest) for name, *rest in rows],
    )
