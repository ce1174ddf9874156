"""Appending to a SQLite log: one statement for a whole group, then a word for each event.

The unique keys decide what is a repeat, in the same transaction that stores it. Runs on the
writer's thread only, hence the plain caches.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from thumbseal import events
from thumbseal.events import KINDS, Feedback, Message, Run
from thumbseal.ids import ThreadId
from thumbseal.log import Alias, Draft, Verdict, aliases

BUCKETS: Final = 64
MAX_CACHED_THREADS: Final = 20_000  # about 200 bytes each
COLUMNS: Final = 11
MAX_ROWS: Final = 1_000  # SQLite takes 32,766 variables in one statement

ACCEPTED: Final = Verdict("accepted")
DUPLICATE: Final = Verdict("duplicate")
_SHARES: Final[dict[type, float]] = {Feedback: 1.0, Run: events.RUN_SHARE}

FULL: Final = Verdict("rejected", "thread_full")
GONE: Final = Verdict("rejected", "gone")


class Batch(Struct, frozen=True):
    """The events of one request."""

    site: str
    drafts: Sequence[Draft]
    received_at: int
    aliases: Sequence[Alias] = ()


class Room(Struct):
    """A thread as the writer knows it: its number, and how much it holds."""

    thread_no: int
    bucket: int
    user: str | None
    events: int
    bytes: int

    def takes(self, draft: Draft, size: int) -> bool:
        """Whether there is room; a tenth is kept for votes, so that a long chat stays rateable, and
        half of it for what people said."""
        share = _SHARES.get(type(draft.entry), 1.0 - events.VOTE_RESERVE)
        return (
            self.events < events.MAX_THREAD_EVENTS * share
            and self.bytes + size <= events.MAX_THREAD_BYTES * share
        )

    def add(self, size: int) -> None:
        self.events += 1
        self.bytes += size

    def remove(self, size: int) -> None:
        self.events -= 1
        self.bytes -= size


class Row(Struct, frozen=True):
    """A row of ``events`` about to be written."""

    seq: int
    room: Room
    draft: Draft
    received_at: int
    body: str

    def values(self) -> tuple[object, ...]:
        draft, entry = self.draft, self.draft.entry
        return (
            self.seq,
            self.room.bucket,
            self.room.thread_no,
            entry.message if isinstance(entry, Message | Feedback) else None,
            entry.id,
            KINDS[type(entry)],
            draft.source,
            draft.actor,
            draft.at,
            self.received_at,
            self.body,
        )


class Ledger:
    """Appends batches and remembers the threads it met."""

    def __init__(self) -> None:
        self._rooms: OrderedDict[tuple[str, ThreadId], Room] = OrderedDict()
        self._version = -1

    def append(
        self, connection: sqlite3.Connection, batches: Sequence[Batch]
    ) -> list[list[Verdict]]:
        """The verdicts on each batch's events, in order. Part of the caller's transaction."""
        self._forget_if_changed(connection)
        seq = last_seq(connection)
        verdicts: list[list[Verdict]] = [[FULL] * len(batch.drafts) for batch in batches]
        places: list[tuple[int, int]] = []
        rows: list[Row] = []
        for number, batch in enumerate(batches):
            for index, draft in enumerate(batch.drafts):
                room, body = self._room(connection, batch, draft), events.dump(draft.entry).decode()
                if room is None:
                    verdicts[number][index] = GONE
                    continue
                row = Row(seq + len(rows) + 1, room, draft, batch.received_at, body)
                if room.takes(draft, len(body)):
                    room.add(len(body))
                    rows.append(row)
                    places.append((number, index))
                elif _is_repeat(connection, row):
                    verdicts[number][index] = DUPLICATE
        for (number, index), verdict in zip(places, _store(connection, rows), strict=True):
            verdicts[number][index] = verdict
        for batch in batches:
            if not batch.aliases:
                continue
            alive = [
                name
                for name in batch.aliases
                if not _is_barred(connection, batch.site, name.thread)
            ]
            aliases.add(connection, batch.site, alive, seq + len(rows))
        return verdicts

    def _room(self, connection: sqlite3.Connection, batch: Batch, draft: Draft) -> Room | None:
        """The draft's thread; None for one that is closed or erased."""
        key = (batch.site, draft.thread)
        room = self._rooms.get(key)
        if room is None:
            if _is_barred(connection, *key):
                return None
            room = self._rooms[key] = _find_room(connection, batch, draft)
            if len(self._rooms) > MAX_CACHED_THREADS:
                self._rooms.popitem(last=False)
        _vouch(connection, room, draft)
        return room

    def forget(self) -> None:
        """Drop what was remembered: a rolled-back transaction made it untrue."""
        self._rooms.clear()

    def _forget_if_changed(self, connection: sqlite3.Connection) -> None:
        """The command line may write beside the server; SQLite tells that it happened."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self.forget()
            self._version = version


def last_seq(connection: sqlite3.Connection) -> int:
    """The last number that was given to an event, also to one that was removed since."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


def _is_barred(connection: sqlite3.Connection, site: str, thread: ThreadId) -> bool:
    row = connection.execute(
        "SELECT 1 FROM barrier WHERE site = ? AND scope = 'thread' AND id = ?", (site, thread)
    ).fetchone()
    return row is not None


def _find_room(connection: sqlite3.Connection, batch: Batch, draft: Draft) -> Room:
    key = (batch.site, draft.thread)
    connection.execute(
        "INSERT INTO threads (site, thread, user, created_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (*key, draft.user, batch.received_at),
    )
    thread_no, user = connection.execute(
        "SELECT thread_no, user FROM threads WHERE site = ? AND thread = ?", key
    ).fetchone()
    count, size = connection.execute(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM events WHERE thread_no = ?",
        (thread_no,),
    ).fetchone()
    return Room(thread_no, bucket_of(*key), user, count, size)


def bucket_of(site: str, thread: str) -> int:
    """The share of the log that a thread belongs to."""
    return crc32(f"{site}\n{thread}".encode()) % BUCKETS


def _vouch(connection: sqlite3.Connection, room: Room, draft: Draft) -> None:
    """A thread that began with a bare vote learns its user from the first event that knows."""
    if draft.user is not None and room.user is None:
        connection.execute(
            "UPDATE threads SET user = ? WHERE thread_no = ?", (draft.user, room.thread_no)
        )
        room.user = draft.user


def _store(connection: sqlite3.Connection, rows: list[Row]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for start in range(0, len(rows), MAX_ROWS):
        verdicts += _store_chunk(connection, rows[start : start + MAX_ROWS])
    return verdicts


def _store_chunk(connection: sqlite3.Connection, rows: list[Row]) -> list[Verdict]:
    one = f"({','.join('?' * COLUMNS)})"
    stored = connection.execute(
        f"INSERT INTO events VALUES {','.join([one] * len(rows))} ON CONFLICT DO NOTHING",  # noqa: S608  placeholders only
        [value for row in rows for value in row.values()],
    ).rowcount
    if stored == len(rows):
        new = {row.seq for row in rows}
    else:
        found = connection.execute("SELECT seq FROM events WHERE seq >= ?", (rows[0].seq,))
        new = {seq for (seq,) in found}
    for row in rows:
        if row.seq not in new:
            row.room.remove(len(row.body))
    return [ACCEPTED if row.seq in new else _judge(connection, row) for row in rows]


def _judge(connection: sqlite3.Connection, row: Row) -> Verdict:
    """Why a unique key refused a row: a repeat, or an id that stands for something else."""
    entry = row.draft.entry
    repeat = _is_repeat(connection, row)
    if repeat is not None:
        return DUPLICATE if repeat else Verdict("rejected", "id_reused", "id")
    (body,) = connection.execute(
        "SELECT body FROM events WHERE thread_no = ? AND message = ? AND kind = 'message'",
        (row.room.thread_no, entry.message if isinstance(entry, Message) else None),
    ).fetchone()
    recorded = msgspec.structs.replace(events.load(body), id=entry.id, at=entry.at)
    return DUPLICATE if recorded == entry else Verdict("rejected", "message_used", "message")


def _is_repeat(connection: sqlite3.Connection, row: Row) -> bool | None:
    """Whether the event stored under this id is the same, by the same actor; None without one."""
    found = connection.execute(
        "SELECT body, actor FROM events WHERE thread_no = ? AND source = ? AND event_id = ?",
        (row.room.thread_no, row.draft.source, row.draft.entry.id),
    ).fetchone()
    return None if found is None else found == (row.body, row.draft.actor)
