"""The index's file: opened, made, emptied."""

import sqlite3
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path
from typing import Final

from thumbseal.log.ledger import last_seq
from thumbseal.log.opening import FAILURES, connect, is_damage, join, own

VERSION: Final = 1  # an index of another version is made anew
TABLES: Final = ("state", "thread", "label", "answer", "vote", "docs")


def index_path(log_path: Path) -> Path:
    """Where the index of a log is."""
    return log_path.with_name(f"{log_path.name}.index")


def prepare(log_path: Path) -> None:
    """Make the index's file ready; one that is damaged is thrown away, so call it only while no
    other process has the log.

    Raises:
        sqlite3.Error, OSError: the disk refuses.
    """
    path = index_path(log_path)
    try:
        make(path)
    except FAILURES as error:
        if not is_damage(error):
            raise
        discard(path)
        make(path)


def is_needed(log_path: Path) -> bool:
    """Whether an index has something to follow or to forget: there is an event in the log, or the
    index knows of one.

    Raises:
        sqlite3.Error, OSError: one of the files cannot be used.
    """
    with closing(join(log_path)) as log, closing(open_index(index_path(log_path))) as index:
        (cursor,) = index.execute("SELECT cursor FROM state").fetchone()
        return bool(cursor or last_seq(log))


def empty_beside(log_path: Path) -> None:
    """Have the index begin anew. One that is damaged is thrown away, which asks for a log that no
    server has.

    Raises:
        LogBusy: the file is damaged, and a server has it open.
        sqlite3.Error, OSError: the disk refuses.
    """
    path = index_path(log_path)
    try:
        make(path)
        with closing(open_index(path)) as connection:
            empty(connection)
    except FAILURES as error:
        if not is_damage(error):
            raise
        with closing(own(log_path)):
            discard(path)
            make(path)


def make(path: Path) -> None:
    """The tables, unless they are there."""
    path.touch(mode=0o600)  # what people say is for the server's user alone
    with closing(open_index(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION or not connection.execute("SELECT cursor FROM state").fetchone():
            empty(connection)


def discard(path: Path) -> None:
    """Remove the file with its journals."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def open_index(path: Path) -> sqlite3.Connection:
    """A connection for whoever writes. A power cut may cost the last commits, never the file: the
    reader of the log goes on from where the file says it is."""
    connection = connect(path)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def empty(connection: sqlite3.Connection) -> None:
    """Begin anew, in one transaction: whoever reads sees the old index or an empty one."""
    drops = "".join(f"DROP TABLE IF EXISTS {table};" for table in TABLES)
    schema = files("thumbseal.index").joinpath("schema.sql").read_text("utf-8")
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {drops} {schema} PRAGMA user_version = {VERSION}; COMMIT;"
        )
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    with suppress(sqlite3.OperationalError):  # since SQLite 3.42; see `keeping` for older ones
        connection.execute("INSERT INTO docs (docs, rank) VALUES ('secure-delete', 1)")
