"""The threads of a log, read back from its file."""

import sqlite3
from typing import Final

from msgspec import MsgspecError

from thumbseal import events
from thumbseal.events import Custom, Event
from thumbseal.ids import ActorId, ThreadId
from thumbseal.log import StoredThread

# A bad spot on the disk must not stop all that follows.
UNREADABLE: Final = (MsgspecError, UnicodeError, TypeError)
DAMAGED: Final = "thumbseal.damaged"  # what readers see of an event that cannot be read

_EVENT: Final = "seq, source, actor, at, received_at, body"


def find_thread(connection: sqlite3.Connection, site: str, thread: ThreadId) -> int | None:
    """The number of a thread; None if there is none of this id."""
    row = connection.execute(
        "SELECT thread_no FROM threads WHERE site = ? AND thread = ?", (site, thread)
    ).fetchone()
    return None if row is None else int(row[0])


def read_named(connection: sqlite3.Connection, site: str, thread: ThreadId) -> StoredThread | None:
    """See `thumbseal.log.Log.read`."""
    thread_no = find_thread(connection, site, thread)
    return None if thread_no is None else read_thread(connection, thread_no)


def read_recent(connection: sqlite3.Connection, site: str, limit: int) -> list[StoredThread]:
    """See `thumbseal.log.Log.recent`."""
    rows = connection.execute(
        "SELECT thread_no FROM threads WHERE site = ? ORDER BY thread_no DESC LIMIT ?",
        (site, limit),
    ).fetchall()
    return [read_thread(connection, thread_no) for (thread_no,) in rows]


def read_votes(
    connection: sqlite3.Connection, site: str, thread: ThreadId, actor: ActorId
) -> list[Event]:
    """See `thumbseal.log.Log.votes`."""
    rows = connection.execute(
        f"SELECT {_EVENT} FROM events"  # noqa: S608
        " WHERE thread_no = ? AND kind = 'feedback' AND actor = ? ORDER BY seq",
        (find_thread(connection, site, thread), actor),
    )
    return [_event(row) for row in rows]


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


def _event(row: tuple[int, events.Source, str, int, int, str]) -> Event:
    seq, source, actor, at, received_at, body = row
    try:
        entry = events.load(body)
    except UNREADABLE:
        entry = Custom(id=f"damaged-{seq}", at=0, name=DAMAGED)
    return Event(seq, source, actor, at, received_at, entry)
