"""Restoring threads into a log that has none: as they were, in one transaction."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from msgspec import Struct

from thumbseal.errors import LogError
from thumbseal.events import Event
from thumbseal.ids import ActorId, ThreadId
from thumbseal.log import Draft, Removed
from thumbseal.log.ledger import Batch, Ledger, last_seq
from thumbseal.log.opening import FAILURES, connect, make_ready, own, owner_path

ACCEPTED: Final = "accepted"


class Restored(Struct, frozen=True):
    """A thread as it was; the order of its events is that of the log it comes from."""

    site: str
    thread: ThreadId
    user: str | None
    created_at: int
    events: tuple[Event, ...]


def restore(path: Path, threads: Iterable[Restored]) -> Removed:
    """Put threads into the log at ``path``, made if it is not there; how many there were.

    Raises:
        LogBusy: a server has the log.
        LogError: there was an event in it before, an event has no place in it, or the disk
            refuses. Then nothing was stored.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        known = owner_path(path).exists()
        with closing(own(path)):
            make_ready(path, known=known)
            with closing(connect(path)) as connection:
                return _restore(connection, path, threads)
    except (OSError, *FAILURES) as error:
        raise LogError(f"Cannot write the log {path}: {error}.") from error


def _restore(connection: sqlite3.Connection, path: Path, threads: Iterable[Restored]) -> Removed:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if last_seq(connection):
            raise LogError(f"The log {path} is not empty. Name a new one in server.log.")
        ledger, total = Ledger(), Removed(0, 0)
        for thread in threads:
            _add(connection, ledger, thread)
            total += Removed(1, len(thread.events))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return total


def _add(connection: sqlite3.Connection, ledger: Ledger, told: Restored) -> None:
    batches = [
        Batch(
            told.site,
            [
                Draft(
                    told.thread,
                    told.user,
                    event.source,
                    ActorId(event.actor),
                    event.at,
                    event.entry,
                )
            ],
            event.received_at,
        )
        for event in told.events
    ]
    for verdicts in ledger.append(connection, batches):
        if verdicts[0].status != ACCEPTED:
            raise LogError(
                f"An event of thread {told.thread} has no place in the log: it is there twice, or "
                f"its thread is closed ({verdicts[0].code or verdicts[0].status})."
            )
    connection.execute(
        "UPDATE threads SET created_at = ? WHERE site = ? AND thread = ?",
        (told.created_at, told.site, told.thread),
    )
