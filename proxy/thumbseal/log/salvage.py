"""Salvage: a damaged log is put aside, never deleted, and what can be read of it goes on.

The order of deeds makes a crash harmless: the readable rows are complete in a file of their own
before the damaged one is touched, and what was begun is finished at the next start.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from msgspec import MsgspecError, Struct

from thumbseal import events
from thumbseal.log.ledger import bucket_of

CHUNK: Final = 1_000  # rows read at once, while nothing is wrong
PARTS: Final = ("-wal", "-shm", "")  # the log itself last: while it is there, it is the log
MARK: Final = b"events_by_message"  # stands in every log's first page
HEADER: Final = 100  # bytes
PAGE: Final = 4_096
# What SQLite says of a damaged schema quotes it, and Python cannot decode that.
UNREADABLE: Final = (sqlite3.DatabaseError, UnicodeDecodeError)
ERRORS: Final = (sqlite3.DatabaseError, MsgspecError, UnicodeError, OverflowError, TypeError)

Row = tuple[Any, ...]


class Salvaged(Struct, frozen=True):
    """What was saved from a damaged log, and where that lies now. ``unreadable`` counts rows."""

    quarantine: str
    threads: int
    events: int
    unreadable: int

    @property
    def remedy(self) -> str:
        """What an operator does about it."""
        if self.threads or self.events:
            return "Look at the disk. Delete the file put aside once you need nothing from it."
        return (
            "Nothing was left of the log, and a new one is begun. Stop the server and restore a "
            "backup, or delete the file put aside if nobody misses it. To begin a log anew on "
            "purpose, stop the server and delete all files whose names begin as the log's does."
        )


def is_suspect(path: Path) -> bool:
    """Whether somebody met damage in this log since it was last looked through."""
    return _beside(path, "suspect").exists()


def suspect(path: Path) -> None:
    """Have the log looked through when it is opened next."""
    _beside(path, "suspect").touch()


def clear(path: Path) -> None:
    """It was looked through, and is sound."""
    _beside(path, "suspect").unlink(missing_ok=True)


def has_marks(path: Path) -> bool:
    """Whether a file that is no database looks as if it had been a log."""
    with path.open("rb") as file:
        return MARK in file.read(16 * PAGE)


def is_cut_off(path: Path) -> bool:
    """Whether a log is empty that was not: SQLite would take its journal for a left-over."""
    journal = _beside(path, "wal", "-")
    return path.exists() and not path.stat().st_size and _size(journal) > 0


def is_lost(path: Path) -> bool:
    """Whether there is no log, or nothing in its file: SQLite would make a new one of either."""
    return not _size(path)


def quarantined(path: Path) -> list[Path]:
    """The damaged logs that were put aside here."""
    found = path.parent.glob(f"{path.name}.corrupt-*")
    return sorted(each for each in found if not each.name.endswith(PARTS[:2]))


def finish(path: Path) -> Path | None:
    """Finish a salvage whose rows are complete: put the damaged log aside, the new one in place."""
    salvaged = _beside(path, "salvaged")
    if not salvaged.exists():
        return None
    quarantine = _quarantine(path, salvaged.stat().st_mtime)
    for part in PARTS:
        with suppress(FileNotFoundError):
            os.rename(f"{path}{part}", f"{quarantine}{part}")
    salvaged.rename(path)
    clear(path)
    _sync(path.parent)
    return quarantine


def _quarantine(path: Path, moment: float) -> Path:
    """A name that no other damaged log has; for a salvage that is finished the same as before."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
    name = _beside(path, f"corrupt-{stamp}")
    while name.exists() and path.exists():
        name = name.with_name(f"{name.name}+")
    return name


def mend(path: Path, fresh: sqlite3.Connection) -> Salvaged:
    """Salvage a damaged log. ``fresh`` is an empty one, in memory. Of a log that is gone an empty
    file is put aside, so that it is told of for as long as nobody has looked.

    Raises:
        sqlite3.Error, OSError: there is no room for the copy; nothing was changed.
    """
    building = _beside(path, "salvaging")
    source = _beside(path, "damaged")
    for part in PARTS:
        Path(f"{building}{part}").unlink(missing_ok=True)
        Path(f"{source}{part}").unlink(missing_ok=True)
    path.touch(mode=0o600)
    building.touch(mode=path.stat().st_mode & 0o777)
    with closing(sqlite3.connect(building, isolation_level=None)) as target:
        fresh.backup(target)
        target.execute("PRAGMA synchronous = FULL")
        nothing = is_lost(path) and is_lost(_beside(path, "wal", "-"))
        counts = (0, 0, 0) if nothing else _best(path, source, target, fresh)
    for part in PARTS:
        Path(f"{source}{part}").unlink(missing_ok=True)
    building.rename(_beside(path, "salvaged"))
    _sync(path.parent)
    return Salvaged(str(finish(path)), *counts)


def _best(
    path: Path, source: Path, target: sqlite3.Connection, fresh: sqlite3.Connection
) -> tuple[int, int, int]:
    """Copy what is readable; with a first page that is not, of a copy with a new one."""
    first_page = fresh.serialize()[:PAGE]
    for repaired in (0, HEADER, PAGE):
        _copy_files(path, source, first_page[:repaired])
        with closing(sqlite3.connect(source, isolation_level=None)) as damaged:
            damaged.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            if is_readable(damaged) or repaired == PAGE:
                return _copy(damaged, target, source.stat().st_size)
    raise AssertionError("unreachable")


def _copy_files(path: Path, source: Path, first_bytes: bytes) -> None:
    for part in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{path}{part}", f"{source}{part}")
    Path(f"{source}-shm").unlink(missing_ok=True)
    if first_bytes:
        with source.open("r+b") as file:
            file.write(first_bytes)
            file.seek(18)
            file.write(b"\2\2")  # in WAL mode
            file.seek(24)
            file.write(b"\0\0\0\1\0\0\0\0")  # a size that does not count


def is_readable(connection: sqlite3.Connection) -> bool:
    """Whether a database has the tables of a log."""
    try:
        names = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    except UNREADABLE:
        return False
    return {("events",), ("threads",)} <= set(names)


def _copy(
    damaged: sqlite3.Connection, target: sqlite3.Connection, size: int
) -> tuple[int, int, int]:
    """Threads, events and unreadable rows."""
    copied: dict[str, int] = {}
    unreadable = 0
    target.execute("BEGIN")
    tables = target.execute(
        "SELECT name, sql LIKE '%WITHOUT ROWID%' FROM sqlite_schema WHERE type = 'table'"
        " AND name NOT LIKE 'sqlite_%' ORDER BY name = 'threads' DESC"
    ).fetchall()
    for table, clustered in tables:
        columns = [row[1] for row in target.execute(f"PRAGMA table_info({table})")]
        reader = (
            _ends(damaged, table, columns) if clustered else _walk(damaged, table, columns, size)
        )
        copied[table] = 0
        for row in reader:
            good = row is not None and _keep(target, table, row)
            copied[table] += good
            unreadable += not good
    _set_sequences(damaged, target)
    target.execute("COMMIT")
    return copied["threads"], copied["events"], unreadable


def _keep(target: sqlite3.Connection, table: str, row: Row) -> bool:
    """Put a row where it belongs, if it is one: of an event also the body must be readable."""
    try:
        if table == "events":
            events.load(row[-1])
            _, bucket, thread_no, *_ = row
            thread = target.execute(
                "SELECT site, thread FROM threads WHERE thread_no = ?", (thread_no,)
            ).fetchone()
            # The bucket is a check on the number: what was said in one thread must not turn up
            # in another.
            if thread is None or bucket_of(*thread) != bucket:
                return False
        marks = ",".join("?" * len(row))
        target.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608
    except ERRORS as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # the new file is at fault: the disk is full
        return False
    return True


def _walk(
    damaged: sqlite3.Connection, table: str, columns: Sequence[str], size: int
) -> Iterator[Row | None]:
    """A table's rows by number; None for each stretch that cannot be read."""
    spans = [(0, _last(damaged, table, columns[0], size))]
    query = (
        f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608
        f" WHERE {columns[0]} > ? AND {columns[0]} <= ? ORDER BY 1 LIMIT {CHUNK}"
    )
    while spans:
        low, high = spans.pop()
        try:
            rows = damaged.execute(query, (low, high)).fetchall()
        except UNREADABLE:
            if high - low > 1:
                middle = (low + high) // 2
                spans += [(middle, high), (low, middle)]
            else:
                yield None
            continue
        yield from rows
        if len(rows) == CHUNK:
            spans.append((rows[-1][0], high))


def _last(damaged: sqlite3.Connection, table: str, key: str, size: int) -> int:
    """A number that no row is past."""
    for query in (
        f"SELECT max({key}) FROM {table}",  # noqa: S608
        f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'",  # noqa: S608
    ):
        with suppress(*UNREADABLE):
            row = damaged.execute(query).fetchone()
            if row and isinstance(row[0], int) and 0 < row[0] <= size:
                return int(row[0])
    return size // 64  # a row takes more than that


def _ends(damaged: sqlite3.Connection, table: str, columns: Sequence[str]) -> Iterator[Row | None]:
    """The rows of a small table, from its beginning and its end to where it is damaged."""
    seen: set[Row] = set()
    for order in ("", " DESC"):
        query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {columns[0]}{order}"  # noqa: S608
        try:
            for row in damaged.execute(query):
                if row not in seen:
                    seen.add(row)
                    yield row
        except UNREADABLE as error:
            if "no such table" in str(error):  # of an older log
                return
            continue
        return
    yield None


def _set_sequences(damaged: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """No number is given twice, neither one that was lost nor one that a reader has passed."""
    for table, key in (("threads", "thread_no"), ("events", "seq")):
        last = target.execute(
            f"SELECT max((SELECT coalesce(max({key}), 0) FROM {table}),"  # noqa: S608
            " (SELECT coalesce(max(seq), 0) FROM cursor))"
        ).fetchone()[0]
        with suppress(*UNREADABLE):
            old = damaged.execute(
                "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)
            ).fetchone()
            last = max(last, old[0]) if old and isinstance(old[0], int) else last
        target.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        target.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, last))


def _beside(path: Path, name: str, joint: str = ".") -> Path:
    return path.with_name(f"{path.name}{joint}{name}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sync(folder: Path) -> None:
    """Have the names on disk, too."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
