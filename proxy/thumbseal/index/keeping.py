"""Keeping the index: a reader of the log, with a cursor of its own in the index's file.

It holds up neither an append nor a removal: it only reads the log, and what is removed before it
was read is not missed. Each step is one transaction of the index that begins with its cursor, so a
command may take steps beside the server.
"""

import math
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct

from thumbseal.conversation import Conversation, fold
from thumbseal.events import MAX_SCORE
from thumbseal.index import Progress
from thumbseal.index.describing import Described, describe
from thumbseal.index.file import empty, index_path, open_index
from thumbseal.log.ledger import last_seq
from thumbseal.log.opening import join
from thumbseal.log.threads import read_thread

PLACES: Final = 4_096  # documents of one thread, see schema.sql
MERGED: Final = 200  # pages of the words' index put together at a time
NO_SCORE: Final = 10.0 * MAX_SCORE


class Step(Struct, frozen=True):
    """What a step did; ``more`` says that there is more to do at once."""

    progress: Progress
    changed: bool
    more: bool


class Keeper:
    """The one who writes the index, step by step; use it from one thread at a time."""

    _log: sqlite3.Connection
    _index: sqlite3.Connection

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._inode = 0
        self._version = -1
        self._files = ExitStack()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def open(self) -> None:
        """Raises `sqlite3.Error` or OSError where one of the files cannot be opened."""
        self._inode = self._log_path.stat().st_ino
        self._log = self._files.enter_context(closing(join(self._log_path)))
        self._index = self._files.enter_context(closing(open_index(index_path(self._log_path))))

    def close(self) -> None:
        """Let go of the files, however far they were opened."""
        self._files.close()

    @property
    def is_current(self) -> bool:
        """Whether the log's path still leads to the file that is open."""
        return self._log_path.stat().st_ino == self._inode

    def reset(self) -> None:
        """Forget all, and take the next step from the log's beginning."""
        empty(self._index)

    def step(self, limit: int, seconds: float = math.inf) -> Step:
        """Index up to this many events, as far as it gets within ``seconds``, but one thread at
        least; once there are no more, drop what the log has no more.

        Raises:
            sqlite3.Error, OSError: one of the files cannot be used.
        """
        until = time.monotonic() + seconds
        if self._is_of_another_log():
            self.reset()
        (version,) = self._log.execute("PRAGMA data_version").fetchone()
        if version == self._version and (still := self._rests()):
            return Step(still, False, False)
        with _transaction(self._log, "BEGIN"), _transaction(self._index, "BEGIN IMMEDIATE"):
            cursor, purging = self._index.execute("SELECT cursor, purging FROM state").fetchone()
            upto, whole = self._add(cursor, limit, until)
            gone = self._drop_gone() if whole and version != self._version else 0
            self._index.execute(
                "UPDATE state SET cursor = ?, log = ?, purging = ?",
                (upto, self._inode, bool(purging or gone)),
            )
            total = last_seq(self._log)
        if whole:
            self._version = version
        merging = bool(purging or gone) and self._purge()
        return Step(Progress(upto, total), bool(gone) or upto > cursor, not whole or merging)

    def _is_of_another_log(self) -> bool:
        cursor, inode = self._index.execute("SELECT cursor, log FROM state").fetchone()
        return bool(inode) and (inode != self._inode or cursor > last_seq(self._log))

    def _rests(self) -> Progress | None:
        """How far the index is, if it has all there is and nothing to tidy up; else None."""
        cursor, purging = self._index.execute("SELECT cursor, purging FROM state").fetchone()
        total = last_seq(self._log)
        return None if purging or cursor < total else Progress(cursor, total)

    def _add(self, cursor: int, limit: int, until: float) -> tuple[int, bool]:
        """The new cursor, and whether nothing is left behind it."""
        rows = self._log.execute(
            "SELECT seq, thread_no FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (cursor, limit)
        ).fetchall()
        left, upto = {thread_no: seq for seq, thread_no in rows}, cursor
        for seq, thread_no in rows:
            last = left.pop(thread_no, None)
            if last is not None and not self._has(thread_no, last):
                if upto > cursor and time.monotonic() >= until:
                    return upto, False
                write(self._index, self._described(thread_no))
                _give_way()
            upto = seq
        whole = len(rows) < limit
        return (last_seq(self._log) if whole else upto), whole

    def _has(self, thread_no: int, seq: int) -> bool:
        """Whether an earlier step has read on in a thread as far as that."""
        row = self._index.execute(
            "SELECT 1 FROM thread WHERE thread_no = ? AND seq >= ?", (thread_no, seq)
        ).fetchone()
        return row is not None

    def _described(self, thread_no: int) -> Described:
        (site,) = self._log.execute(
            "SELECT site FROM threads WHERE thread_no = ?", (thread_no,)
        ).fetchone()
        stored = read_thread(self._log, thread_no)
        conversation = fold(stored.events, Conversation(stored.thread, stored.user))
        return describe(thread_no, site, conversation, stored.events)

    def _drop_gone(self) -> int:
        """How many threads left. To count both sides tells whether any did; which ones is looked
        for only then, as it takes reading all of the numbers."""
        (surplus,) = self._index.execute("SELECT surplus FROM state").fetchone()
        if _count(self._log, "threads") == _count(self._index, "thread") + surplus:
            return 0
        here = {number for (number,) in self._log.execute("SELECT thread_no FROM threads")}
        ours = [number for (number,) in self._index.execute("SELECT thread_no FROM thread")]
        gone = [number for number in ours if number not in here]
        for number in gone:
            drop(self._index, number)
        surplus = len(here) - len(ours) + len(gone)
        self._index.execute("UPDATE state SET surplus = ?", (surplus,))
        return len(gone)

    def _purge(self) -> bool:
        """Put the words' index together a little further, which is how SQLite before 3.42 gets rid
        of the words of what was removed; False once all of it is, and no journal has them."""
        before = self._index.total_changes
        self._index.execute("INSERT INTO docs (docs, rank) VALUES ('merge', ?)", (-MERGED,))
        if self._index.total_changes - before >= 2:  # as SQLite's documentation says
            return True
        (busy, _, _) = self._index.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            self._index.execute("UPDATE state SET purging = 0")
        return False


def write(connection: sqlite3.Connection, told: Described) -> None:
    """Put a thread into the index in place of what there was of it."""
    summary = told.summary
    _delete_rows(connection, summary.thread_no)
    connection.execute(
        "INSERT INTO thread VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            summary.thread_no,
            summary.site,
            summary.user,
            summary.first_at,
            summary.last_at,
            summary.messages,
            summary.ups,
            summary.downs,
            summary.comments,
            summary.downs - summary.ups,
            summary.seq,
            _json(summary),
        ),
    )
    connection.executemany(
        "INSERT INTO label VALUES (?, ?, ?)",
        [(*label, summary.thread_no) for label in told.labels],
    )
    _write_opinions(connection, told)
    _write_texts(connection, summary.thread_no, dict(told.texts))


def drop(connection: sqlite3.Connection, thread_no: int) -> None:
    """Take a thread out of the index."""
    _delete_rows(connection, thread_no)
    _write_texts(connection, thread_no, {})


def _write_opinions(connection: sqlite3.Connection, told: Described) -> None:
    number = told.summary.thread_no
    connection.executemany(
        "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                number,
                each.message,
                each.at,
                each.downs - each.ups,
                NO_SCORE if each.score is None else each.score,
                len(each.comments),
                _json(each),
            )
            for each in told.answers
        ],
    )
    connection.executemany(
        "INSERT INTO vote VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                number,
                each.message,
                each.actor,
                each.at,
                each.thumb == "up",
                _json(each.reasons) if each.reasons else None,
            )
            for each in told.votes
        ],
    )


def _write_texts(connection: sqlite3.Connection, thread_no: int, texts: dict[int, str]) -> None:
    """Only what differs: most of a thread stays as it is when a message comes."""
    first = thread_no * PLACES
    rows = connection.execute(
        "SELECT rowid, text FROM docs WHERE rowid BETWEEN ? AND ?", (first, first + PLACES - 1)
    ).fetchall()
    before = {rowid - first: text for rowid, text in rows}
    old = [place for place, text in before.items() if texts.get(place) != text]
    connection.executemany("DELETE FROM docs WHERE rowid = ?", [(first + place,) for place in old])
    connection.executemany(
        "INSERT INTO docs (rowid, text) VALUES (?, ?)",
        [(first + place, text) for place, text in texts.items() if before.get(place) != text],
    )


def _delete_rows(connection: sqlite3.Connection, thread_no: int) -> None:
    for table in ("thread", "label", "answer", "vote"):
        connection.execute(f"DELETE FROM {table} WHERE thread_no = ?", (thread_no,))  # noqa: S608


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _give_way() -> None:
    """Let go of the processor if somebody waits for it. However nice a process is, Linux leaves it
    there for some milliseconds once it has it, and a thread of the server wants a fraction of one.
    """
    if sys.platform != "win32":
        os.sched_yield()


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
