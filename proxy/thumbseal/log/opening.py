"""Opening a SQLite log: one server at a time, a file that is a log, of a version we know.

A log grows by steps: a new one takes them all, an older one those it lacks, in one transaction.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from thumbseal.errors import LogBusy, LogError
from thumbseal.log import salvage
from thumbseal.log.salvage import Salvaged

STEPS: Final = ("schema.sql", "schema-2.sql", "schema-3.sql", "schema-4.sql")
SCHEMA_VERSION: Final = len(STEPS)
FARTHEST_VERSION: Final = 9_999  # past it no Thumbseal will ever be: it is damage
APPLICATION_ID: Final = 0x54425331  # "TBS1": so that `file` and we know a log when we see one
PAGE: Final = 4_096  # bytes
# How the file of every log begins: pages of that size, a journal, nothing reserved, and the three
# fractions that SQLite's format fixes.
HEAD: Final = b"SQLite format 3\0" + PAGE.to_bytes(2, "big") + b"\2\2\0\x40\x20\x20"
BUSY_MS: Final = 5_000
WAL_LIMIT: Final = 16 * 1024 * 1024
# Up to this size a log is looked through at every start: 0.2 s, where 900 MB took 2.4 s.
CHECKED: Final = 64 * 1024 * 1024
DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# What there is, column by column: a newer version may word its statements in another way.
_SHAPE: Final = """
SELECT one.type, one.name, columns.name, columns.type, columns."notnull", columns.pk
FROM sqlite_schema AS one JOIN pragma_table_info(one.name) AS columns
WHERE one.name NOT LIKE 'sqlite_%'
UNION ALL
SELECT one.type, one.name, keys.name, keys.seqno, 0, 0
FROM sqlite_schema AS one JOIN pragma_index_info(one.name) AS keys
WHERE one.name NOT LIKE 'sqlite_%'
ORDER BY 1, 2, 3
"""
FAILURES: Final = (sqlite3.Error, UnicodeDecodeError)  # see `salvage.UNREADABLE`


def connect(path: Path) -> sqlite3.Connection:
    """A connection as every user of a log needs it; the file is made if it is not there."""
    return _set_up(sqlite3.connect(path, isolation_level=None, check_same_thread=False))


def join(path: Path) -> sqlite3.Connection:
    """A connection for reading only; a file that is not there is an error."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = _set_up(
        sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def _set_up(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.text_factory = _text
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # on macOS a plain fsync stops at the drive's cache
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    connection.execute("PRAGMA secure_delete = ON")  # what is erased leaves no bytes behind
    return connection


def own(path: Path) -> sqlite3.Connection:
    """A lock for as long as this process lives: SQLite's own, so it holds wherever SQLite does.

    Raises:
        LogBusy: another server has it.
    """
    owner = sqlite3.connect(
        owner_path(path), timeout=0, isolation_level=None, check_same_thread=False
    )
    try:
        owner.execute("PRAGMA locking_mode = EXCLUSIVE")
        owner.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        owner.close()
        raise LogBusy(
            f"Another Thumbseal server has the log {path}. Stop it, or give this one a log of its "
            "own (server.log)."
        ) from error
    return owner


def owner_path(path: Path) -> Path:
    """The file that says which process has the log; it outlives the server, and is empty."""
    return path.with_name(f"{path.name}.owner")


def make_ready(path: Path, *, known: bool) -> Salvaged | None:
    """Make the file at ``path`` a sound log of our version, and say what was salvaged if it was
    damaged. ``known`` says that a log was there before: then one that is empty or gone is damaged.

    Raises:
        LogError: the file is not a log, or is newer than this program.
    """
    try:
        return _make_ready(path, known=known)
    except (LogError, OSError, *FAILURES):
        if not known:  # or the next start would miss a log, or take somebody's file for one
            with suppress(OSError):  # Windows keeps what is open
                owner_path(path).unlink(missing_ok=True)
        raise


def _make_ready(path: Path, *, known: bool) -> Salvaged | None:
    salvage.finish(path)
    try:
        if known and salvage.is_lost(path):
            raise sqlite3.DatabaseError("it is empty")
        if salvage.is_cut_off(path):
            raise sqlite3.DatabaseError("its beginning is missing")
        path.touch(mode=0o600)  # what people say is for the server's user alone
        with closing(connect(path)) as connection:
            _prepare(connection, path)
            _check_header(path)
            _check_schema(connection)
            _check(connection, path)
    except salvage.UNREADABLE as error:
        if not (is_damage(error) or _is_strange(path, error)):
            raise
        if not (known or salvage.has_marks(path)):
            raise LogError(f"{path} is not a database. Choose another path for the log.") from error
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
            _step(fresh, 0)
            salvaged = salvage.mend(path, fresh)
    else:
        return None
    return salvaged


@contextmanager
def beside(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a log that a server may have open, for a command.

    Raises:
        LogError: there is no log, it is not one, of another version, or damaged.
    """
    known = owner_path(path).exists()
    if not (known or path.exists()):
        raise LogError(f"There is no log at {path} yet: no server has run with these settings.")
    if known and salvage.is_lost(path):
        raise LogError(
            f"The log {path} is {'empty' if path.exists() else 'gone'}, and there was one. Put a "
            "backup in its place, or restart the server: it begins a new one."
        )
    try:
        with closing(connect(path)) as connection:
            version = _version(connection, path)
            if version < SCHEMA_VERSION:
                raise LogError(
                    f"The log {path} is of an older Thumbseal (schema {version}, this one has "
                    f"{SCHEMA_VERSION}). `thumbseal serve` upgrades it."
                )
            yield connection
    except FAILURES as error:
        raise LogError(explain(path, error)) from error


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file is not what SQLite wrote."""
    code = getattr(error, "sqlite_errorcode", None)
    # Without a code it is ours, see `_check`, or Python's, see `FAILURES`.
    return code is None or code & 0xFF in DAMAGE


def _is_strange(path: Path, error: Exception) -> bool:
    """Whether an error while a log is opened comes from a header that nobody wrote so."""
    code = getattr(error, "sqlite_errorcode", 0)
    readonly = code & 0xFF == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK)
    return readonly or code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR_SHORT_READ)


def explain(path: Path, error: Exception) -> str:
    """What an operator reads of an error, and what to do."""
    if is_damage(error):
        return (
            f"The log {path} is damaged: {error}. Restart the server: it puts the file aside and "
            "goes on with what can be read."
        )
    return f"The log {path} cannot be used: {error}."


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables or version:
        version = _version(connection, path)
    if version < SCHEMA_VERSION:
        _step(connection, version)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    # What stands in the journal alone has left no mark in the file.
    ours = salvage.has_marks(path) or salvage.is_readable(connection)
    if application != APPLICATION_ID and not ours:
        raise LogError(f"{path} is a database, but not a log of Thumbseal. Choose another path.")
    if application != APPLICATION_ID or version > FARTHEST_VERSION:
        raise sqlite3.DatabaseError("its header is not ours")
    if version > SCHEMA_VERSION:
        raise LogError(
            f"The log {path} was written by a newer Thumbseal (schema {version}, this one knows "
            f"{SCHEMA_VERSION}). Run that version or a newer one."
        )
    return int(version)


def _step(connection: sqlite3.Connection, version: int) -> None:
    """Take the steps that a log of this version lacks; all of them or none."""
    folder = files("thumbseal.log")
    steps = "".join(folder.joinpath(name).read_text("utf-8") for name in STEPS[version:])
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION};"
            f" PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
        )
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Raises `sqlite3.DatabaseError` for a file that is damaged, as far as it is looked at."""
    if path.stat().st_size > CHECKED and not salvage.is_suspect(path):
        return
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    salvage.clear(path)


def _check_header(path: Path) -> None:
    """Raises `sqlite3.DatabaseError` where the file's own header is damaged: as long as the journal
    holds a good one SQLite does not look there, and after it would refuse every write."""
    with path.open("rb") as file:
        if file.read(len(HEAD)) != HEAD:
            raise sqlite3.DatabaseError("its header is not ours")


def _check_schema(connection: sqlite3.Connection) -> None:
    if connection.execute(_SHAPE).fetchall() != _our_shape():
        raise sqlite3.DatabaseError("its tables are not ours")


@cache
def _our_shape() -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        _step(fresh, 0)
        return fresh.execute(_SHAPE).fetchall()


def _text(raw: bytes) -> str:
    """Text as it lies on the disk: damaged bytes must spoil their own row alone."""
    return raw.decode("utf-8", "surrogateescape")
