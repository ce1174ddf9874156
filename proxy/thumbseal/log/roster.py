"""The upstreams that a SQLite log knows: where each began, and how one is forgotten.

Where an upstream begins is decided once. Whether the server serves it is noted, too: a command
beside the server must not forget what is still delivered to.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from thumbseal.log import Start
from thumbseal.log.ledger import last_seq

# All that has a row for an upstream; without its cursor it holds up no thread's retention.
_TABLES: Final = (
    "cursor",
    "roster",
    "hold",
    "dead",
    "remark",
    "waiting",
    "standing",
    "removed",
    "deletion",
)


def is_news(connection: sqlite3.Connection, starts: Mapping[str, Start]) -> bool:
    """Whether `meet` would change anything; a full disk is no reason not to start."""
    served = connection.execute(
        "SELECT upstream FROM roster JOIN cursor USING (upstream) WHERE served"
    )
    return {name for (name,) in served} != starts.keys()


def meet(connection: sqlite3.Connection, meetings: Sequence[Mapping[str, Start]]) -> list[None]:
    """See `thumbseal.log.Log.meet`. Part of the writer's transaction."""
    for starts in meetings:
        connection.execute("UPDATE roster SET served = 0")
        for upstream, start in starts.items():
            _meet(connection, upstream, start)
    return [None] * len(meetings)


def has_met(connection: sqlite3.Connection, upstream: str) -> bool:
    """Whether an upstream has begun."""
    query = "SELECT 1 FROM cursor WHERE upstream = ?"
    return connection.execute(query, (upstream,)).fetchone() is not None


def names(connection: sqlite3.Connection) -> list[str]:
    """Every upstream that anything is known of."""
    query = " UNION ".join(f"SELECT upstream FROM {table}" for table in _TABLES)  # noqa: S608
    return [name for (name,) in connection.execute(f"{query} ORDER BY 1")]


def forget(connection: sqlite3.Connection, upstream: str) -> bool:
    """Remove all that is known of an upstream, unless the server serves it. Part of one
    transaction: the server may meet it at this very moment."""
    served = connection.execute("SELECT served FROM roster WHERE upstream = ?", (upstream,))
    if (served.fetchone() or (0,))[0]:
        return False
    for table in _TABLES:
        connection.execute(f"DELETE FROM {table} WHERE upstream = ?", (upstream,))  # noqa: S608
    return True


def _meet(connection: sqlite3.Connection, upstream: str, start: Start) -> None:
    known = connection.execute(
        "UPDATE roster SET served = 1 WHERE upstream = ?", (upstream,)
    ).rowcount
    if not known:
        new = not has_met(connection, upstream)
        begin = last_seq(connection) if new and start == "now" else 0
        connection.execute("INSERT INTO roster VALUES (?, ?, 1)", (upstream, begin))
        if begin:  # what was erased before is not its own either
            connection.execute("DELETE FROM removed WHERE upstream = ?", (upstream,))
    # A cursor that salvage could not read goes back to the beginning, not on to the end.
    connection.execute(
        "INSERT OR IGNORE INTO cursor SELECT upstream, start_seq FROM roster WHERE upstream = ?",
        (upstream,),
    )
